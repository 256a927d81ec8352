//! Limits at their ends, and standard streams that take nothing.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use server::{Action, Rule};

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Stage, small},
};

/// Runs to the end, with the streams it was given.
async fn output(mut command: Command) -> Run {
    let output = tokio::task::spawn_blocking(move || command.output());
    finished(output.await.unwrap().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_concurrency_there_is_a_number_for_is_taken() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    for concurrency in ["1", "1000", &usize::MAX.to_string()] {
        let reference = stage.reference(&format!("team/app{concurrency}:1"));
        let args = ["push", image.path(), &reference, "--json", "--no-index"];
        let more = ["--concurrency", concurrency];
        let run = stage.longshore(&[&args[..], &more].concat()).await;
        let report = run.succeeded().json();
        assert_eq!(report["digest"], image.digest().to_string());
        assert_eq!(report["bytes"]["uploaded"], image.blob_bytes());
    }
}

/// A destination with a digest asks the source what it is, before the push begins.
#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_counts_opening_the_source() {
    let stage = Stage::new().await;
    stage
        .server
        .faults()
        .add(Rule::any().act(Action::Delay(Duration::from_mins(1))));
    let source = format!("docker://{}", stage.reference("team/app:1"));
    let destination = stage.reference(&format!("team/copy@{}", oci::Digest::of(b"any")));
    for command in ["push", "plan"] {
        let began = Instant::now();
        let run = stage
            .longshore(&[command, &source, &destination, "--json", "--timeout=200ms"])
            .await;
        assert!(began.elapsed() < Duration::from_secs(30));
        assert_eq!(run.code, Some(7), "{run:#?}");
        assert_eq!(run.json()["error"]["cause"], "network", "{run:#?}");
        assert!(run.stderr.contains("--timeout"), "{run:#?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_standard_error_that_takes_nothing_does_not_stop_a_push() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = longshore(stage.home());
    let reference = stage.reference("team/app:1");
    command.args(["push", image.path(), &reference, "-vv", "--json"]);
    command.stderr(full);
    let run = output(command).await.succeeded();
    assert_eq!(run.json()["digest"], image.digest().to_string());
}

/// What was done is done; that it could not be told is an error, and not a panic.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_standard_output_is_told_on_standard_error() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    for args in [
        &["plan"][..],
        &["plan", "--json"],
        &["push"],
        &["push", "--json"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = longshore(stage.home());
        command
            .args(args)
            .args([image.path(), &reference])
            .stdout(full);
        let run = output(command).await;
        assert_eq!(run.code, Some(1), "{run:#?}");
        assert!(
            run.stderr.contains("could not write the output"),
            "{run:#?}"
        );
        assert!(!run.stderr.contains("panicked"), "{run:#?}");
    }
}
