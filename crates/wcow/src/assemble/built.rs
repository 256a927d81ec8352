//! What was built: an image, or an index of several, that can be pushed.

use std::sync::Arc;

use async_trait::async_trait;
use oci::{BlobStream, Descriptor, Digest, Document, Platform, Source, SourceError};

use super::{BuildError, index};
use crate::{Base, BuiltImage, BuiltSource};

/// What was built: the images, newest build of Windows first, and their index if there are several.
#[derive(Clone, Debug)]
pub struct Built {
    parts: Vec<BuiltPart>,
    index: Option<Document>,
    fetched: Vec<FetchedLayer>,
}

/// A layer that was fetched, because files were copied out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedLayer {
    /// The image, as the Dockerfile names it, rules followed.
    pub reference: String,
    /// The layer's digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

/// One image, and what it is built on.
#[derive(Clone, Debug)]
pub struct BuiltPart {
    source: BuiltSource,
    platform: Platform,
    base: Option<Base>,
}

impl BuiltPart {
    pub(super) fn new(image: BuiltImage, platform: Platform, base: Option<Base>) -> Self {
        let source = image.into_source();
        let source = match &base {
            Some(base) => source.with_base(Arc::clone(base.source())),
            None => source,
        };
        Self {
            source,
            platform,
            base,
        }
    }

    /// The image.
    pub fn image(&self) -> &BuiltImage {
        self.source.image()
    }

    /// What it runs on.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// What it is built on; none on scratch.
    pub fn base(&self) -> Option<&Base> {
        self.base.as_ref()
    }

    fn has(&self, blob: &Digest) -> bool {
        let image = self.image();
        image.config_descriptor().digest == *blob
            || image.layers().iter().any(|it| it.digest == *blob)
    }
}

impl Built {
    pub(super) fn of(parts: Vec<BuiltPart>) -> Result<Self, BuildError> {
        if parts.is_empty() {
            return Err(BuildError::NoStage);
        }
        let index = index::of(&parts)?;
        Ok(Self {
            parts,
            index,
            fetched: Vec::new(),
        })
    }

    pub(super) fn with_fetched(mut self, fetched: Vec<FetchedLayer>) -> Self {
        self.fetched = fetched;
        self
    }

    /// The layers that were fetched to copy files out of them, each once.
    pub fn fetched(&self) -> &[FetchedLayer] {
        &self.fetched
    }

    /// The images, in the index's order.
    pub fn parts(&self) -> &[BuiltPart] {
        &self.parts
    }

    /// The index; none for one image.
    pub fn index(&self) -> Option<&Document> {
        self.index.as_ref()
    }

    /// The digest to pull it by: the index's, or the one image's.
    pub fn digest(&self) -> Option<&Digest> {
        let only = self.parts.first().map(|it| it.image().digest());
        self.index.as_ref().map(Document::digest).or(only)
    }

    fn part(&self, blob: &Descriptor) -> Result<&BuiltPart, SourceError> {
        let found = self.parts.iter().find(|it| it.has(&blob.digest));
        found.ok_or_else(|| missing(&blob.digest))
    }
}

fn missing(digest: &Digest) -> SourceError {
    SourceError::Missing {
        digest: digest.clone(),
        place: "the images that were built".to_owned(),
    }
}

#[async_trait]
impl Source for Built {
    async fn root(&self) -> Result<Document, SourceError> {
        match (&self.index, &self.parts[..]) {
            (Some(index), _) => Ok(index.clone()),
            (None, [only, ..]) => only.source.root().await,
            (None, []) => Err(SourceError::invalid("the build", "it has no image")),
        }
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let images = self.parts.iter().map(|it| it.image().manifest());
        let mut documents = images.chain(&self.index);
        let found = documents.find(|it| *it.digest() == descriptor.digest);
        found.cloned().ok_or_else(|| missing(&descriptor.digest))
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.part(blob)?.source.open(blob, offset).await
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.part(blob)?.source.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        self.part(blob)?.source.version(blob).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        match self.part(blob) {
            Ok(part) => part.source.place(blob),
            Err(_) => "the images that were built".to_owned(),
        }
    }
}
