//! The labels of metrics: each takes values of a small fixed set.

use std::fmt::{self, Write as _};

use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use crate::store::Committed;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByStatus {
    pub(super) method: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByEndpoint {
    pub(super) endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCause {
    pub(super) cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByHow {
    pub(super) how: How,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Status {
    /// It was answered with this status.
    Code(u16),
    /// A fault broke the connection.
    Reset,
    /// The client went away.
    Gone,
}

/// Why something was refused or cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// 400: not what the protocol says, a wrong digest, a manifest that lacks children.
    Invalid,
    /// 401.
    Unauthorized,
    /// 403.
    Denied,
    /// 405.
    Unsupported,
    /// 408: a body that stopped coming, or came too slowly.
    BodyTooSlow,
    /// 409.
    Conflict,
    /// 412.
    ConditionFailed,
    /// 413.
    BodyTooLarge,
    /// 414.
    UriTooLong,
    /// 416.
    OutOfOrder,
    /// 429.
    TooMany,
    /// 431.
    HeadTooLarge,
    /// 507.
    StorageFull,
    /// Any other 5xx.
    Internal,
    /// A connection whose TLS handshake failed.
    Handshake,
    /// A connection that does not speak HTTP.
    NotHttp,
    /// A connection whose request did not come in time.
    HeadTooSlow,
    /// A connection whose client does not read its answer.
    AnswerUnread,
    /// A connection more than one client may have.
    ConnectionsOfClient,
}

/// How a repository came to hold a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    /// It was uploaded, and is new to the registry.
    Uploaded,
    /// It was uploaded, and the registry held it already: it is kept once.
    Deduplicated,
    /// It was linked from another repository.
    Mounted,
}

impl Cause {
    /// The cause that an answer's status tells, if it tells of a refusal. That something is
    /// not there is none.
    pub(super) fn of(status: u16) -> Option<Self> {
        Some(match status {
            401 => Self::Unauthorized,
            403 => Self::Denied,
            404 => return None,
            405 => Self::Unsupported,
            408 => Self::BodyTooSlow,
            409 => Self::Conflict,
            412 => Self::ConditionFailed,
            413 => Self::BodyTooLarge,
            414 => Self::UriTooLong,
            416 => Self::OutOfOrder,
            429 => Self::TooMany,
            431 => Self::HeadTooLarge,
            507 => Self::StorageFull,
            400..500 => Self::Invalid,
            500.. => Self::Internal,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::BodyTooSlow => "body-too-slow",
            Self::Conflict => "conflict",
            Self::ConditionFailed => "condition-failed",
            Self::BodyTooLarge => "body-too-large",
            Self::UriTooLong => "uri-too-long",
            Self::OutOfOrder => "out-of-order",
            Self::TooMany => "too-many",
            Self::HeadTooLarge => "head-too-large",
            Self::StorageFull => "storage-full",
            Self::Internal => "internal",
            Self::Handshake => "handshake",
            Self::NotHttp => "not-http",
            Self::HeadTooSlow => "head-too-slow",
            Self::AnswerUnread => "answer-unread",
            Self::ConnectionsOfClient => "connections-of-client",
        }
    }
}

impl From<Committed> for How {
    fn from(committed: Committed) -> Self {
        match committed {
            Committed::New => Self::Uploaded,
            Committed::Known => Self::Deduplicated,
        }
    }
}

impl EncodeLabelValue for Cause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.name())
    }
}

impl EncodeLabelValue for How {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Uploaded => "uploaded",
            Self::Deduplicated => "deduplicated",
            Self::Mounted => "mounted",
        })
    }
}

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(encoder, "{code}"),
            Self::Reset => encoder.write_str("reset"),
            Self::Gone => encoder.write_str("gone"),
        }
    }
}

/// A method's name, if it is one of the protocol's.
pub(super) fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
