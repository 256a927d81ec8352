//! Tags: many at once, and tags that are not to be moved.

use serde_json::Value;
use server::{Action, Answer, Endpoint, Rule};

use crate::stage::{Image, Stage, small};

fn manifest_puts(stage: &Stage) -> Vec<String> {
    let lines = stage.server.log().lines().into_iter();
    let mut puts: Vec<String> = lines
        .filter(|it| it.starts_with("PUT ") && it.contains("/manifests/"))
        .collect();
    puts.sort();
    puts
}

async fn with_three_tags(stage: &Stage, image: &Image, name: &str) -> crate::longshore::Run {
    let reference = stage.reference(&format!("{name}:1.2"));
    let args = [
        "push",
        image.path(),
        &reference,
        "-t",
        "1",
        "-t",
        "latest",
        "--json",
    ];
    stage.longshore(&args).await
}

/// Each tag, and what was done with it.
fn statuses(report: &Value) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let manifests = report["manifests"].as_array().unwrap().iter();
    let tags = manifests.filter(|it| !it["tag"].is_null());
    tags.map(|it| (text(&it["tag"]), text(&it["done"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_many_tags_are_one_request_and_the_blobs_go_once() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let report = with_three_tags(&stage, &image, "team/app")
        .await
        .succeeded()
        .json();
    let digest = image.digest();
    let all = format!("PUT /v2/team/app/manifests/{digest}?tag=1.2&tag=1&tag=latest → 201");
    assert_eq!(manifest_puts(&stage), [all]);
    assert_eq!(stage.server.log().blob_bytes(), image.blob_bytes());
    let put = |tag: &str| (tag.to_owned(), "put".to_owned());
    assert_eq!(statuses(&report), [put("1.2"), put("1"), put("latest")]);

    with_three_tags(&stage, &image, "team/app")
        .await
        .succeeded();
    assert_eq!(stage.server.log().by_method()["HEAD"], 3);
    assert_eq!(stage.server.log().requests(), 3);
}

/// The registry takes the manifest and says nothing of the tags: each is put then, and the next push,
/// another process, does not try again.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_registry_that_ignores_several_tags_loses_none_and_is_remembered() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(Action::IgnoreTagParameters));
    let run = with_three_tags(&stage, &image, "team/app")
        .await
        .succeeded();
    let each = |name: &str| {
        ["1", "1.2", "latest"].map(|tag| format!("PUT /v2/{name}/manifests/{tag} → 201"))
    };
    let puts = manifest_puts(&stage);
    assert_eq!(puts[..3], each("team/app"));
    assert_eq!(puts.len(), 4, "{puts:#?}");
    assert_eq!(
        run.json()["tags"],
        serde_json::json!(["1.2", "1", "latest"])
    );

    with_three_tags(&stage, &image, "team/other")
        .await
        .succeeded();
    assert_eq!(manifest_puts(&stage), each("team/other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_one_refused_tag_does_not_undo_the_others_and_ends_with_10() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let refusal = Answer::error(403, "DENIED", "tag is immutable");
    let put = || Rule::on(Endpoint::ManifestPut);
    for rule in [
        put().path_contains("/manifests/1.2"),
        put().query_contains("tag=1.2"),
    ] {
        let answer = Action::Answer(refusal.clone());
        stage.server.faults().add(rule.act(answer));
    }
    let run = with_three_tags(&stage, &image, "team/app").await;
    assert_eq!(run.code, Some(10), "{run:#?}");
    let report = run.json();
    let of = |tag: &str, done: &str| (tag.to_owned(), done.to_owned());
    assert_eq!(
        statuses(&report),
        [of("1.2", "refused"), of("1", "put"), of("latest", "put")]
    );
    assert_eq!(report["tags"], serde_json::json!(["1", "latest"]));
    let error = report["manifests"][0]["error"].as_str().unwrap();
    assert!(error.contains("tag is immutable"), "{error}");
    assert_eq!(stage.server.log().blob_bytes(), image.blob_bytes());
    // Whoever reads it as text is told why, too.
    let reference = stage.reference("team/app:1.2");
    let run = stage
        .longshore(&["push", image.path(), &reference, "-t", "1"])
        .await;
    assert_eq!(run.code, Some(10), "{run:#?}");
    let line = run
        .stdout
        .lines()
        .find(|it| it.starts_with("tag 1.2 was refused"));
    assert!(
        line.is_some_and(|it| it.contains("tag is immutable")),
        "{run:#?}"
    );
}

async fn careful(stage: &Stage, image: &Image, tags: &[&str]) -> crate::longshore::Run {
    let reference = stage.reference(&format!("team/app:{}", tags[0]));
    let mut args = vec!["push", image.path(), &reference, "--no-overwrite", "--json"];
    for tag in &tags[1..] {
        args.extend(["-t", tag]);
    }
    stage.longshore(&args).await
}

#[tokio::test(flavor = "multi_thread")]
async fn v3_an_existing_tag_ends_with_9_and_nothing_is_written() {
    let stage = Stage::new().await;
    let (old, new) = (stage.image(&small()), stage.other_image());
    careful(&stage, &old, &["1"]).await.succeeded();
    let put = stage.server.log().entries().pop().unwrap();
    assert_eq!(put.path, "/v2/team/app/manifests/1");

    let run = careful(&stage, &new, &["2", "1", "3"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let mut lines = stage.server.log().lines();
    lines.sort();
    assert_eq!(
        lines[..3],
        [
            "HEAD /v2/team/app/manifests/1 → 200",
            "HEAD /v2/team/app/manifests/2 → 404",
            "HEAD /v2/team/app/manifests/3 → 404",
        ]
    );
    assert!(lines.iter().all(|it| it.starts_with("HEAD ")), "{lines:#?}");
    let error = &run.json()["error"];
    assert_eq!(error["cause"], "gate");
    let message = error["message"].as_str().unwrap();
    for part in [
        old.digest().to_string(),
        new.digest().to_string(),
        "1 is".into(),
    ] {
        assert!(message.contains(&part), "{message}");
    }
    assert!(error["hint"].as_str().unwrap().contains("--no-overwrite"));

    // What the tag is already is no overwriting.
    careful(&stage, &old, &["1"]).await.succeeded();
    assert_eq!(
        stage.server.log().lines(),
        ["HEAD /v2/team/app/manifests/1 → 200"]
    );
    let run = careful(&stage, &old, &["1", "2"]).await.succeeded();
    assert_eq!(run.json()["tags"], serde_json::json!(["1", "2"]));

    let (path, reference) = (new.path(), stage.reference("team/app:1"));
    let plan = stage
        .longshore(&["plan", path, &reference, "--no-overwrite"])
        .await;
    assert_eq!(plan.code, Some(9), "a plan says the same: {plan:#?}");
    let run = stage.longshore(&["push", path, &reference]).await;
    run.succeeded();
}

/// Somebody makes the tag while the push is on its way: the registry is asked not to move it then.
#[tokio::test(flavor = "multi_thread")]
async fn v3_a_tag_that_appears_meanwhile_is_not_moved() {
    let stage = Stage::new().await;
    let (old, new) = (stage.image(&small()), stage.other_image());
    careful(&stage, &old, &["1"]).await.succeeded();
    // At first it is not seen.
    let unseen = Answer::error(404, "MANIFEST_UNKNOWN", "not yet");
    let rule = Rule::on(Endpoint::ManifestHead)
        .path_contains("/manifests/1")
        .first(1);
    stage.server.faults().add(rule.act(Action::Answer(unseen)));
    let run = careful(&stage, &new, &["1"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let lines = stage.server.log().lines();
    assert_eq!(
        lines[lines.len() - 2..],
        [
            "PUT /v2/team/app/manifests/1 → 412",
            "HEAD /v2/team/app/manifests/1 → 200"
        ]
    );
    assert!(
        run.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains(&old.digest().to_string())
    );
    careful(&stage, &old, &["1"]).await.succeeded();
}
