//! Answers: the one way to say no, and the small things every answer needs.
//!
//! A refusal carries the specification's error body, or says that there will be
//! no answer at all because the connection is gone or is to be broken.

use std::{fmt, io};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, RETRY_AFTER},
    },
    response::Response,
};
use bytes::Bytes;
use oci::{
    Digest,
    wire::{ErrorBody, ErrorCode, ErrorEntry},
};

use crate::{allowance::Allowance, faults::Answer};

/// `Docker-Content-Digest`.
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// So many errors are named in any case; more if there is room for them.
const FREE_ERRORS: usize = 50;

/// Why a request does not get what it asks for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is answered with errors.
    Denied(Box<Denied>),
    /// It is answered with what a fault says.
    Scripted(Box<Answer>),
    /// The client went away; nobody is there to be answered.
    Abandoned,
    /// A fault breaks the connection.
    Reset,
}

/// An answer with errors.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ErrorBody,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode) -> Self {
        Self::all(status, vec![ErrorEntry::new(code)])
    }

    /// Several errors in one body.
    pub(crate) fn all(status: StatusCode, errors: Vec<ErrorEntry>) -> Self {
        Self::Denied(Box::new(Denied {
            status,
            headers: HeaderMap::new(),
            body: ErrorBody { errors },
        }))
    }

    /// The method is not one of those that may be used here.
    pub(crate) fn not_allowed(allowed: &'static str, message: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported)
            .message(message)
            .header(ALLOW, allowed)
    }

    /// Something is wrong on this side. The cause goes to the log, not to the client.
    pub(crate) fn internal(error: &io::Error) -> Self {
        tracing::error!(%error, "storage failed");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, ErrorCode::Unknown)
                    .message("the registry's storage is full")
            }
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown)
                .message("the registry could not do this; its log says why"),
        }
    }

    /// The first error with a message for a person.
    pub(crate) fn message(mut self, message: impl Into<String>) -> Self {
        if let Self::Denied(denied) = &mut self
            && let Some(first) = denied.body.errors.first_mut()
        {
            first.message = Some(message.into());
        }
        self
    }

    /// The first error with a detail.
    pub(crate) fn detail(mut self, detail: impl Into<serde_json::Value>) -> Self {
        if let Self::Denied(denied) = &mut self
            && let Some(first) = denied.body.errors.first_mut()
        {
            first.detail = detail.into();
        }
        self
    }

    /// The answer with a header more; a value that cannot be one is left out.
    pub(crate) fn header(mut self, name: HeaderName, value: impl fmt::Display) -> Self {
        if let Self::Denied(denied) = &mut self
            && let Ok(value) = HeaderValue::try_from(value.to_string())
        {
            denied.headers.insert(name, value);
        }
        self
    }
}

impl Denied {
    /// The answer. Where there is no room for a long one, it has the first errors of it.
    pub(crate) fn into_response(mut self, allowance: &Allowance) -> Response {
        let mut body = serde_json::to_vec(&self.body).unwrap_or_default();
        let taken = allowance.take(body.len());
        if taken.is_none() {
            self.body.errors.truncate(FREE_ERRORS);
            body = serde_json::to_vec(&self.body).unwrap_or_default();
        }
        let body = Bytes::from(body);
        let body = match taken {
            Some(taken) => taken.hold(body),
            None => body,
        };
        let mut response = with_body(self.status, body);
        response.headers_mut().extend(self.headers);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::internal(&error)
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// 304: the reader has this content.
pub(crate) fn not_modified(digest: &Digest) -> Response {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    set(&mut response, ETAG, format!("\"{digest}\""));
    set_digest(&mut response, digest);
    response
}

/// An answer with a body at hand.
pub(crate) fn with_body(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let body: Bytes = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// The same for a body that may be long: refused if too many of them wait to be read.
pub(crate) fn with_long_body(
    allowance: &Allowance,
    status: StatusCode,
    body: impl Into<Bytes>,
) -> Result<Response, Refusal> {
    let body: Bytes = body.into();
    match allowance.take(body.len()) {
        Some(taken) => Ok(with_body(status, taken.hold(body))),
        None => Err(
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown)
                .message("too many answers wait to be read by their clients")
                .header(RETRY_AFTER, 1),
        ),
    }
}

/// Puts a header on an answer; a value that cannot be one is left out.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: impl fmt::Display) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        response.headers_mut().insert(name, value);
    }
}

/// Says which content an answer is about.
pub(crate) fn set_digest(response: &mut Response, digest: &Digest) {
    set(response, CONTENT_DIGEST, digest);
}
