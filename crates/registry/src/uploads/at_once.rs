//! A small blob in the request that would open its upload.
//!
//! ```text
//!   POST ?digest=, with the blob ──201──▶ done
//!                                └─202──▶ the session it opened, as if nothing had been sent
//! ```
//!
//! A [way the specification has](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#single-post)
//! and many registries have not: those answer 202, and the blob was sent for nothing. So it is
//! tried with one config at a time, and then known. What breaks off can nowhere be gone on with,
//! and what is there already is sent again: only blobs go so that are small enough for that not
//! to matter.

use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use oci::{Descriptor, Presence, TargetError};

use super::session::{Opening, add_digest, chunk_maximum, session_of};
use crate::{
    RepositoryClient,
    blobs::{DIGEST, check_digest},
    client::call::{BlobPayload, Payload},
    error::CallError,
    manner::ChunkSize,
    profile::Fact,
    transport::Kind,
};

/// The largest blob that goes so, in bytes, inclusive. At 50 Mbit/s it takes about as long as the
/// round trip that is spared.
const LARGEST: u64 = 256 * 1024;
/// The largest that tries it, in bytes, inclusive.
const LARGEST_TRIAL: u64 = 16 * 1024;

/// What came of it.
pub(super) enum AtOnce {
    /// The blob is there.
    Committed,
    /// A session was opened, and the bytes were not taken.
    Opened(Opening),
    /// It did not work. Nothing is known, or not this way.
    Failed,
}

impl RepositoryClient {
    /// The largest blob that is known to go up in one request, in bytes; 0 for none.
    pub(crate) async fn at_once_limit(&self) -> u64 {
        let page = self.inner().page(self.repository.registry()).await;
        match page.known(Fact::SinglePost(true).key()) {
            Some(Fact::SinglePost(true)) => self.largest(LARGEST),
            _ => 0,
        }
    }

    /// Whether this blob goes up in one request: because that works, or to find out.
    pub(crate) async fn takes_at_once(&self, blob: &Descriptor) -> bool {
        // Some refuse a body of no bytes.
        if blob.size == 0 {
            return false;
        }
        let page = self.inner().page(self.repository.registry()).await;
        if let Some(Fact::SinglePost(works)) = page.known(Fact::SinglePost(true).key()) {
            return works && blob.size <= self.largest(LARGEST);
        }
        let small = blob.size <= self.largest(LARGEST_TRIAL);
        small && blob.media_type.is_config() && page.tries(&blob.digest)
    }

    fn largest(&self, bytes: u64) -> u64 {
        let manner = &self.inner().manner;
        let learned = manner.of(self.repository.registry()).body_limit;
        let set = match manner.chunks {
            ChunkSize::AtMost(most) => Some(most),
            ChunkSize::Auto | ChunkSize::Whole => None,
        };
        let limits = learned
            .into_iter()
            .chain(set)
            .map(std::num::NonZeroU64::get);
        limits.fold(bytes, u64::min)
    }

    /// Sends a blob so, once.
    pub(super) async fn send_at_once(
        &self,
        payload: &BlobPayload<'_>,
        attempted: impl Fn() -> String,
    ) -> Result<AtOnce, TargetError> {
        let blob = payload.upload.blob;
        let mut renewed = false;
        loop {
            let answer = match self.post_at_once(payload).await {
                Ok(answer) => answer,
                Err(CallError::Transport(error)) if error.may_change() => {
                    let sent = !error.nothing_sent();
                    return self.perhaps(blob, sent).await;
                }
                Err(error) => return Err(error.into_target(attempted())),
            };
            let status = answer.status;
            if answer.renewed && !std::mem::replace(&mut renewed, true) {
                answer.finish().await;
                continue;
            }
            return match status.as_u16() {
                201 if !answer.is_html() => {
                    let said = answer.header(DIGEST).map(str::to_owned);
                    answer.finish().await;
                    let said = said.map_or(Ok(true), |said| check_digest(&said, &blob.digest));
                    said.map_err(|kind| TargetError::new(kind, attempted()).with_status(201))?;
                    self.learn(Fact::SinglePost(true));
                    let registry = self.repository.registry();
                    self.inner().page(registry).await.sent_at_once(&blob.digest);
                    Ok(AtOnce::Committed)
                }
                202 => {
                    self.learn(Fact::SinglePost(false));
                    let (session, maximum) = (session_of(self, &answer), chunk_maximum(&answer));
                    answer.finish().await;
                    let opened = session.map(|session| Opening { session, maximum });
                    Ok(opened.map_or(AtOnce::Failed, AtOnce::Opened))
                }
                // Neither of the kind of request nor of the blob, and said again in a moment.
                401 | 403 | 404 | 429 => {
                    answer.finish().await;
                    Ok(AtOnce::Failed)
                }
                _ => {
                    answer.finish().await;
                    if !may_have_worked(status) {
                        self.learn(Fact::SinglePost(false));
                        return Ok(AtOnce::Failed);
                    }
                    self.perhaps(blob, true).await
                }
            };
        }
    }

    async fn post_at_once(
        &self,
        payload: &BlobPayload<'_>,
    ) -> Result<crate::transport::answer::Answer, CallError> {
        let blob = payload.upload.blob;
        let mut url = self.inner().url(&self.repository, "blobs/uploads/")?;
        add_digest(&mut url, &blob.digest);
        payload.forget_last();
        let body = Payload::Blob(payload, 0..blob.size);
        let mut call = self.session_call(Method::POST, url, body, Kind::Commit);
        let octets = HeaderValue::from_static("application/octet-stream");
        call.headers.insert(CONTENT_TYPE, octets);
        self.inner().attempt(&call).await
    }

    /// There is no answer to go by: the blob may be there.
    async fn perhaps(&self, blob: &Descriptor, sent: bool) -> Result<AtOnce, TargetError> {
        if sent && matches!(self.has_blob(blob).await?, Presence::Held(_)) {
            return Ok(AtOnce::Committed);
        }
        Ok(AtOnce::Failed)
    }
}

/// Whether an answer of this status leaves open what was done.
fn may_have_worked(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status.as_u16(), 200 | 204 | 408 | 499)
}
