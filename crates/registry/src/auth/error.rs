//! Why a request cannot be authenticated.

use std::fmt;

use http::StatusCode;
use oci::wire::{ChallengeError, ErrorBody, ScopeSet};

use super::credentials::CredentialError;
use crate::transport::{TransportError, location::LocationError};

impl AuthError {
    /// Whether it may come of asking a token service that is no longer the registry's.
    pub(super) fn may_be_of_yesterday(&self) -> bool {
        !matches!(self, Self::Credentials(_) | Self::NothingAtHand)
    }
}

/// What a token was asked for and what it allows, where that was not enough.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token was asked for {asked}, {}", Granted(.granted.as_ref()))]
pub(crate) struct Grant {
    pub(crate) asked: ScopeSet,
    /// As far as the service or the token says.
    pub(crate) granted: Option<ScopeSet>,
}

struct Granted<'a>(Option<&'a ScopeSet>);

impl fmt::Display for Granted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("and does not say what of it was granted"),
            Some(granted) if granted.is_empty() => f.write_str("and nothing of it was granted"),
            Some(granted) => write!(f, "and {granted} was granted"),
        }
    }
}

/// Why a request cannot be authenticated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuthError {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("there is no token at hand, and this is not worth another")]
    NothingAtHand,
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
