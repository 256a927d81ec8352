//! Single flight: what several pushes share is sent once.

use std::time::Duration;

use futures_util::future::join_all;
use longshore_push::{Done, Engine, PushError, Report, recording::RecordingTarget};
use oci::TargetErrorKind;

use crate::fixture::{
    Image, at_tag, count, image, is_about, is_upload, refusal, repository, tagged, target,
    with_concurrency,
};

/// Ten images of one shared layer and one of their own.
fn images() -> Vec<Image> {
    (0..10)
        .map(|n| image(&["shared", &format!("own {n}")]))
        .collect()
}

async fn push_all(
    engine: &Engine,
    images: &[Image],
    target: impl Fn(usize) -> RecordingTarget,
) -> Vec<Result<Report, PushError>> {
    join_all(images.iter().enumerate().map(|(n, image)| {
        let (engine, target) = (engine.clone(), target(n));
        async move {
            let tag = n.to_string();
            engine
                .push(&image.source, &target, &tagged(&[&tag]), &())
                .await
        }
    }))
    .await
}

#[tokio::test(start_paused = true)]
async fn n7_ten_pushes_at_once_into_one_repository_send_a_shared_layer_once() {
    for concurrency in [1, 4, 64] {
        let images = images();
        let target = target().taking(Duration::from_millis(10));
        let engine = with_concurrency(concurrency);
        let reports = push_all(&engine, &images, |_| target.clone()).await;
        let shared = &images[0].layers[0].digest;
        assert_eq!(
            count(&target, |it| is_upload(it) && is_about(it, shared)),
            1
        );
        assert_eq!(
            count(&target, |it| is_about(it, shared)),
            2,
            "asked for once, sent once"
        );
        let senders = reports.iter().flatten().filter(|it| {
            it.blobs
                .iter()
                .any(|it| it.blob.digest == *shared && it.done == Done::Uploaded)
        });
        assert_eq!(
            senders.count(),
            1,
            "one report counts the bytes, the others have it present"
        );
        for n in 0..10 {
            assert!(target.manifest(&at_tag(&n.to_string())).is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn n7_ten_pushes_at_once_into_sibling_repositories_send_it_once_and_mount_it() {
    let images = images();
    let target = target().taking(Duration::from_millis(10));
    let sibling = |n: usize| target.sibling(repository(&format!("app{n}")));
    let reports = push_all(&with_concurrency(64), &images, sibling).await;
    let shared = &images[0].layers[0].digest;
    assert_eq!(
        count(&target, |it| is_upload(it) && is_about(it, shared)),
        1
    );
    let mounted = reports.iter().flatten().filter(|it| {
        it.blobs
            .iter()
            .any(|it| it.blob.digest == *shared && it.done == Done::Mounted)
    });
    assert_eq!(mounted.count(), 9);
    assert_eq!(target.open_sessions(), [""; 0]);
}

/// The one who goes first fails: another goes, and nobody waits for ever.
#[tokio::test(start_paused = true)]
async fn n7_if_the_first_fails_another_goes() {
    let images = images();
    let shared = images[0].layers[0].digest.clone();
    let target = target().taking(Duration::from_millis(10)).failing_when(
        1,
        move |call| is_upload(call) && is_about(call, &shared),
        || refusal(TargetErrorKind::Refused, 400),
    );
    let reports = push_all(&with_concurrency(64), &images, |_| target.clone()).await;
    assert_eq!(reports.iter().filter(|it| it.is_err()).count(), 1);
    let shared = &images[0].layers[0].digest;
    assert_eq!(
        count(&target, |it| is_upload(it) && is_about(it, shared)),
        2
    );
}

/// The one who goes first is dropped in the middle of it.
#[tokio::test(start_paused = true)]
async fn n7_if_the_first_is_dropped_another_goes() {
    let images = images();
    let target = target().taking(Duration::from_millis(10));
    let engine = with_concurrency(64);
    let destination = tagged(&["1"]);
    let others = push_all(&engine, &images[1..], |_| target.clone());
    let first = engine.push(&images[0].source, &target, &destination, &());
    let first = tokio::time::timeout(Duration::from_millis(15), first);
    let (first, others) = tokio::join!(first, others);
    assert!(first.is_err(), "it was dropped while it sent");
    assert!(others.iter().all(Result::is_ok));
    let shared = &images[0].layers[0].digest;
    assert_eq!(
        count(&target, |it| is_upload(it) && is_about(it, shared)),
        2
    );
    assert_eq!(target.open_sessions(), [""; 0]);
}

/// What was proven for one push while another waited is not remembered after both: a
/// registry may lose it.
#[tokio::test(start_paused = true)]
async fn n7_nothing_is_taken_on_the_word_of_an_earlier_push() {
    let image = image(&["base"]);
    let engine = with_concurrency(4);
    let first = target();
    engine
        .push(&image.source, &first, &tagged(&["1"]), &())
        .await
        .unwrap();
    // Another registry behind the same name: as if everything had been deleted.
    let emptied = target();
    let report = engine
        .push(&image.source, &emptied, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert_eq!(report.bytes.uploaded, image.bytes());
    assert_eq!(count(&emptied, is_upload), 2);
}
