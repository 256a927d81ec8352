//! A repository of a registry, as a target.

use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use oci::{
    Anywhere, Attachment, BlobUpload, Descriptor, Digest, Document, ManifestReceipt, MountOutcome,
    Mounting, NewTag, Presence, PushTarget, Repository, SessionStatus, Tag, TagOrDigest,
    TagsReceipt, TargetError, UploadReceipt, UploadSession, Validation,
    wire::{Scope, ScopeSet},
};

use crate::{Client, RepositoryClient};

/// A repository of a registry, to push into.
#[derive(Debug)]
pub struct RegistryPushTarget {
    repository: Repository,
    client: Client,
    /// Pushing here, and pulling from wherever mounts were asked from: it only grows, so that
    /// one token serves as long as nothing new is asked.
    scopes: RwLock<ScopeSet>,
}

impl Client {
    /// A repository, to push into.
    pub fn push_target(&self, repository: &Repository) -> RegistryPushTarget {
        RegistryPushTarget {
            repository: repository.clone(),
            client: self.clone(),
            scopes: RwLock::new([Scope::push(repository)].into_iter().collect()),
        }
    }
}

impl RegistryPushTarget {
    fn here(&self) -> RepositoryClient {
        RepositoryClient {
            client: self.client.clone(),
            repository: self.repository.clone(),
            scopes: self
                .scopes
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            along_with: None,
        }
    }

    fn will_pull_from(&self, from: &[Repository]) {
        let mut scopes = self.scopes.write().unwrap_or_else(PoisonError::into_inner);
        for sibling in from {
            if sibling.registry().agrees(self.repository.registry()) {
                scopes.add(Scope::pull(sibling));
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PushTarget for RegistryPushTarget {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        self.here().upload(upload).await
    }

    async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        self.here().put_manifest(document, tag).await
    }

    fn tags_at_once(&self) -> usize {
        self.here().tags_at_once()
    }

    async fn put_manifest_as(
        &self,
        document: &Document,
        tags: &[Tag],
    ) -> Result<TagsReceipt, TargetError> {
        self.here().put_manifest_as(document, tags).await
    }

    async fn put_new_tag(&self, document: &Document, tag: &Tag) -> Result<NewTag, TargetError> {
        self.here().put_new_tag(document, tag).await
    }

    async fn attach_referrers(
        &self,
        subject: &Digest,
        referrers: &[Document],
    ) -> Result<Attachment, TargetError> {
        self.here().attach_referrers(subject, referrers).await
    }

    async fn has_blob(&self, blob: &Descriptor) -> Result<Presence, TargetError> {
        self.here().has_blob(blob).await
    }

    async fn has_manifest(&self, at: &TagOrDigest) -> Result<Presence, TargetError> {
        self.here().has_manifest(at).await
    }

    async fn mount_blob(
        &self,
        blob: &Descriptor,
        from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        if !from.registry().agrees(self.repository.registry()) {
            return Ok(MountOutcome::Refused(None));
        }
        self.will_pull_from(std::slice::from_ref(from));
        let (here, blob, from) = (self.here(), blob.clone(), from.clone());
        let asking = async move {
            if from.agrees(&here.repository) {
                here.probe(&blob).await
            } else {
                here.mount(&blob, &from).await
            }
        };
        self.here().to_its_end(asking).await
    }

    async fn mount_from_anywhere(&self, blob: &Descriptor) -> Result<Anywhere, TargetError> {
        let (here, blob) = (self.here(), blob.clone());
        let asking = async move { here.mount_from_anywhere(&blob).await };
        self.here().to_its_end(asking).await
    }

    async fn finds_by_mount(&self) -> bool {
        self.here().finds_by_mount().await
    }

    async fn mounting(&self) -> Mounting {
        self.here().mounting().await
    }

    fn refused_to_mount(&self, blob: &Descriptor) {
        self.here().refused_to_mount(blob);
    }

    fn is_near(&self) -> bool {
        false
    }

    async fn at_once_limit(&self) -> u64 {
        self.here().at_once_limit().await
    }

    async fn takes_at_once(&self, blob: &Descriptor) -> bool {
        self.here().takes_at_once(blob).await
    }

    async fn validation(&self, document: &Document) -> Validation {
        self.here().validation(document).await
    }

    fn took_incomplete(&self, document: &Document) {
        self.here().took_incomplete(document);
    }

    async fn expect_contents(&self, _contents: &[Descriptor]) -> Result<(), TargetError> {
        Ok(())
    }

    fn expect_mounts(&self, from: &[Repository]) {
        self.will_pull_from(from);
    }

    fn expect_blobs(&self, asked: usize, sent: usize) {
        self.here().expect_blobs(asked, sent);
    }

    async fn session_status(&self, session: &UploadSession) -> Result<SessionStatus, TargetError> {
        self.here().session_status(session).await
    }

    async fn cancel_session(&self, session: UploadSession) -> Result<(), TargetError> {
        self.here().cancel(&session).await
    }

    fn abandon_session(&self, session: UploadSession) {
        self.here().abandon(session);
    }
}
