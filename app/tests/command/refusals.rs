//! Registries that answer every mount by 202: found out, remembered from one run to the next, and not
//! asked in vain.

use server::{Action, Endpoint, Installation, Rule, Server, UploadOptions};

use crate::{
    longshore::Run,
    push::readable,
    stage::{Image, Stage, small},
};

/// A registry that refuses mounts until the fault is removed, and takes no blob in one request.
async fn refusing() -> (Stage, Installation) {
    let uploads = UploadOptions {
        single_post: false,
        ..UploadOptions::default()
    };
    let server = Server::builder().memory().uploads(uploads).start().await;
    let stage = Stage::with(server.unwrap());
    let fault = Rule::on(Endpoint::Mount).act(Action::RefuseMount);
    let fault = stage.server.faults().add(fault);
    (stage, fault)
}

/// Pushes one blob after the other.
async fn push(stage: &Stage, image: &Image, name: &str, more: &[&str]) -> Run {
    let reference = stage.reference(name);
    let mut args = vec!["push", image.path(), &reference, "--json"];
    args.extend(["--concurrency", "1"]);
    args.extend(more);
    stage.longshore(&args).await
}

/// What was asked for, with blobs by their place in the order they are pushed in.
fn said(stage: &Stage, image: &Image) -> Vec<String> {
    let lines = readable(&stage.server.log().lines()).into_iter();
    let named = |mut line: String| {
        for (position, blob) in image.blobs().iter().enumerate() {
            line = line.replace(&blob.digest.to_string(), &format!("B{position}"));
        }
        line.replace(&image.digest().to_string(), "ROOT")
            .replace("/v2/", "")
    };
    lines.map(named).collect()
}

/// A blob that is sent after a mount was refused, to the session that came with it.
fn sent(to: &str, from: &str, blob: usize) -> [String; 2] {
    let mount = format!("POST {to}/blobs/uploads/?mount=B{blob}&from={from} → 202");
    let session = blob + 1;
    let put = format!("PUT {to}/blobs/uploads/<{session}>?digest=B{blob} → 201");
    [mount, put]
}

async fn profile(stage: &Stage, what: &str) -> String {
    let host = stage.server.registry().to_string();
    let run = stage.longshore(&["profile", what, &host]).await;
    run.succeeded().stdout
}

/// The manifest is gone, its blobs are there.
async fn without_its_manifest(stage: &Stage, image: &Image, path: &str) {
    let path = format!("/v2/{path}/manifests/{}", image.digest());
    crate::floor::raw(&stage.server, "DELETE", &path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_registry_that_refuses_every_mount_is_known_after_three_and_by_the_next_process() {
    let (stage, _) = refusing().await;
    let image = stage.image(&small());
    assert_eq!(image.blobs().len(), 4);
    push(&stage, &image, "one:1", &[]).await.succeeded();

    // Not known: a refusal may be for want of the blob, which may be here.
    push(&stage, &image, "two:1", &[]).await.succeeded();
    let mut expected = Vec::new();
    for blob in 0..3 {
        let [mount, put] = sent("two", "one", blob);
        expected.extend([mount, format!("HEAD two/blobs/B{blob} → 404"), put]);
    }
    // Known: the config finds out whether blobs go up in one request.
    expected.extend([
        "POST two/blobs/uploads/?digest=B3 → 202".to_owned(),
        "PUT two/blobs/uploads/<4>?digest=B3 → 201".to_owned(),
        "PUT two/manifests/1 → 201".to_owned(),
    ]);
    assert_eq!(said(&stage, &image), expected);
    assert!(profile(&stage, "show").await.contains("refuses mounts"));

    // Another process: one request that an upload needs anyway, of one repository of those that hold it.
    let run = push(&stage, &image, "three:1", &[]).await.succeeded();
    let mut expected: Vec<String> = (0..4).flat_map(|it| sent("three", "two", it)).collect();
    expected.push("PUT three/manifests/1 → 201".to_owned());
    assert_eq!(said(&stage, &image), expected);
    assert_eq!(stage.server.open_sessions(), 0);
    let report = run.json();
    for blob in report["blobs"].as_array().unwrap() {
        assert_eq!(blob["reason"], "refused");
        assert_eq!(blob["mount"]["state"], "push-started");
        assert_eq!(blob["tried"][0]["status"], 202);
        let others = &blob["tried"].as_array().unwrap()[1..];
        assert!(others.iter().all(|it| it["answer"] == "on-hold"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_what_was_seen_where_mounts_are_refused_is_one_question_in_place_of_three_requests() {
    let (stage, _) = refusing().await;
    let image = stage.image(&small());
    push(&stage, &image, "one:1", &[]).await.succeeded();
    without_its_manifest(&stage, &image, "one").await;
    // Not known: the refusal is asked about, and its session given up.
    push(&stage, &image, "one:2", &[]).await.succeeded();
    let mut expected = Vec::new();
    for blob in 0..3 {
        expected.extend([
            format!("POST one/blobs/uploads/?mount=B{blob}&from=one → 202"),
            format!("HEAD one/blobs/B{blob} → 200"),
            format!("DELETE one/blobs/uploads/<{}> → 204", blob + 1),
        ]);
    }
    let known = "HEAD one/blobs/B3 → 200".to_owned();
    expected.extend([known, "PUT one/manifests/2 → 201".to_owned()]);
    assert_eq!(
        said(&stage, &image)[1..],
        expected,
        "after the question for the tag"
    );

    without_its_manifest(&stage, &image, "one").await;
    push(&stage, &image, "one:3", &[]).await.succeeded();
    let mut expected: Vec<String> = (0..4)
        .map(|it| format!("HEAD one/blobs/B{it} → 200"))
        .collect();
    expected.push("PUT one/manifests/3 → 201".to_owned());
    assert_eq!(said(&stage, &image)[1..], expected);
    assert_eq!(stage.server.log().blob_bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p9_a_registry_that_begins_to_mount_is_found_out_by_the_first_blob() {
    let (stage, refusal) = refusing().await;
    let image = stage.image(&small());
    for name in ["one:1", "two:1"] {
        push(&stage, &image, name, &[]).await.succeeded();
    }
    assert!(profile(&stage, "show").await.contains("refuses mounts"));
    refusal.remove();
    let run = push(&stage, &image, "three:1", &[]).await.succeeded();
    let mount = |it| format!("POST three/blobs/uploads/?mount=B{it}&from=two → 201");
    let mut expected: Vec<String> = (0..4).map(mount).collect();
    expected.push("PUT three/manifests/1 → 201".to_owned());
    assert_eq!(said(&stage, &image), expected);
    assert_eq!(run.json()["bytes"]["mounted"], image.blob_bytes());
    let known = profile(&stage, "show").await;
    assert!(known.contains("mounts blobs") && !known.contains("refuses mounts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn m2_what_must_be_mounted_is_tried_where_mounts_are_refused() {
    let (stage, refusal) = refusing().await;
    let image = stage.image(&small());
    for name in ["one:1", "two:1"] {
        push(&stage, &image, name, &[]).await.succeeded();
    }
    let run = push(&stage, &image, "three:1", &["--must-mount"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let log = stage.server.log();
    assert!(log.calls(Endpoint::Mount) >= image.blobs().len());
    assert_eq!((log.blob_bytes(), log.calls(Endpoint::ManifestPut)), (0, 0));
    assert_eq!(stage.server.open_sessions(), 0);
    for blob in run.json()["error"]["not_mounted"].as_array().unwrap() {
        assert_eq!(blob["reason"], "refused");
        let all = blob["tried"].as_array().unwrap();
        assert!(all.iter().all(|it| it["status"] == 202), "{blob:#}");
    }
    refusal.remove();
    let run = push(&stage, &image, "three:1", &["--must-mount"]).await;
    assert_eq!(
        run.succeeded().json()["bytes"]["mounted"],
        image.blob_bytes()
    );
}

/// What a plan comes to, and what the same push then takes.
async fn foreseen(stage: &Stage, image: &Image, name: &str) -> (serde_json::Value, u64) {
    let reference = stage.reference(name);
    let plan = ["plan", image.path(), &reference, "--json"];
    let plan = stage.longshore(&plan).await.succeeded().json();
    push(stage, image, name, &[]).await.succeeded();
    (plan, stage.server.log().requests())
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_a_plan_counts_what_is_sent_where_mounts_are_refused() {
    let (stage, _) = refusing().await;
    let image = stage.image(&small());
    push(&stage, &image, "one:1", &[]).await.succeeded();
    // Nobody knows yet: it foresees mounts, and says that they are.
    let (plan, _) = foreseen(&stage, &image, "two:1").await;
    assert_eq!(plan["totals"]["bytes"]["mounted"], image.blob_bytes());

    let (plan, took) = foreseen(&stage, &image, "three:1").await;
    let totals = &plan["totals"];
    assert_eq!(totals["bytes"]["uploaded"], image.blob_bytes());
    assert_eq!(totals["requests"]["total"], took);
    let blobs = &plan["steps"].as_array().unwrap()[..4];
    for step in blobs {
        assert_eq!(step["because"]["reason"], "mounts-refused", "{step:#}");
        assert_eq!(step["because"]["repositories"][0], stage.reference("two"));
    }

    // What is there: as it is known, and as if it were not.
    for (name, forgotten) in [("three:2", false), ("three:3", true)] {
        without_its_manifest(&stage, &image, "three").await;
        if forgotten {
            profile(&stage, "forget").await;
        }
        let (plan, took) = foreseen(&stage, &image, name).await;
        let requests = &plan["totals"]["requests"];
        let foreseen = requests["total"].as_u64().unwrap();
        assert_eq!(plan["totals"]["bytes"]["uploaded"], 0);
        if forgotten {
            assert_eq!(
                (&requests["POST"], &requests["DELETE"]),
                (&4.into(), &4.into())
            );
            assert!(took < foreseen, "three of them are enough to know: {took}");
        } else {
            assert_eq!((foreseen, took), (5, 5));
        }
    }
}
