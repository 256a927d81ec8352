//! A store that fails: the push does not.

use std::sync::mpsc;

use super::*;
use crate::{Destination, Engine, Options, Report, recording::RecordingTarget};

async fn push(source: &dyn Source) -> (RecordingTarget, Report) {
    let target = RecordingTarget::new("b.test/app".parse().unwrap()).validating();
    let destination = Destination::tagged(["1".parse().unwrap()]);
    let engine = Engine::new(Options::default());
    let report = engine.push(source, &target, &destination, &()).await;
    (target, report.unwrap())
}

fn disk_full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

#[tokio::test]
async fn k4_a_full_disk_costs_the_store_entry_and_one_warning_never_the_push() {
    for full_at in [0, 256 * 1024] {
        let stage = Stage::new().await;
        stage.store.put_in_the_way(move |at| {
            if at >= full_at {
                Err(disk_full())
            } else {
                Ok(())
            }
        });
        let (source, root, blobs) = image(&["one", "two", "three"]);
        let remote = Remote::new(source);
        let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
        let (target, report) = push(&cached).await;
        assert_eq!(report.digest, *root.digest());
        assert!(blobs.iter().all(|it| target.holds_blob(&it.digest)));
        assert_eq!(
            remote.opened().len(),
            blobs.len(),
            "each fetched once all the same"
        );
        stage.store.settle().await;
        let warnings = stage.heard.texts();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("no space left on device"),
            "{warnings:?}"
        );
        let layers = blobs.iter().filter(|it| it.size > 1024);
        assert!(
            layers
                .into_iter()
                .all(|it| !stage.file(&it.digest).exists())
        );
        drop(cached);
        // By the thread that was writing it, when that comes to its end.
        until(|| stage.parts() == 0).await;
        assert!(stage.store.verify().await.unwrap().altered.is_empty());
    }
}

/// The disk does not answer at all. What is being read from the source goes on; what is to be
/// sent is there in a bounded time, and the next blob does not wait again.
#[tokio::test]
async fn k4_a_disk_that_does_not_answer_holds_nothing_up() {
    let stage = Stage::with(StoreOptions {
        patience: Duration::from_millis(20),
        ..StoreOptions::default()
    })
    .await;
    let (let_go, stuck) = mpsc::channel::<()>();
    let stuck = Mutex::new(stuck);
    stage.store.put_in_the_way(move |_| {
        let _ = lock(&stuck).recv();
        Err(disk_full())
    });
    let (source, _, blobs) = image(&["one", "two", "three"]);
    let big = Bytes::from(vec![7; 3 * 1024 * 1024]);
    let (source, large) = source.with_blob(MediaType::OCI_LAYER_GZIP, big.clone());
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    assert_eq!(
        all(cached.open(&large, 0).await.unwrap()).await.unwrap(),
        big
    );
    let (target, _) = push(&cached).await;
    assert!(blobs.iter().all(|it| target.holds_blob(&it.digest)));
    let warnings = stage.heard.texts();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    drop(let_go);
    stage.store.settle().await;
    drop(cached);
    until(|| stage.parts() == 0).await;
    assert_eq!(stage.heard.texts().len(), 1);
}

/// The writer died: its thread panicked, or the process's threads are used up.
#[tokio::test]
async fn k4_a_dead_writer_costs_the_store_entry_and_one_warning() {
    let stage = Stage::new().await;
    stage
        .store
        .put_in_the_way(|_| std::panic::panic_any("the writer died"));
    let (source, _, blobs) = image(&["one", "two"]);
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    let (target, _) = push(&cached).await;
    assert!(blobs.iter().all(|it| target.holds_blob(&it.digest)));
    stage.store.settle().await;
    assert_eq!(stage.heard.texts().len(), 1);
    drop(cached);
    // By the thread that died, when that comes to its end.
    until(|| stage.parts() == 0).await;
}

#[tokio::test]
async fn k4_a_store_whose_directory_vanishes_is_made_again_and_the_push_goes_on() {
    let stage = Stage::new().await;
    fs::remove_dir_all(stage.store.path()).unwrap();
    let (source, _, blobs) = image(&["one"]);
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    push(&cached).await;
    stage.store.settle().await;
    assert_eq!(stage.heard.texts(), [""; 0]);
    assert!(blobs.iter().all(|it| stage.file(&it.digest).exists()));
}

/// Nothing can be made where a file stands, whoever asks: told once, and the push goes on.
#[tokio::test]
async fn k4_a_store_that_cannot_be_written_is_still_read() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one", "two"]);
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let first = all(cached.open(&blobs[0], 0).await.unwrap()).await.unwrap();
    stage.store.settle().await;
    let ingest = stage.store.path().join("ingest");
    fs::remove_dir_all(&ingest).unwrap();
    fs::write(&ingest, "not a directory").unwrap();

    let store = stage.opened_again().await;
    let cached = CachedSource::new(Arc::clone(&remote), store);
    assert_eq!(
        all(cached.open(&blobs[0], 0).await.unwrap()).await.unwrap(),
        first
    );
    push(&cached).await;
    let opened = remote.opened();
    assert_eq!(
        opened
            .iter()
            .filter(|(it, _)| *it == blobs[0].digest)
            .count(),
        1
    );
    assert_eq!(stage.heard.texts().len(), 1, "{:?}", stage.heard.texts());
    assert!(!stage.file(&blobs[1].digest).exists());
}

/// A process that was killed leaves a part without a lock: it is removed by the next, and the
/// parts of processes that live are not.
#[tokio::test]
async fn k4_what_a_killed_process_left_is_never_seen_and_is_swept() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let mut alive = cached.open(&blobs[0], 0).await.unwrap();
    alive.next().await.unwrap().unwrap();
    let dead = stage.store.path().join("ingest/part-dead");
    fs::write(&dead, b"half of a la").unwrap();

    let next = stage.opened_again().await;
    assert!(!dead.exists());
    assert_eq!(stage.parts(), 1);
    assert_eq!(next.contents().await.unwrap().blobs, 0);
    while alive.next().await.transpose().unwrap().is_some() {}
    stage.store.settle().await;
    assert!(stage.file(&blobs[0].digest).exists());
}

#[tokio::test]
async fn k4_a_reading_that_is_dropped_leaves_nothing() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    let mut body = cached.open(&blobs[0], 0).await.unwrap();
    body.next().await.unwrap().unwrap();
    drop(body);
    drop(cached);
    until(|| stage.parts() == 0).await;
    assert!(!stage.file(&blobs[0].digest).exists());
}

#[tokio::test]
async fn a_directory_that_holds_something_else_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("index.json"), "{}").unwrap();
    let refused = Store::open(directory.path(), StoreOptions::default()).await;
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("is not a store: there is something else in it"),
        "{text}"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert!(
        Store::look(directory.path(), StoreOptions::default())
            .await
            .is_err()
    );
    let nothing = directory.path().join("nothing");
    assert!(
        Store::look(&nothing, StoreOptions::default())
            .await
            .unwrap()
            .is_none()
    );
    assert!(!nothing.exists());
}
