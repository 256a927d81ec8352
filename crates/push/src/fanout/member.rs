//! The source as one destination of a fan-out sees it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Repository, Reread, Source, SourceError,
};

use super::{
    group::{Next, Seat},
    hub::Hub,
};

/// A source that is read together with others.
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
    own: Option<BlobStream>,
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
        let Some(seat) = self.hub.join(self.at, blob, offset) else {
            return self.hub.reopen(self.at, blob, offset).await;
        };
        let reading = Reading {
            hub: Arc::clone(&self.hub),
            at: self.at,
            blob: blob.clone(),
            seat: Some(seat),
            own: None,
        };
        Ok(stream::try_unfold(reading, Reading::next).boxed())
    }

    fn verifies(&self) -> bool {
        self.hub.source.verifies()
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
        let piece = self.piece().await?;
        Ok(piece.map(|piece| (piece, self)))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        if let Some(seat) = &mut self.seat {
            match seat.next().await? {
                Next::Piece(piece) => return Ok(Some(piece)),
                Next::End => return Ok(None),
                Next::Lost { at } => {
                    self.seat = None;
                    let own = self.hub.reopen(self.at, &self.blob, at).await?;
                    self.own = Some(own);
                }
            }
        }
        match &mut self.own {
            Some(own) => own.next().await.transpose(),
            None => Ok(None),
        }
    }
}
