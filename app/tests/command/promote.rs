//! `promote`: by mounts alone, or not at all.

use std::fs;

use oci::Digest;
use server::{Action, Endpoint, Rule};

use crate::{
    copy::{manifest, registry, staged},
    stage::small,
};

/// The shown-by of the command: no byte of a blob is read or sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_moves_no_byte() {
    let (stage, image) = staged(&small()).await;
    let (from, to) = (
        stage.reference("team/staging:1"),
        stage.reference("team/prod:1"),
    );
    let args = [
        "promote",
        &from,
        &to,
        "-t",
        "stable",
        "--json",
        "--no-state",
    ];
    let run = stage.longshore(&args).await.succeeded();
    let log = stage.server.log();
    assert_eq!(log.calls(Endpoint::Mount), image.blobs().len());
    assert_eq!(log.blob_bytes(), 0);
    assert_eq!(log.calls(Endpoint::BlobGet), 0);
    assert_eq!(run.json()["bytes"]["mounted"], image.blob_bytes());
    for tag in ["1", "stable"] {
        let promoted = manifest(&stage.server, "team/prod", tag).await.unwrap();
        assert_eq!(promoted, fs::read(image.file(image.digest())).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_would_move_a_byte_changes_nothing() {
    let (stage, _) = staged(&small()).await;
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::Mount).nth(3).act(Action::RefuseMount));
    let (from, to) = (
        stage.reference("team/staging:1"),
        stage.reference("team/prod:1"),
    );
    let run = stage
        .longshore(&["promote", &from, &to, "--json", "--no-state"])
        .await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let log = stage.server.log();
    assert_eq!(log.blob_bytes(), 0);
    assert_eq!(log.calls(Endpoint::ManifestPut), 0);
    assert_eq!(log.calls(Endpoint::BlobGet), 0);
    assert!(manifest(&stage.server, "team/prod", "1").await.is_none());
    assert_eq!(stage.server.open_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_within_one_registry_is_refused_before_any_request() {
    let (stage, image) = staged(&small()).await;
    let there = registry().await;
    let from = stage.reference("team/staging:1");
    let to = format!("{}/app:1", there.registry());
    for args in [
        ["promote", &from, &to],
        ["promote", image.path(), &from],
        ["promote", &from, "./there"],
    ] {
        let run = stage.longshore(&args).await;
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains("longshore copy"), "{run:#?}");
        assert_eq!(stage.server.log().requests() + there.log().requests(), 0);
    }
}

/// What was tested is what is promoted: a tag that was moved since stops it.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_beside_the_tag_has_to_be_the_tag_s_still() {
    let (stage, image) = staged(&small()).await;
    let to = stage.reference("team/prod:1");
    let tested = stage.reference(&format!("team/staging:1@{}", image.digest()));
    let run = stage.longshore(&["promote", &tested, &to]).await;
    run.succeeded();
    let other = Digest::of(b"another image");
    let moved = stage.reference(&format!("team/staging:1@{other}"));
    let again = stage.reference("team/prod:2");
    let run = stage.longshore(&["promote", &moved, &again]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    for named in [image.digest(), &other] {
        assert!(run.stderr.contains(&named.to_string()), "{run:#?}");
    }
    assert!(manifest(&stage.server, "team/prod", "2").await.is_none());
}
