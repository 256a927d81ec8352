//! Killed, and gone on with by the next process.
//!
//! The binary is killed (SIGKILL) while it sends 64 MiB in chunks of 1 MiB, over and over: at
//! each state that it keeps, as soon as the registry has acknowledged one chunk more, and at
//! instants nobody chose. Each process sends what is left, and at most one chunk more.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use longshore::push::source::sample::SampleOptions;
use server::{Action, Endpoint, RangeFault, Rule};

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, Stage},
};

const MIB: u64 = 1 << 20;

/// A layer of 64 MiB and a little.
fn large() -> SampleOptions {
    SampleOptions {
        layers: 1,
        layer_bytes: 64 * MIB,
        ..SampleOptions::default()
    }
}

fn start(stage: &Stage, image: &Image) -> Child {
    longshore(stage.home())
        .args(["push", image.path(), &stage.reference("team/app:1")])
        .args(["--json", "--chunk-size", "1048576"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn to_the_end(stage: &Stage, image: &Image) -> Run {
    let child = start(stage, image);
    finished(child.wait_with_output().unwrap()).succeeded()
}

fn killed(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Requests about the layer: all but the questions that every push asks, and the config's.
fn about_the_layer(stage: &Stage) -> usize {
    let log = stage.server.log();
    [
        Endpoint::BlobHead,
        Endpoint::UploadStatus,
        Endpoint::UploadPatch,
        Endpoint::UploadPut,
        Endpoint::UploadCancel,
    ]
    .iter()
    .map(|it| log.calls(*it))
    .sum()
}

/// What a push sends that nothing stops: bytes, and requests about the layer.
async fn undisturbed(image: &Image) -> (u64, usize) {
    let stage = Stage::new().await;
    let run = to_the_end(&stage, image);
    assert_eq!(run.json()["bytes"]["resumed"], 0);
    (stage.server.log().blob_bytes(), about_the_layer(&stage))
}

/// Ends the push once the registry has got `chunks` more; false if it came to its end before.
async fn killed_after(stage: &Stage, image: &Image, chunks: usize) -> bool {
    let wanted = stage.server.log().calls(Endpoint::UploadPatch) + chunks;
    let mut child = start(stage, image);
    while stage.server.log().calls(Endpoint::UploadPatch) < wanted {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    killed(child);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_push_that_is_killed_over_and_over_sends_a_chunk_more_for_each_time() {
    let stage = Stage::new().await;
    let image = stage.image(&large());
    let (bytes, requests) = undisturbed(&image).await;
    let mut kills = 0;
    for chunks in [1, 2, 5, 1, 7, 3, 1, 1, 6, 2, 4, 1] {
        kills += u64::from(killed_after(&stage, &image, chunks).await);
    }
    // Instants nobody chose: the scheduler's.
    for millis in [3, 40, 90, 150, 220, 310] {
        let child = start(&stage, &image);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        killed(child);
        kills += 1;
    }
    assert!(kills >= 18, "{kills}");
    let run = to_the_end(&stage, &image);
    let sent = stage.server.log().blob_bytes();
    assert!(
        sent <= bytes + kills * MIB,
        "{sent} of {bytes}, {kills} kills"
    );
    let asked = about_the_layer(&stage) - requests;
    let lines = stage.server.log().lines();
    assert!(
        asked as u64 <= 3 * kills,
        "{asked} more, {kills} kills: {lines:#?}"
    );
    assert_eq!(run.json()["verified"], true);
    let listed = longshore(stage.home())
        .args(["session", "list"])
        .output()
        .unwrap();
    assert_eq!(finished(listed).stdout, "no unfinished uploads\n");
    println!(
        "{kills} kills: {} bytes and {asked} requests more",
        sent - bytes
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_plan_says_where_a_killed_push_goes_on() {
    let stage = Stage::new().await;
    let image = stage.image(&large());
    assert!(killed_after(&stage, &image, 9).await);
    let plan = longshore(stage.home())
        .args(["plan", image.path(), &stage.reference("team/app:1")])
        .output()
        .unwrap();
    let plan = finished(plan).succeeded();
    assert!(plan.stdout.contains("resume at "), "{plan:#?}");
    let run = to_the_end(&stage, &image);
    assert!(run.json()["bytes"]["resumed"].as_u64().unwrap() >= 7 * MIB);
}

/// The sessions of a push that is interrupted stay for the next one, or are given up.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn n5_an_interrupted_push_keeps_or_cancels_the_sessions_of_large_blobs() {
    for (policy, kept) in [("keep", 1), ("cancel", 0)] {
        let stage = Stage::new().await;
        let image = stage.image(&large());
        let child = longshore(stage.home())
            .args(["push", image.path(), &stage.reference("team/app:1")])
            .args(["--chunk-size", "1048576", "--unfinished", policy])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while stage.server.log().calls(Endpoint::UploadPatch) < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let id = child.id().to_string();
        let told = std::process::Command::new("kill")
            .args(["-INT", &id])
            .status();
        assert!(told.unwrap().success());
        let run = finished(child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(130), "{run:#?}");
        let log = stage.server.log();
        assert_eq!(log.calls(Endpoint::UploadCancel), 1 - kept, "{policy}");
        assert_eq!(stage.server.open_sessions(), kept);
        let listed = longshore(stage.home())
            .args(["session", "list", "--json"])
            .output();
        let listed = finished(listed.unwrap()).json().as_array().unwrap().len();
        assert_eq!(listed, kept, "{policy}");
    }
}

/// What a session says of itself in another process is asked for twice, and then there is one
/// new session. Nothing is sent where it would not belong.
#[tokio::test(flavor = "multi_thread")]
async fn n2_another_process_does_not_trust_a_wrong_or_shrinking_range() {
    // Killed in its first body, with so many bytes held; then told so many.
    for (held, fault) in [
        (9 * MIB, RangeFault::AtMost(1000)),
        (2 * MIB, RangeFault::Half),
    ] {
        let stage = Stage::new().await;
        let image = stage.image(&large());
        assert!(killed_after(&stage, &image, usize::try_from(held / MIB).unwrap()).await);
        let lies = Rule::on(Endpoint::UploadStatus).first(2);
        stage.server.faults().add(lies.act(Action::Range(fault)));
        stage.server.log().clear();
        let run = to_the_end(&stage, &image);
        assert_eq!(run.json()["verified"], true);
        assert_eq!(run.json()["bytes"]["resumed"], 0, "{fault:?}");
        let log = stage.server.log();
        let calls = |it| log.calls(it);
        assert_eq!(calls(Endpoint::UploadStatus), 2, "{:#?}", log.lines());
        assert_eq!(calls(Endpoint::UploadCancel), 1, "{:#?}", log.lines());
        assert_eq!(calls(Endpoint::UploadPost), 1, "{:#?}", log.lines());
        // What was on its way when the first was killed arrives when it likes, in the first session.
        let entries = log.entries();
        let asked = |it: &&server::Entry| it.endpoint == Endpoint::UploadStatus;
        let first = &entries.iter().find(asked).unwrap().path;
        let others = entries.iter().filter(|it| it.path != *first);
        let sent: u64 = others.map(|it| it.blob_bytes).sum();
        assert_eq!(sent / MIB, 64, "the layer once, from its start");
    }
}
