//! Foreign layers as ordinary ones: manifests whose layers are of the distributable types, without
//! `urls`, and indexes that list those manifests.
//!
//! ```text
//!   index ──▶ manifest ──▶ foreign layer         as it is in the source
//!   index' ─▶ manifest' ─▶ ordinary layer        as it is pushed: the layer's bytes are the same
//! ```
//!
//! Whatever is not changed stays to the byte, fields that nobody here knows included. A manifest
//! that is changed is another one: what was about the first, signatures and attestations, says
//! nothing of the second and stays behind.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, DocumentError, MediaType, Repository,
    Reread, Source, SourceError,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    graph::MAX_DEPTH,
    verbatim::{Fields, raw},
};

#[cfg(test)]
mod tests;

/// How many manifests are looked into.
const MAX_DOCUMENTS: usize = 4096;

/// The annotation by which a child of an index says what it is about
/// ([attestation storage](https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md)).
const ABOUT: &str = "vnd.docker.reference.digest";

/// A manifest or index that is pushed as another one. As JSON: `{"mediaType", "from", "to"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Rewritten {
    /// Its type.
    pub media_type: MediaType,
    /// The digest it has in the source.
    pub from: Digest,
    /// The digest it is pushed with.
    pub to: Digest,
}

/// What an image becomes whose foreign layers are embedded.
#[derive(Debug)]
pub(crate) struct Embedding {
    root: Document,
    /// What was made, by its digest.
    made: HashMap<Digest, Document>,
    /// The layers as the source's manifests have them, each once, in their order.
    pub(crate) layers: Vec<Descriptor>,
    /// Children before parents: the image itself is the last.
    pub(crate) rewritten: Vec<Rewritten>,
    /// What is about something that was rewritten, and is not pushed.
    pub(crate) left_behind: Vec<Digest>,
}

/// A source as it is pushed when its foreign layers are embedded.
#[derive(Debug)]
pub(crate) struct Embedded<'a> {
    source: &'a dyn Source,
    embedding: Arc<Embedding>,
}

/// An embedding while it is made.
struct Making<'a> {
    source: &'a dyn Source,
    /// What each document became that was looked into; none if it stays as it is.
    fates: HashMap<Digest, Option<Document>>,
    made: HashMap<Digest, Document>,
    layers: Vec<Descriptor>,
    rewritten: Vec<Rewritten>,
    left_behind: Vec<Digest>,
}

impl<'a> Embedded<'a> {
    /// Reads all manifests of `source`, and writes anew those that have foreign layers; with
    /// `referrers`, it is looked what is about them, and so stays behind.
    pub(crate) async fn of(source: &'a dyn Source, referrers: bool) -> Result<Self, SourceError> {
        let whole = source.root().await?;
        let mut making = Making {
            source,
            fates: HashMap::new(),
            made: HashMap::new(),
            layers: Vec::new(),
            rewritten: Vec::new(),
            left_behind: Vec::new(),
        };
        let root = making.document(&whole, 0).await?.unwrap_or(whole);
        if referrers {
            making.look_for_referrers().await?;
        }
        let Making {
            made,
            layers,
            rewritten,
            left_behind,
            ..
        } = making;
        Ok(Self {
            source,
            embedding: Arc::new(Embedding {
                root,
                made,
                layers,
                rewritten,
                left_behind,
            }),
        })
    }

    /// The same of what was made before.
    pub(crate) fn again(source: &'a dyn Source, embedding: Arc<Embedding>) -> Self {
        Self { source, embedding }
    }

    pub(crate) fn embedding(&self) -> &Arc<Embedding> {
        &self.embedding
    }

    fn as_in_the_source<'b>(&'b self, blob: &'b Descriptor) -> &'b Descriptor {
        let mut layers = self.embedding.layers.iter();
        layers.find(|it| it.digest == blob.digest).unwrap_or(blob)
    }
}

impl Embedding {
    /// The image as it is pushed.
    pub(crate) fn root(&self) -> &Document {
        &self.root
    }
}

impl Making<'_> {
    /// What a document becomes; none if it stays as it is.
    fn document<'b>(
        &'b mut self,
        document: &'b Document,
        depth: usize,
    ) -> BoxFuture<'b, Result<Option<Document>, SourceError>> {
        async move {
            if let Some(known) = self.fates.get(document.digest()) {
                return Ok(known.clone());
            }
            if depth > MAX_DEPTH || self.fates.len() >= MAX_DOCUMENTS {
                let reason = format!(
                    "its manifests are nested more than {MAX_DEPTH} deep, or there are more than {MAX_DOCUMENTS}"
                );
                return Err(SourceError::invalid(document.digest(), reason));
            }
            let made = match document.as_index() {
                Some(_) => self.index(document, depth).await?,
                None => self.manifest(document)?,
            };
            self.fates.insert(document.digest().clone(), made.clone());
            if let Some(made) = &made {
                self.rewritten.push(Rewritten {
                    media_type: document.media_type().clone(),
                    from: document.digest().clone(),
                    to: made.digest().clone(),
                });
                self.made.insert(made.digest().clone(), made.clone());
            }
            Ok(made)
        }
        .boxed()
    }

    fn manifest(&mut self, document: &Document) -> Result<Option<Document>, SourceError> {
        let Some(manifest) = document.as_manifest() else {
            return Ok(None);
        };
        let foreign = manifest.layers.iter().filter(|it| it.is_foreign());
        let foreign: Vec<&Descriptor> = foreign.collect();
        if foreign.is_empty() {
            return Ok(None);
        }
        for layer in foreign {
            if !self.layers.iter().any(|it| it.digest == layer.digest) {
                self.layers.push(layer.clone());
            }
        }
        with_ordinary_layers(document)
            .map(Some)
            .map_err(unusable(document))
    }

    async fn index(
        &mut self,
        document: &Document,
        depth: usize,
    ) -> Result<Option<Document>, SourceError> {
        let children = document.as_index().map(|it| it.manifests.as_slice());
        let children = children.unwrap_or_default();
        let mut fates = Vec::with_capacity(children.len());
        for child in children {
            if self.source.leaves_out(child) || !child.is_document() {
                fates.push(Fate::Kept);
                continue;
            }
            let read = self.source.document(child).await?;
            fates.push(match self.document(&read, depth + 1).await? {
                Some(made) => Fate::Replaced(made.digest().clone(), made.descriptor().size),
                None => Fate::Kept,
            });
        }
        self.leave_attestations(children, &mut fates);
        if fates.iter().all(|it| matches!(it, Fate::Kept)) {
            return Ok(None);
        }
        with_children(document, &fates)
            .map(Some)
            .map_err(unusable(document))
    }

    /// What says something of a child that is replaced says nothing of what replaces it.
    fn leave_attestations(&mut self, children: &[Descriptor], fates: &mut [Fate]) {
        let replaced: Vec<String> = children
            .iter()
            .zip(&*fates)
            .filter(|(_, fate)| matches!(fate, Fate::Replaced(..)))
            .map(|(child, _)| child.digest.to_string())
            .collect();
        for (child, fate) in children.iter().zip(fates) {
            let about = child.annotations.get(ABOUT);
            if about.is_some_and(|it| replaced.contains(it)) {
                *fate = Fate::Dropped;
                self.leave(child.digest.clone());
            }
        }
    }

    async fn look_for_referrers(&mut self) -> Result<(), SourceError> {
        let subjects: Vec<Digest> = self.rewritten.iter().map(|it| it.from.clone()).collect();
        if subjects.is_empty() {
            return Ok(());
        }
        for subject in &subjects {
            for it in self.source.referrers(subject).await? {
                self.leave(it.digest);
            }
        }
        for it in self.source.digest_tags(&subjects).await? {
            self.leave(it.document.digest().clone());
        }
        Ok(())
    }

    fn leave(&mut self, digest: Digest) {
        if !self.left_behind.contains(&digest) {
            self.left_behind.push(digest);
        }
    }
}

/// What becomes of a child of an index.
enum Fate {
    Kept,
    /// Described as before, with the digest and length of this.
    Replaced(Digest, u64),
    Dropped,
}

/// A manifest with its foreign layers as ordinary ones.
fn with_ordinary_layers(document: &Document) -> Result<Document, DocumentError> {
    let mut fields = Fields::read(document.bytes())?;
    if let Some(layers) = fields.get_mut("layers") {
        let known: Vec<&RawValue> =
            serde_json::from_str(layers.get()).map_err(DocumentError::Malformed)?;
        let made: Result<Vec<_>, _> = known.into_iter().map(ordinary).collect();
        *layers = raw(&made?)?;
    }
    Document::new(fields.to_bytes()?.into(), Some(document.media_type()))
}

/// A layer's descriptor; of the distributable type and without `urls`, if it was a foreign one's.
fn ordinary(layer: &RawValue) -> Result<Box<RawValue>, DocumentError> {
    let described: Descriptor =
        serde_json::from_str(layer.get()).map_err(DocumentError::Malformed)?;
    let Some(media_type) = described.media_type.distributable() else {
        return Ok(layer.to_owned());
    };
    let mut fields = Fields::read(layer.get().as_bytes())?;
    fields.set("mediaType", raw(&media_type)?);
    fields.remove("urls");
    raw(&fields)
}

/// An index with its children as they are now.
fn with_children(index: &Document, fates: &[Fate]) -> Result<Document, DocumentError> {
    let mut fields = Fields::read(index.bytes())?;
    if let Some(manifests) = fields.get_mut("manifests") {
        let children: Vec<&RawValue> =
            serde_json::from_str(manifests.get()).map_err(DocumentError::Malformed)?;
        let mut listed: Vec<Box<RawValue>> = Vec::with_capacity(children.len());
        for (child, fate) in children.into_iter().zip(fates) {
            match fate {
                Fate::Kept => listed.push(child.to_owned()),
                Fate::Replaced(digest, size) => {
                    let mut fields = Fields::read(child.get().as_bytes())?;
                    fields.set("digest", raw(digest)?);
                    fields.set("size", raw(size)?);
                    listed.push(raw(&fields)?);
                }
                Fate::Dropped => {}
            }
        }
        *manifests = raw(&listed)?;
    }
    Document::new(fields.to_bytes()?.into(), Some(index.media_type()))
}

fn unusable(document: &Document) -> impl FnOnce(DocumentError) -> SourceError {
    let place = document.digest().to_string();
    move |error| SourceError::Document { place, error }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Embedded<'_> {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.embedding.root.clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let Some(made) = self.embedding.made.get(&descriptor.digest) else {
            return self.source.document(descriptor).await;
        };
        Document::verified(made.bytes().clone(), descriptor).map_err(unusable(made))
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.source.open(self.as_in_the_source(blob), offset).await
    }

    fn verifies(&self) -> bool {
        self.source.verifies()
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.source.check_blob(self.as_in_the_source(blob)).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        self.source.version(self.as_in_the_source(blob)).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        self.source.place(self.as_in_the_source(blob))
    }

    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        let blob = self.as_in_the_source(blob);
        self.source.read_elsewhere(blob, fault).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        if self.embedding.made.contains_key(subject) {
            return Ok(Vec::new());
        }
        self.source.referrers(subject).await
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        let made = &self.embedding.made;
        let known: Vec<Digest> = subjects
            .iter()
            .filter(|it| !made.contains_key(*it))
            .cloned()
            .collect();
        if known.is_empty() {
            return Ok(Vec::new());
        }
        self.source.digest_tags(&known).await
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }
}
