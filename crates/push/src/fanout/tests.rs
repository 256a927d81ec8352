//! Several destinations: what is read how often, and who waits for whom.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use oci::{
    BlobStream, BlobUpload, Descriptor, Digest, Document, Hasher, ManifestReceipt, MediaType,
    Repository, SourceError, Tag, TargetError, TargetErrorKind, UploadReceipt,
};
use tokio::sync::Semaphore;

use super::{hub::lock, *};
use crate::{
    Done, Options,
    compose::{ManifestBuilder, MemorySource},
    recording::{Call, Operation, RecordingTarget},
};

mod verified;

/// How long a piece of a source in memory is.
const PIECE: u64 = 256 * 1024;

/// Counts what is read of it.
#[derive(Debug)]
struct Counting {
    source: MemorySource,
    documents: AtomicU64,
    opened: Mutex<Vec<(Digest, u64)>>,
    read: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Counting {
    async fn root(&self) -> Result<Document, SourceError> {
        self.documents.fetch_add(1, Ordering::Relaxed);
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.documents.fetch_add(1, Ordering::Relaxed);
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        lock(&self.opened).push((blob.digest.clone(), offset));
        let read = Arc::clone(&self.read);
        let counted = self.source.open(blob, offset).await?.inspect(move |piece| {
            let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
            read.fetch_add(bytes, Ordering::Relaxed);
        });
        Ok(counted.boxed())
    }
}

impl Counting {
    fn opened(&self) -> Vec<(Digest, u64)> {
        lock(&self.opened).clone()
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Takes a blob up to some byte, and the rest when it is told to.
#[derive(Debug)]
struct Slow {
    repository: Repository,
    until: u64,
    go_on: Semaphore,
    taken: AtomicU64,
}

#[async_trait]
impl PushTarget for Slow {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let failed = |error| TargetError::from_source(error, "upload a blob");
        let mut body = upload.source.open(upload.blob, 0).await.map_err(failed)?;
        let mut hasher = Hasher::for_digest(&upload.blob.digest);
        while let Some(piece) = body.next().await {
            hasher.update(&piece.map_err(failed)?);
            self.taken.store(hasher.bytes(), Ordering::Relaxed);
            if hasher.bytes() >= self.until {
                let _ = self.go_on.acquire().await;
            }
        }
        let sent = hasher.bytes();
        assert_eq!(hasher.check(&upload.blob.digest), Ok(()));
        Ok(UploadReceipt::new(sent))
    }

    async fn put_manifest(
        &self,
        _: &Document,
        _: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        Ok(ManifestReceipt::default())
    }
}

fn repository(registry: &str, path: &str) -> Repository {
    format!("{registry}.test/{path}").parse().unwrap()
}

fn target(registry: &str) -> RecordingTarget {
    RecordingTarget::new(repository(registry, "app")).validating()
}

/// An image of layers of so many bytes, and its blobs.
fn image(layers: &[usize]) -> (Arc<Counting>, Document, Vec<Descriptor>) {
    let mut source = MemorySource::new();
    let mut blobs = Vec::new();
    for (number, size) in layers.iter().enumerate() {
        let content: Vec<u8> = (0..*size)
            .map(|at| u8::try_from((at / 251 + at + number) % 256).unwrap())
            .collect();
        let (next, layer) = source.with_blob(MediaType::OCI_LAYER_GZIP, content);
        source = next;
        blobs.push(layer);
    }
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, format!("{{\"n\":{layers:?}}}"));
    let builder = ManifestBuilder::new(config.clone());
    let builder = blobs.iter().cloned().fold(builder, ManifestBuilder::layer);
    blobs.push(config);
    let root = builder.build().unwrap();
    let counting = Counting {
        source: source.with_root(root.clone()),
        documents: AtomicU64::default(),
        opened: Mutex::default(),
        read: Arc::default(),
    };
    (Arc::new(counting), root, blobs)
}

async fn push(
    source: &Arc<Counting>,
    targets: &[&dyn PushTarget],
    options: FanoutOptions,
) -> Vec<Landing> {
    let destination = Destination::tagged(["1".parse().unwrap()]);
    let engine = Engine::new(Options::default());
    let branches: Vec<Branch<'_>> = targets
        .iter()
        .map(|target| Branch {
            engine: &engine,
            target: *target,
            destination: &destination,
            observer: &(),
        })
        .collect();
    let source: Arc<dyn Source> = source.clone();
    push_to_all(source, &branches, options).await
}

fn small_window() -> FanoutOptions {
    FanoutOptions {
        window: NonZeroUsize::new(1).unwrap(),
        ..FanoutOptions::default()
    }
}

fn is_upload(call: &Call) -> bool {
    matches!(call.operation, Operation::Upload { .. })
}

fn reopened(landings: &[Landing]) -> Vec<u64> {
    landings.iter().map(|it| it.reopened).collect()
}

#[tokio::test]
async fn p4_each_blob_is_opened_and_read_once_for_all_destinations() {
    for options in [FanoutOptions::default(), small_window()] {
        let (source, root, blobs) = image(&[2_000_000, 700_000, 1000]);
        let slow = target("c").taking(Duration::from_millis(30));
        let targets = [target("a"), target("b"), slow];
        let all: Vec<&dyn PushTarget> = targets.iter().map(|it| it as &dyn PushTarget).collect();
        let landings = push(&source, &all, options).await;
        for (landing, target) in landings.iter().zip(&targets) {
            assert_eq!(landing.result.as_ref().unwrap().digest, *root.digest());
            assert!(blobs.iter().all(|it| target.holds_blob(&it.digest)));
            assert_eq!(
                target.manifest(&"1".parse().unwrap()).unwrap(),
                *root.bytes()
            );
        }
        assert_eq!(reopened(&landings), [0, 0, 0]);
        let mut opened: Vec<Digest> = source.opened().into_iter().map(|(it, _)| it).collect();
        let mut wanted: Vec<Digest> = blobs.iter().map(|it| it.digest.clone()).collect();
        opened.sort();
        wanted.sort();
        assert_eq!(opened, wanted);
        let bytes: u64 = blobs.iter().map(|it| it.size).sum();
        assert_eq!(source.read(), bytes);
        assert_eq!(
            source.documents.load(Ordering::Relaxed),
            1,
            "the manifest, too"
        );
    }
}

#[tokio::test]
async fn p4_who_holds_or_mounts_a_blob_does_not_join_and_what_nobody_sends_is_not_opened() {
    let (source, _, blobs) = image(&[2_000_000, 1000]);
    let holding = |it: RecordingTarget| {
        let held = blobs.iter().map(|it| &it.digest);
        held.fold(it, RecordingTarget::holding_blob)
    };
    let (a, b) = (holding(target("a")), target("b"));
    let landings = push(&source, &[&a, &b], FanoutOptions::default()).await;
    assert!(landings.iter().all(|it| it.result.is_ok()));
    assert_eq!(source.opened().len(), blobs.len());
    assert!(!a.calls().iter().any(is_upload));

    let (source, ..) = image(&[2_000_000, 1000]);
    let (a, b) = (holding(target("a")), holding(target("b")));
    let landings = push(&source, &[&a, &b], FanoutOptions::default()).await;
    assert!(landings.iter().all(|it| it.result.is_ok()));
    assert_eq!(source.opened(), []);
}

/// Two repositories of one registry: one gets the bytes, the other mounts, and nobody waits for a
/// reader that never comes.
#[tokio::test(start_paused = true)]
async fn p4_repositories_of_one_registry_share_an_upload() {
    let (source, _, blobs) = image(&[2_000_000, 1000]);
    let a = target("a");
    let sibling = a.sibling(repository("a", "other"));
    let begun = tokio::time::Instant::now();
    let landings = push(&source, &[&a, &sibling], FanoutOptions::default()).await;
    assert!(landings.iter().all(|it| it.result.is_ok()));
    assert_eq!(
        a.calls().iter().filter(|it| is_upload(it)).count(),
        blobs.len()
    );
    assert_eq!(source.opened().len(), blobs.len());
    assert_eq!(reopened(&landings), [0, 0]);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let mounted = landings
        .iter()
        .flat_map(|it| &it.result.as_ref().unwrap().blobs);
    assert_eq!(
        mounted.filter(|it| it.done == Done::Mounted).count(),
        blobs.len()
    );
}

#[tokio::test]
async fn n8_a_destination_that_fails_changes_nothing_for_the_others() {
    let (source, _, blobs) = image(&[2_000_000, 700_000]);
    let refusing = target("b").failing_when(usize::MAX, is_upload, || {
        TargetError::new(TargetErrorKind::Denied, "upload a blob").with_status(403)
    });
    let (a, c) = (target("a"), target("c"));
    let landings = push(&source, &[&a, &refusing, &c], FanoutOptions::default()).await;
    let failed: Vec<bool> = landings.iter().map(|it| it.result.is_err()).collect();
    assert_eq!(failed, [false, true, false]);
    assert_eq!(source.opened().len(), blobs.len(), "each once all the same");
    assert_eq!(reopened(&landings), [0, 0, 0]);

    // Again, when it is back: the others are only asked.
    let b = target("b");
    for target in [&a, &c] {
        target.clear();
    }
    let landings = push(&source, &[&a, &b, &c], FanoutOptions::default()).await;
    assert!(landings.iter().all(|it| it.result.is_ok()));
    for target in [&a, &c] {
        assert_eq!(target.blob_bytes(), 0);
        assert!(!target.calls().iter().any(is_upload));
    }
    assert!(blobs.iter().all(|it| b.holds_blob(&it.digest)));
}

/// One takes a piece and stands still. The others are held up, with no more read than the window
/// has room for, until patience ends; then they finish, and it opens the source at its own place.
#[tokio::test(start_paused = true)]
async fn p4_a_laggard_is_waited_for_a_bounded_time_and_then_opens_the_source_at_its_own_place() {
    let (source, _, blobs) = image(&[4_000_000]);
    let slow = Slow {
        repository: repository("slow", "app"),
        until: PIECE,
        go_on: Semaphore::new(0),
        taken: AtomicU64::default(),
    };
    let (a, b) = (target("a"), target("b"));
    let options = FanoutOptions {
        window: NonZeroUsize::new(600_000).unwrap(),
        ..FanoutOptions::default()
    };
    let begun = tokio::time::Instant::now();
    let all = [&a as &dyn PushTarget, &slow, &b];
    let pushing = push(&source, &all, options);
    let watching = async {
        tokio::time::sleep(options.patience / 2).await;
        let config = blobs[1].size;
        assert!(source.read() > PIECE, "it was begun");
        // What it has, the pieces that are being verified, the window, and the piece that went
        // over it.
        let taken = slow.taken.load(Ordering::Relaxed) + 2 * PIECE;
        assert!(
            source.read() <= taken + 600_000 + PIECE + config,
            "{}",
            source.read()
        );
        while !(a.holds_blob(&blobs[0].digest) && b.holds_blob(&blobs[0].digest)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(
                begun.elapsed() < options.patience * 2,
                "{:?}",
                source.opened()
            );
        }
        let held_up = begun.elapsed();
        assert!(held_up >= options.patience, "{held_up:?}");
        assert!(held_up < options.patience * 2, "{held_up:?}");
        assert!(slow.taken.load(Ordering::Relaxed) < blobs[0].size);
        slow.go_on.add_permits(1000);
    };
    let (landings, ()) = tokio::join!(pushing, watching);
    assert!(landings.iter().all(|it| it.result.is_ok()), "{landings:?}");
    let counted = reopened(&landings);
    assert!(counted[1] >= 1, "{counted:?}");
    assert_eq!((counted[0], counted[2]), (0, 0));
    let opened = source.opened();
    let again = opened
        .iter()
        .filter(|(it, at)| *it == blobs[0].digest && *at > 0);
    assert_eq!(again.count(), 1, "{opened:?}");
}

/// One does not even ask for a blob in time: it is begun without it, and who is late reads alone.
#[tokio::test(start_paused = true)]
async fn p4_who_is_late_is_not_waited_for_twice() {
    let (source, _, blobs) = image(&[1_000_000, 900_000, 800_000]);
    let late = target("late").taking(Duration::from_mins(1));
    let a = target("a");
    let begun = tokio::time::Instant::now();
    let patience = FanoutOptions::default().patience;
    let all = [&a as &dyn PushTarget, &late];
    let pushing = push(&source, &all, FanoutOptions::default());
    let watching = async {
        while a.manifest(&"1".parse().unwrap()).is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    };
    let (landings, held_up) = tokio::join!(pushing, watching);
    assert!(landings.iter().all(|it| it.result.is_ok()));
    assert!(held_up < patience * 2, "{held_up:?}");
    assert_eq!(reopened(&landings), [0, blobs.len() as u64]);
}

/// Dropped, it leaves no task behind that reads.
#[tokio::test(start_paused = true)]
async fn p4_a_fan_out_that_is_dropped_stops_reading() {
    let (source, ..) = image(&[4_000_000]);
    let slow = Slow {
        repository: repository("slow", "app"),
        until: 0,
        go_on: Semaphore::new(0),
        taken: AtomicU64::default(),
    };
    let all = [&slow as &dyn PushTarget];
    let pushing = push(&source, &all, FanoutOptions::default());
    let stopped = tokio::time::timeout(Duration::from_secs(1), pushing).await;
    assert!(stopped.is_err());
    while Arc::strong_count(&source) > 1 {
        tokio::task::yield_now().await;
    }
    let read = source.read();
    assert!(read < 4_000_000, "{read}");
}
