//! Blobs that the source has not got, from other registries that were seen to hold them.
//!
//! ```text
//!   source ──has not got it──▶ index: seen there ──HEAD──▶ somebody has it still
//!                                              opened ──▶ the first that gives it
//! ```
//!
//! A foreign layer is not looked for: whether it is fetched at all is for who pushes to say.
//! So an image can be pushed of which only what was changed is at hand. Who holds a blob on the
//! destination's own registry is not gone to: it is mounted from there. Nothing is written on
//! the way, and the push verifies these bytes as it does any.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Presence, Registry, Repository, Source,
    SourceError,
};
use push::index::BlobIndex;
use registry::Client;

/// How many places are asked for one blob, at most.
const MOST_PLACES: usize = 4;

/// Another source, whose blobs come from where they were seen if it has not got them.
#[derive(Debug)]
pub(crate) struct WithRecorded {
    source: Box<dyn Source>,
    client: Client,
    index: Arc<dyn BlobIndex>,
    /// Where it is pushed to.
    to: Registry,
    /// For each blob that was looked for, who may have it: first who said so.
    places: Mutex<HashMap<Digest, Vec<Repository>>>,
}

impl WithRecorded {
    pub(crate) fn new(
        source: Box<dyn Source>,
        client: &Client,
        (index, to): (Arc<dyn BlobIndex>, &Registry),
    ) -> Self {
        Self {
            source,
            client: client.clone(),
            index,
            to: to.clone(),
            places: Mutex::default(),
        }
    }

    fn known(&self, digest: &Digest) -> Option<Vec<Repository>> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(digest).cloned()
    }

    /// Who has the blob by the word of at least one of them; the newest sight first. What cannot be read
    /// of the index was not seen.
    async fn places(&self, blob: &Descriptor) -> Vec<Repository> {
        if let Some(known) = self.known(&blob.digest) {
            return known;
        }
        let digests = [blob.digest.clone()];
        let located = self.index.locate(&self.to, &digests).await;
        let elsewhere = located
            .unwrap_or_default()
            .into_iter()
            .flat_map(|it| it.elsewhere);
        let seen = elsewhere
            .filter(|it| it.denied.is_none() && it.held.is_some_and(|(size, _)| size == blob.size));
        let mut left = seen.map(|it| it.repository).take(MOST_PLACES);
        let mut places = Vec::new();
        for place in left.by_ref() {
            let there = self.client.repository(&place).has_blob(blob).await;
            if matches!(there, Ok(Presence::Held(_))) {
                places.push(place);
                break;
            }
        }
        if !places.is_empty() {
            places.extend(left);
        }
        let mut known = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(blob.digest.clone(), places.clone());
        places
    }

    async fn open_recorded(
        &self,
        blob: &Descriptor,
        (offset, missing): (u64, SourceError),
    ) -> Result<BlobStream, SourceError> {
        let mut error = missing;
        for place in self.places(blob).await {
            match self.client.repository(&place).open_blob(blob, offset).await {
                Ok(stream) => return Ok(stream),
                Err(other) => error = other,
            }
        }
        Err(error)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for WithRecorded {
    async fn root(&self) -> Result<Document, SourceError> {
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        match self.source.open(blob, offset).await {
            Err(missing @ SourceError::Missing { .. }) if !blob.is_foreign() => {
                self.open_recorded(blob, (offset, missing)).await
            }
            opened => opened,
        }
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        match self.source.check_blob(blob).await {
            Err(SourceError::Missing { .. })
                if !blob.is_foreign() && !self.places(blob).await.is_empty() =>
            {
                Ok(())
            }
            checked => checked,
        }
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        match self.source.version(blob).await {
            Err(SourceError::Missing { .. }) if !blob.is_foreign() => Ok(None),
            version => version,
        }
    }

    fn place(&self, blob: &Descriptor) -> String {
        let places = self.known(&blob.digest).unwrap_or_default();
        match places.first() {
            Some(place) => format!("{place}@{}", blob.digest),
            None => self.source.place(blob),
        }
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
