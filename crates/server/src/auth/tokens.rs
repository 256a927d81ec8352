//! The token service: who asks well gets a token for what the rules give them.
//!
//! Two ways in, [GET](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md)
//! with Basic credentials or none, and
//! [POST](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/oauth.md)
//! with a form. Only the second hands out refresh tokens, and only on
//! `access_type=offline`: they are kept in memory, so a client that was given one unasked
//! in a password's place could not log in any more after a restart.

mod issued;

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use oci::wire::{Challenge, ErrorCode, Scope, ScopeSet};

use self::issued::Issued;
use super::{basic_challenge, credentials::Given, policy::Policy, unauthorized, verify::Verifier};
use crate::{
    answer::{self, Refusal},
    route::Query,
    secret::{self, Secret},
};

/// How many scopes one token may be asked for.
const MAX_SCOPES: usize = 256;

/// What the service is to be.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) service: String,
    pub(super) valid_for: Duration,
    pub(super) announced: Option<Duration>,
    pub(super) refresh_valid_for: Duration,
    pub(super) realm: Option<String>,
}

/// The token service.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: Settings,
    verifier: Verifier,
    issued: Issued,
}

impl Default for Settings {
    fn default() -> Self {
        let lifetime = Duration::from_mins(5);
        Self {
            service: "longshore".to_owned(),
            valid_for: lifetime,
            announced: Some(lifetime),
            refresh_valid_for: Duration::from_hours(30 * 24),
            realm: None,
        }
    }
}

impl Tokens {
    pub(super) fn new(settings: Settings, verifier: Verifier) -> Self {
        Self {
            settings,
            verifier,
            issued: Issued::default(),
        }
    }

    /// Who a token was issued to and what it grants, while it is good.
    pub(super) fn find(&self, token: &Secret) -> Option<(Option<String>, Arc<ScopeSet>)> {
        self.issued.find(token)
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub(super) fn count(&self) -> usize {
        self.issued.count()
    }

    pub(super) fn revoke(&self, user: Option<&str>) {
        self.issued.revoke(user);
    }

    pub(super) fn challenge(
        &self,
        origin: &str,
        scope: ScopeSet,
        error: Option<&str>,
    ) -> Challenge {
        let own = || format!("{origin}/token");
        Challenge::Bearer {
            realm: self.settings.realm.clone().unwrap_or_else(own),
            service: Some(self.settings.service.clone()),
            scope,
            error: error.map(str::to_owned),
        }
    }

    /// Answers `GET /token`: Basic credentials, or none.
    pub(super) async fn answer_get(
        &self,
        query: &Query,
        headers: &HeaderMap,
        policy: &Policy,
    ) -> Result<Response, Refusal> {
        let user = match Given::of(headers) {
            Given::Nothing => None,
            Given::Basic(user, password)
                if self.verifier.check(&user, password.expose()).await? =>
            {
                Some(user)
            }
            _ => return Err(unauthorized(&basic_challenge())),
        };
        self.issue(user, query, None, policy)
    }

    /// Answers `POST /token`: a password or a refresh token in a form.
    pub(super) async fn answer_post(
        &self,
        headers: &HeaderMap,
        form: &Bytes,
        policy: &Policy,
    ) -> Result<Response, Refusal> {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(bad("the body is not application/x-www-form-urlencoded"));
        }
        let form = Query::form(&String::from_utf8_lossy(form));
        let of = |key| {
            form.get(key)
                .ok_or_else(|| bad(&format!("the form has no {key}")))
        };
        let (user, refresh) = match of("grant_type")? {
            "password" => {
                let (user, password) = (of("username")?, of("password")?);
                if !self.verifier.check(user, password).await? {
                    return Err(refused("the user name or the password is wrong"));
                }
                let refresh = match form.get("access_type") {
                    Some("offline") => {
                        Some(self.issued.offer(user, self.settings.refresh_valid_for)?)
                    }
                    _ => None,
                };
                (user.to_owned(), refresh)
            }
            "refresh_token" => {
                let refresh = Secret::from(of("refresh_token")?);
                let user = self.issued.redeem(&refresh);
                let user =
                    user.ok_or_else(|| refused("the refresh token is not known any more"))?;
                let again = form.get("access_type") == Some("offline");
                (user, again.then_some(refresh))
            }
            _ => return Err(bad("grant_type is neither password nor refresh_token")),
        };
        self.issue(Some(user), &form, refresh.as_ref(), policy)
    }

    fn issue(
        &self,
        user: Option<String>,
        asked: &Query,
        refresh: Option<&Secret>,
        policy: &Policy,
    ) -> Result<Response, Refusal> {
        let scopes = granted(asked, user.as_deref(), policy)?;
        let token = secret::random_hex()?;
        let mut body = serde_json::json!({
            "token": token,
            "access_token": token,
            "scope": scopes.to_string(),
        });
        if let Some(announced) = self.settings.announced {
            body["expires_in"] = announced.as_secs().into();
        }
        if let Some(refresh) = refresh {
            body["refresh_token"] = refresh.expose().into();
        }
        let valid_for = self.settings.valid_for;
        self.issued.keep(token.into(), user, scopes, valid_for);
        let mut response = answer::with_body(StatusCode::OK, body.to_string());
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let no_store = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
        Ok(response)
    }
}

/// What is granted of the scopes a client asks for: any number of parameters, each with any
/// number of scopes.
fn granted(asked: &Query, user: Option<&str>, policy: &Policy) -> Result<ScopeSet, Refusal> {
    let mut scopes = ScopeSet::new();
    let texts = asked.all("scope").flat_map(str::split_ascii_whitespace);
    for text in texts.take(MAX_SCOPES) {
        let wanted: Scope = text
            .parse()
            .map_err(|error: oci::wire::ScopeError| bad(&error.to_string()))?;
        let granted = policy.granted(user, &wanted);
        if !granted.actions().is_empty() {
            scopes.add(granted);
        }
    }
    Ok(scopes)
}

fn bad(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported).message(message)
}

/// What a form offers is wrong: 401, with the challenge that every 401 has to have.
fn refused(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        .message(message)
        .header(header::WWW_AUTHENTICATE, basic_challenge())
}
