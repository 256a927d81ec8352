//! What a listener hears, and that nobody waits for it.

use std::time::Duration;

use longshore_push::{
    Done, Event, MountStatus,
    event::{Held, channel},
};

use crate::fixture::{
    Heard, at_tag, image, image_sized, one_at_a_time, repository, tag, tagged, target,
    with_concurrency,
};

#[tokio::test(start_paused = true)]
async fn n4_every_blob_is_told_of_from_queued_to_done() {
    let image = image(&["base"]);
    let target = target();
    let heard = Heard::default();
    let report = one_at_a_time()
        .push(&image.source, &target, &tagged(&["1"]), &heard)
        .await
        .unwrap();
    let mut expected = vec![Event::Started {
        repository: repository("app"),
        digest: image.root.digest().clone(),
        blobs: 2,
        bytes: image.bytes(),
    }];
    let listed = [&image.config, &image.layers[0]];
    expected.extend(listed.map(|it| Event::Queued { blob: it.clone() }));
    for blob in image.blobs() {
        let digest = || blob.digest.clone();
        let size = blob.size;
        expected.extend([
            Event::Checked {
                digest: digest(),
                held: Held::No,
            },
            Event::Bytes {
                digest: digest(),
                position: size,
                size,
            },
            Event::Done {
                digest: digest(),
                size,
                done: Done::Uploaded,
                mount: MountStatus::Skipped,
                sent: size,
            },
        ]);
    }
    expected.push(Event::ManifestPut {
        digest: image.root.digest().clone(),
        tag: Some(tag("1")),
        verified: true,
    });
    assert_eq!(heard.events(), expected);
    assert!(report.verified);
}

#[tokio::test(start_paused = true)]
async fn n4_a_mount_that_is_tried_is_told_of_with_its_answer() {
    let image = image(&["base"]);
    let target = target();
    let heard = Heard::default();
    let destination = tagged(&["1"]).mounting_from(repository("empty"));
    one_at_a_time()
        .push(&image.source, &target, &destination, &heard)
        .await
        .unwrap();
    let tried = heard
        .events()
        .into_iter()
        .filter(|it| matches!(it, Event::MountTried { .. }));
    let tried: Vec<_> = tried.map(|it| serde_json::to_value(it).unwrap()).collect();
    assert_eq!(tried.len(), 2);
    assert_eq!(tried[0]["event"], "mount-tried");
    assert_eq!(tried[0]["from"], "registry.test/empty");
    assert_eq!(tried[0]["answer"], "refused");
    let done = heard.events().into_iter().filter(|it| {
        matches!(
            it,
            Event::Done {
                mount: MountStatus::PushStarted,
                ..
            }
        )
    });
    assert_eq!(done.count(), 2);
}

/// Progress goes back when bytes are lost, ends at the size, and is not told for every piece.
#[tokio::test(start_paused = true)]
async fn n4_progress_is_told_now_and_then_and_to_the_end() {
    let image = image_sized(&["base"], 64 << 20);
    let target = target().breaking_uploads(1, 1 << 20);
    let heard = Heard::default();
    one_at_a_time()
        .push(&image.source, &target, &tagged(&["1"]), &heard)
        .await
        .unwrap();
    let positions: Vec<u64> = heard
        .events()
        .into_iter()
        .filter_map(|it| match it {
            Event::Bytes { position, size, .. } if size == 64 << 20 => Some(position),
            _ => None,
        })
        .collect();
    assert_eq!(positions.last(), Some(&(64 << 20)));
    assert!(positions.contains(&0), "it went back to the start");
    assert!(
        positions.len() < 110,
        "{} events for 256 pieces",
        positions.len()
    );
    assert!(positions.len() > 50);
}

#[tokio::test(start_paused = true)]
async fn n4_a_listener_that_is_gone_or_asleep_neither_stalls_nor_fails_a_push() {
    let image = image(&["base", "app", "data"]);
    for closed in [false, true] {
        let target = target().taking(Duration::from_millis(10));
        let (observer, receiver) = channel(2);
        let asleep = (!closed).then_some(receiver);
        let started = tokio::time::Instant::now();
        with_concurrency(16)
            .push(&image.source, &target, &tagged(&["1"]), &observer)
            .await
            .unwrap();
        let with_listener = started.elapsed();
        assert!(target.manifest(&at_tag("1")).is_some());
        assert!(observer.dropped() > 0, "what found no room is counted");
        let alone = target_time(&image).await;
        assert_eq!(
            with_listener, alone,
            "it took exactly as long as with nobody listening"
        );
        assert_eq!(asleep.is_none(), closed);
    }
}

async fn target_time(image: &crate::fixture::Image) -> Duration {
    let target = target().taking(Duration::from_millis(10));
    let started = tokio::time::Instant::now();
    let engine = with_concurrency(16);
    engine
        .push(&image.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    started.elapsed()
}

/// A channel with room hands everything over, in order.
#[tokio::test(start_paused = true)]
async fn n4_a_listener_with_room_hears_everything() {
    let image = image(&["base"]);
    let (observer, mut heard_late) = channel(1000);
    let heard = Heard::default();
    one_at_a_time()
        .push(&image.source, &target(), &tagged(&["1"]), &observer)
        .await
        .unwrap();
    one_at_a_time()
        .push(&image.source, &target(), &tagged(&["1"]), &heard)
        .await
        .unwrap();
    let mut received = Vec::new();
    while let Ok(event) = heard_late.try_recv() {
        received.push(event);
    }
    assert_eq!(received, heard.events());
    assert_eq!(observer.dropped(), 0);
}
