//! An image in a registry, as a source.

use async_trait::async_trait;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, DocumentError, Platform, Reference,
    Repository, Source, SourceError, TagOrDigest, TargetError,
};
use tokio::sync::OnceCell;

use crate::{Client, RepositoryClient, referrers::KnownTags};

/// An image in a registry, to push from.
///
/// Its manifests are verified as they are read; its blobs are not, that is done by who pushes them.
#[derive(Debug)]
pub struct RegistrySource {
    from: RepositoryClient,
    at: TagOrDigest,
    platform: Option<Platform>,
    root: OnceCell<Document>,
    tags: KnownTags,
}

impl Client {
    /// An image in a registry, to push from. With a platform, of an index only the child for it.
    pub fn source(&self, reference: &Reference, platform: Option<Platform>) -> RegistrySource {
        RegistrySource {
            from: self.repository(reference.repository()),
            at: reference.tag_or_digest(),
            platform,
            root: OnceCell::new(),
            tags: KnownTags::default(),
        }
    }
}

impl RegistrySource {
    fn unlisted(&self, error: TargetError) -> SourceError {
        SourceError::unreadable(&self.from.repository, error)
    }

    async fn read_root(&self) -> Result<Document, SourceError> {
        let place = match &self.at {
            TagOrDigest::Tag(tag) => format!("{}:{tag}", self.from.repository),
            TagOrDigest::Digest(digest) => format!("{}@{digest}", self.from.repository),
        };
        let found = self.from.manifest(&self.at).await;
        let found = found.map_err(|error| SourceError::unreadable(&place, error))?;
        let Some(root) = found else {
            return Err(SourceError::NotFound { place });
        };
        let (Some(platform), Some(index)) = (&self.platform, root.as_index()) else {
            return Ok(root);
        };
        if let Some(child) = index.child_for(platform) {
            return self.document(child).await;
        }
        let offered: Vec<_> = index.platforms().iter().map(ToString::to_string).collect();
        Err(SourceError::NotFound {
            place: format!(
                "{place} for {platform}; it has images for {}",
                offered.join(", ")
            ),
        })
    }
}

#[async_trait]
impl Source for RegistrySource {
    async fn root(&self) -> Result<Document, SourceError> {
        self.root
            .get_or_try_init(|| self.read_root())
            .await
            .cloned()
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let digest = &descriptor.digest;
        let place = format!("{}@{digest}", self.from.repository);
        let found = self.from.manifest(&digest.clone().into()).await;
        let found = found.map_err(|error| SourceError::unreadable(&place, error))?;
        let Some(document) = found else {
            return Err(SourceError::Missing {
                digest: digest.clone(),
                place,
            });
        };
        Document::verified(document.bytes().clone(), descriptor)
            .map_err(|error: DocumentError| SourceError::Document { place, error })
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.from.open_blob(blob, offset).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        format!("{}@{}", self.from.repository, blob.digest)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        let found = self.from.referrers(subject, None).await;
        found.map_err(|error| self.unlisted(error))
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        let found = self.from.digest_tags(subjects, &self.tags).await;
        found.map_err(|error| self.unlisted(error))
    }

    fn origin(&self) -> Option<&Repository> {
        Some(&self.from.repository)
    }
}
