//! What a token says of itself, where it is a JSON Web Token.
//!
//! Read as a hint and never trusted: the signature is not checked, the registry does that.
//! A token that is none of these, or damaged, says nothing.
//! [distribution, JWT](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/jwt.md)
//! for `access`, [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4) for `exp`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use oci::wire::{Action, Scope, ScopeSet};
use serde::Deserialize;

/// Entries of an `access` claim that are read, at the most.
const MAX_ACCESS: usize = 256;

/// The claims that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    access: Option<Vec<Access>>,
}

#[derive(Debug, Deserialize)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

impl Claims {
    /// The claims of a token; none if it is no JSON Web Token.
    pub(super) fn of(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (_, claims) = (parts.next()?, parts.next()?);
        parts.next()?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('='));
        serde_json::from_slice(&json.ok()?).ok()
    }

    /// What the token allows; none if it does not say.
    pub(super) fn granted(&self) -> Option<ScopeSet> {
        let access = self.access.as_ref()?;
        let scope = |it: &Access| {
            let actions = it.actions.iter().map(|action| Action::from(&**action));
            Scope::new(&it.kind, &it.name, actions)
        };
        let said = access.iter().take(MAX_ACCESS);
        Some(
            said.filter(|it| !it.actions.is_empty())
                .map(scope)
                .collect(),
        )
    }

    /// How long it is good for from `now` on; none if it does not say, nothing if it is over.
    pub(super) fn life(&self, now: SystemTime) -> Option<Duration> {
        let ends = Duration::try_from_secs_f64(self.exp?).ok()?;
        let now = now.duration_since(UNIX_EPOCH).ok()?;
        Some(ends.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn access_and_expiry_are_read_where_they_are_there() {
        let claims = token(
            r#"{"exp": 1000, "access": [
                {"type": "repository", "name": "app", "actions": ["pull", "push"]},
                {"type": "repository", "name": "secret", "actions": []}
            ]}"#,
        );
        let claims = Claims::of(&claims).unwrap();
        assert_eq!(
            claims.granted().unwrap().to_string(),
            "repository:app:pull,push"
        );
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(claims.life(at(400)), Some(Duration::from_mins(10)));
        assert_eq!(claims.life(at(4000)), Some(Duration::ZERO));
        let nothing = Claims::of(&token("{}")).unwrap();
        assert!(nothing.granted().is_none() && nothing.life(at(0)).is_none());
    }

    #[test]
    fn what_is_no_json_web_token_says_nothing() {
        for text in [
            "",
            "opaque",
            "a.b.c",
            "a.e30",
            "..",
            "a.e30=.c.d",
            "a.W10.c",
        ] {
            let said = Claims::of(text).and_then(|it| it.granted());
            assert!(said.is_none(), "{text}");
        }
        let odd = token(r#"{"exp": -5, "access": []}"#);
        assert_eq!(Claims::of(&odd).unwrap().life(SystemTime::now()), None);
    }
}
