//! What a store promises.

use std::{
    fs::{self, FileTimes},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{
    BlobStream, Descriptor, Digest, Document, MediaType, Repository, Source, SourceError, layout,
};
use tempfile::TempDir;

use super::{CachedSource, Store, StoreEvent, StoreObserver, StoreOptions, lock};
use crate::compose::{ManifestBuilder, MemorySource};

mod bounds;
mod failing;
mod listed;
mod reading;

/// Called before each write of a part: the write can be kept waiting, or fail.
#[derive(Clone)]
pub(super) struct Obstacle(Arc<Hindrance>);

type Hindrance = dyn Fn(u64) -> io::Result<()> + Send + Sync;

impl std::fmt::Debug for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Obstacle")
    }
}

impl Store {
    pub(super) fn before_write(&self, at: u64) -> io::Result<()> {
        let obstacle = lock(&self.0.obstacle).clone();
        obstacle.map_or(Ok(()), |it| (it.0)(at))
    }

    fn put_in_the_way(&self, obstacle: impl Fn(u64) -> io::Result<()> + Send + Sync + 'static) {
        *lock(&self.0.obstacle) = Some(Obstacle(Arc::new(obstacle)));
    }
}

/// Remembers what it is told.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl StoreObserver for Heard {
    fn event(&self, event: &StoreEvent) {
        lock(&self.0).push(event.to_string());
    }
}

impl Heard {
    fn texts(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

/// A directory, and the store in it.
struct Stage {
    directory: TempDir,
    heard: Arc<Heard>,
    store: Store,
}

impl Stage {
    async fn new() -> Self {
        Self::with(StoreOptions::default()).await
    }

    async fn with(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let heard = Arc::new(Heard::default());
        let options = StoreOptions {
            observer: heard.clone(),
            ..options
        };
        let path = directory.path().join("store");
        let store = Store::open(&path, options).await.unwrap();
        Self {
            directory,
            heard,
            store,
        }
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.store.path().join(layout::blob_path(digest))
    }

    /// As another process would see it.
    async fn opened_again(&self) -> Store {
        let options = StoreOptions {
            observer: self.heard.clone(),
            ..StoreOptions::default()
        };
        Store::open(self.store.path(), options).await.unwrap()
    }

    /// What is on its way in, by file.
    fn parts(&self) -> usize {
        fs::read_dir(self.store.path().join("ingest"))
            .unwrap()
            .count()
    }

    fn set_used(&self, digest: &Digest, used: SystemTime) {
        let file = fs::File::open(self.file(digest)).unwrap();
        file.set_times(FileTimes::new().set_accessed(used)).unwrap();
    }
}

/// A source that counts what it is asked for, and can break a blob off.
#[derive(Debug)]
struct Remote {
    source: MemorySource,
    origin: Repository,
    roots: AtomicUsize,
    documents: AtomicUsize,
    /// Each opening: which blob, and from where.
    opened: Mutex<Vec<(Digest, u64)>>,
    /// The next reading fails after this many bytes.
    breaks: Mutex<Option<usize>>,
}

impl Remote {
    fn new(source: MemorySource) -> Arc<Self> {
        Arc::new(Self {
            source,
            origin: "a.test/app".parse().unwrap(),
            roots: AtomicUsize::default(),
            documents: AtomicUsize::default(),
            opened: Mutex::default(),
            breaks: Mutex::default(),
        })
    }

    fn opened(&self) -> Vec<(Digest, u64)> {
        self.opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn asked(&self) -> (usize, usize, usize) {
        let count = |it: &AtomicUsize| it.load(Ordering::Relaxed);
        (
            count(&self.roots),
            count(&self.documents),
            self.opened().len(),
        )
    }
}

#[async_trait]
impl Source for Remote {
    async fn root(&self) -> Result<Document, SourceError> {
        self.roots.fetch_add(1, Ordering::Relaxed);
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.documents.fetch_add(1, Ordering::Relaxed);
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        lock(&self.opened).push((blob.digest.clone(), offset));
        let body = self.source.open(blob, offset).await?;
        let Some(after) = lock(&self.breaks).take() else {
            return Ok(body);
        };
        let content: Bytes = all(body).await.unwrap().into();
        let broken = SourceError::unreadable("a.test", "the connection broke");
        let pieces = [Ok(content.slice(..after)), Err(broken)];
        Ok(stream::iter(pieces).boxed())
    }

    fn origin(&self) -> Option<&Repository> {
        Some(&self.origin)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.source.referrers(subject).await
    }
}

async fn all(body: BlobStream) -> Result<Vec<u8>, SourceError> {
    let pieces: Vec<Bytes> = body.try_collect().await?;
    Ok(pieces.concat())
}

/// Content that no other name has, a piece and a half and a bit long.
fn content(name: &str) -> Bytes {
    let size = 384 * 1024 + 7;
    let bytes: Vec<u8> = name.bytes().cycle().take(size).collect();
    bytes.into()
}

/// An image of these layers, and its blobs, the config last.
fn image(layers: &[&str]) -> (MemorySource, Document, Vec<Descriptor>) {
    let mut source = MemorySource::new();
    let mut blobs = Vec::new();
    for name in layers {
        let (next, layer) = source.with_blob(MediaType::OCI_LAYER_GZIP, content(name));
        source = next;
        blobs.push(layer);
    }
    let text = format!("{{\"layers\":{layers:?}}}");
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, text);
    let builder = ManifestBuilder::new(config.clone());
    let builder = blobs.iter().cloned().fold(builder, ManifestBuilder::layer);
    let root = builder.build().unwrap();
    blobs.push(config);
    (source.with_root(root.clone()), root, blobs)
}

/// Reads all of an image, as a push does.
async fn read_through(source: &dyn Source, blobs: &[Descriptor]) -> Vec<Vec<u8>> {
    source.root().await.unwrap();
    let mut contents = Vec::new();
    for blob in blobs {
        let content = all(source.open(blob, 0).await.unwrap()).await.unwrap();
        assert!(blob.digest.matches(&content));
        contents.push(content);
    }
    contents
}

/// Waits until something is so that another task brings about.
async fn until(what: impl Fn() -> bool) {
    let looking = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking)
        .await
        .expect("it came about in time");
}
