//! A source that looks into a store first, and puts into it what it reads.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Repository, Reread, Source, SourceError,
};
use tokio::sync::OnceCell;

use super::{
    Store,
    part::{Part, Pen, Turn},
};
use crate::verify::checked;

/// Another source, with a [`Store`] before it.
///
/// What the store holds is read there, after its digest was checked, and causes nothing to be
/// asked of the source. What it does not hold is read from the source once, and kept on the way:
/// the push sees the same bytes whether or not that succeeds. They are verified on their way, once
/// for the store and the push together. Referrers are always the source's,
/// because what is about an image changes; where the source is, is its own to say.
#[derive(Debug)]
pub struct CachedSource<S: ?Sized> {
    store: Store,
    root: OnceCell<Document>,
    /// The root, where that is known.
    pinned: Option<Digest>,
    meter: Meter,
    /// What is on its way into the store: a blob that is read again is gone on with.
    parts: Mutex<HashMap<Digest, Arc<Part>>>,
    source: Arc<S>,
}

/// Where the bytes of a [`CachedSource`] came from so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// How often a blob was opened in the store.
    pub stored_blobs: u64,
    /// Bytes of blobs read from the store.
    pub stored_bytes: u64,
    /// How often a blob was opened in the source.
    pub fetched_blobs: u64,
    /// Bytes of blobs read from the source.
    pub fetched_bytes: u64,
}

/// Counts what a [`CachedSource`] reads, for who has given it away. Clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    stored_blobs: AtomicU64,
    stored_bytes: AtomicU64,
    fetched_blobs: AtomicU64,
    fetched_bytes: AtomicU64,
}

impl<S: Source + ?Sized + 'static> CachedSource<S> {
    /// `source`, with `store` before it.
    pub fn new(source: Arc<S>, store: Store) -> Self {
        Self {
            store,
            root: OnceCell::new(),
            pinned: None,
            meter: Meter::default(),
            parts: Mutex::default(),
            source,
        }
    }

    /// The same, where it is known that the source's root has this digest: one that is in the
    /// store is not asked for.
    #[must_use]
    pub fn with_root(mut self, root: Digest) -> Self {
        self.pinned = Some(root);
        self
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was read so far, and from where.
    pub fn tally(&self) -> Tally {
        self.meter.tally()
    }

    /// What counts it.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    async fn read_root(&self) -> Result<Document, SourceError> {
        if let Some(digest) = &self.pinned
            && let Some(root) = self.store.document(digest, None).await
        {
            return Ok(root);
        }
        let root = self.source.root().await?;
        self.store.keep_document(&root);
        Ok(root)
    }

    /// All bytes of a blob that the store does not hold, and who has the pen in the end.
    async fn fetch(&self, blob: &Descriptor) -> Result<(BlobStream, Verdict), SourceError> {
        let part = self.store.part(blob).await;
        if let Some(part) = &part {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts.retain(|_, it| !it.is_over());
            parts.insert(blob.digest.clone(), Arc::clone(part));
        }
        let verdict = Verdict::default();
        let mut reader = Reader {
            part,
            blob: blob.clone(),
            at: 0,
            ready: None,
            pen: verdict.clone(),
            body: None,
            meter: self.meter.clone(),
            source: Arc::clone(&self.source),
        };
        // What is wrong with the source is told by whoever opens it, as without a store.
        if let Some(piece) = reader.turn().await? {
            reader.ready = Some(piece);
        }
        Ok((stream::try_unfold(reader, Reader::next).boxed(), verdict))
    }
}

impl Meter {
    /// What was read so far, and from where.
    pub fn tally(&self) -> Tally {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Tally {
            stored_blobs: get(&self.0.stored_blobs),
            stored_bytes: get(&self.0.stored_bytes),
            fetched_blobs: get(&self.0.fetched_blobs),
            fetched_bytes: get(&self.0.fetched_bytes),
        }
    }

    fn stored(&self, bytes: usize) {
        let counter = &self.0.stored_bytes;
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn fetched(&self, bytes: usize) {
        let counter = &self.0.fetched_bytes;
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Source + ?Sized + 'static> Source for CachedSource<S> {
    async fn root(&self) -> Result<Document, SourceError> {
        let root = self.root.get_or_try_init(|| self.read_root());
        root.await.cloned()
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let stored = self.store.document(&descriptor.digest, Some(descriptor));
        if let Some(document) = stored.await {
            return Ok(document);
        }
        let document = self.source.document(descriptor).await?;
        self.store.keep_document(&document);
        Ok(document)
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let place = self.source.place(blob);
        if let Some(stored) = self.store.blob(blob).await {
            self.meter.0.stored_blobs.fetch_add(1, Ordering::Relaxed);
            let meter = self.meter.clone();
            let counted = stored.stream(0)?.inspect(move |piece| {
                meter.stored(piece.as_ref().map_or(0, Bytes::len));
            });
            return Ok(checked(counted.boxed(), (blob, offset), place));
        }
        let (fetched, verdict) = self.fetch(blob).await?;
        let size = blob.size;
        let mut at = offset;
        let verified = checked(fetched, (blob, offset), place).inspect(move |piece| match piece {
            Ok(piece) => {
                at += piece.len() as u64;
                // The last piece is there: so all of it is what it should be.
                if at == size {
                    verdict.accept();
                }
            }
            Err(SourceError::Altered { .. } | SourceError::WrongSize { .. }) => verdict.reject(),
            Err(_) => {}
        });
        Ok(verified.boxed())
    }

    fn verifies(&self) -> bool {
        true
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        if self.store.seems_to_hold(blob).await {
            return Ok(());
        }
        self.source.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        if self.store.seems_to_hold(blob).await {
            // What is read is verified each time: nothing has to be told from a mark.
            return Ok(None);
        }
        self.source.version(blob).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        self.source.place(blob)
    }

    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        self.source.read_elsewhere(blob, fault).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.source.referrers(subject).await
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        let found = self.source.digest_tags(subjects).await?;
        for it in &found {
            self.store.keep_document(&it.document);
        }
        Ok(found)
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }
}

/// The pen of whoever reads, for who finds out whether what was read is to be kept. Dropped by both,
/// the pen is free for the next.
#[derive(Clone, Debug, Default)]
struct Verdict(Arc<Mutex<Option<Pen>>>);

impl Verdict {
    fn await_with(&self, pen: Pen) {
        *self.lock() = Some(pen);
    }

    fn accept(&self) {
        if let Some(pen) = self.lock().take() {
            pen.finish();
        }
    }

    fn reject(&self) {
        if let Some(pen) = self.lock().take() {
            pen.discard();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reading of a blob that is not in the store, or not yet.
struct Reader<S: ?Sized> {
    /// What is in the store of it so far, and is being added to.
    part: Option<Arc<Part>>,
    blob: Descriptor,
    at: u64,
    /// Read beforehand.
    ready: Option<Bytes>,
    pen: Verdict,
    /// The source's bytes from `at` on.
    body: Option<BlobStream>,
    meter: Meter,
    source: Arc<S>,
}

impl<S: Source + ?Sized> Reader<S> {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, SourceError> {
        let piece = match self.ready.take() {
            Some(piece) => Some(piece),
            None => self.piece().await?,
        };
        Ok(piece.map(|piece| (piece, self)))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            if let Some(body) = &mut self.body {
                let Some(piece) = body.next().await.transpose()? else {
                    return Ok(None);
                };
                self.at += piece.len() as u64;
                let pen = self.pen.lock().take();
                if let Some(mut pen) = pen {
                    pen.write(&piece).await;
                    self.pen.await_with(pen);
                }
                self.meter.fetched(piece.len());
                return Ok(Some(piece));
            }
            if self.at >= self.blob.size && self.at > 0 {
                // All of it was written by another, who did not learn whether it is to be kept.
                if let Some(part) = &self.part
                    && let Some(pen) = part.last_pen().await
                {
                    self.pen.await_with(pen);
                }
                return Ok(None);
            }
            if let Some(piece) = self.turn().await? {
                return Ok(Some(piece));
            }
        }
    }

    /// Takes the next piece of what is in the store, or opens the source where that ends.
    async fn turn(&mut self) -> Result<Option<Bytes>, SourceError> {
        let turn = match &self.part {
            Some(part) => part.turn(self.at).await,
            None => Turn::Alone,
        };
        match turn {
            Turn::Read(piece) => {
                self.at += piece.len() as u64;
                self.meter.stored(piece.len());
                return Ok(Some(piece));
            }
            Turn::Write(pen) => self.pen.await_with(pen),
            Turn::Alone => self.part = None,
            Turn::End => {
                self.body = Some(stream::empty().boxed());
                return Ok(None);
            }
        }
        self.meter.0.fetched_blobs.fetch_add(1, Ordering::Relaxed);
        let body = self.source.open(&self.blob, self.at).await?;
        self.body = Some(body);
        Ok(None)
    }
}
