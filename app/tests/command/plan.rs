//! `plan` and `--dry-run`: what a push would do, with nothing written.

use std::collections::BTreeMap;

use server::{Auth, Bearer, Endpoint, Server};

use crate::{
    longshore::{finished, longshore},
    stage::{Stage, small},
};

/// Requests that write.
fn writes(methods: &BTreeMap<String, u64>) -> u64 {
    let reads = ["GET", "HEAD"];
    methods
        .iter()
        .filter(|(method, _)| !reads.contains(&method.as_str()))
        .map(|(_, count)| count)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_plan_asks_only_and_the_push_then_keeps_to_it() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let plan = stage
        .longshore(&["plan", image.path(), &reference, "--json"])
        .await
        .succeeded();
    let log = stage.server.log();
    assert_eq!(writes(&log.by_method()), 0, "{:?}", log.lines());
    assert_eq!(log.body_bytes(), 0);

    let totals = plan.json()["totals"].clone();
    assert_eq!(totals["bytes"]["uploaded"], image.blob_bytes());
    stage
        .longshore(&["push", image.path(), &reference])
        .await
        .succeeded();
    let log = stage.server.log();
    assert_eq!(totals["bytes"]["uploaded"], log.blob_bytes());
    assert!(log.requests() <= totals["requests"]["total"].as_u64().unwrap());

    let again = stage
        .longshore(&["plan", image.path(), &reference, "--json"])
        .await
        .succeeded();
    assert_eq!(again.json()["totals"]["bytes"]["uploaded"], 0);
    assert_eq!(again.json()["totals"]["requests"]["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_more_than_the_limit_stops_before_the_first_write() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let limit = (image.blob_bytes() - 1).to_string();
    for command in ["push", "plan"] {
        let args = [
            command,
            image.path(),
            &reference,
            "--max-upload-bytes",
            &limit,
        ];
        let run = stage.longshore(&args).await;
        assert_eq!(run.code, Some(9), "{run:#?}");
        assert_eq!(writes(&stage.server.log().by_method()), 0);
        assert!(run.stderr.contains("--max-upload-bytes"), "{run:#?}");
    }
    let enough = image.blob_bytes().to_string();
    stage
        .longshore(&[
            "push",
            image.path(),
            &reference,
            "--max-upload-bytes",
            &enough,
        ])
        .await
        .succeeded();
    assert_eq!(stage.server.log().blob_bytes(), image.blob_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn k10_a_dry_run_prints_the_plan_and_writes_nothing() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let dry = stage
        .longshore(&["push", image.path(), &reference, "--dry-run"])
        .await
        .succeeded();
    let log = stage.server.log();
    assert_eq!(writes(&log.by_method()), 0, "{:?}", log.lines());
    let plan = stage
        .longshore(&["plan", image.path(), &reference])
        .await
        .succeeded();
    assert_eq!(dry.stdout, plan.stdout);
    for blob in image.blobs() {
        let line = dry
            .stdout
            .lines()
            .find(|it| it.contains(&blob.digest.encoded()[..12]));
        assert!(line.unwrap().contains("upload"), "{}", dry.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_plan_over_the_limit_is_one_json_object_that_says_so() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    for command in [&["plan"][..], &["push", "--dry-run"]] {
        let rest = [image.path(), &reference, "--json", "--max-upload-bytes=1"];
        let run = stage.longshore(&[command, &rest].concat()).await;
        assert_eq!(run.code, Some(9), "{run:#?}");
        let plan = run.json();
        assert_eq!(plan["root"]["digest"], image.digest().to_string());
        assert_eq!(plan["error"]["cause"], "gate");
        assert_eq!(plan["error"]["exit_code"], 9);
        assert_eq!(writes(&stage.server.log().by_method()), 0);
    }
}

/// A registry that wants tokens sees questions and a request for one token.
#[tokio::test(flavor = "multi_thread")]
async fn p3_a_plan_for_a_registry_with_tokens_reads_and_asks_for_one() {
    let auth = Auth::Bearer(Bearer::new().user("someone", "secret"));
    let server = Server::builder().memory().auth(auth).start().await;
    let stage = Stage::with(server.unwrap());
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let mut command = longshore(stage.home());
    command
        .args(["plan", image.path(), &reference, "--json"])
        .env("LONGSHORE_USERNAME", "someone")
        .env("LONGSHORE_PASSWORD", "secret");
    let run = tokio::process::Command::from(command).output().await;
    let plan = finished(run.unwrap()).succeeded();
    let log = stage.server.log();
    assert_eq!(writes(&log.by_method()), 0, "{:?}", log.lines());
    assert_eq!(log.calls(Endpoint::Token), 1);
    assert_eq!(
        plan.json()["totals"]["bytes"]["uploaded"],
        image.blob_bytes()
    );
}
