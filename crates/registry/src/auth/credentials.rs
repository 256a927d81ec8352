//! Credentials: what they are, who gives them out, and for which registry exactly.

use std::fmt;

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderValue;
use oci::{Registry, Repository};
use secrecy::{ExposeSecret, SecretString};

use super::helper::HelperError;

/// What a registry knows somebody by. Never shown: `Debug` leaves every secret out.
#[derive(Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// User name and password, or an access token in the password's place.
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: SecretString,
    },
    /// A token that is sent as it is, with no exchange.
    Bearer(SecretString),
    /// A refresh token, exchanged at the token service (`identitytoken`).
    Identity(SecretString),
}

/// Knows credentials.
#[async_trait]
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// The credentials for exactly this registry, host and port; for this repository of it where
    /// they differ. `None`: go on without any.
    async fn credentials(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Credentials>, CredentialError>;

    /// A name for whoever the credentials would be of: equal for the same account, another one for
    /// another. Nobody is asked for it, so that it may be how they are kept, where no more is
    /// known. It is neither sent nor shown; `None`: nobody in particular.
    fn account(&self, _registry: &Registry, _repository: Option<&Repository>) -> Option<String> {
        None
    }

    /// Told when the first request to a registry is about to be made: what takes long can begin.
    /// Does nothing unless a provider has it do something.
    async fn prepare(&self, _registry: &Registry, _repository: Option<&Repository>) {}

    /// Told when a registry has refused what was given out for it: whether it is worth asking again,
    /// because that was given out from memory and may have had an end. Not, unless a provider says so.
    async fn refused(&self, _registry: &Registry, _repository: Option<&Repository>) -> bool {
        false
    }
}

/// Why credentials that should be there are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// They are kept by a credential helper, and there is none to ask.
    #[error(
        "the credentials for {registry} are kept by the credential helper {name:?}, which is not asked: give them explicitly"
    )]
    Helper {
        /// The registry.
        registry: String,
        /// The helper's name, without `docker-credential-`.
        name: String,
    },
    /// The credential helper they are kept by gave no answer.
    #[error("the credentials for {registry} could not be had from their credential helper")]
    HelperFailed {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        error: HelperError,
    },
    /// An entry is there and cannot be read.
    #[error("the credentials for {registry} are malformed: {reason}")]
    Malformed {
        /// The registry.
        registry: String,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The provider failed.
    #[error("the credentials for {registry} could not be had: {reason}")]
    Failed {
        /// The registry.
        registry: String,
        /// Why; without a secret in it.
        reason: String,
    },
}

// === impl Credentials ===

impl Credentials {
    /// User name and password.
    pub fn password(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Password {
            username: username.into(),
            password: SecretString::from(password.into()),
        }
    }

    /// A token that is sent as it is.
    pub fn bearer(token: impl Into<String>) -> Self {
        Self::Bearer(SecretString::from(token.into()))
    }

    /// A refresh token.
    pub fn identity(token: impl Into<String>) -> Self {
        Self::Identity(SecretString::from(token.into()))
    }

    /// What tells accounts apart and is no secret: tokens are all the same.
    pub(crate) fn account(&self) -> String {
        match self {
            Self::Password { username, .. } => format!("user {username}"),
            Self::Bearer(_) | Self::Identity(_) => "token".to_owned(),
        }
    }

    /// Whether both are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same = |one: &SecretString, two: &SecretString| {
            let (one, two) = (one.expose_secret(), two.expose_secret());
            one == two
        };
        match (self, other) {
            (
                Self::Password { username, password },
                Self::Password {
                    username: other_name,
                    password: other_password,
                },
            ) => username == other_name && same(password, other_password),
            (Self::Bearer(one), Self::Bearer(two)) | (Self::Identity(one), Self::Identity(two)) => {
                same(one, two)
            }
            _ => false,
        }
    }

    /// The `Authorization` that a Basic challenge asks for; only a password makes one.
    pub(crate) fn basic(&self) -> Option<HeaderValue> {
        let Self::Password { username, password } = self else {
            return None;
        };
        basic(username, password)
    }
}

/// The `Authorization` of a user name and a password.
pub(crate) fn basic(username: &str, password: &SecretString) -> Option<HeaderValue> {
    let pair = format!("{username}:{}", password.expose_secret());
    let mut value =
        HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The `Authorization` for a token; none if it could not be in a header.
pub(crate) fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Credentials::Password(…)",
            Self::Bearer(_) => "Credentials::Bearer(…)",
            Self::Identity(_) => "Credentials::Identity(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for credentials in [
            Credentials::password("user", "canary"),
            Credentials::bearer("canary"),
            Credentials::identity("canary"),
        ] {
            let shown = format!("{credentials:?} {:?}", credentials.basic());
            assert!(!shown.contains("canary"), "{shown}");
            assert!(!shown.contains("Y2FuYXJ5"), "{shown}");
        }
    }

    #[test]
    fn credentials_are_the_same_by_kind_name_and_secret() {
        let all = [
            Credentials::password("user", "one"),
            Credentials::password("user", "two"),
            Credentials::password("other", "one"),
            Credentials::bearer("one"),
            Credentials::bearer("two"),
            Credentials::identity("one"),
        ];
        for (at, one) in all.iter().enumerate() {
            for (then, other) in all.iter().enumerate() {
                assert_eq!(one.is(other), at == then, "{at} {then}");
            }
        }
    }

    #[test]
    fn a_token_that_is_no_header_is_no_token() {
        assert!(bearer(&SecretString::from("one\r\nX-Evil: two")).is_none());
        assert!(bearer(&SecretString::from("good")).is_some());
    }
}
