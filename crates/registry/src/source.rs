//! An image in a registry, as a source.

use async_trait::async_trait;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, DocumentError, Platform, Presence,
    Reference, Repository, Source, SourceError, TagOrDigest, TargetError, TargetErrorKind,
};
use tokio::sync::OnceCell;

use crate::{Client, RepositoryClient, referrers::KnownTags};

/// An image in a registry, to push from.
///
/// Its manifests are verified as they are read; its blobs are not, that is done by who pushes them.
#[derive(Debug)]
pub struct RegistrySource {
    from: RepositoryClient,
    /// A repository of the same registry that it is pushed to.
    to: Option<Repository>,
    /// By which it is read, once that has worked.
    reader: OnceCell<RepositoryClient>,
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
            to: None,
            reader: OnceCell::new(),
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

    /// The same, to be pushed to a repository. If that is on the same registry, and has the same
    /// credentials, one token is asked for that allows both: a copy within a registry then needs
    /// no other.
    #[must_use]
    pub fn to_be_pushed_to(self, repository: &Repository) -> Self {
        let own = &self.from.repository;
        let to = (own.registry() == repository.registry() && own != repository)
            .then(|| repository.clone());
        Self { to, ..self }
    }

    /// What it is read by.
    fn reader(&self) -> &RepositoryClient {
        self.reader.get().unwrap_or(&self.from)
    }

    /// Reads the root, with one token for both ends if there can be one. A registry that does not
    /// give that is asked with one for reading.
    async fn read_first(&self) -> Result<Option<Document>, TargetError> {
        let Some(to) = &self.to else {
            return self.from.manifest(&self.at).await;
        };
        if let Some(both) = self.from.together_with(to).await {
            let found = both.manifest(&self.at).await;
            let refused = found.as_ref().err().map(TargetError::kind);
            if !matches!(
                refused,
                Some(TargetErrorKind::Unauthorized | TargetErrorKind::Denied)
            ) {
                let _ = self.reader.set(both);
                return found;
            }
        }
        self.from.manifest(&self.at).await
    }

    async fn read_root(&self) -> Result<Document, SourceError> {
        let place = match &self.at {
            TagOrDigest::Tag(tag) => format!("{}:{tag}", self.from.repository),
            TagOrDigest::Digest(digest) => format!("{}@{digest}", self.from.repository),
        };
        let found = self.read_first().await;
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
        let found = self.reader().manifest(&digest.clone().into()).await;
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
        self.reader().open_blob(blob, offset).await
    }

    /// What a manifest in a registry is made of is there, or the registry had not taken it: nothing
    /// is asked. Foreign layers are the exception: they may be nowhere but at their `urls`.
    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        if !blob.is_foreign() {
            return Ok(());
        }
        let asked = self.reader().has_blob(blob).await;
        match asked.map_err(|error| SourceError::unreadable(self.place(blob), error))? {
            Presence::Absent => Err(SourceError::Missing {
                digest: blob.digest.clone(),
                place: self.place(blob),
            }),
            Presence::Held(_) | Presence::Unknown => Ok(()),
        }
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
