//! What is there is not sent again.

use longshore_push::{
    Done, Event, MountStatus,
    recording::{Operation, RecordingTarget},
};
use oci::TargetErrorKind;

use crate::fixture::{
    Heard, asking_first, at_tag, count, image, image_sized, is_put, is_upload, one_at_a_time, push,
    refusal, repository, tagged, target, with_concurrency,
};

#[tokio::test(start_paused = true)]
async fn n1_an_unchanged_image_is_pushed_again_with_one_question_and_no_byte() {
    let image = image(&["base", "app"]);
    let target = target();
    let engine = one_at_a_time();
    push(&engine, &image, &target, &["1"]).await.unwrap();
    target.clear();
    let report = push(&engine, &image, &target, &["1"]).await.unwrap();
    assert_eq!(target.lines(), ["has manifest 1"]);
    assert_eq!(report.bytes.present, image.bytes());
    assert!(report.blobs.iter().all(|it| it.done == Done::Present));
    assert!(report.verified);
}

#[tokio::test(start_paused = true)]
async fn n1_a_question_a_blob_is_enough_and_its_answer_is_no_mount() {
    let image = image(&["base", "app"]);
    let target = image
        .blobs()
        .iter()
        .fold(target(), |target, it| target.holding_blob(&it.digest));
    let report = push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();
    assert_eq!(count(&target, is_upload), 0);
    let questions = count(&target, |it| {
        it.operation
            == Operation::Mount {
                from: repository("app"),
            }
    });
    assert_eq!(questions, 3);
    assert!(
        report
            .blobs
            .iter()
            .all(|it| it.mount == MountStatus::Skipped)
    );
    assert_eq!(report.bytes.present, image.bytes());
    assert_eq!(count(&target, is_put), 1);
}

/// Some registries let an account push but not look. The push then tells.
#[tokio::test(start_paused = true)]
async fn an_account_that_may_not_look_may_still_push() {
    let image = image(&["base"]);
    let target = target().failing_when(
        usize::MAX,
        |call| {
            matches!(
                call.operation,
                Operation::HasManifest | Operation::Mount { .. }
            )
        },
        || refusal(TargetErrorKind::Denied, 403),
    );
    let heard = Heard::default();
    let engine = asking_first();
    engine
        .push(&image.source, &target, &tagged(&["1"]), &heard)
        .await
        .unwrap();
    assert!(target.manifest(&at_tag("1")).is_some());
    let warnings = heard.events();
    let warnings = warnings
        .iter()
        .filter(|it| matches!(it, Event::Warning { .. }));
    assert_eq!(warnings.count(), 2, "one for the tag, one for the digest");
}

/// A question that got no answer is not a no: it must not turn into an upload.
#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_ends_the_push() {
    for kind in [
        TargetErrorKind::Network,
        TargetErrorKind::Timeout,
        TargetErrorKind::RateLimited,
        TargetErrorKind::Unauthorized,
    ] {
        for nth in 1..=3 {
            let image = image(&["base"]);
            let target = RecordingTarget::new(repository("app"))
                .failing(nth, oci::TargetError::new(kind.clone(), "ask"));
            let error = push(&asking_first(), &image, &target, &["1"])
                .await
                .unwrap_err();
            assert_eq!(error.target_error().unwrap().kind(), &kind);
            assert_eq!(error.phase(), longshore_push::Phase::Ask);
            assert_eq!(count(&target, is_upload), 0);
        }
    }
}

/// What answers without being a registry ends the push before it writes.
#[tokio::test(start_paused = true)]
async fn what_is_no_registry_is_not_written_to() {
    let image = image(&["base"]);
    let target = target().failing(1, refusal(TargetErrorKind::Protocol, 200));
    push(&asking_first(), &image, &target, &["1"])
        .await
        .unwrap_err();
    assert_eq!(target.lines(), ["has manifest 1"]);
}

/// Where other things were seen, what was not is most likely not there: its blobs are announced
/// before the question for it. Nothing is where nothing is known, and nothing before what was seen.
#[tokio::test(start_paused = true)]
async fn blobs_are_announced_before_they_are_asked_for() {
    const LARGE: usize = 2 * 1024 * 1024;
    let first = image_sized(&["base", "one"], LARGE);
    let second = image_sized(&["base", "one", "two"], LARGE);
    let target = target().not_known_to_find_by_mount();
    let engine = with_concurrency(32);
    let told = async |image, tag| {
        let before = target.expected_blobs().len();
        target.clear();
        push(&engine, image, &target, &[tag]).await.unwrap();
        target.expected_blobs().split_off(before)
    };
    assert_eq!(told(&first, "1").await, [(3, 3, 1)], "after the question");
    let asked = target.calls().remove(0);
    assert_eq!(asked.operation, Operation::HasManifest);
    assert_eq!(told(&second, "2").await, [(4, 2, 0), (2, 2, 1)]);
    assert_eq!(told(&second, "2").await, [(0, 0, 1)], "it is there");
}
