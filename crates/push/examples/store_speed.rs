//! What goes into a store of blobs and comes out of it: `store_speed [directory] [rounds]`.
//!
//! Each round has a new store in the directory. A gibibyte in four blobs that are fetched at once, and
//! 1,000 blobs of 64 KiB, 32 at once, go in from a source that costs nothing; the time ends when all is
//! in its place. Then, by another process's eyes: whether blobs are there, which nothing is read
//! for, and reading them, which verifies each. Prints medians with least and most, and first what
//! hashing, and writing a file with one sync, take alone.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_push::cache::{CachedSource, Store, StoreOptions};
use oci::{Algorithm, BlobStream, Descriptor, Document, Hasher, MediaType, Source, SourceError};

type Failure = Box<dyn std::error::Error>;

const PIECE: usize = 256 * 1024;
const GIB: u64 = 1 << 30;
const SMALL: u64 = 64 * 1024;

/// Blobs that are all alike but for their first bytes.
#[derive(Clone, Debug)]
struct Made {
    filling: Bytes,
    blobs: Vec<Descriptor>,
}

impl Made {
    fn new(count: u64, size: u64) -> Self {
        let filling: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
            .take(PIECE)
            .collect();
        let mut made = Self {
            filling: filling.into(),
            blobs: Vec::new(),
        };
        for number in 0..count {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            for piece in made.pieces(number, size) {
                hasher.update(&piece);
            }
            let digest = hasher.finish();
            let blob = Descriptor::new(MediaType::OCI_LAYER, digest, size);
            made.blobs.push(blob);
        }
        made
    }

    fn pieces(&self, number: u64, size: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let first = Bytes::copy_from_slice(&number.to_be_bytes());
        let (filling, mut left) = (self.filling.clone(), size - first.len() as u64);
        std::iter::once(first).chain(std::iter::from_fn(move || {
            let length = usize::try_from(left).map_or(PIECE, |it| it.min(PIECE));
            left -= length as u64;
            (length > 0).then(|| filling.slice(..length))
        }))
    }
}

#[async_trait]
impl Source for Made {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("this source", "it has only blobs"))
    }

    async fn document(&self, _: &Descriptor) -> Result<Document, SourceError> {
        self.root().await
    }

    async fn open(&self, blob: &Descriptor, _: u64) -> Result<BlobStream, SourceError> {
        let number = self.blobs.iter().position(|it| it.digest == blob.digest);
        let number = number.unwrap_or(self.blobs.len()) as u64;
        Ok(stream::iter(self.pieces(number, blob.size).map(Ok)).boxed())
    }
}

/// What one round took, in seconds.
type Took = Vec<(&'static str, f64)>;

struct Scene {
    large: Arc<Made>,
    small: Arc<Made>,
    more: Arc<Made>,
}

impl Scene {
    /// One round, in a directory of its own.
    async fn round(&self, directory: &Path) -> Result<Took, Failure> {
        let home = tempfile::tempdir_in(directory)?;
        let mut took = Took::new();
        took.push(("1 GiB is hashed", hashed(&self.large)));
        took.push(("1 GiB is written and synced", written(home.path())?));
        let place = home.path().join("large");
        let begun = Instant::now();
        all(&opened(&place, u64::MAX).await?, &self.large, 4).await?;
        took.push(("1 GiB goes in", begun.elapsed().as_secs_f64()));
        let begun = Instant::now();
        all(&opened(&place, u64::MAX).await?, &self.large, 4).await?;
        took.push(("1 GiB comes out", begun.elapsed().as_secs_f64()));

        let place = home.path().join("small");
        let limit = 1000 * SMALL;
        let begun = Instant::now();
        all(&opened(&place, limit).await?, &self.small, 32).await?;
        took.push(("1,000 of 64 KiB go in", begun.elapsed().as_secs_f64()));
        let begun = Instant::now();
        all(&opened(&place, limit).await?, &self.small, 32).await?;
        took.push(("1,000 of 64 KiB come out", begun.elapsed().as_secs_f64()));
        let store = opened(&place, limit).await?;
        for (what, blobs) in [
            ("1,000 that are there are looked for", &self.small),
            ("1,000 that are not", &self.more),
        ] {
            let source = CachedSource::new(Arc::clone(blobs), store.clone());
            let begun = Instant::now();
            for blob in &blobs.blobs {
                source.check_blob(blob).await?;
            }
            took.push((what, begun.elapsed().as_secs_f64()));
        }
        let begun = Instant::now();
        all(&store, &self.more, 32).await?;
        took.push((
            "1,000 more go in, and as many go",
            begun.elapsed().as_secs_f64(),
        ));
        Ok(took)
    }
}

async fn opened(place: &Path, limit: u64) -> Result<Store, Failure> {
    let options = StoreOptions {
        limit,
        ..StoreOptions::default()
    };
    Ok(Store::open(place, options).await?)
}

/// Reads all blobs through the store, so many at once and each in a task of its own, and waits until
/// what was put into it is in its place.
async fn all(store: &Store, blobs: &Arc<Made>, at_once: usize) -> Result<(), Failure> {
    let source = Arc::new(CachedSource::new(Arc::clone(blobs), store.clone()));
    let mut reading = stream::iter(&blobs.blobs)
        .map(|blob| {
            let (source, blob) = (Arc::clone(&source), blob.clone());
            tokio::spawn(async move {
                let mut body = source.open(&blob, 0).await?;
                while body.try_next().await?.is_some() {}
                Ok::<_, SourceError>(())
            })
        })
        .buffer_unordered(at_once);
    while let Some(read) = reading.next().await {
        read??;
    }
    store.settle().await;
    Ok(())
}

fn hashed(made: &Made) -> f64 {
    let begun = Instant::now();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for piece in made.pieces(0, GIB) {
        hasher.update(&piece);
    }
    let _ = hasher.finish();
    begun.elapsed().as_secs_f64()
}

fn written(directory: &Path) -> Result<f64, Failure> {
    let begun = Instant::now();
    let mut file: File = tempfile::tempfile_in(directory)?;
    let piece = vec![7; PIECE];
    for _ in 0..GIB / PIECE as u64 {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(begun.elapsed().as_secs_f64())
}

#[tokio::main]
#[expect(
    clippy::print_stdout,
    reason = "a program that measures says what it measured"
)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds: usize = arguments.next().map_or(Ok(3), |it| it.parse())?;
    let scene = Scene {
        large: Arc::new(Made::new(4, GIB / 4)),
        small: Arc::new(Made::new(1000, SMALL)),
        more: Arc::new(Made::new(1000, SMALL)),
    };
    let mut taken = Vec::new();
    for _ in 0..rounds.max(1) {
        taken.push(scene.round(&directory).await?);
    }
    let names: Vec<&str> = taken[0].iter().map(|(what, _)| *what).collect();
    println!("| what | s |\n|---|---|");
    for (at, what) in names.iter().enumerate() {
        let mut seconds: Vec<f64> = taken.iter().map(|round| round[at].1).collect();
        seconds.sort_by(f64::total_cmp);
        let (least, most) = (seconds[0], seconds[seconds.len() - 1]);
        let median = seconds[seconds.len() / 2];
        println!("| {what} | {median:.3} ({least:.3}–{most:.3}) |");
    }
    Ok(())
}
