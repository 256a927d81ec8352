//! Ctrl-C in the middle of a push.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use server::{Action, Endpoint, Rule};

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, Stage, small},
};

/// Sends `signal` to a push whose uploads are all open: the server holds back its answers to
/// the bodies. Says how the push ended, and how long after the signal.
#[cfg(unix)]
async fn interrupted(stage: &Stage, image: &Image, signal: &str) -> (Run, Duration) {
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::Delay(Duration::from_mins(1))));
    let child = longshore(stage.home())
        .args([
            "push",
            image.path(),
            &stage.reference("team/app:1"),
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let blobs = image.blobs().len();
    while stage.server.open_sessions() < blobs {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = Instant::now();
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
    let run = tokio::task::spawn_blocking(move || finished(child.wait_with_output().unwrap()));
    (run.await.unwrap(), sent.elapsed())
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn p14_130_interrupted() {
    for signal in ["-INT", "-TERM"] {
        let stage = Stage::new().await;
        let image = stage.image(&small());
        let (run, _) = interrupted(&stage, &image, signal).await;
        assert_eq!(run.code, Some(130), "{run:#?}");
        assert_eq!(run.json()["error"]["cause"], "interrupted");
        assert_eq!(run.json()["error"]["exit_code"], 130);
    }
}

/// How long an interrupted process may take to its end.
const LIMIT: Duration = Duration::from_secs(2);
/// How often it may take longer where it is kept waiting for a processor: a process that waits by
/// itself for longer does so every time.
const ATTEMPTS: usize = 5;

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn n5_an_interrupt_closes_the_sessions_and_puts_no_manifest() {
    let mut tooks = Vec::new();
    while tooks.last().is_none_or(|it| *it >= LIMIT) {
        assert!(tooks.len() < ATTEMPTS, "{tooks:?}");
        let stage = Stage::new().await;
        let image = stage.image(&small());
        let blobs = image.blobs().len();
        let (run, took) = interrupted(&stage, &image, "-INT").await;
        tooks.push(took);
        assert_eq!(run.code, Some(130), "{run:#?}");
        let log = stage.server.log();
        let lines = log.lines();
        assert!(
            !lines
                .iter()
                .any(|it| it.starts_with("PUT /v2/team/app/manifests/"))
        );
        // There is so much time for that and no more.
        if took < LIMIT {
            assert_eq!(stage.server.open_sessions(), 0, "{lines:#?}");
            let deletes = lines.iter().filter(|it| it.starts_with("DELETE ")).count();
            assert_eq!(deletes, blobs, "{lines:#?}");
        }
    }
}

/// A destination with a digest asks the source what it is, before the push begins.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn n5_an_interrupt_while_the_source_is_opened_ends_as_any_other() {
    let mut tooks = Vec::new();
    while tooks.last().is_none_or(|it| *it >= LIMIT) {
        assert!(tooks.len() < ATTEMPTS, "{tooks:?}");
        tooks.push(interrupted_while_opening().await);
    }
}

/// How long after the signal the process ended.
#[cfg(unix)]
async fn interrupted_while_opening() -> Duration {
    let stage = Stage::new().await;
    stage
        .server
        .faults()
        .add(Rule::any().act(Action::Delay(Duration::from_mins(1))));
    let asked = stage.server.faults().add(Rule::any());
    let source = format!("docker://{}", stage.reference("team/app:1"));
    let destination = stage.reference(&format!("team/copy@{}", oci::Digest::of(b"any")));
    let child = longshore(stage.home())
        .args(["push", &source, &destination, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while asked.hits() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = Instant::now();
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
    let run = tokio::task::spawn_blocking(move || finished(child.wait_with_output().unwrap()));
    let run = run.await.unwrap();
    let took = sent.elapsed();
    assert_eq!(run.code, Some(130), "{run:#?}");
    assert_eq!(run.json()["error"]["cause"], "interrupted");
    took
}
