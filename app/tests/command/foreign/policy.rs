//! The policies, what they come to layer by layer, and registries that refuse `urls`.

use longshore::push::Foreign;
use oci::{Digest, Document, MediaType};
use serde_json::{Value, json};
use server::{Action, Answer, Endpoint, Rule};

use super::{FarBase, TYPES, lines};
use crate::{
    copy::{manifest, registry},
    stage::Stage,
};

/// What distribution answers in its default configuration: it allows no `urls`, and has not got the
/// layer.
fn as_distribution_does(digest: &Digest) -> Answer {
    let body = json!({ "errors": [
        { "code": "UNKNOWN", "message": "unknown error" },
        { "code": "UNKNOWN", "message": "unknown error", "detail": {} },
        { "code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": digest },
    ]});
    Answer::new(500)
        .header("content-type", "application/json; charset=utf-8")
        .body(body.to_string())
}

fn effects(told: &Value) -> Vec<&str> {
    let layers = told["foreign"]["layers"].as_array().unwrap();
    layers
        .iter()
        .map(|it| it["effect"].as_str().unwrap())
        .collect()
}

/// In the plan as in the result, of every layer.
#[tokio::test(flavor = "multi_thread")]
async fn n9_the_policy_and_its_effect_on_each_layer_are_in_the_plan_and_the_result() {
    let image = FarBase::new();
    for (policy, effect) in [
        ("keep", "kept"),
        ("include", "included"),
        ("embed", "embedded"),
    ] {
        let stage = Stage::new().await;
        let path = image.layout(&stage, Foreign::Include).await;
        let path = path.to_str().unwrap();
        let to = stage.reference("app:1");
        let args = [path, &to, "--foreign", policy, "--json", "--no-state"];
        let plan = stage
            .longshore(&[&["plan"], &args[..]].concat())
            .await
            .succeeded();
        assert_eq!(stage.server.log().body_bytes(), 0);
        let report = stage
            .longshore(&[&["push"], &args[..]].concat())
            .await
            .succeeded();
        let (plan, report) = (plan.json(), report.json());
        assert_eq!(plan["foreign"], report["foreign"], "{policy}");
        assert_eq!(report["foreign"]["policy"], policy);
        assert_eq!(effects(&report), [effect; 6]);
        let layers = report["foreign"]["layers"].as_array().unwrap();
        for (told, layer) in layers.iter().zip(&image.foreign) {
            assert_eq!(told["digest"], layer.digest.to_string());
            assert_eq!(told["mediaType"], layer.media_type.as_str());
            assert_eq!(told["urls"], json!(layer.urls));
            assert_eq!(told["pushedAs"].is_string(), policy == "embed");
        }
        assert_eq!(plan["root"]["digest"], report["digest"]);
        let is_kept = policy == "keep";
        let bytes = if is_kept { image.foreign_bytes() } else { 0 };
        assert_eq!(report["bytes"]["foreign"], bytes);
        // An image that has none says nothing of them.
        let other = stage.other_image();
        let args = ["push", other.path(), &to, "--json", "--foreign", policy];
        let run = stage.longshore(&args).await.succeeded();
        assert!(run.json().get("foreign").is_none());
    }
}

/// The layers go up like any other, and the manifest that is put calls them ordinary.
#[tokio::test(flavor = "multi_thread")]
async fn n9_embedded_layers_get_the_distributable_type_and_the_image_another_digest() {
    let stage = Stage::new().await;
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Include).await;
    let to = stage.reference("app:1");
    let args = ["push", path.to_str().unwrap(), &to, "--foreign=embed"];
    let more = ["--json", "--no-state", "--concurrency", "1"];
    let run = stage.longshore(&[args, more].concat()).await.succeeded();
    let put = manifest(&stage.server, "app", "1").await.unwrap();
    let put = Document::new(put.into(), None).unwrap();
    let mut expected = vec!["HEAD /v2/app/manifests/1 → 404".to_owned()];
    expected.push(format!("HEAD /v2/app/manifests/{} → 404", put.digest()));
    expected.extend(super::sent(
        "app",
        &[&image.foreign[..], &image.own].concat(),
    ));
    expected.push("PUT /v2/app/manifests/1 → 201".to_owned());
    expected.push("GET /v2/app/manifests/1 → 200".to_owned());
    assert_eq!(lines(&stage.server), expected);

    let before = image.document.as_manifest().unwrap();
    let after = put.as_manifest().unwrap();
    for ((layer, was), media_type) in after.layers.iter().zip(&before.layers).zip(TYPES) {
        let ordinary = MediaType::new(media_type).distributable().unwrap();
        assert_eq!(layer.media_type, ordinary);
        assert_eq!((&layer.digest, layer.size), (&was.digest, was.size));
        assert_eq!(layer.urls, Vec::<String>::new());
    }
    assert_eq!(after.layers[6], before.layers[6]);
    assert_eq!(after.config, before.config);
    let report = run.json();
    assert_eq!(report["digest"], put.digest().to_string());
    let rewritten = json!([{
        "mediaType": MediaType::OCI_MANIFEST,
        "from": image.document.digest(),
        "to": put.digest(),
    }]);
    assert_eq!(report["foreign"]["rewritten"], rewritten);
    // Once more, it is there.
    let more = ["--ask-first", "always"];
    let again = stage.longshore(&[&args[..], &more].concat()).await;
    let again = again.succeeded();
    let asked = lines(&stage.server);
    assert_eq!(asked, ["HEAD /v2/app/manifests/1 → 200"]);
    let both = [image.document.digest(), put.digest()];
    assert!(
        both.iter().all(|it| again.stdout.contains(&it.to_string())),
        "{again:#?}"
    );
}

/// By other roads: several places, a layout without a name, and a digest that the image will not
/// have.
#[tokio::test(flavor = "multi_thread")]
async fn n9_every_destination_of_a_copy_gets_the_embedded_image() {
    let stage = Stage::new().await;
    let there = registry().await;
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Include).await;
    let path = path.to_str().unwrap();
    let layout = format!("oci:{}", stage.path("out").display());
    let (here, far) = (
        stage.reference("app:1"),
        format!("{}/app:1", there.registry()),
    );
    let args = ["copy", path, &here, &far, &layout, "--foreign=embed"];
    stage.longshore(&args).await.succeeded();
    let put = manifest(&there, "app", "1").await.unwrap();
    assert_eq!(manifest(&stage.server, "app", "1").await, Some(put.clone()));
    let embedded = Digest::of(&put);
    let again = stage.reference("again:1");
    let run = stage
        .longshore(&["push", &layout["oci:".len()..], &again])
        .await;
    run.succeeded();
    assert_eq!(manifest(&stage.server, "again", "1").await, Some(put));

    let own = stage.reference(&format!("app@{}", image.document.digest()));
    let run = stage
        .longshore(&["push", path, &own, "--foreign=embed"])
        .await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains(&embedded.to_string()), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
    let its = stage.reference(&format!("app@{embedded}"));
    let run = stage
        .longshore(&["push", path, &its, "--foreign=embed"])
        .await;
    run.succeeded();
}

/// The error names what was refused and what can be done; nothing is sent again for it.
#[tokio::test(flavor = "multi_thread")]
async fn n9_a_registry_that_refuses_urls_is_told_of_with_the_remedies() {
    let image = FarBase::new();
    let refused = image.foreign[2].digest.clone();
    for (switch, sent) in [
        ("--foreign=keep", image.own.clone()),
        (
            "--foreign=include",
            [&image.foreign[..], &image.own].concat(),
        ),
    ] {
        let stage = Stage::new().await;
        let path = image.layout(&stage, Foreign::Include).await;
        let answer = Action::Answer(as_distribution_does(&refused));
        let faults = stage.server.faults();
        faults.add(Rule::on(Endpoint::ManifestPut).act(answer));
        let to = stage.reference("app:1");
        let path = path.to_str().unwrap();
        let run = stage
            .longshore(&["push", path, &to, switch, "--no-state"])
            .await;
        assert_ne!(run.code, Some(0), "{run:#?}");
        for text in [
            refused.encoded(),
            "validation.manifests.urls.allow",
            "--foreign=embed",
        ] {
            assert!(run.stderr.contains(text), "{text}: {run:#?}");
        }
        let includes = run.stderr.contains("--foreign=include");
        assert_eq!(includes, switch == "--foreign=keep", "{run:#?}");
        let log = stage.server.log();
        let bytes: u64 = sent.iter().map(|it| it.size).sum();
        assert_eq!(log.blob_bytes(), bytes, "{:#?}", log.lines());
        if switch == "--foreign=keep" {
            image.assert_unnamed(&stage.server, "refused");
        }
    }
}

/// Docker Hub's word for it, and an answer that has nothing to do with foreign layers.
#[tokio::test(flavor = "multi_thread")]
async fn n9_only_what_is_about_foreign_layers_is_told_of_so() {
    let image = FarBase::new();
    let named = image.foreign[1].digest.to_string();
    let own = image.own[0].digest.to_string();
    for (code, message, detail, expected) in [
        (
            "MANIFEST_BLOB_UNKNOWN",
            "blob unknown",
            named.as_str(),
            true,
        ),
        ("MANIFEST_INVALID", "invalid URL on layer", "", true),
        ("MANIFEST_INVALID", "manifest invalid", "", false),
        ("MANIFEST_BLOB_UNKNOWN", "blob unknown", own.as_str(), false),
    ] {
        let stage = Stage::new().await;
        let path = image.layout(&stage, Foreign::Keep).await;
        let body = json!({ "errors": [{ "code": code, "message": message, "detail": detail }] });
        let answer = Answer::new(400)
            .header("content-type", "application/json")
            .body(body.to_string());
        let faults = stage.server.faults();
        faults.add(Rule::on(Endpoint::ManifestPut).act(Action::Answer(answer)));
        let to = stage.reference("app:1");
        let run = stage
            .longshore(&["push", path.to_str().unwrap(), &to])
            .await;
        assert_ne!(run.code, Some(0));
        assert_eq!(
            run.stderr.contains("--foreign=embed"),
            expected,
            "{code} {detail}: {run:#?}"
        );
    }
}
