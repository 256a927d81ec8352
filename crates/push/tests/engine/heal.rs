//! A manifest refused for what is missing: exactly that is pushed again, once.

use std::time::Duration;

use longshore_push::{
    Done, PushError,
    compose::IndexBuilder,
    recording::{Operation, RecordingTarget},
};
use oci::{
    Digest, TargetErrorKind, Validation,
    wire::{ErrorBody, ErrorCode, ErrorEntry},
};

use crate::fixture::{
    asking_first, at_tag, count, image, is_about, is_put, is_upload, one_at_a_time, push, refusal,
    repository, tagged, target, with_concurrency,
};

fn naming(kind: TargetErrorKind, status: u16, digest: &Digest) -> oci::TargetError {
    let entry = ErrorEntry::new(ErrorCode::Unknown).message(format!("no {digest} here"));
    refusal(kind, status).with_answer(ErrorBody::one(entry))
}

/// The registry says that it holds a layer it has lost; the refusal of the manifest tells.
#[tokio::test(start_paused = true)]
async fn k12_what_a_refused_manifest_lacks_is_pushed_again_and_nothing_else() {
    for concurrency in [1, 16] {
        let image = image(&["base", "app", "data"]);
        let lost = &image.layers[1];
        let target = target().pretending_to_hold(&lost.digest);
        let report = push(&with_concurrency(concurrency), &image, &target, &["1"])
            .await
            .unwrap();
        let calls = target.calls();
        let first_put = calls.iter().position(is_put).unwrap();
        let healing: Vec<String> = calls[first_put..].iter().map(ToString::to_string).collect();
        let put = format!("put manifest 1 {}", image.root.bytes().len());
        let upload = format!("upload {} {}", lost.digest, lost.size);
        assert_eq!(healing, [put.clone(), upload, put]);
        let outcome = report
            .blobs
            .iter()
            .find(|it| it.blob.digest == lost.digest)
            .unwrap();
        assert_eq!(outcome.done, Done::Uploaded);
        assert_eq!(
            report.bytes.uploaded + report.bytes.resent,
            target.blob_bytes()
        );
        assert_eq!(report.bytes.present, 0);
    }
}

/// An index is there in name only: a child is missing, and of the child a layer.
#[tokio::test(start_paused = true)]
async fn k12_a_missing_child_manifest_is_pushed_again_with_what_it_lacks() {
    let one = image(&["base", "one"]);
    let two = image(&["base", "two"]);
    let index = IndexBuilder::new()
        .manifest(&one.root, None)
        .manifest(&two.root, None);
    let index = index.build().unwrap();
    let source =
        two.layers
            .iter()
            .zip(["base", "two"])
            .fold(one.source.clone(), |source, (layer, name)| {
                let content = crate::fixture::content(name, usize::try_from(layer.size).unwrap());
                source.with_blob(layer.media_type.clone(), content).0
            });
    let source = source
        .with_blob(
            two.config.media_type.clone(),
            "{\"layers\":[\"base\", \"two\"]}",
        )
        .0;
    let source = source
        .with_document(one.root.clone())
        .with_document(two.root.clone())
        .with_root(index.clone());
    // Everything of the first child; the index itself, by digest, without the second child. It is
    // believed.
    let target = target().known_to_validate(Validation::Proven);
    let first = one.source.clone().with_root(one.root.clone());
    let engine = one_at_a_time();
    engine
        .push(&first, &target, &tagged(&["one"]), &())
        .await
        .unwrap();
    let target = target.holding_manifest(&index, &[]);
    target.clear();

    asking_first()
        .push(&source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let (layer, config) = (&two.layers[1], &two.config);
    assert_eq!(
        target.lines(),
        [
            "has manifest 1".to_owned(),
            format!("has manifest {}", index.digest()),
            format!("put manifest 1 {}", index.bytes().len()),
            format!(
                "put manifest {} {}",
                two.root.digest(),
                two.root.bytes().len()
            ),
            format!("upload {} {}", config.digest, config.size),
            format!("upload {} {}", layer.digest, layer.size),
            format!(
                "put manifest {} {}",
                two.root.digest(),
                two.root.bytes().len()
            ),
            format!("put manifest 1 {}", index.bytes().len()),
        ]
    );
}

/// Whatever the status and code, in whatever field the digest stands.
#[tokio::test(start_paused = true)]
async fn k12_the_refusal_is_read_whatever_its_status() {
    for (kind, status) in [
        (TargetErrorKind::Refused, 400),
        (TargetErrorKind::Refused, 404),
        (TargetErrorKind::Refused, 405),
        (TargetErrorKind::Server, 500),
    ] {
        let image = image(&["base"]);
        let lost = image.layers[0].digest.clone();
        let target = RecordingTarget::new(repository("app"))
            .failing_when(1, is_put, move || naming(kind.clone(), status, &lost));
        push(&one_at_a_time(), &image, &target, &["1"])
            .await
            .unwrap();
        let again = |it: &longshore_push::recording::Call| {
            is_upload(it) && is_about(it, &image.layers[0].digest)
        };
        assert_eq!(count(&target, again), 2);
        assert_eq!(count(&target, is_upload), 3, "the config is not sent again");
    }
}

/// Once. A registry that goes on refusing is believed.
#[tokio::test(start_paused = true)]
async fn k12_there_is_one_retry() {
    let image = image(&["base"]);
    let lost = image.layers[0].digest.clone();
    let target = target().failing_when(usize::MAX, is_put, move || {
        naming(TargetErrorKind::Refused, 400, &lost)
    });
    let error = push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::ManifestPutFailed { .. }));
    assert_eq!(count(&target, is_put), 2);
    assert_eq!(count(&target, is_upload), 3);
}

/// A refusal that names nothing of the manifest's is a refusal.
#[tokio::test(start_paused = true)]
async fn k12_a_refusal_that_names_something_else_changes_nothing() {
    let image = image(&["base"]);
    let target = target().failing_when(usize::MAX, is_put, || {
        naming(TargetErrorKind::Refused, 400, &Digest::of(b"stranger"))
    });
    push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap_err();
    assert_eq!(count(&target, is_put), 1);
    assert_eq!(count(&target, is_upload), 2);
}

/// Two tags of one manifest that lacks a layer: the layer goes once.
#[tokio::test(start_paused = true)]
async fn k12_two_tags_of_one_broken_manifest_send_the_missing_layer_once() {
    let image = image(&["base"]);
    let target = target()
        .pretending_to_hold(&image.layers[0].digest)
        .taking(Duration::from_millis(10));
    let report = push(&with_concurrency(16), &image, &target, &["1", "2"])
        .await
        .unwrap();
    assert_eq!(report.tags.len(), 2);
    assert_eq!(
        count(&target, |it| is_about(it, &image.layers[0].digest)
            && is_upload(it)),
        1
    );
    assert!(target.manifest(&at_tag("2")).is_some());
    assert_eq!(
        count(&target, |it| matches!(
            it.operation,
            Operation::Cancel { .. }
        )),
        0
    );
}

/// What turned out not to be there is not offered to siblings, even if it cannot be sent again.
#[tokio::test(start_paused = true)]
async fn k12_what_was_lost_is_not_known_to_be_there_any_more() {
    let image = image(&["base"]);
    let lost = image.layers[0].digest.clone();
    let target = target().pretending_to_hold(&lost).failing_when(
        usize::MAX,
        |call| is_upload(call) && call.repository == repository("app"),
        || refusal(TargetErrorKind::Server, 500),
    );
    let target = target.holding_blob(&image.config.digest);
    let engine = one_at_a_time();
    let error = push(&engine, &image, &target, &["1"]).await.unwrap_err();
    assert!(matches!(&error, PushError::BlobUploadFailed { digest, .. } if *digest == lost));
    target.clear();
    let sibling = target.sibling(repository("sibling"));
    push(&engine, &image, &sibling, &["1"]).await.unwrap();
    let from_app = |it: &longshore_push::recording::Call| {
        is_about(it, &lost)
            && it.operation
                == Operation::Mount {
                    from: repository("app"),
                }
    };
    assert_eq!(count(&target, from_app), 0);
    assert!(sibling.holds_blob(&lost));
}
