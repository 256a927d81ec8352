//! Why a request cannot be authenticated.

use http::StatusCode;
use oci::wire::{ChallengeError, ErrorBody};

use super::credentials::CredentialError;
use crate::transport::{TransportError, location::LocationError};

/// Why a request cannot be authenticated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuthError {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("the registry's challenge cannot be answered")]
    Realm(#[from] LocationError),
    #[error("the registry's challenge cannot be read")]
    Challenge(#[from] ChallengeError),
    #[error("the token service could not be asked")]
    Unreachable(#[source] TransportError),
    #[error("the token service at {service} refused a token (HTTP {status})")]
    Refused {
        service: String,
        status: StatusCode,
        answer: ErrorBody,
    },
    #[error("the answer of the token service at {service} is not usable: {reason}")]
    Answer {
        service: String,
        reason: &'static str,
    },
}
