//! What a target that writes only what it must is taken to say.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::{
    Attachment, BlobUpload, ManifestReceipt, MountOutcome, NewTag, Presence, PushTarget,
    SessionStatus, TargetError, UploadReceipt, UploadSession,
};
use crate::{
    BlobStream, Descriptor, Digest, Document, MediaType, Repository, Source, SourceError, Tag,
    TagOrDigest,
};

const CONTENT: &[u8] = b"content";

#[derive(Debug)]
struct TwoMethods(Repository);

#[async_trait]
impl PushTarget for TwoMethods {
    fn repository(&self) -> &Repository {
        &self.0
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let failed = |error| TargetError::from_source(error, "upload");
        let mut body = upload.source.open(upload.blob, 2).await.map_err(failed)?;
        let mut sent = 0;
        while let Some(piece) = body.next().await {
            sent += piece.map_err(failed)?.len() as u64;
            upload.observer.sent(sent);
        }
        Ok(UploadReceipt::new(sent))
    }

    async fn put_manifest(
        &self,
        _document: &Document,
        _tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        Ok(ManifestReceipt::default())
    }
}

#[derive(Debug)]
struct OneBlob;

#[async_trait]
impl Source for OneBlob {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("here", "there is no manifest"))
    }

    async fn document(&self, _descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.root().await
    }

    async fn open(&self, _blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|offset| CONTENT.get(offset..))
            .ok_or_else(|| SourceError::invalid("here", "beyond the end"))?;
        Ok(stream::iter([Ok(Bytes::from_static(rest))]).boxed())
    }
}

/// What a future that never waits gives.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

#[test]
fn a_target_of_two_methods_claims_nothing_else() {
    let repository: Repository = "localhost/app".parse().expect("a repository");
    let target: &(dyn PushTarget + Send + Sync) = &TwoMethods(repository.clone());
    let blob = Descriptor::of(MediaType::OCI_LAYER, CONTENT);
    let latest = TagOrDigest::from(Tag::latest());
    let session = UploadSession::new("https://h/upload");

    let answers = (
        now(target.has_blob(&blob)).expect("an answer"),
        now(target.has_manifest(&latest)).expect("an answer"),
        now(target.mount_blob(&blob, &repository)).expect("an answer"),
        now(target.session_status(&session)).expect("an answer"),
    );
    let nothing = (
        Presence::Unknown,
        Presence::Unknown,
        MountOutcome::Refused(None),
        SessionStatus::Gone,
    );
    assert_eq!(answers, nothing);
    assert!(now(target.cancel_session(session)).is_ok());
    let document = Document::new(br#"{"manifests":[]}"#.as_slice().into(), None);
    let document = document.expect("an index");
    let tags = [Tag::latest()];
    let tagged = now(target.put_manifest_as(&document, &tags)).expect("an answer");
    assert_eq!((target.tags_at_once(), tagged.tags), (1, vec![]));
    let new = now(target.put_new_tag(&document, &tags[0])).expect("an answer");
    assert_eq!(new, NewTag::Unsupported);
    let about = now(target.attach_referrers(&blob.digest, &[document])).expect("an answer");
    assert_eq!(about, Attachment::Unknown);
    target.expect_mounts(&[repository]);
    target.expect_blobs(2, 1);
}

#[test]
fn a_target_reads_a_blob_from_any_offset_through_the_port() {
    let target = TwoMethods("localhost/app".parse().expect("a repository"));
    let blob = Descriptor::of(MediaType::OCI_LAYER, CONTENT);
    let upload = BlobUpload::new(&blob, &OneBlob).in_session(Some(UploadSession::new("x")));
    assert!(format!("{upload:?}").contains(blob.digest.encoded()));
    let receipt = now(target.upload_blob(upload.observed(&()))).expect("a receipt");
    assert_eq!(receipt.sent, CONTENT.len() as u64 - 2);
}

#[test]
fn a_source_of_three_methods_claims_nothing_else() {
    let source: &(dyn Source + Send + Sync) = &OneBlob;
    let blob = Descriptor::of(MediaType::OCI_LAYER, CONTENT);
    assert!(now(source.check_blob(&blob)).is_ok());
    let referrers = now(source.referrers(&Digest::of(CONTENT))).expect("an answer");
    let tagged = now(source.digest_tags(&[Digest::of(CONTENT)])).expect("an answer");
    assert!(tagged.is_empty());
    assert!(referrers.is_empty() && source.origin().is_none());
    let error = now(source.root()).expect_err("no manifest");
    assert_eq!(
        error.to_string(),
        "here is not usable: there is no manifest"
    );
    assert!(error.digest().is_none());
}
