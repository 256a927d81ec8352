//! The upload of a blob: from its beginning, or from where an earlier push was interrupted.

use oci::{BlobUpload, Descriptor, Reread, SessionStatus, SourceError, TargetError, UploadSession};

use crate::{
    error::{Phase, PushError},
    event::{Done, Event, Progress},
    execute::{Run, handed::Handed, keep::Keeper},
    report::Outcome,
    verify::Verified,
};

/// What an upload begins with.
pub(in crate::execute) struct Start<'a> {
    keeper: Keeper<'a>,
    /// A session that an earlier push left.
    pub(super) left: Option<UploadSession>,
    /// A session a refusal came with.
    pub(super) handed: Option<Handed<'a>>,
}

/// What an upload came to, in bytes.
#[derive(Default)]
pub(in crate::execute) struct Sent {
    /// Sent, all attempts together.
    pub(in crate::execute) bytes: u64,
    /// There from an earlier push, and not sent again.
    pub(in crate::execute) resumed: u64,
    /// The places that gave other bytes than the blob's, in order.
    pub(in crate::execute) altered: Vec<String>,
}

/// How often a blob is read from another place because one gave other bytes, at most.
const MOST_REREADINGS: usize = 8;

impl Sent {
    /// The same with what was sent in vain before.
    fn after(self, before: Self) -> Self {
        Self {
            bytes: self.bytes + before.bytes,
            altered: before.altered,
            ..self
        }
    }

    /// Says so in the blob's result.
    pub(super) fn tell_in(self, outcome: &mut Outcome) {
        outcome.sent = self.bytes;
        outcome.resumed = self.resumed;
        outcome.altered = self.altered;
    }
}

impl<'a> Start<'a> {
    pub(in crate::execute) fn new(keeper: Keeper<'a>, left: Option<UploadSession>) -> Self {
        Self {
            keeper,
            left,
            handed: None,
        }
    }
}

impl Run<'_> {
    /// What an earlier push left is not gone on with: the blob is there.
    pub(super) fn not_needed(&self, start: Start<'_>, done: Done) {
        start.keeper.done();
        // Where the blob is there by an upload, it is most likely by this one.
        if let (Some(session), Done::Mounted) = (start.left, done) {
            self.target.abandon_session(session);
        }
    }

    /// Sends a blob, or the rest of it.
    pub(in crate::execute) async fn upload(
        &self,
        blob: &Descriptor,
        start: Start<'_>,
    ) -> Result<Sent, PushError> {
        let Start {
            keeper,
            left,
            handed,
        } = start;
        let left = self.still_there(left).await;
        let there = left.as_ref().map_or(0, UploadSession::acknowledged);
        if let Err(gate) = self.reserve(blob.size.saturating_sub(there)) {
            if let Some(session) = handed {
                session.cancel().await;
            }
            return Err(gate);
        }
        let interrupted = left.is_some();
        let session = match (left, handed) {
            (Some(left), handed) => {
                if let Some(session) = handed {
                    session.cancel().await;
                }
                self.tell(&Event::Resuming {
                    digest: blob.digest.clone(),
                    acknowledged: left.acknowledged(),
                });
                Some(left)
            }
            (None, handed) => handed.and_then(Handed::into_session),
        };
        self.in_places(blob, &keeper, (session, interrupted)).await
    }

    /// Sends a blob in a session, if there is one, that may be one that was interrupted. If what was
    /// read turns out not to be the blob, none of it is committed, and it is sent anew from the next
    /// place that the source knows: from its first byte, and in a session of its own.
    async fn in_places(
        &self,
        blob: &Descriptor,
        keeper: &Keeper<'_>,
        (mut session, interrupted): (Option<UploadSession>, bool),
    ) -> Result<Sent, PushError> {
        let mut before = Sent::default();
        loop {
            let verified = Verified::new(self.source);
            let progress = Progress::new(self.observer, blob);
            let upload = BlobUpload::new(blob, &verified).kept_by(keeper);
            let upload = match session.take() {
                Some(left) if interrupted => upload.resuming(left),
                session => upload.in_session(session),
            };
            let result = self.send(upload, keeper, &progress).await;
            if result.is_ok() || verified.is_faulty() {
                keeper.done();
            }
            let error = match result {
                Ok(it) => return Ok(it.after(before)),
                Err(error) => error,
            };
            let Some(fault) = verified.into_fault() else {
                return Err(self.failed(blob, Phase::Upload, error));
            };
            let elsewhere = match before.altered.len() {
                MOST_REREADINGS.. => None,
                _ => self.elsewhere(blob, &fault).await,
            };
            let Some(left) = elsewhere else {
                return Err(PushError::local_blob(blob, Phase::Upload, fault));
            };
            before.bytes += progress.total();
            before.altered.push(left);
        }
    }

    /// Has the source leave the place that gave other bytes than the blob's, if it did and another may
    /// give the right ones: the place that was left.
    async fn elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<String> {
        if !matches!(fault, SourceError::Altered { .. }) {
            return None;
        }
        let Reread { left, next, .. } = self.source.read_elsewhere(blob, fault).await?;
        self.tell(&Event::Altered {
            digest: blob.digest.clone(),
            place: left.clone(),
            next,
        });
        Some(left)
    }

    /// Sends what an upload says; if another process has its session, once more in one of its own.
    async fn send(
        &self,
        upload: BlobUpload<'_>,
        keeper: &Keeper<'_>,
        progress: &Progress<'_>,
    ) -> Result<Sent, TargetError> {
        let blob = upload.blob;
        let begun = upload.clone().observed(progress);
        let receipt = tokio::select! {
            receipt = self.target.upload_blob(begun) => Some(receipt?),
            () = keeper.lost() => None,
        };
        if let Some(receipt) = receipt {
            let resumed = match progress.lowest() {
                _ if !upload.interrupted => 0,
                Some(lowest) => lowest,
                None => blob.size.saturating_sub(receipt.sent),
            };
            return Ok(Sent {
                bytes: receipt.sent,
                resumed,
                ..Sent::default()
            });
        }
        let digest = &blob.digest;
        self.tell(&Event::Warning {
            message: format!("another process goes on with blob {digest}: it is sent anew"),
        });
        let again = upload.in_session(None);
        let anew = Progress::new(self.observer, blob);
        let receipt = self.target.upload_blob(again.observed(&anew)).await?;
        Ok(Sent {
            bytes: receipt.sent + progress.total(),
            ..Sent::default()
        })
    }

    /// What is left of an interrupted upload. Where bytes are counted beforehand, the registry
    /// is asked beforehand; it is asked by the upload otherwise.
    async fn still_there(&self, left: Option<UploadSession>) -> Option<UploadSession> {
        let left = left?;
        if self.shared.options.max_upload_bytes.is_none() {
            return Some(left);
        }
        match self.target.session_status(&left).await {
            Ok(SessionStatus::Open(session)) => Some(session),
            Ok(SessionStatus::Gone) | Err(_) => None,
        }
    }
}
