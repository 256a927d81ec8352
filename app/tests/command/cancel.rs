//! Ctrl-C in the middle of a push.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use server::{Action, Endpoint, Rule};

use crate::{
    longshore::{finished, longshore},
    stage::{Stage, small},
};

/// The server holds back its answers to the bodies, so that every upload is open
/// when the signal comes.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn n5_an_interrupt_closes_the_sessions_and_puts_no_manifest() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
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
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
    let run = tokio::task::spawn_blocking(move || finished(child.wait_with_output().unwrap()));
    let run = run.await.unwrap();
    let took = sent.elapsed();

    assert_eq!(run.code, Some(130), "{run:#?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(run.json()["error"]["cause"], "interrupted");
    let log = stage.server.log();
    let lines = log.lines();
    assert!(
        !lines
            .iter()
            .any(|it| it.starts_with("PUT /v2/team/app/manifests/"))
    );
    assert_eq!(stage.server.open_sessions(), 0, "{lines:#?}");
    let deletes = lines.iter().filter(|it| it.starts_with("DELETE ")).count();
    assert_eq!(deletes, blobs, "{lines:#?}");
}
