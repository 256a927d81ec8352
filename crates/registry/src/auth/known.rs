//! What is known of how registries want to be authenticated to: worth keeping, and no secret.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{challenge::Wants, error::AuthError};
use crate::transport::location::{self, Origin};

/// How a registry wants to be authenticated to: what it once answered to a request without
/// credentials.
///
/// Not a secret. Kept with what else is known of the registry ([`Fact::Challenge`](crate::Fact)) it
/// saves the next process a request; if it is no longer true, that costs one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scheme", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KnownChallenge {
    /// It wants nothing.
    Open,
    /// User name and password.
    Basic,
    /// A token.
    Bearer {
        /// The token service's URL. It gets credentials under the same rules as one that the
        /// registry has just named.
        realm: String,
        /// The service's name for the registry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
    },
}

impl KnownChallenge {
    pub(super) fn of(wants: &Wants) -> Self {
        match wants {
            Wants::Nothing => Self::Open,
            Wants::Basic => Self::Basic,
            Wants::Bearer { realm, service } => Self::Bearer {
                realm: realm.to_string(),
                service: service.clone(),
            },
        }
    }

    /// The same as an answer of the registry at `origin` would be taken.
    pub(super) fn wants(&self, origin: &Origin) -> Result<Wants, AuthError> {
        Ok(match self {
            Self::Open => Wants::Nothing,
            Self::Basic => Wants::Basic,
            Self::Bearer { realm, service } => {
                let realm: Url = location::realm(realm, origin)?;
                let service = service.clone();
                Wants::Bearer { realm, service }
            }
        })
    }
}
