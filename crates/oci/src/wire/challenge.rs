//! Challenges: `WWW-Authenticate`, parsed and written.
//!
//! [RFC 7235](https://www.rfc-editor.org/rfc/rfc7235#section-4.1) for the grammar,
//! [distribution, Token Authentication](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md)
//! for what Bearer's parameters mean.

use std::fmt;

use super::ScopeSet;

mod parser;

/// The longest header value parsed, in bytes, inclusive.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// One way a registry says it may be authenticated to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// User name and password.
    Basic {
        /// What the password is for; free text.
        realm: String,
    },
    /// A token from the token service at `realm`.
    Bearer {
        /// The token service's URL, as written: to be judged before anything is sent there.
        realm: String,
        /// The service's name for the registry.
        service: Option<String>,
        /// What the refused request needs; empty if it does not say, or says it unreadably.
        scope: ScopeSet,
        /// Why a token that was sent did not do: `invalid_token`, `insufficient_scope`.
        error: Option<String>,
    },
    /// A scheme that is not spoken here.
    Other {
        /// Its name.
        scheme: String,
    },
}

/// Why a header holds no challenge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Over [`MAX_HEADER_BYTES`].
    #[error("WWW-Authenticate header of {0} bytes is too long: at most 8192 bytes are read")]
    TooLong(usize),
    /// Nothing in it reads as a challenge.
    #[error("WWW-Authenticate header is malformed: {0}")]
    Malformed(String),
    /// A Bearer challenge that names no token service.
    #[error("Bearer challenge has no realm to fetch a token from")]
    NoRealm,
}

impl Challenge {
    /// The challenges of one header value, in order.
    ///
    /// More is read than the grammar allows, as far as it can only mean one thing: URLs without
    /// quotes, parameters without commas between them.
    ///
    /// A Bearer challenge without a realm is left out where there is another
    /// challenge to go by, and an error where there is none.
    ///
    /// ```
    /// use longshore_oci::wire::Challenge;
    /// let header = r#"Bearer realm="https://auth.example/token",service="h",scope="repository:a:pull", Basic realm="h""#;
    /// let challenges = Challenge::parse(header)?;
    /// assert!(matches!(&challenges[0], Challenge::Bearer { scope, .. } if !scope.is_empty()));
    /// assert!(matches!(&challenges[1], Challenge::Basic { realm } if realm == "h"));
    /// # Ok::<(), longshore_oci::wire::ChallengeError>(())
    /// ```
    pub fn parse(header: &str) -> Result<Vec<Self>, ChallengeError> {
        if header.len() > MAX_HEADER_BYTES {
            return Err(ChallengeError::TooLong(header.len()));
        }
        let malformed = |reason: &str| ChallengeError::Malformed(reason.to_owned());
        let parsed = parser::parse(header).map_err(malformed)?;
        let (usable, wrong): (Vec<_>, Vec<_>) = parsed
            .into_iter()
            .map(Self::from_parsed)
            .partition(Result::is_ok);
        match wrong.into_iter().find_map(Result::err) {
            Some(error) if usable.is_empty() => Err(error),
            _ => Ok(usable.into_iter().flatten().collect()),
        }
    }

    fn from_parsed(mut parsed: parser::Parsed) -> Result<Self, ChallengeError> {
        if parsed.scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic {
                realm: parsed.take("realm").unwrap_or_default(),
            });
        }
        if !parsed.scheme.eq_ignore_ascii_case("bearer") {
            return Ok(Self::Other {
                scheme: parsed.scheme,
            });
        }
        // Control characters are no part of it: a tab alone names no token service.
        let realm = parsed.take("realm");
        let realm = realm.filter(|realm| realm.chars().any(|c| !c.is_control()));
        let scope = parsed.take("scope");
        Ok(Self::Bearer {
            realm: realm.ok_or(ChallengeError::NoRealm)?,
            service: parsed.take("service"),
            scope: scope
                .and_then(|scope| scope.parse().ok())
                .unwrap_or_default(),
            error: parsed.take("error"),
        })
    }
}

impl fmt::Display for Challenge {
    /// As a header value. Control characters are left out: a header cannot carry them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { realm } => write!(f, "Basic realm={}", Quoted(realm)),
            Self::Other { scheme } => f.write_str(scheme),
            Self::Bearer {
                realm,
                service,
                scope,
                error,
            } => {
                write!(f, "Bearer realm={}", Quoted(realm))?;
                if let Some(service) = service {
                    write!(f, ",service={}", Quoted(service))?;
                }
                if !scope.is_empty() {
                    write!(f, ",scope={}", Quoted(&scope.to_string()))?;
                }
                if let Some(error) = error {
                    write!(f, ",error={}", Quoted(error))?;
                }
                Ok(())
            }
        }
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests;
