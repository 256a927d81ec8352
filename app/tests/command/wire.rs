//! Promises about what goes over the wire, from the engine through the client to a registry.

use longshore::{
    oci::{Digest, Document, MediaType, Repository, Tag, TagOrDigest},
    push::{Destination, Engine, Options, compose::MemorySource, source::sample::SampleOptions},
    registry::Client,
};
use proptest::prelude::*;
use server::{Action, Answer, Endpoint, Rule, Server};

use crate::{
    push::readable,
    stage::{Stage, small},
};

prop_compose! {
    /// A manifest no tool of ours would write: odd order, odd space, unknown fields, `urls`.
    fn odd_manifest()(
        space in prop::sample::select(vec!["", " ", "\n\t", "   \r\n"]),
        unknown in "[a-z]{1,8}",
        value in "[ -!#-\\[\\]-~é世]{0,20}",
        typed in any::<bool>(),
        config_first in any::<bool>(),
        urls in prop::collection::vec("https://[a-z]{1,8}\\.test/[a-z]{1,4}", 0..3),
    ) -> String {
        let config = format!(
            r#"{space}"config":{{"size":2,"digest":"{}","mediaType":"{}"}}"#,
            Digest::of(b"{}"), MediaType::OCI_CONFIG,
        );
        let layers = format!(
            r#""layers":[{{"mediaType":"{}","urls":{},"digest":"{}",{space}"size":7}}]"#,
            MediaType::DOCKER_FOREIGN_LAYER, serde_json::json!(urls), Digest::of(b"foreign"),
        );
        let (one, two) = if config_first { (config, layers) } else { (layers, config) };
        let media_type = if typed {
            format!(r#","mediaType":{space}"{}""#, MediaType::OCI_MANIFEST)
        } else {
            String::new()
        };
        format!(
            r#"{{{one},{space}{two},"x-{unknown}":{{"b":"{value}","a":[{space}]}},"schemaVersion":2{media_type}}}{space}"#
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn z5_what_the_registry_stores_is_the_manifest_to_the_byte_and_its_digest_the_results(
        text in odd_manifest(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::builder().memory().start().await.unwrap();
            let here: Repository = format!("{}/app", server.registry()).parse().unwrap();
            let root = Document::new(text.clone().into(), None).unwrap();
            let source = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}").0.with_root(root);
            let client = Client::builder().build().unwrap();
            let tag: Tag = "1".parse().unwrap();
            let engine = Engine::new(Options::default());
            let destination = Destination::tagged([tag.clone()]);
            let report = engine
                .push(&source, &client.push_target(&here), &destination, &())
                .await
                .unwrap();
            let at = TagOrDigest::Tag(tag);
            let stored = client.repository(&here).manifest(&at).await.unwrap().unwrap();
            assert_eq!(stored.bytes(), text.as_bytes());
            assert_eq!(report.digest, Digest::of(text.as_bytes()));
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z14_without_a_location_a_push_by_tag_and_by_digest_has_the_local_digest() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let omit = Action::OmitHeader("location".to_owned());
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(omit));
    let by_digest = format!("one/app@{}", image.digest());
    for name in [&by_digest, "two/app:1"] {
        let reference = stage.reference(name);
        let run = stage
            .longshore(&["push", image.path(), &reference, "--json"])
            .await
            .succeeded();
        assert_eq!(run.json()["digest"], image.digest().to_string(), "{name}");
        assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z15_a_push_fails_where_the_answer_has_another_digest() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let args = ["push", image.path(), &reference, "--json"];
    let right = stage.longshore(&args).await.succeeded();
    let manifest = std::fs::read(image.file(image.digest())).unwrap();
    assert_eq!(right.json()["digest"], Digest::of(&manifest).to_string());

    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::ManifestPut).act(Action::WrongDigestHeader));
    let reference = stage.reference("team/other:1");
    let args = ["push", image.path(), &reference, "--json"];
    let wrong = stage.longshore(&args).await;
    assert_eq!(wrong.code, Some(6), "{wrong:#?}");
    assert!(
        wrong.stderr.contains(&image.digest().to_string()),
        "{wrong:#?}"
    );
    assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn z17_a_loopback_registry_takes_plain_http_with_and_without_the_flag() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let args = ["push", image.path(), &reference, "--plain-http"];
    stage.longshore(&args).await.succeeded();
    stage.longshore(&args[..3]).await.succeeded();
    assert_eq!(
        stage.server.log().lines(),
        ["HEAD /v2/team/app/manifests/1 → 200"]
    );
    let name = format!("localhost:{}/team/app:1", stage.server.addr().port());
    stage
        .longshore(&["push", image.path(), &name])
        .await
        .succeeded();
    // Nothing is known of a registry of this name: each blob is asked for, and is there.
    let mut said = readable(&stage.server.log().lines());
    assert_eq!(
        said.pop().as_deref(),
        Some("PUT /v2/team/app/manifests/1 → 201")
    );
    said.sort();
    let found =
        |digest| format!("POST /v2/team/app/blobs/uploads/?mount={digest}&from=team/app → 201");
    let mut expected: Vec<String> = image.blobs().iter().map(|it| found(&it.digest)).collect();
    expected.sort();
    assert_eq!(said, expected);
}

/// A body that is taken and answered with 503: what went again is counted apart, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn k13_with_faults_the_reports_sums_are_still_the_logs() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let largest = image.blobs()[0].clone();
    let unavailable = Answer::error(503, "UNAVAILABLE", "not now");
    stage.server.faults().add(
        Rule::on(Endpoint::UploadPut)
            .nth(1)
            .act(Action::AnswerAtByte(largest.size, unavailable)),
    );
    // Its session is not kept, or nothing would go again.
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::UploadStatus).act(Action::LoseSession));
    let reference = stage.reference("team/app:1");
    let run = stage
        .longshore(&[
            "push",
            image.path(),
            &reference,
            "--json",
            "--concurrency",
            "1",
        ])
        .await
        .succeeded();
    let bytes = run.json()["bytes"].clone();
    let log = stage.server.log();
    assert_eq!(bytes["uploaded"], image.blob_bytes());
    let (uploaded, resent) = (&bytes["uploaded"], &bytes["resent"]);
    assert!(resent.as_u64().unwrap() > 0, "{:#?}", log.lines());
    assert_eq!(
        uploaded.as_u64().unwrap() + resent.as_u64().unwrap(),
        log.blob_bytes(),
        "{:#?}",
        log.lines()
    );
}

/// Ten blobs, one after the other and at once. What befalls the seventh body costs its blob a
/// question and the rest of it, or one session more, and the other nine nothing.
#[tokio::test(flavor = "multi_thread")]
async fn p24_whatever_befalls_one_blob_of_ten_the_other_nine_are_asked_nothing_again() {
    let broken = [
        Action::ResetBefore,
        Action::ResetAtByte(100),
        Action::Answer(Answer::error(500, "UNKNOWN", "a bug")),
        Action::Answer(Answer::new(502)),
        Action::Answer(Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "what upload?")),
        Action::LoseSession,
    ];
    for action in broken {
        for concurrency in ["1", "10"] {
            let shown = format!("{action:?}, {concurrency} at once");
            let stage = Stage::new().await;
            let image = stage.image(&SampleOptions {
                layers: 9,
                layer_bytes: 32 * 1024,
                ..SampleOptions::default()
            });
            let seventh = Rule::on(Endpoint::UploadPut).nth(7);
            stage.server.faults().add(seventh.act(action.clone()));
            let reference = stage.reference("team/app:1");
            let args = ["push", image.path(), &reference, "--ask-first", "never"];
            let run = stage
                .longshore(&[&args[..], &["--concurrency", concurrency, "--json"]].concat())
                .await
                .succeeded();
            let log = stage.server.log();
            let lines = readable(&log.lines());
            let of = |blob: &oci::Descriptor| {
                let of_blob = lines.iter().filter(|it| it.contains(blob.digest.encoded()));
                let methods = of_blob.map(|it| it.split(' ').next().unwrap());
                // The one that opens the session may ask for a mount, and names the blob then.
                methods.filter(|it| *it != "POST").collect()
            };
            let blobs = image.blobs();
            assert_eq!(blobs.len(), 10);
            let about: Vec<Vec<&str>> = blobs.iter().map(of).collect();
            let again: Vec<_> = about.iter().filter(|it| **it != ["PUT"]).collect();
            assert_eq!(again, [&["PUT", "HEAD", "PUT"]], "{shown}: {lines:#?}");
            let opened = log.calls(Endpoint::UploadPost) + log.calls(Endpoint::Mount);
            assert!((10..=11).contains(&opened), "{shown}: {lines:#?}");
            let asked = log.calls(Endpoint::UploadStatus) + log.calls(Endpoint::UploadCancel);
            assert!(asked <= 2, "{shown}: {lines:#?}");
            let largest = blobs.iter().map(|it| it.size).max().unwrap();
            assert!(log.blob_bytes() <= image.blob_bytes() + largest, "{shown}");
            assert_eq!(run.json()["bytes"]["uploaded"], image.blob_bytes());
        }
    }
}
