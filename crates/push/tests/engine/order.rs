//! Blobs, then the manifest; after a failure, nothing.

use std::time::Duration;

use longshore_push::{PushError, recording::Operation};
use oci::TargetErrorKind;
use proptest::prelude::*;

use crate::fixture::{
    at_tag, count, image, is_about, is_put, is_upload, one_at_a_time, push, refusal, target,
    with_concurrency,
};

/// A push into an empty repository, whole: the question for a blob opens the session of its upload.
#[tokio::test(start_paused = true)]
async fn z3_a_cold_push_sends_and_puts_in_that_order() {
    let image = image(&["base", "app"]);
    let target = target();
    push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();

    let blobs = image.blobs();
    let mut expected = Vec::new();
    for (n, blob) in blobs.iter().enumerate() {
        expected.push(format!("mount {} from app", blob.digest));
        expected.push(format!(
            "upload {} {} in session-{}",
            blob.digest,
            blob.size,
            n + 1
        ));
    }
    expected.push(format!("put manifest 1 {}", image.root.bytes().len()));
    assert_eq!(target.lines(), expected);
    assert_eq!(target.requests().total(), 2 * blobs.len() as u64 + 1);
    assert_eq!(target.open_sessions(), [""; 0]);
}

/// At any concurrency: each blob has ended before the first manifest begins.
#[tokio::test(start_paused = true)]
async fn z3_no_manifest_precedes_the_proof_of_its_blobs_at_any_concurrency() {
    for concurrency in [1, 16] {
        let names: Vec<String> = (0..24).map(|n| format!("layer {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let image = image(&names);
        // The double refuses a manifest unless every blob is there when it comes.
        let target = target().taking(Duration::from_millis(10));
        push(&with_concurrency(concurrency), &image, &target, &["1"])
            .await
            .unwrap();
        let calls = target.calls();
        let first_put = calls.iter().position(is_put).unwrap();
        assert_eq!(calls.len(), first_put + 1, "one put, and nothing after it");
        assert_eq!(calls.iter().filter(|it| is_upload(it)).count(), 25);
        assert!(target.peak() <= concurrency);
    }
}

/// Whichever blob fails, the config included: no manifest follows.
#[tokio::test(start_paused = true)]
async fn z3_after_the_failure_of_any_blob_no_manifest_is_put() {
    for concurrency in [1, 16] {
        let image = image(&["base", "app", "data"]);
        for blob in image.blobs() {
            let digest = blob.digest.clone();
            let target = target().failing_when(
                usize::MAX,
                move |call| is_upload(call) && is_about(call, &digest),
                || refusal(TargetErrorKind::Refused, 400),
            );
            let error = push(&with_concurrency(concurrency), &image, &target, &["1"])
                .await
                .unwrap_err();
            assert!(
                matches!(&error, PushError::BlobUploadFailed { digest, .. } if *digest == blob.digest)
            );
            assert_eq!(count(&target, is_put), 0);
            assert_eq!(target.open_sessions(), [""; 0], "no session is left behind");
        }
    }
}

/// The largest blob is asked for first: it takes longest.
#[tokio::test(start_paused = true)]
async fn the_largest_blob_goes_first() {
    let image = image(&["base", "app", "data"]);
    let target = target();
    push(&with_concurrency(16), &image, &target, &["1"])
        .await
        .unwrap();
    let calls = target.calls();
    let asked = calls
        .iter()
        .filter(|it| matches!(it.operation, Operation::Mount { .. }));
    let asked: Vec<_> = asked
        .map(|it| it.subject.clone().unwrap().to_string())
        .collect();
    let expected: Vec<_> = image
        .blobs()
        .iter()
        .map(|it| it.digest.to_string())
        .collect();
    assert_eq!(asked, expected);
}

/// The first upload starts while other blobs are still asked for: there is no round of
/// questions before it.
#[tokio::test(start_paused = true)]
async fn an_upload_starts_while_others_are_still_asked_for() {
    let image = image(&["base", "app", "data"]);
    let target = target().taking(Duration::from_millis(10));
    push(&with_concurrency(2), &image, &target, &["1"])
        .await
        .unwrap();
    let calls = target.calls();
    let first_upload = calls.iter().position(is_upload).unwrap();
    let last_question = calls
        .iter()
        .rposition(|it| matches!(it.operation, Operation::Mount { .. }))
        .unwrap();
    assert!(first_upload < last_question);
}

#[tokio::test(start_paused = true)]
async fn v4_as_many_blobs_as_allowed_are_in_flight_and_no_more() {
    let names: Vec<String> = (0..40).map(|n| format!("layer {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let image = image(&names);
    for (concurrency, expected) in [(1, 1), (7, 7), (32, 32), (100, 41)] {
        let target = target().taking(Duration::from_millis(10));
        push(&with_concurrency(concurrency), &image, &target, &["1"])
            .await
            .unwrap();
        assert_eq!(target.peak(), expected, "at {concurrency}");
    }
}

/// The limit is the engine's: pushes that run at once share it.
#[tokio::test(start_paused = true)]
async fn v4_pushes_of_one_engine_share_its_limit() {
    let engine = with_concurrency(4);
    let target = target().taking(Duration::from_millis(10));
    let images: Vec<_> = (0..5)
        .map(|n| image(&[&format!("{n} a"), &format!("{n} b"), &format!("{n} c")]))
        .collect();
    let tags: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    let pushes = images.iter().zip(&tags).map(|(image, tag)| {
        let (engine, target) = (engine.clone(), target.clone());
        async move { push(&engine, image, &target, &[tag.as_str()]).await }
    });
    for report in futures_util::future::join_all(pushes).await {
        report.unwrap();
    }
    // Four blobs; questions for manifests are asked beside them, one a push at a time.
    assert!(target.peak() <= 4 + 5, "{}", target.peak());
    for tag in &tags {
        assert!(target.manifest(&at_tag(tag)).is_some());
    }
}

proptest! {
    /// Whatever fails, and when: a manifest in the repository has all its blobs there.
    #[test]
    fn z3_wherever_a_push_fails_no_tag_names_what_is_not_complete(
        nth in 1_usize..14,
        concurrency in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let image = image(&["base", "app", "data"]);
            let target = target().failing(nth, refusal(TargetErrorKind::Refused, 400));
            let pushed = push(&with_concurrency(concurrency), &image, &target, &["1"]).await;
            let complete = image.blobs().iter().all(|it| target.holds_blob(&it.digest));
            let named = target.manifest(&at_tag("1")).is_some();
            assert_eq!(pushed.is_ok(), named);
            assert!(complete || !named);
        });
    }
}
