//! Answers: a head, and a body that is read within bounds.
//!
//! An answer holds its request's permit until its body has been read or dropped.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use oci::wire::{ErrorBody, error::MAX_BODY_BYTES};
use secrecy::SecretString;
use tokio::time::timeout;
use url::Url;

use super::{TransportError, body::Flow, limit::Permit, rate::Pace, shown::Shown, timeouts::Limit};

/// What a registry answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Where it came from, redirects followed.
    pub(crate) url: Url,
    /// What is known of a refusal beside what the registry says of it.
    pub(crate) note: Option<Box<dyn Error + Send + Sync>>,
    /// It refuses a body by 401, and the next request will have a new token.
    pub(crate) renewed: bool,
    /// The credentials that it is an answer to.
    pub(crate) shown: Option<HeaderValue>,
    body: AnswerBody,
}

/// The body of an answer that is read piece by piece.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: Incoming,
    idle: Duration,
    /// A piece that was read and is to be read again.
    put_back: Option<Bytes>,
    /// The body that is still being sent, given up when this answer has been read.
    upload: Option<Arc<Flow>>,
    pace: Pace,
    permit: Option<Permit>,
}

impl Answer {
    pub(crate) fn new(
        answer: http::Response<Incoming>,
        url: Url,
        idle: Duration,
        upload: Option<Arc<Flow>>,
        permit: Permit,
    ) -> Self {
        let (head, body) = answer.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            url,
            note: None,
            renewed: false,
            shown: None,
            body: AnswerBody {
                body,
                idle,
                put_back: None,
                upload,
                pace: Pace::default(),
                permit: Some(permit),
            },
        }
    }

    /// The same, read at this pace where it is read piece by piece.
    pub(crate) fn at(mut self, pace: Pace) -> Self {
        self.body.pace = pace;
        self
    }

    /// A header's value, if it is there once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the body says it is HTML: a proxy's page, a login form, another kind of server.
    pub(crate) fn is_html(&self) -> bool {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let essence = value.split(';').next().unwrap_or_default().trim();
                essence.eq_ignore_ascii_case("text/html")
            })
    }

    /// Lets others go before the rest of it is read: whoever waits for another request while
    /// holding an answer would wait for itself, where there is one permit.
    pub(crate) fn step_aside(&mut self) {
        drop(self.body.permit.take());
    }

    /// The whole body; over `max` bytes is an error.
    pub(crate) async fn bytes(mut self, max: usize) -> Result<Bytes, TransportError> {
        let (bytes, whole) = self.body.up_to(max).await?;
        if whole {
            Ok(bytes)
        } else {
            Err(TransportError::TooLong(max))
        }
    }

    /// The errors the body tells of; none if it tells nothing readable. Credentials that it repeats
    /// are not among them.
    pub(crate) async fn errors(self) -> ErrorBody {
        self.errors_without(None).await
    }

    /// The same for a request that has shown a secret in its body.
    pub(crate) async fn errors_without(mut self, secret: Option<&SecretString>) -> ErrorBody {
        let body = match self.body.up_to(MAX_BODY_BYTES).await {
            Ok((bytes, _)) => ErrorBody::parse(&bytes),
            Err(_) => ErrorBody::default(),
        };
        Shown::of(self.shown.as_ref()).and(secret).kept_out_of(body)
    }

    /// Reads what is left, within bounds, so that the connection can be used again.
    pub(crate) async fn finish(mut self) {
        let _ = self.body.up_to(MAX_BODY_BYTES).await;
    }

    /// The body alone.
    pub(crate) fn into_body(self) -> AnswerBody {
        self.body
    }
}

impl AnswerBody {
    /// The next piece, none at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, TransportError> {
        if let Some(piece) = self.put_back.take() {
            return Ok(Some(piece));
        }
        loop {
            let frame = timeout(self.idle, self.body.frame())
                .await
                .map_err(|_| TransportError::TimedOut(Limit::Idle))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| TransportError::Broken(error.into()))?;
            // Trailers mean nothing here.
            if let Ok(data) = frame.into_data() {
                self.pace.part(data.len()).await;
                return Ok(Some(data));
            }
        }
    }

    /// Makes `piece` the next one again.
    pub(crate) fn put_back(&mut self, piece: Bytes) {
        self.put_back = Some(piece);
    }

    /// At most `max` bytes, and whether that is all.
    async fn up_to(&mut self, max: usize) -> Result<(Bytes, bool), TransportError> {
        if self.body.is_end_stream() {
            return Ok((Bytes::new(), true));
        }
        if self.body.size_hint().lower() > max as u64 {
            return Ok((Bytes::new(), false));
        }
        // However slowly it drips: all of it within the limit for its first byte.
        let reading = async {
            let mut bytes = BytesMut::new();
            while let Some(piece) = self.body.frame().await {
                let piece = piece.map_err(|error| TransportError::Broken(error.into()))?;
                let Ok(piece) = piece.into_data() else {
                    continue;
                };
                if bytes.len() + piece.len() > max {
                    let rest = max - bytes.len();
                    bytes.extend_from_slice(&piece[..rest]);
                    return Ok((bytes.freeze(), false));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok((bytes.freeze(), true))
        };
        timeout(self.idle, reading)
            .await
            .map_err(|_| TransportError::TimedOut(Limit::Idle))?
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(upload) = &self.upload {
            upload.stop();
        }
    }
}
