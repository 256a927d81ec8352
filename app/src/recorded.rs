//! Blobs that the source has not got, from other registries that were seen to hold them.
//!
//! ```text
//!   source ──has not got it──▶ index: seen there ──HEAD──▶ somebody has it still
//!                                              opened ──▶ the first that gives it ──breaks──▶ the next
//! ```
//!
//! A foreign layer is not looked for: whether it is fetched at all is for who pushes to say.
//! So an image can be pushed of which only what was changed is at hand. Who holds a blob on the
//! destination's own registry is not gone to: it is mounted from there. Of several registries each
//! may hold what another one lacks. Nothing is written on the way, and the push verifies these bytes
//! as it does any.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Presence, Registry, Repository, Reread,
    Source, SourceError,
};
use push::index::{BlobIndex, Sight, Sighting};
use registry::Client;

/// How many places are asked for one blob, at most.
const MOST_PLACES: usize = 4;

/// Another source, whose blobs come from where they were seen if it has not got them.
#[derive(Debug)]
pub(crate) struct WithRecorded {
    source: Box<dyn Source>,
    client: Client,
    index: Arc<dyn BlobIndex>,
    /// Where it is pushed to, if that is one registry and nothing else.
    to: Option<Registry>,
    places: Arc<Places>,
}

/// For each blob that was looked for, who may have it: first who is read from next.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<Digest, Vec<Repository>>>);

impl WithRecorded {
    pub(crate) fn new(
        source: Box<dyn Source>,
        client: &Client,
        (index, to): (Arc<dyn BlobIndex>, Option<&Registry>),
    ) -> Self {
        Self {
            source,
            client: client.clone(),
            index,
            to: to.cloned(),
            places: Arc::default(),
        }
    }

    /// Who has the blob by the word of at least one of them; the newest sight first. What cannot be read
    /// of the index was not seen.
    async fn places(&self, blob: &Descriptor) -> Vec<Repository> {
        if let Some(known) = self.places.known(&blob.digest) {
            return known;
        }
        let mut left = self.seen(blob).await.into_iter();
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
        self.places.remember(&blob.digest, places)
    }

    /// Where the blob was seen, the newest sight first.
    async fn seen(&self, blob: &Descriptor) -> Vec<Repository> {
        // Of nobody's registry all are elsewhere, and all are if there are several.
        let anybody = Registry::docker_hub();
        let registry = self.to.as_ref().unwrap_or(&anybody);
        let digests = std::slice::from_ref(&blob.digest);
        let located = self.index.locate(registry, digests).await;
        let mut places = Vec::new();
        for it in located.unwrap_or_default() {
            places.extend(it.elsewhere);
            if self.to.is_none() {
                places.extend(it.here);
            }
        }
        places
            .retain(|it| it.denied.is_none() && it.held.is_some_and(|(size, _)| size == blob.size));
        places.sort_by_key(|it| std::cmp::Reverse(it.at));
        places.truncate(MOST_PLACES);
        places.into_iter().map(|it| it.repository).collect()
    }

    async fn open_recorded(
        &self,
        blob: &Descriptor,
        (offset, missing): (u64, SourceError),
    ) -> Result<BlobStream, SourceError> {
        let mut relay = Relay {
            client: self.client.clone(),
            blob: blob.clone(),
            at: offset,
            left: self.places(blob).await.into(),
            places: Arc::clone(&self.places),
            from: None,
            body: None,
        };
        relay.open(missing).await?;
        let relayed = stream::try_unfold(relay, async |mut relay| {
            while let Some(body) = &mut relay.body {
                match body.next().await {
                    Some(Ok(piece)) => {
                        relay.at += piece.len() as u64;
                        return Ok(Some((piece, relay)));
                    }
                    Some(Err(error)) => relay.open(error).await?,
                    None => break,
                }
            }
            Ok(None)
        });
        Ok(relayed.boxed())
    }
}

/// A blob from the first of several places that gives it; where one breaks off, the next goes on.
struct Relay {
    client: Client,
    blob: Descriptor,
    /// How far it is, in bytes.
    at: u64,
    /// Who was not asked yet.
    left: VecDeque<Repository>,
    places: Arc<Places>,
    /// Who was asked last.
    from: Option<Repository>,
    body: Option<BlobStream>,
}

impl Relay {
    /// Asks the next who gives it; if nobody does, the last error is the answer. Who has
    /// not given it is not asked first the next time either.
    async fn open(&mut self, mut error: SourceError) -> Result<(), SourceError> {
        while let Some(place) = self.left.pop_front() {
            if let Some(before) = self.from.replace(place.clone()) {
                self.places.put_last(&self.blob.digest, &before);
            }
            let repository = self.client.repository(&place);
            match repository.open_blob(&self.blob, self.at).await {
                Ok(body) => {
                    self.body = Some(body);
                    return Ok(());
                }
                Err(other) => error = other,
            }
        }
        Err(error)
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Vec<Repository>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, digest: &Digest) -> Option<Vec<Repository>> {
        self.lock().get(digest).cloned()
    }

    /// Keeps them, unless somebody else has meanwhile; what is known then.
    fn remember(&self, digest: &Digest, places: Vec<Repository>) -> Vec<Repository> {
        let mut known = self.lock();
        known.entry(digest.clone()).or_insert(places).clone()
    }

    /// Begins with every other place before this one.
    fn put_last(&self, digest: &Digest, place: &Repository) {
        if let Some(places) = self.lock().get_mut(digest)
            && let Some(at) = places.iter().position(|it| it == place)
        {
            places[at..].rotate_left(1);
        }
    }

    /// Leaves the place that gave what `read` says, if it is still the first: that, and who is first
    /// then. Told of it again, it leaves nothing, and says the same.
    fn left(&self, digest: &Digest, read: &str) -> (Option<Repository>, Option<Repository>) {
        let mut known = self.lock();
        let Some(places) = known.get_mut(digest) else {
            return (None, None);
        };
        let is_first = places.first().is_some_and(|it| named(it, digest) == read);
        let left = is_first.then(|| places.remove(0));
        (left, places.first().cloned())
    }
}

/// A blob in a repository, for a person.
fn named(place: &Repository, digest: &Digest) -> String {
    format!("{place}@{digest}")
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

    fn verifies(&self) -> bool {
        false
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
        let places = self.places.known(&blob.digest).unwrap_or_default();
        match places.first() {
            Some(place) => named(place, &blob.digest),
            None => self.source.place(blob),
        }
    }

    /// That a place gave other bytes is kept, so that no later push begins with it.
    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        let SourceError::Altered { place: read, .. } = fault else {
            return None;
        };
        let digest = &blob.digest;
        let (left, next) = self.places.left(digest, read);
        if let Some(left) = &left {
            let digest = digest.clone();
            let gone = Sighting::now(left, Sight::Gone { digest });
            self.index.record_soon(vec![gone]);
        }
        next.map(|next| Reread::new(read, named(&next, digest)))
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
