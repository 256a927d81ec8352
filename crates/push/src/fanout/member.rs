//! The source as one destination of a fan-out sees it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Hasher, Repository, Reread, Source,
    SourceError,
};

use super::{
    group::{Next, Seat},
    hub::Hub,
};
use crate::verify::{checked, checked_rest};

/// A source that is read together with others, and verified: what the source does not verify is
/// hashed once for all who read it together.
#[derive(Debug)]
pub(super) struct Member {
    hub: Arc<Hub>,
    at: usize,
}

/// One reading of a blob: in a seat, then alone if the seat is lost.
struct Reading {
    hub: Arc<Hub>,
    at: usize,
    blob: Descriptor,
    seat: Option<Seat>,
    own: Option<Own>,
    /// How much of the start was not asked for and is still to be dropped.
    unwanted: u64,
}

/// What is read alone after a seat was lost.
struct Own {
    body: BlobStream,
    /// The seat, if it is still to be heard whether what was taken there is right; then the last piece
    /// is kept until that is known.
    taken_from: Option<Seat>,
    last: Option<Bytes>,
}

impl Member {
    pub(super) fn new(hub: Arc<Hub>, at: usize) -> Self {
        Self { hub, at }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Member {
    async fn root(&self) -> Result<Document, SourceError> {
        self.hub.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.hub.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        // What is hashed is read from its start.
        let hashed = !self.hub.source.verifies();
        let start = if hashed { 0 } else { offset };
        let Some(seat) = self.hub.join(self.at, blob, start) else {
            let own = self.hub.reopen(self.at, blob, start).await?;
            if !hashed {
                return Ok(own);
            }
            return Ok(checked(own, (blob, offset), self.place(blob)));
        };
        let reading = Reading {
            hub: Arc::clone(&self.hub),
            at: self.at,
            blob: blob.clone(),
            seat: Some(seat),
            own: None,
            unwanted: offset - start,
        };
        Ok(stream::try_unfold(reading, Reading::next).boxed())
    }

    fn verifies(&self) -> bool {
        true
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.hub.source.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        self.hub.source.version(blob).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        self.hub.source.place(blob)
    }

    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        self.hub.source.read_elsewhere(blob, fault).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.hub.source.referrers(subject).await
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        self.hub.source.digest_tags(subjects).await
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.hub.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.hub.source.origin()
    }
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, SourceError> {
        while let Some(mut piece) = self.piece().await? {
            let cut = usize::try_from(self.unwanted).unwrap_or(usize::MAX);
            let cut = cut.min(piece.len());
            self.unwanted -= cut as u64;
            let piece = piece.split_off(cut);
            if !piece.is_empty() {
                return Ok(Some((piece, self)));
            }
        }
        Ok(None)
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        if let Some(seat) = &mut self.seat {
            match seat.next().await? {
                Next::Piece(piece) => return Ok(Some(piece)),
                Next::End => return Ok(None),
                Next::Lost { at, seen } => self.go_on_alone(at, seen).await?,
            }
        }
        match &mut self.own {
            Some(own) => own.piece().await,
            None => Ok(None),
        }
    }

    /// Opens the source at `at`. All that is given out is verified: what was taken so far goes into
    /// the same hash, or has to be found right where it was taken.
    async fn go_on_alone(&mut self, at: u64, seen: Option<Hasher>) -> Result<(), SourceError> {
        let taken_from = self.seat.take().filter(|_| seen.is_none());
        let body = self.hub.reopen(self.at, &self.blob, at).await?;
        let body = match seen {
            Some(seen) => {
                let place = self.hub.source.place(&self.blob);
                checked_rest(body, (&self.blob, seen), place)
            }
            None => body,
        };
        self.own = Some(Own {
            body,
            taken_from,
            last: None,
        });
        Ok(())
    }
}

impl Own {
    async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            let piece = self.body.next().await.transpose()?;
            let Some(seat) = &self.taken_from else {
                return Ok(piece);
            };
            let Some(piece) = piece else {
                seat.ended_well().await?;
                self.taken_from = None;
                return Ok(self.last.take());
            };
            if let Some(ready) = self.last.replace(piece) {
                return Ok(Some(ready));
            }
        }
    }
}
