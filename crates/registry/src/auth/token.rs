//! Tokens: how one is asked for, and what an answer says of it.
//!
//! [Token Authentication](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md) for
//! the GET flow; [OAuth2](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/oauth.md)
//! for refresh tokens, which cannot be used otherwise.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use oci::wire::ScopeSet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::{
    credentials::{Credentials, basic, bearer},
    helper::IDENTITY,
    jwt::Claims,
};

/// The longest answer read from a token service, in bytes, inclusive.
pub(crate) const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long a token lives that does not say so, and at the least: distribution's rule.
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
/// Longer than this is not believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// How long before its end a token is not used any more, at the most: a tenth of its life.
const MARGIN: Duration = Duration::from_secs(30);

/// A token, and until when it is good. Never shown.
#[derive(Clone)]
pub(crate) struct Token {
    /// The header it is sent in.
    pub(crate) header: HeaderValue,
    /// Its number: tells a token from the one that came before it.
    pub(crate) number: u64,
    /// What it was asked for; what it allows may be less, the service does not say.
    pub(crate) scopes: ScopeSet,
    /// What it allows, as far as the service or the token itself says: a hint.
    pub(crate) granted: Option<ScopeSet>,
    life: Duration,
    expires: Instant,
}

/// What a token service gave out.
pub(crate) struct Issued {
    pub(crate) token: Token,
    /// Takes the place of the refresh token that was sent, if one was.
    pub(crate) refresh: Option<SecretString>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<SecretString>,
    #[serde(default)]
    access_token: Option<SecretString>,
    /// In seconds: a number, and with some services a number in quotes. Anything else is as good as
    /// nothing.
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    refresh_token: Option<SecretString>,
    #[serde(default)]
    scope: Option<String>,
}

/// How a token is asked for.
pub(crate) struct TokenRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The refresh token that is in the body.
    pub(crate) refresh: Option<SecretString>,
}

/// A request for a token that allows `scopes`, by GET: the destination's scope first and one
/// parameter each.
///
/// A refresh token goes in the password's place, for services that know no other way.
pub(crate) fn request(
    realm: &Url,
    service: Option<&str>,
    scopes: &ScopeSet,
    credentials: Option<&Credentials>,
) -> TokenRequest {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes.iter() {
            query.append_pair("scope", &scope.to_string());
        }
    }
    let mut headers = HeaderMap::new();
    let basic = match credentials {
        Some(Credentials::Identity(refresh)) => basic(IDENTITY, refresh),
        other => other.and_then(Credentials::basic),
    };
    if let Some(basic) = basic {
        headers.insert(AUTHORIZATION, basic);
    }
    TokenRequest {
        method: Method::GET,
        url,
        headers,
        body: Bytes::new(),
        refresh: None,
    }
}

/// The same for a refresh token, by POST.
pub(crate) fn exchange(
    realm: &Url,
    service: Option<&str>,
    scopes: &ScopeSet,
    refresh: &SecretString,
) -> TokenRequest {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("service", service.unwrap_or_default())
        .append_pair("client_id", "longshore")
        .append_pair("scope", &scopes.to_string())
        .append_pair("refresh_token", refresh.expose_secret())
        .finish();
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
    TokenRequest {
        method: Method::POST,
        url: realm.clone(),
        headers: HeaderMap::from_iter([(CONTENT_TYPE, form_type)]),
        body: form.into(),
        refresh: Some(refresh.clone()),
    }
}

fn seconds(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

// === impl Token ===

impl Token {
    /// The token of an answer to a request made at `asked`.
    ///
    /// Its life counts from then, by this machine's own clock.
    pub(crate) fn parse(
        body: &[u8],
        scopes: ScopeSet,
        asked: Instant,
        number: u64,
    ) -> Result<Issued, &'static str> {
        let answer: TokenAnswer =
            serde_json::from_slice(body).map_err(|_| "it is not a token service's JSON")?;
        let token = [answer.access_token, answer.token]
            .into_iter()
            .flatten()
            .find(|token| !token.expose_secret().is_empty())
            .ok_or("it holds no token")?;
        let life = seconds(&answer.expires_in)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(SHORTEST_LIFE)
            .clamp(SHORTEST_LIFE, LONGEST_LIFE);
        let said = answer.scope.filter(|scope| !scope.trim().is_empty());
        let granted = said
            .and_then(|scope| scope.parse().ok())
            .or_else(|| Claims::of(token.expose_secret())?.granted());
        let token = Self {
            header: bearer(&token).ok_or("its token cannot stand in a header")?,
            number,
            scopes,
            granted,
            life,
            expires: asked + life - (life / 10).min(MARGIN),
        };
        let refresh = answer.refresh_token;
        Ok(Issued {
            token,
            refresh: refresh.filter(|it| !it.expose_secret().is_empty()),
        })
    }

    /// The same, kept as one that was asked for all of `scopes`.
    pub(crate) fn for_scopes(self, scopes: &ScopeSet) -> Self {
        let scopes = scopes.clone();
        Self { scopes, ..self }
    }

    /// Whether it is good for `needed` from `now` on; of a short-lived one no more is expected than
    /// a quarter of its life, and for more than a minute half of it.
    pub(crate) fn lasts(&self, now: Instant, needed: Duration) -> bool {
        let share = if needed > SHORTEST_LIFE { 2 } else { 4 };
        now + needed.min(self.life / share) < self.expires
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token {} for {}", self.number, self.scopes)
    }
}

#[cfg(test)]
mod tests;
