//! Makes manifests and indexes from typed values, each written exactly once.
//!
//! What comes out is a [`Document`]: bytes and their digest. From there on nothing
//! serialises again, so the digest is the same in a plan, in a request, in the index that
//! names the manifest, and in the report. [`MemorySource`] serves them, and small blobs.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, DocumentError, MediaType, Platform,
    Repository, Reread, Source, SourceError, Tag,
};
use serde::Serialize;

/// The content of an artifact's config or layer that has none: see [`MediaType::OCI_EMPTY`].
pub const EMPTY: &[u8] = b"{}";

/// The largest piece a [`MemorySource`] gives at once, in bytes.
const PIECE: usize = 256 * 1024;

/// An image or artifact manifest to be.
///
/// ```
/// use longshore_push::compose::{IndexBuilder, ManifestBuilder};
/// use oci::{Descriptor, MediaType, Platform};
/// let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
/// let manifest = ManifestBuilder::new(config).annotation("org.example", "1").build()?;
/// let index = IndexBuilder::new().manifest(&manifest, Some(Platform::new("linux", "amd64"))).build()?;
/// assert_eq!(&index.as_index().unwrap().manifests[0].digest, manifest.digest());
/// # Ok::<(), oci::DocumentError>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestBuilder {
    schema_version: u8,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Written,
    layers: Vec<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A descriptor as it is written: with the content in it, where the content is next to nothing.
#[derive(Clone, Debug, Serialize)]
struct Written {
    #[serde(flatten)]
    descriptor: Descriptor,
    /// In base 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'static str>,
}

/// The empty config or layer, `{}`, in base 64.
const EMPTY_IN_BASE64: &str = "e30=";

/// An image index to be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexBuilder {
    schema_version: u8,
    media_type: MediaType,
    manifests: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A source that holds everything in memory: manifests, and blobs small enough for it.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    root: Option<Document>,
    documents: HashMap<Digest, Document>,
    blobs: HashMap<Digest, Bytes>,
    digest_tags: Vec<DigestTagged>,
    origin: Option<Repository>,
}

// === impl ManifestBuilder ===

impl ManifestBuilder {
    /// An OCI image manifest with this config and no layers.
    pub fn new(config: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: MediaType::OCI_MANIFEST,
            artifact_type: None,
            config: config.into(),
            layers: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The same as another type of manifest: Docker's.
    #[must_use]
    pub fn media_type(mut self, media_type: MediaType) -> Self {
        self.media_type = media_type;
        self
    }

    /// The same with one more layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Descriptor) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// The same with the content of empty configs and layers (`{}`) beside their digests, as the
    /// image-spec has its
    /// [empty descriptor](https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor):
    /// who reads the manifest need not fetch two bytes. Counts for what was added before.
    #[must_use]
    pub fn with_empty_content(mut self) -> Self {
        for it in iter::once(&mut self.config).chain(&mut self.layers) {
            let is_empty = it.descriptor.media_type == MediaType::OCI_EMPTY
                && it.descriptor.digest.matches(EMPTY);
            it.data = is_empty.then_some(EMPTY_IN_BASE64);
        }
        self
    }

    /// The same as an artifact of this type.
    #[must_use]
    pub fn artifact_type(mut self, artifact_type: impl Into<String>) -> Self {
        self.artifact_type = Some(artifact_type.into());
        self
    }

    /// The same, being about another manifest.
    #[must_use]
    pub fn subject(self, subject: &Document) -> Self {
        self.about(subject.descriptor().clone())
    }

    /// The same, being about the manifest that `subject` describes.
    #[must_use]
    pub fn about(mut self, subject: Descriptor) -> Self {
        self.subject = Some(subject);
        self
    }

    /// The same with an annotation.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Writes it. Called twice, it gives the same bytes twice.
    pub fn build(&self) -> Result<Document, DocumentError> {
        write(self, &self.media_type)
    }
}

impl From<Descriptor> for Written {
    fn from(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            data: None,
        }
    }
}

// === impl IndexBuilder ===

impl IndexBuilder {
    /// An OCI image index of nothing.
    pub fn new() -> Self {
        Self {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The same as another type of index: Docker's manifest list.
    #[must_use]
    pub fn media_type(mut self, media_type: MediaType) -> Self {
        self.media_type = media_type;
        self
    }

    /// The same with one more manifest or index, and what it runs on.
    #[must_use]
    pub fn manifest(mut self, manifest: &Document, platform: Option<Platform>) -> Self {
        let mut descriptor = manifest.descriptor().clone();
        descriptor.platform = platform;
        self.manifests.push(descriptor);
        self
    }

    /// The same, being about another manifest.
    #[must_use]
    pub fn subject(mut self, subject: &Document) -> Self {
        self.subject = Some(subject.descriptor().clone());
        self
    }

    /// The same with an annotation.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Writes it. Called twice, it gives the same bytes twice.
    pub fn build(&self) -> Result<Document, DocumentError> {
        write(self, &self.media_type)
    }
}

impl Default for IndexBuilder {
    fn default() -> Self {
        Self::new()
    }
}

fn write(value: &impl Serialize, media_type: &MediaType) -> Result<Document, DocumentError> {
    let bytes = serde_json::to_vec(value).map_err(DocumentError::Malformed)?;
    Document::new(bytes.into(), Some(media_type))
}

// === impl MemorySource ===

impl MemorySource {
    /// A source of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a blob, and the blob's descriptor.
    #[must_use]
    pub fn with_blob(
        mut self,
        media_type: impl Into<MediaType>,
        content: impl Into<Bytes>,
    ) -> (Self, Descriptor) {
        let content = content.into();
        let descriptor = Descriptor::of(media_type.into(), &content);
        self.blobs.insert(descriptor.digest.clone(), content);
        (self, descriptor)
    }

    /// The same with a manifest that something refers to, or that is about something.
    #[must_use]
    pub fn with_document(mut self, document: Document) -> Self {
        self.documents.insert(document.digest().clone(), document);
        self
    }

    /// The same with a manifest whose tag says that it is about `subject`.
    #[must_use]
    pub fn with_digest_tag(mut self, subject: &Digest, tag: Tag, document: Document) -> Self {
        let tagged = DigestTagged::new(subject.clone(), tag, document);
        self.digest_tags.push(tagged);
        self
    }

    /// The same with the manifest or index to push.
    #[must_use]
    pub fn with_root(mut self, root: Document) -> Self {
        self.root = Some(root);
        self
    }

    /// The same, as if it had been read from this repository.
    #[must_use]
    pub fn from_repository(mut self, origin: Repository) -> Self {
        self.origin = Some(origin);
        self
    }

    fn missing(digest: &Digest) -> SourceError {
        SourceError::Missing {
            digest: digest.clone(),
            place: "memory".to_owned(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for MemorySource {
    async fn root(&self) -> Result<Document, SourceError> {
        let root = self.root.clone();
        root.ok_or_else(|| SourceError::invalid("memory", "no manifest was given to push"))
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let found = self.documents.get(&descriptor.digest);
        let found = found.ok_or_else(|| Self::missing(&descriptor.digest))?;
        Document::verified(found.bytes().clone(), descriptor).map_err(|error| {
            SourceError::Document {
                place: "memory".to_owned(),
                error,
            }
        })
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let content = self.blobs.get(&blob.digest);
        let mut rest = content
            .cloned()
            .ok_or_else(|| Self::missing(&blob.digest))?;
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        let _ = rest.split_to(start);
        let pieces = stream::iter(iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE));
            (!piece.is_empty()).then_some(Ok(piece))
        }));
        Ok(pieces.boxed())
    }

    fn verifies(&self) -> bool {
        false
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        let content = self.blobs.get(&blob.digest);
        let actual = content.ok_or_else(|| Self::missing(&blob.digest))?.len() as u64;
        if actual == blob.size {
            return Ok(());
        }
        Err(SourceError::WrongSize {
            digest: blob.digest.clone(),
            place: "memory".to_owned(),
            expected: blob.size,
            actual,
        })
    }

    async fn version(&self, _blob: &Descriptor) -> Result<Option<String>, SourceError> {
        Ok(None)
    }

    fn place(&self, _blob: &Descriptor) -> String {
        "memory".to_owned()
    }

    async fn read_elsewhere(&self, _blob: &Descriptor, _fault: &SourceError) -> Option<Reread> {
        None
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        let about = |it: &&Document| it.subject().is_some_and(|it| it.digest == *subject);
        let mut found: Vec<Descriptor> = self
            .documents
            .values()
            .filter(about)
            .map(|it| it.descriptor().clone())
            .collect();
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        let about = |it: &&DigestTagged| subjects.contains(&it.subject);
        Ok(self.digest_tags.iter().filter(about).cloned().collect())
    }

    fn leaves_out(&self, _child: &Descriptor) -> bool {
        false
    }

    fn origin(&self) -> Option<&Repository> {
        self.origin.as_ref()
    }
}
