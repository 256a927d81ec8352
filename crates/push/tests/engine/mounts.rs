//! Mounting: who is asked, what comes of it, and what is left open (nothing).

use std::{collections::BTreeSet, num::NonZeroUsize};

use longshore_push::{
    Action, Destination, Done, Engine, MountStatus, MustMount, Options, PushError, Report,
    mount::MountAnswer,
    recording::{Operation, RecordingTarget},
};
use oci::TargetErrorKind;

use crate::fixture::{
    Image, count, image, is_put, is_upload, one_at_a_time, push, refusal, repository, tag, target,
};

fn from(siblings: &[&str]) -> Destination {
    let destination = Destination::tagged([tag("1")]);
    siblings
        .iter()
        .map(|it| repository(it))
        .fold(destination, Destination::mounting_from)
}

async fn push_from(
    image: &Image,
    target: &RecordingTarget,
    siblings: &[&str],
) -> Result<Report, PushError> {
    one_at_a_time()
        .push(&image.source, target, &from(siblings), &())
        .await
}

/// A registry whose repository `base` holds every blob of the image.
fn held_by_base(image: &Image) -> RecordingTarget {
    let target = target();
    let base = target.sibling(repository("base"));
    let _ = image
        .blobs()
        .iter()
        .fold(base, |it, blob| it.holding_blob(&blob.digest));
    target
}

fn statuses(report: &Report) -> Vec<&MountStatus> {
    report.blobs.iter().map(|it| &it.mount).collect()
}

/// Everything mountable: a request for each blob and one for the manifest.
#[tokio::test(start_paused = true)]
async fn what_a_sibling_holds_is_mounted_with_one_request_a_blob() {
    let image = image(&["base", "app"]);
    let target = held_by_base(&image);
    let report = push_from(&image, &target, &["base"]).await.unwrap();
    let mut expected = Vec::new();
    expected.extend(
        image
            .blobs()
            .iter()
            .map(|it| format!("mount {} from base", it.digest)),
    );
    expected.push(format!("put manifest 1 {}", image.root.bytes().len()));
    assert_eq!(target.lines(), expected);
    let mounted = MountStatus::Mounted {
        from: Some(repository("base")),
    };
    assert_eq!(statuses(&report), [&mounted, &mounted, &mounted]);
    assert_eq!(
        (report.bytes.mounted, report.bytes_sent()),
        (image.bytes(), 0)
    );
    assert_eq!(target.expected(), [repository("base")]);
}

/// A refusal that comes with a session: the body goes into that one, and no other is opened.
#[tokio::test(start_paused = true)]
async fn a_refused_mount_is_uploaded_in_the_session_it_came_with() {
    let image = image(&["base"]);
    let target = held_by_base(&image).refusing_mounts();
    let report = push_from(&image, &target, &["base"]).await.unwrap();
    let mut expected = Vec::new();
    for (n, blob) in image.blobs().iter().enumerate() {
        expected.push(format!("mount {} from base", blob.digest));
        expected.push(format!("has blob {}", blob.digest));
        expected.push(format!(
            "upload {} {} in session-{}",
            blob.digest,
            blob.size,
            n + 1
        ));
    }
    expected.push(format!("put manifest 1 {}", image.root.bytes().len()));
    assert_eq!(target.lines(), expected);
    assert_eq!(
        statuses(&report),
        [&MountStatus::PushStarted, &MountStatus::PushStarted]
    );
}

/// The first refuses with a session, the second gives: the session is given up.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_needed_any_more_is_cancelled() {
    let image = image(&["base"]);
    let target = held_by_base(&image);
    let report = push_from(&image, &target, &["empty", "base"])
        .await
        .unwrap();
    let mut expected = Vec::new();
    for (n, blob) in image.blobs().iter().enumerate() {
        expected.push(format!("mount {} from empty", blob.digest));
        expected.push(format!("mount {} from base", blob.digest));
        expected.push(format!("cancel session-{}", n + 1));
    }
    expected.push(format!("put manifest 1 {}", image.root.bytes().len()));
    assert_eq!(target.lines(), expected);
    assert_eq!(target.open_sessions(), [""; 0]);
    assert_eq!(report.blobs[0].tried.len(), 2);
    assert_eq!(report.blobs[0].tried[0].answer, MountAnswer::Refused);
}

/// Two refusals open two sessions; one is used, one given up.
#[tokio::test(start_paused = true)]
async fn of_two_sessions_one_is_used_and_the_other_cancelled() {
    let image = image(&["base"]);
    let target = target();
    let report = push_from(&image, &target, &["one", "two"]).await.unwrap();
    assert_eq!(target.open_sessions(), [""; 0]);
    assert_eq!(
        count(&target, |it| matches!(
            it.operation,
            Operation::Cancel { .. }
        )),
        2
    );
    let opened_by_upload = count(&target, |it| {
        it.operation == Operation::Upload { session: None }
    });
    assert_eq!(opened_by_upload, 0);
    assert_eq!(report.bytes.uploaded, image.bytes());
}

/// No sibling gives what the repository itself holds: it is not sent.
#[tokio::test(start_paused = true)]
async fn what_is_there_is_not_sent_because_a_sibling_lacks_it() {
    let image = image(&["base"]);
    let target = target().holding_blob(&image.layers[0].digest);
    let report = push_from(&image, &target, &["empty"]).await.unwrap();
    assert_eq!(report.blobs[1].done, Done::Present);
    assert_eq!(report.blobs[1].mount, MountStatus::Skipped);
    assert_eq!(target.blob_bytes(), image.config.size);
    assert_eq!(target.open_sessions(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn where_every_sibling_answers_with_an_error_the_blob_is_uploaded() {
    let rows = [
        (TargetErrorKind::Unauthorized, 401, MountAnswer::Denied),
        (TargetErrorKind::Denied, 403, MountAnswer::Denied),
        (TargetErrorKind::Refused, 404, MountAnswer::NotFound),
        (TargetErrorKind::Server, 500, MountAnswer::ServerError),
        (TargetErrorKind::RateLimited, 429, MountAnswer::RateLimited),
        (TargetErrorKind::Network, 0, MountAnswer::Unreachable),
        (TargetErrorKind::Protocol, 200, MountAnswer::Other),
    ];
    for (kind, status, cause) in rows {
        let image = image(&["base"]);
        let target = held_by_base(&image).failing_when(
            usize::MAX,
            |call| matches!(&call.operation, Operation::Mount { from } if from.path() == "base"),
            move || refusal(kind.clone(), status),
        );
        let report = push_from(&image, &target, &["base"]).await.unwrap();
        let failure = MountStatus::Failure { cause };
        // What may not be read is not asked for the next blob.
        let next = match cause {
            MountAnswer::Denied => MountStatus::Failure {
                cause: MountAnswer::OnHold,
            },
            _ => failure.clone(),
        };
        // One at a time, the layer before the config.
        assert_eq!(statuses(&report), [&next, &failure]);
        assert_eq!(report.blobs[1].tried[0].status, Some(status));
        assert_eq!(report.blobs[1].reason, Some(cause));
        assert_eq!(target.blob_bytes(), image.bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sibling_on_another_registry_is_known_and_not_asked() {
    let image = image(&["base"]);
    let target = target();
    let elsewhere =
        Destination::tagged([tag("1")]).mounting_from("other.test/base".parse().unwrap());
    let engine = one_at_a_time();
    let report = engine
        .push(&image.source, &target, &elsewhere, &())
        .await
        .unwrap();
    assert_eq!(
        statuses(&report),
        [&MountStatus::Unavailable, &MountStatus::Unavailable]
    );
    assert!(target.lines().iter().all(|it| !it.contains("base")));
}

/// Where the image was read from a repository of the same registry, nothing has to be said.
#[tokio::test(start_paused = true)]
async fn the_repository_an_image_comes_from_is_asked_by_itself() {
    let mut image = image(&["base"]);
    let target = held_by_base(&image);
    image.source = image.source.from_repository(repository("base"));
    let report = push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();
    assert_eq!(report.bytes.mounted, image.bytes());
    assert_eq!(count(&target, is_upload), 0);
}

/// What one push learns, the next of the same engine uses.
#[tokio::test(start_paused = true)]
async fn a_push_to_a_sibling_mounts_what_the_engine_has_pushed_before() {
    let image = image(&["base", "app"]);
    let target = target();
    let engine = one_at_a_time();
    push(&engine, &image, &target, &["1"]).await.unwrap();
    let sibling = target.sibling(repository("sibling"));
    let sent = target.blob_bytes();
    let report = push(&engine, &image, &sibling, &["1"]).await.unwrap();
    assert_eq!(target.blob_bytes(), sent, "not one byte more");
    assert!(report.blobs.iter().all(|it| it.done == Done::Mounted));

    let third = target.sibling(repository("third"));
    push(&one_at_a_time(), &image, &third, &["1"])
        .await
        .unwrap();
    assert_eq!(
        target.blob_bytes(),
        2 * sent,
        "another engine knows nothing of it"
    );
}

/// A repository that would not give a blob is not asked for it again.
#[tokio::test(start_paused = true)]
async fn a_repository_that_lost_a_blob_is_forgotten() {
    let image = image(&["base"]);
    let engine = one_at_a_time();
    push(&engine, &image, &target(), &["1"]).await.unwrap();
    // The same registry by name, with everything deleted.
    let emptied = target();
    let asks_app = |it: &longshore_push::recording::Call| {
        it.operation
            == Operation::Mount {
                from: repository("app"),
            }
    };
    let second = emptied.sibling(repository("second"));
    push(&engine, &image, &second, &["1"]).await.unwrap();
    assert_eq!(count(&emptied, asks_app), 2);
    let known = engine
        .layers()
        .sources(&image.layers[0].digest, &repository("third"));
    assert_eq!(known, [repository("second")]);
    emptied.clear();
    let third = emptied.sibling(repository("third"));
    let report = push(&engine, &image, &third, &["1"]).await.unwrap();
    assert_eq!(count(&emptied, asks_app), 0);
    assert_eq!(report.bytes.mounted, image.bytes(), "the second has them");
}

#[tokio::test(start_paused = true)]
async fn no_more_siblings_are_asked_than_allowed_each_once_and_never_the_destination() {
    let image = image(&["base"]);
    let target = target();
    let engine = Engine::new(Options {
        concurrency: NonZeroUsize::MIN,
        mount_candidates: NonZeroUsize::new(2).unwrap(),
        ..Options::default()
    });
    let destination = from(&["app", "one", "one", "two", "three"]);
    let plan = engine
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    let two = [repository("one"), repository("two")];
    assert!(
        plan.steps()[..2].iter().all(
            |it| matches!(&it.action, Action::Mount { from, required: false } if *from == two)
        )
    );
    engine
        .push(&image.source, &target, &destination, &())
        .await
        .unwrap();
    let asked: Vec<_> = target
        .calls()
        .into_iter()
        .filter_map(|it| match it.operation {
            Operation::Mount { from } => Some(from.path().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(asked, ["one", "two", "one", "two"]);
}

fn must_mount(which: MustMount) -> Engine {
    Engine::new(Options {
        concurrency: NonZeroUsize::MIN,
        must_mount: which,
        ..Options::default()
    })
}

#[tokio::test(start_paused = true)]
async fn what_must_be_mounted_is_not_sent_and_fails_the_push() {
    let image = image(&["base"]);
    let target = target();
    let error = must_mount(MustMount::Everything)
        .push(&image.source, &target, &from(&["empty"]), &())
        .await
        .unwrap_err();
    match error {
        PushError::MountRequired { blobs, .. } => {
            let digests: Vec<_> = blobs.iter().map(|it| &it.digest).collect();
            assert_eq!(digests, [&image.config.digest, &image.layers[0].digest]);
            for it in &blobs {
                assert_eq!(it.tried.len(), 1);
                assert_eq!(it.tried[0].from, repository("empty"));
                assert_eq!(it.tried[0].answer, MountAnswer::Refused);
                assert_eq!(it.tried[0].status, Some(202));
            }
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&target, is_upload) + count(&target, is_put), 0);
    assert_eq!(
        target.open_sessions(),
        [""; 0],
        "the session it came with is given up"
    );
}

/// Nobody to ask: the repository itself is, and that is all.
#[tokio::test(start_paused = true)]
async fn what_must_be_mounted_may_also_be_there() {
    let image = image(&["base"]);
    let layer = &image.layers[0].digest;
    let these = || MustMount::These(BTreeSet::from([layer.clone()]));
    let target_ = target().holding_blob(layer);
    let report = push(&must_mount(these()), &image, &target_, &["1"])
        .await
        .unwrap();
    assert_eq!(report.blobs[1].done, Done::Present);
    assert_eq!(
        report.blobs[0].done,
        Done::Uploaded,
        "the config is not among them"
    );

    let target = target();
    let error = push(&must_mount(these()), &image, &target, &["1"])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, PushError::MountRequired { blobs, .. } if blobs[0].tried.is_empty()),
        "{error:?}"
    );
    assert_eq!(count(&target, is_upload), 0, "not even the config");
    assert_eq!(count(&target, is_put), 0);
    assert_eq!(target.open_sessions(), [""; 0]);
}
