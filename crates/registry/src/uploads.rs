//! Uploads: a session, one PUT with the whole blob, and what to do when it goes wrong.
//!
//! ```text
//!   [POST ▶ session] ──▶ PUT location?digest  ──▶ 201
//!        ▲                    │ anything that may have come to nothing
//!        └── not there ── HEAD blob ── there ──▶ done
//! ```
//!
//! The body is opened anew for every attempt: nothing of a blob is kept. Its bytes
//! are not verified here: whoever hands a source over does that, and a stream that ends in
//! an error never reaches its last byte.

use oci::{BlobUpload, Descriptor, Presence, TargetError, UploadReceipt, UploadSession};

use crate::{
    RepositoryClient,
    blobs::{DIGEST, check_digest},
    client::call::BlobPayload,
    error::{CallError, Unexpected, protocol, refusal},
    transport::{answer::Answer, retry::retry_after},
};

mod opening;
mod session;
mod verdict;

pub(crate) use session::session_of;
use verdict::Verdict;

/// A session that is given up in the background unless it was closed.
struct Open {
    repository: RepositoryClient,
    session: Option<UploadSession>,
}

impl RepositoryClient {
    /// Uploads a blob, in as many attempts as the retry policy allows.
    pub(crate) async fn upload(
        &self,
        upload: BlobUpload<'_>,
    ) -> Result<UploadReceipt, TargetError> {
        // Going on inside a session that holds something is not this path's business.
        let session = upload.session.clone().filter(|it| it.acknowledged() == 0);
        let payload = BlobPayload::new(upload);
        match self.upload_payload(&payload, session).await {
            Ok(()) => Ok(UploadReceipt::new(payload.sent())),
            Err(error) => Err(error.with_sent(payload.sent())),
        }
    }

    async fn upload_payload(
        &self,
        payload: &BlobPayload<'_>,
        mut session: Option<UploadSession>,
    ) -> Result<(), TargetError> {
        let blob = payload.upload.blob;
        let mut retry = self.inner().retry.start();
        loop {
            let at = match session.take() {
                Some(session) => session,
                None => self.new_session(blob).await?,
            };
            let mut open = Open {
                repository: self.clone(),
                session: Some(at.clone()),
            };
            let outcome = self.put_blob(payload, &at).await;
            let verdict = match &outcome {
                Ok(answer) => verdict::of_status(answer.status),
                Err(error) => verdict::of_error(error),
            };
            let look = match verdict {
                Verdict::Done | Verdict::DoneIfThere => {
                    open.closed();
                    return self.conclude(payload, outcome, verdict).await;
                }
                Verdict::Failed => return Err(self.give_up(payload, outcome, open).await),
                Verdict::Same => {
                    open.closed();
                    session = Some(at);
                    false
                }
                Verdict::LookThenAnew | Verdict::Anew => {
                    // Whether it is still there nobody knows: the registry forgets it in time.
                    open.closed();
                    verdict == Verdict::LookThenAnew
                }
            };
            let wait = self.wait(&mut retry, &outcome);
            if let Some(wait) = wait {
                // The error is not needed any more; the connection may be.
                let error = Box::pin(self.failure(payload, outcome)).await;
                tracing::debug!(%error, ?wait, "upload is tried again");
                tokio::time::sleep(wait).await;
                if look && self.is_there(payload).await {
                    return Ok(());
                }
                continue;
            }
            if look && self.is_there(payload).await {
                return Ok(());
            }
            return Err(self.failure(payload, outcome).await);
        }
    }

    /// A session of its own for a blob; not left behind if nobody waits for it any more.
    async fn new_session(&self, blob: &Descriptor) -> Result<UploadSession, TargetError> {
        let (repository, blob) = (self.clone(), blob.clone());
        self.to_its_end(async move { repository.open_session(&blob).await })
            .await
    }

    /// How long to wait before the body is sent again, if it is.
    fn wait(
        &self,
        retry: &mut crate::transport::retry::Retry,
        outcome: &Result<Answer, CallError>,
    ) -> Option<std::time::Duration> {
        let asked = match outcome {
            Ok(answer) => retry_after(&answer.headers, std::time::SystemTime::now()),
            Err(_) => None,
        };
        let wait = retry.after_failure(asked)?;
        self.inner().sending_again(&self.repository, asked);
        Some(wait)
    }

    /// A success, as far as it can be believed.
    async fn conclude(
        &self,
        payload: &BlobPayload<'_>,
        outcome: Result<Answer, CallError>,
        verdict: Verdict,
    ) -> Result<(), TargetError> {
        let ours = &payload.upload.blob.digest;
        let answer = outcome.map_err(|error| error.into_target(self.attempted(payload)))?;
        let status = answer.status;
        if answer.is_html() && verdict != Verdict::Done {
            return Err(protocol(status, Unexpected::Html, self.attempted(payload)));
        }
        let said = answer.header(DIGEST).map(str::to_owned);
        answer.finish().await;
        let said = said.map_or(Ok(true), |said| check_digest(&said, ours));
        if let Err(kind) = said {
            let error = TargetError::new(kind, self.attempted(payload));
            return Err(error.with_status(status.as_u16()));
        }
        if verdict == Verdict::DoneIfThere && !self.is_there(payload).await {
            return Err(protocol(
                status,
                Unexpected::NotThere,
                self.attempted(payload),
            ));
        }
        Ok(())
    }

    /// A failure that stands: says so, and gives the session up.
    async fn give_up(
        &self,
        payload: &BlobPayload<'_>,
        outcome: Result<Answer, CallError>,
        mut open: Open,
    ) -> TargetError {
        let error = self.failure(payload, outcome).await;
        if let Some(session) = open.session.clone() {
            // Whether it works or not, the failure is the one that counts.
            let _ = self.cancel(&session).await;
        }
        open.closed();
        error
    }

    async fn failure(
        &self,
        payload: &BlobPayload<'_>,
        outcome: Result<Answer, CallError>,
    ) -> TargetError {
        match outcome {
            Ok(answer) => refusal(answer, self.attempted(payload)).await,
            Err(error) => error.into_target(self.attempted(payload)),
        }
    }

    async fn is_there(&self, payload: &BlobPayload<'_>) -> bool {
        let asked = self.has_blob(payload.upload.blob).await;
        matches!(asked, Ok(Presence::Held(_)))
    }

    fn attempted(&self, payload: &BlobPayload<'_>) -> String {
        format!(
            "upload blob {} to {}",
            payload.upload.blob.digest, self.repository
        )
    }
}

impl Open {
    /// The session needs no farewell: it was closed, lost, or is used again.
    fn closed(&mut self) {
        self.session = None;
    }
}

impl Drop for Open {
    /// Reached with a session when the upload was dropped.
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.repository.clone().abandon(session);
        }
    }
}

impl RepositoryClient {
    /// Gives a session up without waiting for it: apart, and
    /// [`Client::close`](crate::Client::close) waits.
    pub(crate) fn abandon(self, session: UploadSession) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let afterwards = self.client.inner.afterwards.clone();
        let farewell = async move {
            if let Err(error) = self.cancel(&session).await {
                tracing::debug!(%error, "an upload could not be given up");
            }
        };
        afterwards.spawn_on(farewell, &runtime);
    }
}
