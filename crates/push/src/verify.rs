//! Verifies a blob while its bytes go by.
//!
//! The last piece is held back until length and digest are known to be right, so a
//! registry can never complete an upload of wrong bytes: it sees an error instead of
//! the end. Hashing runs on the blocking pool beside the sending, a batch at a time, and
//! what waits for it is bounded: one stream costs what hashing costs, and a thread of
//! the runtime never does it.
//!
//! Bytes are hashed once: a source that [verifies](Source::verifies) them itself is passed through.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt as _, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Hasher, Repository, Reread, Source,
    SourceError,
};

mod pipeline;
#[cfg(test)]
mod tests;

use pipeline::{Lost, Pipeline};

/// A source whose blobs are checked while they are read.
///
/// From whatever offset a blob is opened, it is read and hashed from its start; by the source, if
/// that verifies.
#[derive(Debug)]
pub(crate) struct Verified<'a> {
    source: &'a dyn Source,
    fault: Fault,
}

/// The first fault that was found, for whoever started the reading: a target may have
/// wrapped what it was told beyond recognition.
#[derive(Clone, Debug, Default)]
struct Fault(Arc<Mutex<Option<SourceError>>>);

/// The bytes of `blob` from `offset` on, of which `whole` gives all: the last piece comes when the
/// blob is known to be what it should be, an error naming `place` otherwise.
pub(crate) fn checked(
    whole: BlobStream,
    (blob, offset): (&Descriptor, u64),
    place: String,
) -> BlobStream {
    let reader = Reader {
        inner: whole,
        blob: blob.clone(),
        place,
        unwanted: offset,
        seen: 0,
        hashing: Some(Pipeline::new(Hasher::for_digest(&blob.digest), blob.size)),
        last: None,
    };
    stream::try_unfold(reader, Reader::next).boxed()
}

/// The same for the `rest` of a blob, of which `seen` has seen all that comes before it.
pub(crate) fn checked_rest(
    rest: BlobStream,
    (blob, seen): (&Descriptor, Hasher),
    place: String,
) -> BlobStream {
    let at = seen.bytes();
    let reader = Reader {
        inner: rest,
        blob: blob.clone(),
        place,
        unwanted: 0,
        seen: at,
        hashing: Some(Pipeline::new(seen, blob.size.saturating_sub(at))),
        last: None,
    };
    stream::try_unfold(reader, Reader::next).boxed()
}

struct Reader {
    inner: BlobStream,
    blob: Descriptor,
    place: String,
    /// How much of the start was not asked for and is still to be dropped.
    unwanted: u64,
    seen: u64,
    hashing: Option<Pipeline>,
    last: Option<Bytes>,
}

impl<'a> Verified<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            fault: Fault::default(),
        }
    }

    /// Whether anything was wrong with the source.
    pub(crate) fn is_faulty(&self) -> bool {
        self.fault.lock().is_some()
    }

    /// What was wrong with the source, if anything was.
    pub(crate) fn into_fault(self) -> Option<SourceError> {
        self.fault.lock().take()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Verified<'_> {
    async fn root(&self) -> Result<Document, SourceError> {
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let verified = self.source.verifies();
        let opened = self.source.open(blob, if verified { offset } else { 0 });
        let opened = opened.await.map_err(|error| self.fault.note(error))?;
        let bytes = if verified {
            opened
        } else {
            checked(opened, (blob, offset), self.source.place(blob))
        };
        let fault = self.fault.clone();
        Ok(bytes.map_err(move |error| fault.note(error)).boxed())
    }

    fn verifies(&self) -> bool {
        true
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.source.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
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
        self.source.digest_tags(subjects).await
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }
}

impl Fault {
    /// Keeps the error and gives out another that says the same.
    fn note(&self, error: SourceError) -> SourceError {
        let again = error.again();
        self.lock().get_or_insert(error);
        again
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SourceError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// The next piece to send, and the reader to ask for the one after it.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, SourceError> {
        let piece = self.piece().await?;
        Ok(piece.map(|piece| (piece, self)))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        while self.hashing.is_some() {
            let Some(piece) = self.inner.next().await.transpose()? else {
                self.finish().await?;
                return Ok(self.last.take());
            };
            self.seen = self.seen.saturating_add(piece.len() as u64);
            if self.seen > self.blob.size {
                return Err(self.wrong_size());
            }
            if let Some(hashing) = &mut self.hashing {
                hashing
                    .update(piece.clone())
                    .await
                    .map_err(|error| self.unreadable(error))?;
            }
            let piece = self.without_prefix(piece);
            if piece.is_empty() {
                continue;
            }
            if let Some(ready) = self.last.replace(piece) {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    /// Cuts off what is before the offset that was asked for.
    fn without_prefix(&mut self, mut piece: Bytes) -> Bytes {
        let cut = usize::try_from(self.unwanted)
            .unwrap_or(usize::MAX)
            .min(piece.len());
        self.unwanted -= cut as u64;
        piece.split_off(cut)
    }

    async fn finish(&mut self) -> Result<(), SourceError> {
        if self.seen != self.blob.size {
            return Err(self.wrong_size());
        }
        let Some(hashing) = mem::take(&mut self.hashing) else {
            return Ok(());
        };
        let hasher = hashing
            .finish()
            .await
            .map_err(|error| self.unreadable(error))?;
        check(hasher, &self.blob, &self.place)
    }

    fn wrong_size(&self) -> SourceError {
        wrong_size(&self.blob, &self.place, self.seen)
    }

    fn unreadable(&self, error: Lost) -> SourceError {
        SourceError::unreadable(&self.place, error)
    }
}

/// Whether what was hashed, all of the blob's length, has its digest.
pub(crate) fn check(hasher: Hasher, blob: &Descriptor, place: &str) -> Result<(), SourceError> {
    hasher
        .check(&blob.digest)
        .map_err(|actual| SourceError::Altered {
            expected: blob.digest.clone(),
            actual,
            place: place.to_owned(),
        })
}

/// What is read of a blob is `actual` bytes long, or longer.
pub(crate) fn wrong_size(blob: &Descriptor, place: &str, actual: u64) -> SourceError {
    SourceError::WrongSize {
        digest: blob.digest.clone(),
        place: place.to_owned(),
        expected: blob.size,
        actual,
    }
}
