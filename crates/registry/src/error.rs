//! What can go wrong with a call, and what the ports are told of it.

use http::StatusCode;
use oci::{SourceError, TargetError, TargetErrorKind};

use crate::{
    auth::AuthError,
    transport::{TransportError, answer::Answer, connect::ConnectError, location::LocationError},
};

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// An answer that does not follow from the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unexpected {
    #[error(
        "the answer is an HTML page: this may not be a registry, or a proxy or a login page answered in its place"
    )]
    Html,
    #[error("the status means something else in this protocol")]
    Status,
    #[error("the answer has no Location")]
    NoLocation,
    #[error("the answer to an upload says that it is done, and the blob is not there")]
    NotThere,
    #[error("the answer says that the manifest was taken, and it is not there")]
    ManifestNotThere,
    #[error("the answers to an upload contradict one another")]
    Session,
    #[error("the answer is not JSON of the expected kind")]
    Json,
    #[error("there are more than {0} pages")]
    TooManyPages(usize),
    #[error("there are more than {0} entries")]
    TooManyItems(usize),
    #[error("the tag {0} is kept for a list of them, and names something else")]
    NotAnIndex(String),
    #[error("the part of the blob in the answer is not the one asked for")]
    OtherRange,
}

impl CallError {
    /// The same for whoever wanted something done.
    pub(crate) fn into_target(self, attempted: impl Into<String>) -> TargetError {
        match self {
            Self::Source(error) => TargetError::from_source(error, attempted),
            Self::Transport(error) => {
                TargetError::new(kind_of(&error), attempted).with_source(error)
            }
            Self::Auth(error) => auth_error(error, attempted.into()),
        }
    }
}

/// Whether what stopped it is a token service of another domain than the registry's: it gets
/// credentials if [`ClientBuilder::trust_token_service`](crate::ClientBuilder::trust_token_service)
/// names it.
pub fn names_foreign_token_service(error: &TargetError) -> bool {
    let source = std::error::Error::source(error).and_then(|it| it.downcast_ref::<AuthError>());
    matches!(
        source,
        Some(AuthError::Realm(LocationError::ForeignRealm(_)))
    )
}

fn kind_of(error: &TransportError) -> TargetErrorKind {
    match error {
        TransportError::Connect(ConnectError::Private(_)) | TransportError::Location(_) => {
            TargetErrorKind::Unsafe
        }
        TransportError::Connect(_) | TransportError::Broken(_) => TargetErrorKind::Network,
        TransportError::TimedOut(_) => TargetErrorKind::Timeout,
        TransportError::Paused { .. } => TargetErrorKind::RateLimited,
        TransportError::NotHttp(_) | TransportError::TooLong(_) => TargetErrorKind::Protocol,
    }
}

fn auth_error(error: AuthError, attempted: String) -> TargetError {
    match &error {
        AuthError::Credentials(_) | AuthError::NothingAtHand => {
            TargetError::new(TargetErrorKind::Unauthorized, attempted).with_source(error)
        }
        AuthError::Realm(_) => {
            TargetError::new(TargetErrorKind::Unsafe, attempted).with_source(error)
        }
        AuthError::Challenge(_) | AuthError::Answer { .. } => {
            TargetError::new(TargetErrorKind::Protocol, attempted).with_source(error)
        }
        AuthError::Unreachable(transport) => {
            TargetError::new(kind_of(transport), attempted).with_source(error)
        }
        AuthError::Refused { status, answer, .. } => {
            let kind = match kind_of_status(*status) {
                // A token service that refuses refuses the credentials.
                TargetErrorKind::Denied | TargetErrorKind::Refused => TargetErrorKind::Unauthorized,
                other => other,
            };
            TargetError::new(kind, attempted)
                .with_status(status.as_u16())
                .with_answer(answer.clone())
                .with_source(error)
        }
    }
}

pub(crate) fn kind_of_status(status: StatusCode) -> TargetErrorKind {
    match status.as_u16() {
        401 => TargetErrorKind::Unauthorized,
        403 => TargetErrorKind::Denied,
        408 => TargetErrorKind::Timeout,
        429 => TargetErrorKind::RateLimited,
        400..=499 => TargetErrorKind::Refused,
        500..=599 => TargetErrorKind::Server,
        _ => TargetErrorKind::Protocol,
    }
}

/// The error that an answer with the wrong status is.
pub(crate) async fn refusal(mut answer: Answer, attempted: impl Into<String>) -> TargetError {
    let status = answer.status;
    let kind = kind_of_status(status);
    let error = TargetError::new(kind.clone(), attempted).with_status(status.as_u16());
    if kind == TargetErrorKind::Protocol {
        let unexpected = if answer.is_html() {
            Unexpected::Html
        } else {
            Unexpected::Status
        };
        return error.with_source(unexpected);
    }
    let error = match answer.note.take() {
        Some(note) => error.with_source(note),
        None => error,
    };
    error.with_answer(answer.errors().await)
}

/// The error that an answer with the right status and something else wrong is.
pub(crate) fn protocol(
    status: StatusCode,
    unexpected: Unexpected,
    attempted: impl Into<String>,
) -> TargetError {
    TargetError::new(TargetErrorKind::Protocol, attempted)
        .with_status(status.as_u16())
        .with_source(unexpected)
}
