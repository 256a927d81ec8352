//! The port, as the recording target stands behind it.

use async_trait::async_trait;
use futures_util::StreamExt;
use oci::{
    Anywhere, Attachment, BlobUpload, Descriptor, Digest, Document, Hasher, ManifestReceipt,
    MountOutcome, Mounting, NewTag, Presence, PushTarget, Repository, SessionStatus, Tag,
    TagOrDigest, TagsReceipt, TargetError, TargetErrorKind, UploadReceipt, UploadSession,
    Validation,
};

use super::{Call, Operation, RecordingTarget, state::Tags};

/// A call that is going on. Dropped before its end, it gives its session up.
struct Going<'a> {
    target: &'a RecordingTarget,
    at: usize,
    session: Option<String>,
    /// It is left open for a later push.
    lasts: bool,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PushTarget for RecordingTarget {
    fn repository(&self) -> &Repository {
        &self.repository
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let session = upload.session.as_ref().map(|it| it.location().to_owned());
        let operation = Operation::Upload {
            session: session.clone(),
        };
        let mut call = self.call(operation, Some(upload.blob.digest.clone().into()));
        call.content_type = Some("application/octet-stream".into());
        let (mut going, fault) = self.start(call);
        // From here on the session is the upload's own, whatever becomes of it.
        going.lasts = upload.keeper.lasts();
        going.session = session;
        self.spend_time().await;
        let sent = match fault {
            Some(error) => Err(error),
            None => self.receive(&mut going, &upload).await,
        };
        let session = going.session.take();
        match sent {
            Ok(sent) => {
                upload.keeper.forget().await;
                let mut state = self.state();
                state.sessions.retain(|it| Some(it) != session.as_ref());
                state.hold_blob(&self.repository, &upload.blob.digest);
                Ok(UploadReceipt::new(sent))
            }
            // A later push goes on in it.
            Err(error) if going.lasts && error.retryable() => Err(error),
            Err(error) => {
                if let Some(session) = session {
                    upload.keeper.forget().await;
                    let mut state = self.state();
                    state.sessions.remove(&session);
                    state.begin(self.call(Operation::Cancel { session }, None));
                }
                Err(error)
            }
        }
    }

    async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        let digest = document.digest().clone();
        let subject = tag.map_or_else(|| digest.into(), |tag| tag.clone().into());
        let mut call = self.call(Operation::PutManifest, Some(subject));
        call.bytes = document.bytes().len() as u64;
        call.content_type = Some(document.media_type().clone());
        let _going = self.begin(call).await?;
        let mut state = self.state();
        if let Some(refusal) = state.refusal_of(&self.repository, document) {
            return Err(refusal);
        }
        state.hold_manifest(&self.repository, document, tag);
        Ok(state.receipt(document))
    }

    fn tags_at_once(&self) -> usize {
        match self.state().tags {
            Tags::OneByOne => 1,
            Tags::Taken(at_once) | Tags::Ignored(at_once) => at_once.max(1),
        }
    }

    async fn put_manifest_as(
        &self,
        document: &Document,
        tags: &[Tag],
    ) -> Result<TagsReceipt, TargetError> {
        let taken = match self.state().tags {
            Tags::OneByOne => return Ok(TagsReceipt::default()),
            Tags::Taken(_) => tags.to_vec(),
            Tags::Ignored(_) => Vec::new(),
        };
        let tags = tags.to_vec();
        let operation = Operation::PutManifestAs { tags };
        let mut call = self.call(operation, Some(document.digest().clone().into()));
        call.bytes = document.bytes().len() as u64;
        call.content_type = Some(document.media_type().clone());
        let _going = self.begin(call).await?;
        let mut state = self.state();
        if let Some(refusal) = state.refusal_of(&self.repository, document) {
            return Err(refusal);
        }
        state.hold_manifest(&self.repository, document, None);
        for tag in &taken {
            state.hold_manifest(&self.repository, document, Some(tag));
        }
        if taken.is_empty() {
            state.tags = Tags::OneByOne;
        }
        Ok(TagsReceipt::new(taken, state.receipt(document)))
    }

    async fn put_new_tag(&self, document: &Document, tag: &Tag) -> Result<NewTag, TargetError> {
        if self.state().mute {
            return Ok(NewTag::Unsupported);
        }
        let at = TagOrDigest::from(tag.clone());
        let mut call = self.call(Operation::PutNewTag, Some(at.clone()));
        call.bytes = document.bytes().len() as u64;
        call.content_type = Some(document.media_type().clone());
        let _going = self.begin(call).await?;
        let mut state = self.state();
        match state.digest_at(&self.repository, &at) {
            Some(there) if there != *document.digest() => return Ok(NewTag::Taken(there)),
            _ => {}
        }
        if let Some(refusal) = state.refusal_of(&self.repository, document) {
            return Err(refusal);
        }
        state.hold_manifest(&self.repository, document, Some(tag));
        Ok(NewTag::Put(state.receipt(document)))
    }

    async fn attach_referrers(
        &self,
        subject: &Digest,
        referrers: &[Document],
    ) -> Result<Attachment, TargetError> {
        if !self.state().no_referrers {
            return Ok(Attachment::Listed);
        }
        let referrers: Vec<Digest> = referrers.iter().map(|it| it.digest().clone()).collect();
        let operation = Operation::Attach {
            referrers: referrers.clone(),
        };
        let _going = self
            .begin(self.call(operation, Some(subject.clone().into())))
            .await?;
        if !self.state().attach(&self.repository, subject, &referrers) {
            return Ok(Attachment::Listed);
        }
        let tag = subject.referrers_tag().parse();
        Ok(tag.map_or(Attachment::Unknown, Attachment::Added))
    }

    async fn mount_from_anywhere(&self, _blob: &Descriptor) -> Result<Anywhere, TargetError> {
        Ok(Anywhere::NotAsked)
    }

    async fn finds_by_mount(&self) -> bool {
        !self.state().unproven_mounts
    }

    async fn mounting(&self) -> Mounting {
        self.state().mounting
    }

    fn refused_to_mount(&self, blob: &Descriptor) {
        self.state().refused.push(blob.digest.clone());
    }

    fn is_near(&self) -> bool {
        false
    }

    async fn at_once_limit(&self) -> u64 {
        0
    }

    async fn takes_at_once(&self, _blob: &Descriptor) -> bool {
        false
    }

    async fn validation(&self, _document: &Document) -> Validation {
        self.state().validation
    }

    fn took_incomplete(&self, _document: &Document) {
        self.state().validation = Validation::Lacking;
    }

    async fn has_blob(&self, blob: &Descriptor) -> Result<Presence, TargetError> {
        let call = self.call(Operation::HasBlob, Some(blob.digest.clone().into()));
        let _going = self.begin(call).await?;
        let state = self.state();
        Ok(if state.mute {
            Presence::Unknown
        } else if state.claims_blob(&self.repository, &blob.digest) {
            Presence::Held(blob.digest.clone())
        } else {
            Presence::Absent
        })
    }

    async fn has_manifest(&self, at: &TagOrDigest) -> Result<Presence, TargetError> {
        let call = self.call(Operation::HasManifest, Some(at.clone()));
        let _going = self.begin(call).await?;
        let state = self.state();
        if state.mute {
            return Ok(Presence::Unknown);
        }
        let held = state.digest_at(&self.repository, at);
        Ok(held.map_or(Presence::Absent, Presence::Held))
    }

    async fn mount_blob(
        &self,
        blob: &Descriptor,
        from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        let operation = Operation::Mount { from: from.clone() };
        let call = self.call(operation, Some(blob.digest.clone().into()));
        let _going = self.begin(call).await?;
        let mut state = self.state();
        let willing = !state.mute && (*from == self.repository || !state.refuses_mounts);
        if willing && state.claims_blob(from, &blob.digest) {
            if *from != self.repository {
                state.hold_blob(&self.repository, &blob.digest);
            }
            return Ok(MountOutcome::Mounted);
        }
        Ok(MountOutcome::Refused(state.refusal()))
    }

    async fn expect_contents(&self, _contents: &[Descriptor]) -> Result<(), TargetError> {
        Ok(())
    }

    fn expect_mounts(&self, from: &[Repository]) {
        self.state().expected.extend_from_slice(from);
    }

    fn expect_blobs(&self, asked: usize, sent: usize) {
        let mut state = self.state();
        let calls = state.calls.len();
        state.expected_blobs.push((asked, sent, calls));
    }

    async fn session_status(&self, session: &UploadSession) -> Result<SessionStatus, TargetError> {
        let name = session.location().to_owned();
        let operation = Operation::SessionStatus {
            session: name.clone(),
        };
        let _going = self.begin(self.call(operation, None)).await?;
        Ok(if self.state().sessions.contains(&name) {
            SessionStatus::Open(session.clone())
        } else {
            SessionStatus::Gone
        })
    }

    async fn cancel_session(&self, session: UploadSession) -> Result<(), TargetError> {
        let session = session.location().to_owned();
        let operation = Operation::Cancel {
            session: session.clone(),
        };
        let _going = self.begin(self.call(operation, None)).await?;
        self.state().sessions.remove(&session);
        Ok(())
    }

    fn abandon_session(&self, session: UploadSession) {
        self.abandon(session.location());
    }
}

impl RecordingTarget {
    fn call(&self, operation: Operation, subject: Option<TagOrDigest>) -> Call {
        Call {
            repository: self.repository.clone(),
            operation,
            subject,
            bytes: 0,
            content_type: None,
            credential: self.credential,
        }
    }

    async fn begin(&self, call: Call) -> Result<Going<'_>, TargetError> {
        let (going, fault) = self.start(call);
        self.spend_time().await;
        match fault {
            Some(error) => Err(error),
            None => Ok(going),
        }
    }

    /// Notes a call, and says with which error it is to end, if with one.
    fn start(&self, call: Call) -> (Going<'_>, Option<TargetError>) {
        let mut state = self.state();
        let (at, fault) = state.begin(call);
        state.going += 1;
        state.peak = state.peak.max(state.going);
        let going = Going {
            target: self,
            at,
            session: None,
            lasts: false,
        };
        (going, fault)
    }

    /// Takes a body, in a session that is kept by whoever keeps it. One that was interrupted and is
    /// not known any more is begun anew.
    async fn receive(
        &self,
        going: &mut Going<'_>,
        upload: &BlobUpload<'_>,
    ) -> Result<u64, TargetError> {
        let given = going.session.take();
        let known = given.filter(|it| !upload.interrupted || self.state().sessions.contains(it));
        if upload.interrupted && known.is_none() {
            upload.keeper.forget().await;
        }
        let session = known.unwrap_or_else(|| self.state().open_session());
        going.session = Some(session.clone());
        let session = UploadSession::new(session);
        upload.keeper.keep(&session).await;
        going.read(upload).await
    }

    async fn spend_time(&self) {
        let time = self.state().time;
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    fn abandon(&self, session: &str) {
        let call = self.call(
            Operation::Abandon {
                session: session.to_owned(),
            },
            None,
        );
        let mut state = self.state();
        state.sessions.remove(session);
        state.begin(call);
    }
}

impl Going<'_> {
    /// Reads a body to its end, from the start again for each time it is to break.
    async fn read(&self, upload: &BlobUpload<'_>) -> Result<u64, TargetError> {
        let broken =
            |sent| move |error| TargetError::from_source(error, "upload the blob").with_sent(sent);
        let mut sent = 0;
        'attempts: loop {
            let breaks_at = self.breaks_at();
            let opened = upload.source.open(upload.blob, 0).await;
            let mut body = opened.map_err(broken(sent))?;
            let mut hasher = Hasher::for_digest(&upload.blob.digest);
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(broken(sent))?;
                hasher.update(&piece);
                sent += piece.len() as u64;
                upload.observer.sent(piece.len() as u64);
                if let Some(call) = self.target.state().calls.get_mut(self.at) {
                    call.bytes = sent;
                }
                if breaks_at.is_some_and(|it| hasher.bytes() >= it) {
                    upload.observer.rewound(0);
                    continue 'attempts;
                }
            }
            let checked = hasher.check(&upload.blob.digest);
            checked.map_err(|actual| {
                let kind = TargetErrorKind::DigestMismatch {
                    expected: upload.blob.digest.clone(),
                    actual: actual.to_string(),
                };
                TargetError::new(kind, "upload the blob").with_sent(sent)
            })?;
            return Ok(sent);
        }
    }

    /// After how many bytes this attempt breaks, if it is to.
    fn breaks_at(&self) -> Option<u64> {
        let mut state = self.target.state();
        let (times, bytes) = &mut state.breaks;
        *times = times.checked_sub(1)?;
        Some(*bytes)
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.target.state().going -= 1;
        if let Some(session) = self.session.take().filter(|_| !self.lasts) {
            self.target.abandon(&session);
        }
    }
}
