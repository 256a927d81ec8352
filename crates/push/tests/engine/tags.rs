//! Tags: each of them, last, and nothing more than needed.

use longshore_push::{ManifestDone, recording::Operation};
use oci::{TagOrDigest, TargetErrorKind};

use crate::fixture::{
    at_tag, count, image, is_put, is_upload, one_at_a_time, push, refusal, tag, target,
    with_concurrency,
};

#[tokio::test(start_paused = true)]
async fn z23_several_tags_send_each_blob_once() {
    let image = image(&["base", "app"]);
    let target = target();
    let report = push(
        &with_concurrency(16),
        &image,
        &target,
        &["1", "2", "latest", "2"],
    )
    .await
    .unwrap();
    assert_eq!(count(&target, is_upload), 3);
    assert_eq!(
        count(&target, is_put),
        3,
        "once for each tag, and not by digest besides"
    );
    for name in ["1", "2", "latest"] {
        assert_eq!(&target.manifest(&at_tag(name)).unwrap(), image.root.bytes());
    }
    assert_eq!(report.tags, [tag("1"), tag("2"), tag("latest")]);
}

#[tokio::test(start_paused = true)]
async fn z23_a_tag_added_later_sends_no_blob() {
    let image = image(&["base", "app"]);
    let target = target();
    let engine = one_at_a_time();
    push(&engine, &image, &target, &["1"]).await.unwrap();
    target.clear();
    let report = push(&engine, &image, &target, &["2"]).await.unwrap();
    assert_eq!(
        target.lines(),
        [
            "has manifest 2".to_owned(),
            format!("has manifest {}", image.root.digest()),
            format!("put manifest 2 {}", image.root.bytes().len()),
        ]
    );
    assert_eq!(report.bytes_sent(), 0);
    assert_eq!(report.bytes.present, image.bytes());

    target.clear();
    push(&engine, &image, &target, &["1", "3"]).await.unwrap();
    assert_eq!(
        target.lines(),
        [
            "has manifest 1".to_owned(),
            "has manifest 3".to_owned(),
            format!("put manifest 3 {}", image.root.bytes().len()),
        ],
        "a tag that names the image already answers for all of it"
    );
}

/// A tag that names another image is moved, and only the difference is sent.
#[tokio::test(start_paused = true)]
async fn a_tag_that_names_another_image_is_moved() {
    let old = image(&["base", "app"]);
    let new = image(&["base", "newer"]);
    let target = target();
    let engine = one_at_a_time();
    push(&engine, &old, &target, &["1"]).await.unwrap();
    target.clear();
    let report = push(&engine, &new, &target, &["1"]).await.unwrap();
    assert_eq!(&target.manifest(&at_tag("1")).unwrap(), new.root.bytes());
    assert_eq!(report.bytes.present, new.layers[0].size);
    assert_eq!(target.blob_bytes(), new.layers[1].size + new.config.size);
}

/// One refused tag does not undo the others, and the report says which and why.
#[tokio::test(start_paused = true)]
async fn a_refused_tag_does_not_undo_the_others() {
    let image = image(&["base"]);
    let refused = |call: &longshore_push::recording::Call| {
        call.operation == Operation::PutManifest && call.subject == Some(at_tag("locked"))
    };
    let target = target().failing_when(usize::MAX, refused, || {
        refusal(TargetErrorKind::Denied, 403)
    });
    let report = push(&one_at_a_time(), &image, &target, &["1", "locked", "2"])
        .await
        .unwrap();
    assert_eq!(report.tags, [tag("1"), tag("2")]);
    let (name, error) = report.refused_tags().next().unwrap();
    assert_eq!(name, &tag("locked"));
    assert_eq!(error.status(), Some(403));
    assert_eq!(report.refused_tags().count(), 1);
    assert_eq!(report.manifests[1].done, ManifestDone::Refused);
    assert_eq!(target.manifest(&at_tag("locked")), None);

    let error = push(&one_at_a_time(), &image, &target, &["locked"])
        .await
        .unwrap_err();
    assert_eq!(
        error.status(),
        Some(403),
        "if it is the only one, the push has failed"
    );
}

#[tokio::test(start_paused = true)]
async fn tags_go_after_everything_else() {
    let image = image(&["base", "app"]);
    let target = target();
    push(&with_concurrency(16), &image, &target, &["1", "2"])
        .await
        .unwrap();
    let calls = target.calls();
    let is_tag = |it: &&longshore_push::recording::Call| {
        is_put(it) && matches!(it.subject, Some(TagOrDigest::Tag(_)))
    };
    assert_eq!(calls.iter().rev().take_while(is_tag).count(), 2);
    assert_eq!(calls.iter().filter(is_tag).count(), 2);
}
