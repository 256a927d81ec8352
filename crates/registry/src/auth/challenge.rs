//! Challenges, read: what a registry wants to see.

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use oci::wire::{Challenge, ScopeSet};
use url::Url;

use super::error::AuthError;
use crate::transport::location::{self, Origin};

/// How a registry wants to be authenticated to.
#[derive(Clone, Debug)]
pub(super) enum Wants {
    Nothing,
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// What a 401 says.
pub(super) struct Read {
    pub(super) wants: Wants,
    pub(super) scope: ScopeSet,
    /// Whether the token was good and did not allow it.
    pub(super) not_granted: bool,
}

/// What a 401 asks for: Bearer before Basic. None if it asks for nothing known.
pub(super) fn read_challenge(
    headers: &HeaderMap,
    registry: &Origin,
) -> Result<Option<Read>, AuthError> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(value) = value.to_str() else { continue };
        for challenge in Challenge::parse(value)? {
            match challenge {
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                    error,
                } => {
                    let realm = location::realm(&realm, registry)?;
                    return Ok(Some(Read {
                        wants: Wants::Bearer { realm, service },
                        scope,
                        not_granted: error.as_deref() == Some("insufficient_scope"),
                    }));
                }
                Challenge::Basic { .. } => {
                    basic = Some(Read {
                        wants: Wants::Basic,
                        scope: ScopeSet::new(),
                        not_granted: false,
                    });
                }
                _ => {}
            }
        }
    }
    Ok(basic)
}
