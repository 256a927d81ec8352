//! Tags: each of them, last, and nothing more than needed.

use longshore_push::{ManifestDone, recording::Operation};
use oci::{TagOrDigest, TargetErrorKind};

use crate::fixture::{
    asking_first, at_tag, count, image, is_put, is_upload, one_at_a_time, push, refusal, tag,
    target, with_concurrency,
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

/// Ten at a time, and one request more for those that are left.
#[tokio::test(start_paused = true)]
async fn p5_several_tags_go_in_one_request_where_the_target_takes_that() {
    let image = image(&["base"]);
    let target = target().taking_tags(3);
    let report = push(
        &one_at_a_time(),
        &image,
        &target,
        &["1", "2", "3", "4", "5", "1"],
    )
    .await
    .unwrap();
    let (digest, bytes) = (image.root.digest(), image.root.bytes().len());
    let puts: Vec<String> = target
        .calls()
        .iter()
        .filter(|it| matches!(it.operation, Operation::PutManifestAs { .. }) || is_put(it))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        puts,
        [
            format!("put manifest {digest} {bytes} as 1 2 3"),
            format!("put manifest {digest} {bytes} as 4 5"),
        ]
    );
    assert_eq!(count(&target, is_upload), 2, "blobs once");
    assert_eq!(report.tags.len(), 5);
    assert!(report.verified);
    for outcome in &report.manifests {
        assert_eq!(outcome.done, ManifestDone::Put, "a status per tag");
    }
    for name in ["1", "2", "3", "4", "5"] {
        assert_eq!(&target.manifest(&at_tag(name)).unwrap(), image.root.bytes());
    }

    target.clear();
    push(&asking_first(), &image, &target, &["1", "6", "2"])
        .await
        .unwrap();
    assert_eq!(
        target.lines().last(),
        Some(&format!("put manifest 6 {bytes}")),
        "one is put as one"
    );
}

/// Silence is "not made": then each is put by itself, and that is not tried again.
#[tokio::test(start_paused = true)]
async fn p5_a_target_that_ignores_the_tags_loses_none() {
    let image = image(&["base"]);
    let target = target().ignoring_tags(10);
    let engine = with_concurrency(16);
    let report = push(&engine, &image, &target, &["1", "2", "3"])
        .await
        .unwrap();
    let together = |it: &longshore_push::recording::Call| {
        matches!(it.operation, Operation::PutManifestAs { .. })
    };
    assert_eq!((count(&target, together), count(&target, is_put)), (1, 3));
    assert_eq!(report.tags, [tag("1"), tag("2"), tag("3")]);
    target.clear();
    push(&engine, &image, &target, &["4", "5"]).await.unwrap();
    assert_eq!((count(&target, together), count(&target, is_put)), (0, 2));
}

/// What refuses all tags because of one is asked for each.
#[tokio::test(start_paused = true)]
async fn p5_one_refused_tag_does_not_undo_the_others() {
    let image = image(&["base"]);
    let locked = |call: &longshore_push::recording::Call| match &call.operation {
        Operation::PutManifestAs { tags } => tags.contains(&tag("locked")),
        Operation::PutManifest => call.subject == Some(at_tag("locked")),
        _ => false,
    };
    let target = target()
        .taking_tags(10)
        .failing_when(usize::MAX, locked, || refusal(TargetErrorKind::Denied, 403));
    let report = push(&one_at_a_time(), &image, &target, &["1", "locked", "2"])
        .await
        .unwrap();
    assert_eq!(report.tags, [tag("1"), tag("2")]);
    let refused: Vec<_> = report.refused_tags().map(|(tag, _)| tag.clone()).collect();
    assert_eq!(refused, [tag("locked")]);
    assert_eq!(target.manifest(&at_tag("locked")), None);
}

/// The plan says at most what is sent, whether the registry takes several tags or not.
#[tokio::test(start_paused = true)]
async fn p5_the_plan_counts_the_request_that_may_be_in_vain() {
    for takes in [true, false] {
        let image = image(&["base"]);
        let target = if takes {
            target().taking_tags(2)
        } else {
            target().ignoring_tags(2)
        };
        let engine = one_at_a_time();
        let destination = crate::fixture::tagged(&["1", "2", "3"]);
        let plan = engine
            .plan(&image.source, &target, &destination)
            .await
            .unwrap();
        target.clear();
        push(&engine, &image, &target, &["1", "2", "3"])
            .await
            .unwrap();
        let (made, planned) = (target.requests(), plan.totals().requests);
        assert!(made.total() <= planned.total(), "{made:?} {planned:?}");
        assert!(made.put <= planned.put);
    }
}

fn careful() -> longshore_push::Engine {
    longshore_push::Engine::new(longshore_push::Options {
        no_overwrite: true,
        concurrency: std::num::NonZeroUsize::MIN,
        ..longshore_push::Options::default()
    })
}

/// All tags are asked for before anything is written.
#[tokio::test(start_paused = true)]
async fn v3_a_tag_that_names_something_else_stops_the_push_before_any_write() {
    let (old, new) = (image(&["old"]), image(&["new"]));
    let target = target();
    push(&one_at_a_time(), &old, &target, &["1", "2"])
        .await
        .unwrap();
    target.clear();
    let error = push(&careful(), &new, &target, &["0", "1", "2"])
        .await
        .unwrap_err();
    let text = error.to_string();
    let longshore_push::PushError::TagsTaken { digest, taken, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(&digest, new.root.digest());
    let there = old.root.digest().clone();
    assert_eq!(
        taken,
        [(tag("1"), there.clone()), (tag("2"), there.clone())]
    );
    for part in [
        digest.to_string(),
        there.to_string(),
        "1 is".into(),
        "2 is".into(),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    let asked = |it: &longshore_push::recording::Call| it.operation == Operation::HasManifest;
    assert_eq!(count(&target, |it| !asked(it)), 0, "{:#?}", target.lines());
    assert_eq!(target.manifest(&at_tag("0")), None);
}

#[tokio::test(start_paused = true)]
async fn v3_an_equal_digest_is_success_and_a_new_tag_is_put_on_its_condition() {
    let image = image(&["base"]);
    let target = target().taking_tags(10);
    push(&careful(), &image, &target, &["1", "2"])
        .await
        .unwrap();
    let put: Vec<String> = target
        .lines()
        .into_iter()
        .filter(|it| it.starts_with("put"))
        .collect();
    let bytes = image.root.bytes().len();
    assert_eq!(
        put,
        [format!("put new 1 {bytes}"), format!("put new 2 {bytes}")]
    );
    target.clear();
    let report = push(&careful(), &image, &target, &["1", "2"])
        .await
        .unwrap();
    assert_eq!(report.tags, [tag("1"), tag("2")]);
    assert_eq!(target.lines(), ["has manifest 1", "has manifest 2"]);
}

/// A target that does not say what a tag names cannot promise that it is not moved.
#[tokio::test(start_paused = true)]
async fn v3_where_nobody_can_say_whether_the_tag_is_there_nothing_is_written() {
    let image = image(&["base"]);
    let target = target().knowing_nothing();
    let error = push(&careful(), &image, &target, &["1"]).await.unwrap_err();
    let longshore_push::PushError::TagUnknown { tag: unknown, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(unknown, &tag("1"));
    assert!(error.hint().is_some());
    assert_eq!(
        target.lines(),
        [
            "has manifest 1",
            &format!("has manifest {}", image.root.digest())
        ]
    );
}
