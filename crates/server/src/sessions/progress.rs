//! What an upload session has received: written and hashed as it arrives.
//!
//! A body runs through a [`Lane`]; what is here is what a session keeps between two.

mod batch;
mod lane;
mod side;

use std::{io, sync::Arc};

use axum::http::StatusCode;
use oci::{Algorithm, Digest, Hasher, wire::ErrorCode};
use tokio::sync::OwnedMutexGuard;

pub(crate) use batch::Room;
use lane::{Landed, Lane};

use super::Session;
use crate::{
    answer::Refusal,
    body::Intake,
    log::Record,
    store::{self, Committed, Staged},
};

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

    /// Whether it was committed or dropped.
    pub(crate) fn has_ended(&self) -> bool {
        self.staged.is_none()
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
        let staged = self.staged.take().ok_or_else(gone)?;
        let hasher = self.hasher.take().ok_or_else(gone)?;
        let length = Arc::clone(&session.length);
        let mut lane = Lane::new(staged, hasher, length, &session.room);
        let received = lane.run(first, intake, record).await;
        let Landed {
            staged,
            hasher,
            result,
        } = lane.land().await;
        (self.staged, self.hasher) = (staged, hasher);
        result?;
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

/// The session was committed or cancelled meanwhile.
pub(crate) fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown)
        .message("the upload session has ended")
}

fn died() -> io::Error {
    io::Error::other("a thread that worked on an upload died")
}
