//! The limit of a store, and what goes first.

use super::*;
use crate::cache::{DEFAULT_LIMIT, Pruned};

/// A store of ten blobs of 1,000 bytes; the first was not used for longest.
async fn ten(stage: &Stage) -> Vec<Descriptor> {
    let now = SystemTime::now();
    let mut blobs = Vec::new();
    for n in 0..10_u8 {
        let path = stage.directory.path().join("file");
        fs::write(&path, vec![n; 1000]).unwrap();
        let blob = Descriptor::of(MediaType::OCI_LAYER, &[n; 1000]);
        stage.store.ingest(&path, &blob).await.unwrap();
        let used = now - Duration::from_secs(3600 * u64::from(20 - n));
        stage.set_used(&blob.digest, used);
        blobs.push(blob);
    }
    blobs
}

fn there(stage: &Stage, blobs: &[Descriptor]) -> Vec<bool> {
    let there = blobs.iter().map(|it| stage.file(&it.digest).exists());
    there.collect()
}

#[test]
fn k8_the_default_limit_is_ten_gibibytes() {
    assert_eq!(DEFAULT_LIMIT, 10_737_418_240);
    assert_eq!(StoreOptions::default().limit, 10_737_418_240);
}

#[tokio::test]
async fn k8_ten_blobs_with_room_for_four_leave_the_four_that_were_used_last() {
    let stage = Stage::new().await;
    let blobs = ten(&stage).await;
    let pruned = stage.store.prune(4000).await.unwrap();
    let expected = Pruned {
        removed: 6,
        freed: 6000,
        left: 4,
        left_bytes: 4000,
        in_use: 0,
    };
    assert_eq!(pruned, expected);
    assert_eq!(there(&stage, &blobs)[..6], [false; 6]);
    assert_eq!(there(&stage, &blobs)[6..], [true; 4]);
    let again = stage.store.prune(4000).await.unwrap();
    assert_eq!((again.removed, again.left_bytes), (0, 4000));
}

/// Otherwise everything that comes into a full store would go at once, until that time comes.
#[tokio::test]
async fn k8_what_a_clock_noted_that_was_set_back_since_goes_first() {
    let stage = Stage::new().await;
    let blobs = ten(&stage).await;
    let ahead = SystemTime::now() + Duration::from_hours(24 * 365);
    for blob in &blobs[4..8] {
        stage.set_used(&blob.digest, ahead);
    }
    stage.store.prune(6000).await.unwrap();
    let left: Vec<usize> = (0..10).filter(|it| there(&stage, &blobs)[*it]).collect();
    assert_eq!(left, [0, 1, 2, 3, 8, 9]);
    // A clock that is put right by some seconds changes nothing.
    let soon = SystemTime::now() + Duration::from_mins(10);
    stage.set_used(&blobs[0].digest, soon);
    stage.store.prune(1000).await.unwrap();
    let left: Vec<usize> = (0..10).filter(|it| there(&stage, &blobs)[*it]).collect();
    assert_eq!(left, [0]);
}

#[tokio::test]
async fn k8_what_was_read_last_stays_though_it_came_first() {
    let stage = Stage::new().await;
    let blobs = ten(&stage).await;
    let source = CachedSource::new(Remote::new(MemorySource::new()), stage.store.clone());
    all(source.open(&blobs[0], 0).await.unwrap()).await.unwrap();
    stage.store.prune(1000).await.unwrap();
    let mut left = [false; 10];
    left[0] = true;
    assert_eq!(there(&stage, &blobs), left);
}

#[tokio::test]
async fn k8_what_is_being_read_is_skipped_also_by_another_process() {
    let stage = Stage::new().await;
    let blobs = ten(&stage).await;
    let source = CachedSource::new(Remote::new(MemorySource::new()), stage.store.clone());
    let body = source.open(&blobs[2], 0).await.unwrap();
    stage.set_used(&blobs[2].digest, SystemTime::UNIX_EPOCH);

    let pruned = stage.opened_again().await.prune(4000).await.unwrap();
    assert_eq!(
        (pruned.removed, pruned.in_use, pruned.left_bytes),
        (6, 1, 4000)
    );
    assert!(stage.file(&blobs[2].digest).exists());
    assert_eq!(all(body).await.unwrap(), [2; 1000]);
    let pruned = stage.store.prune(0).await.unwrap();
    assert_eq!((pruned.in_use, pruned.left_bytes), (0, 0));
}

/// A blob that is known by two digests, in one file: its bytes are there once, and go with the
/// last of its names.
#[cfg(unix)]
#[tokio::test]
async fn k8_a_file_of_two_names_counts_once() {
    let stage = Stage::new().await;
    let blobs = ten(&stage).await;
    let other = Digest::of_with(oci::Algorithm::Sha512, &[0; 1000]);
    let link = stage.file(&other);
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    fs::hard_link(stage.file(&blobs[0].digest), link).unwrap();
    assert_eq!(stage.store.contents().await.unwrap().bytes, 10_000);

    let untouched = stage.store.prune(10_000).await.unwrap();
    assert_eq!((untouched.removed, untouched.left), (0, 11));
    let pruned = stage.store.prune(9000).await.unwrap();
    assert_eq!(
        (pruned.removed, pruned.freed, pruned.left_bytes),
        (2, 1000, 9000)
    );
    assert!(stage.file(&blobs[1].digest).exists());
}

#[tokio::test]
async fn k8_a_store_keeps_itself_within_its_limit_while_it_is_filled() {
    let stage = Stage::with(StoreOptions {
        limit: 1024 * 1024,
        ..StoreOptions::default()
    })
    .await;
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let (source, _, blobs) = image(&names);
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    for (age, blob) in blobs.iter().enumerate() {
        all(cached.open(blob, 0).await.unwrap()).await.unwrap();
        stage.store.settle().await;
        let bytes = stage.store.contents().await.unwrap().bytes;
        assert!(bytes <= 1024 * 1024, "{bytes} bytes after {age}");
        if stage.file(&blob.digest).exists() {
            let used = SystemTime::now() - Duration::from_secs(1000 - age as u64);
            stage.set_used(&blob.digest, used);
        }
    }
    assert!(stage.file(&blobs[6].digest).exists(), "the newest is there");
    assert!(!stage.file(&blobs[0].digest).exists(), "the oldest is not");
}

#[tokio::test]
async fn k8_a_blob_over_the_limit_is_not_kept_and_drives_nothing_out() {
    let stage = Stage::with(StoreOptions {
        limit: 12_000,
        ..StoreOptions::default()
    })
    .await;
    let blobs = ten(&stage).await;
    let (source, _, layers) = image(&["large"]);
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    let read = all(cached.open(&layers[0], 0).await.unwrap())
        .await
        .unwrap();
    assert_eq!(read, content("large"));
    stage.store.settle().await;
    assert_eq!(there(&stage, &blobs), [true; 10]);
    assert_eq!(stage.parts(), 0);
    assert_eq!(stage.heard.texts(), [""; 0]);
}
