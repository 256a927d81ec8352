//! What an upload session has received: written and hashed as it arrives.
//!
//! Pieces are gathered into batches; a batch is hashed and written on two threads
//! at once while the next one is gathered. So one stream runs at the speed of the
//! slower of the two, and no async thread ever hashes or writes.

use std::{io, sync::Arc};

use axum::http::StatusCode;
use bytes::Bytes;
use oci::{Algorithm, Digest, Hasher, wire::ErrorCode};
use tokio::{sync::OwnedMutexGuard, task::JoinHandle};

use super::Session;
use crate::{
    answer::Refusal,
    body::Intake,
    log::Record,
    store::{self, Committed, Staged},
};

/// A batch is written when it has so many bytes. Two are in memory at a time.
const BATCH_BYTES: usize = 1024 * 1024;
/// A batch below this is not worth two threads.
const SPLIT_BYTES: usize = 256 * 1024;
/// How much is read at once to hash a prefix again.
const REHASH_BYTES: usize = 1024 * 1024;

/// What one session has.
#[derive(Debug)]
pub(crate) struct Progress {
    /// None after it was committed or dropped, or if a thread died over it.
    staged: Option<Box<dyn Staged>>,
    /// Over all that is staged; none if that has to be read again first.
    hasher: Option<Hasher>,
    algorithm: Algorithm,
    short_chunk: bool,
}

/// Writing and hashing one body.
struct Lane<'a> {
    staged: Option<Box<dyn Staged>>,
    hasher: Option<Hasher>,
    work: Option<Work>,
    /// The batch that was written last, emptied: memory is touched once, not once a batch.
    spare: Vec<u8>,
    session: &'a Session,
}

/// A batch under way.
enum Work {
    Split(JoinHandle<Written>, JoinHandle<Hasher>),
    Joined(JoinHandle<(Written, Hasher)>),
}

struct Written {
    staged: Box<dyn Staged>,
    batch: Arc<Vec<u8>>,
    result: io::Result<()>,
}

// === impl Progress ===

impl Progress {
    pub(crate) fn new(staged: Box<dyn Staged>, algorithm: Algorithm) -> Self {
        let empty = staged.length() == 0;
        Self {
            staged: Some(staged),
            hasher: empty.then(|| Hasher::new(algorithm)),
            algorithm,
            short_chunk: false,
        }
    }

    /// Notes whether a chunk has to have been the last.
    pub(crate) fn note_chunk(&mut self, length: u64, minimum: u64) {
        self.short_chunk = length < minimum;
    }

    pub(crate) fn had_short_chunk(&self) -> bool {
        self.short_chunk
    }

    /// Takes a body in. Also when it fails, what had arrived before is kept.
    pub(crate) async fn receive(
        &mut self,
        intake: &mut Intake,
        record: &Record,
        session: &Session,
    ) -> Result<(), Refusal> {
        let Some(first) = intake.next().await? else {
            return Ok(());
        };
        self.hash_prefix().await?;
        let mut lane = Lane {
            staged: self.staged.take(),
            hasher: self.hasher.take(),
            work: None,
            spare: Vec::new(),
            session,
        };
        let received = lane.run(first, intake, record).await;
        let finished = lane.finish().await;
        self.staged = lane.staged;
        self.hasher = lane.hasher;
        finished?;
        received
    }

    /// Makes sure that there is a hasher over all that is staged.
    async fn hash_prefix(&mut self) -> Result<(), Refusal> {
        if self.hasher.is_none() {
            self.hasher = Some(self.hash(self.algorithm).await?);
        }
        Ok(())
    }

    /// Hashes all that is staged, by reading it.
    async fn hash(&self, algorithm: Algorithm) -> Result<Hasher, Refusal> {
        let mut content = self.staged.as_ref().ok_or_else(gone)?.read()?;
        let hashing = store::blocking(move || {
            let mut hasher = Hasher::new(algorithm);
            loop {
                let piece = content.read(REHASH_BYTES)?;
                if piece.is_empty() {
                    return Ok(hasher);
                }
                hasher.update(&piece);
            }
        });
        Ok(hashing.await?)
    }

    /// Makes what is staged a blob, if it has this digest. If not, the session stays as it is.
    pub(crate) async fn commit(
        &mut self,
        session: &Session,
        digest: &Digest,
    ) -> Result<Committed, Refusal> {
        let hasher = match &self.hasher {
            Some(hasher) if digest.algorithm() == self.algorithm => hasher.clone(),
            _ => self.hash(digest.algorithm()).await?,
        };
        if let Err(actual) = hasher.check(digest) {
            return Err(
                Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid)
                    .message(format!("the content has digest {actual}"))
                    .detail(digest.to_string()),
            );
        }
        let mut staged = self.staged.take().ok_or_else(gone)?;
        let (name, digest) = (session.ticket().name.clone(), digest.clone());
        let (staged, committed) = tokio::task::spawn_blocking(move || {
            let committed = staged.commit(&name, &digest);
            (staged, committed)
        })
        .await
        .map_err(io::Error::other)?;
        if committed.is_err() {
            session.set_length(staged.length());
            self.hasher = None;
            self.staged = Some(staged);
        }
        Ok(committed?)
    }

    /// Drops what is staged and was not committed.
    pub(crate) async fn discard(mut progress: OwnedMutexGuard<Self>) {
        let Some(mut staged) = progress.staged.take() else {
            return;
        };
        if let Err(error) = store::blocking(move || staged.discard()).await {
            tracing::warn!(%error, "could not remove what an upload left behind");
        }
    }
}

fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown)
        .message("the upload session has ended")
}

// === impl Lane ===

impl Lane<'_> {
    async fn run(
        &mut self,
        first: Bytes,
        intake: &mut Intake,
        record: &Record,
    ) -> Result<(), Refusal> {
        let mut batch = Vec::with_capacity(first.len());
        let mut piece = Ok(Some(first));
        // After a failure the pieces before it are still good.
        let ended = loop {
            match piece {
                Ok(Some(bytes)) => {
                    record.uploaded(bytes.len());
                    batch.extend_from_slice(&bytes);
                    if batch.len() >= BATCH_BYTES {
                        batch = self.write(batch).await?;
                    }
                }
                Ok(None) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
            piece = intake.next().await;
        };
        if !batch.is_empty() {
            self.write(batch).await?;
        }
        ended
    }

    /// Starts on a batch, once the one before is done; an empty one comes back.
    async fn write(&mut self, batch: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        self.finish().await?;
        let mut staged = self.staged.take().ok_or_else(gone)?;
        let mut hasher = self.hasher.take().ok_or_else(gone)?;
        let splits = batch.len() >= SPLIT_BYTES;
        let batch = Arc::new(batch);
        let same = Arc::clone(&batch);
        let write = move || {
            let result = staged.append(&batch);
            Written {
                staged,
                batch,
                result,
            }
        };
        let hash = move || {
            hasher.update(&same);
            hasher
        };
        self.work = Some(if splits {
            Work::Split(
                tokio::task::spawn_blocking(write),
                tokio::task::spawn_blocking(hash),
            )
        } else {
            Work::Joined(tokio::task::spawn_blocking(move || {
                let hasher = hash();
                (write(), hasher)
            }))
        });
        Ok(std::mem::take(&mut self.spare))
    }

    /// Waits for the batch that is under way.
    async fn finish(&mut self) -> Result<(), Refusal> {
        let (written, hasher) = match self.work.take() {
            None => return Ok(()),
            Some(Work::Joined(work)) => work.await.map_err(io::Error::other)?,
            Some(Work::Split(writing, hashing)) => {
                let (written, hasher) = tokio::join!(writing, hashing);
                (
                    written.map_err(io::Error::other)?,
                    hasher.map_err(io::Error::other)?,
                )
            }
        };
        self.session.set_length(written.staged.length());
        self.staged = Some(written.staged);
        self.spare = Arc::into_inner(written.batch).unwrap_or_default();
        self.spare.clear();
        // The hasher knows bytes that are not there: it is made anew when it is needed.
        self.hasher = written.result.is_ok().then_some(hasher);
        Ok(written.result?)
    }
}
