//! Challenges, read: what a registry wants to see.

use http::{HeaderMap, header::WWW_AUTHENTICATE};
use oci::wire::{Challenge, ScopeSet};
use url::Url;

use super::error::AuthError;
use crate::transport::location::{self, Origin};

/// Challenge headers of one answer that are read, at the most.
const MAX_HEADERS: usize = 16;

/// How a registry wants to be authenticated to.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    let mut fault = None;
    for value in headers.get_all(WWW_AUTHENTICATE).iter().take(MAX_HEADERS) {
        let challenges = match Challenge::parse(&String::from_utf8_lossy(value.as_bytes())) {
            Ok(challenges) => challenges,
            // Another header may do.
            Err(error) => {
                fault.get_or_insert(error);
                continue;
            }
        };
        for challenge in challenges {
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
    match (basic, fault) {
        (None, Some(fault)) => Err(fault.into()),
        (basic, _) => Ok(basic),
    }
}
