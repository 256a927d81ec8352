//! A store of what was read from registries: so that no byte is fetched twice.
//!
//! ```text
//!   CachedSource ──▶ Store: a directory, an OCI image layout
//!        │             blob() · document()      out, after the digest was checked
//!        │             part ─ Pen               in, beside the push: hashed, synced, renamed
//!        ▼             ingest()                 in, from a file of this machine
//!     Source           list() · prune() · verify() · contents() · referrers()
//! ```
//!
//! - **Nothing is trusted.** What goes in is verified on the read that writes it, and gets its name
//!   only when it is whole and on the disk. What comes out is verified before the first byte is
//!   given out; what was altered is removed and fetched again.
//! - **Nothing depends on it.** A disk that is full, slow or read-only ends the writing with one
//!   warning; the push goes on as without a store.
//! - **It has a bound.** What was not used for longest goes first; what somebody is reading stays.
//! - **Processes share it** by the file system alone: names are digests, locks are the kernel's.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use oci::{Descriptor, Digest, Document, Hasher, MAX_MANIFEST_BYTES, SourceError};
use tokio::{sync::watch, time::timeout};

use crate::source::{FileRange, Stamp};

mod directory;
mod error;
mod ingest;
mod listing;
mod part;
mod prune;
mod referrers;
mod source;
mod verify;

#[cfg(test)]
mod tests;

pub use error::{StoreError, StoreEvent, StoreObserver};
pub use ingest::Ingested;
pub use listing::{Contents, StoredImage};
pub use prune::Pruned;
pub use source::{CachedSource, Meter, Tally};
pub use verify::Verified;

use directory::Directory;
use part::Part;
use referrers::Referrers;

/// The most that a store holds, in bytes, unless told otherwise: 10 GiB.
pub const DEFAULT_LIMIT: u64 = 10 * 1024 * 1024 * 1024;

/// How long [`Store::settle`] waits for what is being written.
const SETTLING: Duration = Duration::from_secs(30);
/// How many blobs are remembered as verified.
const PROVEN: usize = 65_536;

/// A store in a directory. Cheap to clone; clones are one store.
///
/// Needs a tokio runtime.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

/// How a store is used.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The most it holds, in bytes (inclusive): blobs and manifests, each file once. What is
    /// being fetched is beside that until it is whole. A blob over the limit is not kept.
    /// Default [`DEFAULT_LIMIT`].
    pub limit: u64,
    /// Who is told what happens with it. Default nobody.
    pub observer: Arc<dyn StoreObserver>,
    /// How long a disk that does not get on with writing is waited for, once, before nothing
    /// more is written in this run. Default 5 s.
    pub patience: Duration,
}

#[derive(Debug)]
struct Inner {
    directory: Directory,
    options: StoreOptions,
    /// Whether something may still be put in.
    writable: AtomicBool,
    told_unreadable: AtomicBool,
    parts: Mutex<HashMap<Digest, Weak<Part>>>,
    /// What was verified by this process, in the state it was in then.
    proven: Mutex<HashMap<Digest, Stamp>>,
    referrers: Referrers,
    /// The bytes in the store, as far as known.
    held: Mutex<Option<u64>>,
    /// How much is going on behind the push.
    pending: watch::Sender<usize>,
    #[cfg(test)]
    obstacle: Mutex<Option<tests::Obstacle>>,
}

/// Something that goes on; over when dropped.
#[derive(Debug)]
struct Pending(Store);

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            observer: Arc::new(()),
            patience: part::PATIENCE,
        }
    }
}

impl Store {
    /// Opens the store in `directory`, which is made if there is nothing there.
    ///
    /// A directory that holds something else is refused. One that cannot be written is used to
    /// read; the observer is told. Leftovers of killed processes are removed.
    pub async fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let it = Self::new(directory, options, true);
        let opening = it.clone();
        run(move || {
            let is_store = opening.directory().is_store()?;
            let made = opening.directory().make();
            match made {
                Ok(()) => {
                    // What cannot be swept now is swept by the next.
                    let _ = opening.directory().sweep();
                }
                Err(error) if is_store => opening.end_writes(error),
                Err(error) => {
                    return Err(StoreError::io("make the store", opening.path(), error));
                }
            }
            Ok(())
        })
        .await??;
        Ok(it)
    }

    /// Opens the store in `directory` to read it; nothing if there is none. Nothing is written,
    /// except that what is used is noted as such.
    pub async fn look(directory: &Path, options: StoreOptions) -> Result<Option<Self>, StoreError> {
        let it = Self::new(directory, options, false);
        let looking = it.clone();
        let is_store = run(move || looking.directory().is_store()).await??;
        Ok(is_store.then_some(it))
    }

    fn new(directory: &Path, options: StoreOptions, writable: bool) -> Self {
        Self(Arc::new(Inner {
            directory: Directory::new(directory.to_owned()),
            options,
            writable: AtomicBool::new(writable),
            told_unreadable: AtomicBool::default(),
            parts: Mutex::default(),
            proven: Mutex::default(),
            referrers: Referrers::default(),
            held: Mutex::default(),
            pending: watch::Sender::default(),
            #[cfg(test)]
            obstacle: Mutex::default(),
        }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.directory.path()
    }

    /// The most it holds, in bytes (inclusive).
    pub fn limit(&self) -> u64 {
        self.0.options.limit
    }

    /// Waits until what is being written is in its place: before the process ends. Gives up
    /// after 30 s; what is not whole by then is never seen by anybody.
    pub async fn settle(&self) {
        let mut pending = self.0.pending.subscribe();
        let _ = timeout(SETTLING, pending.wait_for(|count| *count == 0)).await;
    }

    /// Whether there is a file for the blob, of the right length. It was not read.
    async fn seems_to_hold(&self, blob: &Descriptor) -> bool {
        let (it, blob) = (self.clone(), blob.clone());
        let found = run(move || it.directory().size_of(&blob.digest) == Some(blob.size));
        found.await.unwrap_or(false)
    }

    /// The blob, whole and with the right digest, if it is there.
    async fn blob(&self, blob: &Descriptor) -> Option<FileRange> {
        let (it, blob) = (self.clone(), blob.clone());
        run(move || it.verified(&blob.digest, Some(blob.size)))
            .await
            .ok()
            .flatten()
    }

    /// The manifest or index, if it is there and is what is wanted.
    async fn document(&self, digest: &Digest, wanted: Option<&Descriptor>) -> Option<Document> {
        let (it, digest) = (self.clone(), digest.clone());
        let size = wanted.map(|it| it.size);
        let content = run(move || {
            let range = it.verified(&digest, size)?;
            let content = range.read_all(MAX_MANIFEST_BYTES as u64).ok()?;
            Some((Bytes::from(content), digest))
        });
        let (content, digest) = content.await.ok().flatten()?;
        // What is no manifest, or another type than was wanted, is the source's to tell of.
        match wanted {
            Some(wanted) => Document::verified(content, wanted).ok(),
            None => Document::with_digest(content, None, &digest).ok(),
        }
    }

    /// Opens a blob and verifies it, unless this process has done so. Blocks.
    fn verified(&self, digest: &Digest, size: Option<u64>) -> Option<FileRange> {
        let path = self.directory().blob(digest);
        let place = path.display().to_string();
        let opened = self.directory().open(digest);
        let file = match opened {
            Ok(file) => file?,
            Err(error) => {
                self.unreadable(&place, SourceError::unreadable(&place, error));
                return None;
            }
        };
        directory::note_use(&file);
        let range = match FileRange::whole(file, place.as_str()) {
            Ok(range) => range,
            Err(error) => {
                self.unreadable(&place, SourceError::unreadable(&place, error));
                return None;
            }
        };
        let proven = self.proven().get(digest) == Some(&range.stamp());
        if !proven && !self.prove(&range, digest, &path) {
            return None;
        }
        // A descriptor of another length is wrong, and the source's to deal with.
        size.is_none_or(|size| size == range.length())
            .then_some(range)
    }

    /// Whether the content has its digest; it is removed if not. Blocks.
    fn prove(&self, range: &FileRange, digest: &Digest, path: &Path) -> bool {
        let mut hasher = Hasher::for_digest(digest);
        let read = range.for_each_piece(|piece| {
            hasher.update(piece);
            true
        });
        if let Err(error) = read {
            self.unreadable(range.place(), range.unreadable(error));
            return false;
        }
        if hasher.check(digest).is_err() {
            // Others may be reading it, and will find the same.
            let _ = std::fs::remove_file(path);
            self.tell(&StoreEvent::Altered {
                digest: digest.clone(),
                place: range.place().to_owned(),
            });
            return false;
        }
        let mut proven = self.proven();
        if proven.len() >= PROVEN {
            proven.clear();
        }
        proven.insert(digest.clone(), range.stamp());
        true
    }

    /// Puts a manifest into the store, behind the push. Failing is no fault.
    fn keep_document(&self, document: &Document) {
        if !self.may_take(document.descriptor().size) {
            return;
        }
        let (it, document) = (self.clone(), document.clone());
        let pending = self.pending();
        tokio::task::spawn_blocking(move || {
            let _pending = pending;
            if let Err(error) = it.put(&document) {
                it.end_writes(error);
            }
        });
    }

    /// Blocks.
    fn put(&self, document: &Document) -> io::Result<()> {
        use std::io::Write as _;
        let digest = document.digest();
        self.0.referrers.learn(document);
        if self.directory().size_of(digest) == Some(document.descriptor().size) {
            if let Ok(Some(file)) = self.directory().open(digest) {
                directory::note_use(&file);
            }
            return Ok(());
        }
        let draft = self.directory().draft()?;
        self.before_write(0)?;
        draft.file().write_all(document.bytes())?;
        draft.keep(self.directory(), digest)?;
        self.kept(document.descriptor().size);
        Ok(())
    }

    /// The blob on its way into the store; nothing if it will not be there.
    async fn part(&self, blob: &Descriptor) -> Option<Arc<Part>> {
        if let Some(known) = self.known_part(blob) {
            return Some(known);
        }
        if blob.size == 0 || !self.may_take(blob.size) {
            return None;
        }
        let (it, wanted) = (self.clone(), blob.clone());
        let beginning = run(move || Part::begin(&it, &wanted));
        let begun = match timeout(self.patience(), beginning).await {
            Ok(Ok(Ok(begun))) => Arc::new(begun),
            Ok(Ok(Err(error))) => {
                self.end_writes(error);
                return None;
            }
            Ok(Err(_)) | Err(_) => {
                self.end_writes(io::ErrorKind::TimedOut.into());
                return None;
            }
        };
        let mut parts = self.parts();
        parts.retain(|_, it| it.strong_count() > 0);
        // Another may have begun meanwhile: one is enough.
        if let Some(known) = parts.get(&blob.digest).and_then(Weak::upgrade) {
            return Some(known);
        }
        parts.insert(blob.digest.clone(), Arc::downgrade(&begun));
        Some(begun)
    }

    fn known_part(&self, blob: &Descriptor) -> Option<Arc<Part>> {
        let known = self.parts().get(&blob.digest).and_then(Weak::upgrade)?;
        (known.blob.size == blob.size).then_some(known)
    }

    fn forget_part(&self, digest: &Digest) {
        self.parts().remove(digest);
    }

    fn may_take(&self, size: u64) -> bool {
        size <= self.limit() && self.0.writable.load(Ordering::Relaxed)
    }

    /// Nothing more is put in by this process. Told once.
    fn end_writes(&self, error: io::Error) {
        if self.0.writable.swap(false, Ordering::Relaxed) {
            self.tell(&StoreEvent::WritesEnded {
                place: self.path().to_owned(),
                error,
            });
        }
    }

    fn unreadable(&self, place: &str, error: SourceError) {
        if !self.0.told_unreadable.swap(true, Ordering::Relaxed) {
            let place = place.to_owned();
            self.tell(&StoreEvent::Unreadable { place, error });
        }
    }

    fn tell(&self, event: &StoreEvent) {
        self.0.options.observer.event(event);
    }

    fn directory(&self) -> &Directory {
        &self.0.directory
    }

    fn patience(&self) -> Duration {
        self.0.options.patience
    }

    fn pending(&self) -> Pending {
        self.0.pending.send_modify(|count| *count += 1);
        Pending(self.clone())
    }

    fn parts(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Part>>> {
        lock(&self.0.parts)
    }

    fn proven(&self) -> MutexGuard<'_, HashMap<Digest, Stamp>> {
        lock(&self.0.proven)
    }

    /// Called before each write of a part, `at` bytes into it. Blocks.
    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "tests put an obstacle in the way here"
    )]
    fn before_write(&self, _at: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.pending.send_modify(|count| *count -= 1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` where it may block.
async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| StoreError::Stopped)
}
