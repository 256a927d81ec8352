//! The token service: GET flow, opaque tokens, grants that tests can shape.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use oci::wire::{Action, Challenge, ErrorCode, Scope, ScopeSet};

use super::{Users, unauthorized};
use crate::{
    answer::{self, Refusal},
    route::Query,
    secret::{self, Secret},
};

/// How many tokens are remembered; the ones that end first make room.
const MAX_TOKENS: usize = 10_000;
/// How many scopes one token may be asked for.
const MAX_SCOPES: usize = 256;

/// A token service: who gets tokens, for what, for how long.
///
/// As the protocol has it, asking for more than one may have is no error: the
/// token grants what is left.
#[derive(Clone, Debug)]
pub struct Bearer {
    users: Users,
    service: String,
    valid_for: Duration,
    announced: Option<Duration>,
    anonymous: Vec<Action>,
    denied: Vec<Denial>,
    realm: Option<String>,
}

#[derive(Clone, Debug)]
struct Denial {
    repository: Option<String>,
    action: Action,
}

/// The tokens that were issued.
#[derive(Debug)]
pub(crate) struct Tokens {
    settings: Bearer,
    issued: Mutex<HashMap<Secret, Grant>>,
}

#[derive(Clone, Debug)]
struct Grant {
    user: Option<String>,
    scopes: ScopeSet,
    ends: Instant,
}

// === impl Bearer ===

impl Default for Bearer {
    fn default() -> Self {
        let lifetime = Duration::from_mins(5);
        Self {
            users: Users::new(),
            service: "longshore".to_owned(),
            valid_for: lifetime,
            announced: Some(lifetime),
            anonymous: Vec::new(),
            denied: Vec::new(),
            realm: None,
        }
    }
}

impl Bearer {
    /// A service that knows nobody: tokens for 300 seconds, nothing for anonymous clients.
    pub fn new() -> Self {
        Self::default()
    }

    /// And a user, who may do everything that is not denied.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.users = self.users.with(user, password);
        self
    }

    /// Clients without credentials may do this.
    #[must_use]
    pub fn anonymous(mut self, action: Action) -> Self {
        self.anonymous.push(action);
        self
    }

    /// The name the service knows this registry by.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// How long tokens are good for; also announced as `expires_in`, in whole seconds.
    #[must_use]
    pub fn valid_for(mut self, lifetime: Duration) -> Self {
        self.valid_for = lifetime;
        self.announced = Some(lifetime);
        self
    }

    /// What is announced as `expires_in`, whatever is true; nothing is announced with `None`.
    #[must_use]
    pub fn announcing(mut self, lifetime: Option<Duration>) -> Self {
        self.announced = lifetime;
        self
    }

    /// Nobody may do this anywhere.
    #[must_use]
    pub fn deny(mut self, action: Action) -> Self {
        self.denied.push(Denial {
            repository: None,
            action,
        });
        self
    }

    /// Nobody may do this in one repository.
    #[must_use]
    pub fn deny_in(mut self, repository: impl Into<String>, action: Action) -> Self {
        self.denied.push(Denial {
            repository: Some(repository.into()),
            action,
        });
        self
    }

    /// Challenges name this URL as the token service instead of the server's own.
    #[must_use]
    pub fn realm(mut self, url: impl Into<String>) -> Self {
        self.realm = Some(url.into());
        self
    }

    /// What of a scope is granted.
    pub(super) fn granted(&self, wanted: &Scope, known: bool) -> Scope {
        let allowed = |action: &&Action| {
            let denied = self.denied.iter().any(|it| {
                it.action == **action
                    && it
                        .repository
                        .as_deref()
                        .is_none_or(|name| name == wanted.name())
            });
            (known || self.anonymous.contains(action)) && !denied
        };
        let actions = wanted.actions().iter().filter(allowed).cloned();
        Scope::new(wanted.kind(), wanted.name(), actions)
    }
}

// === impl Tokens ===

impl Tokens {
    pub(crate) fn new(settings: Bearer) -> Self {
        Self {
            settings,
            issued: Mutex::default(),
        }
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<Secret, Grant>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who a token was issued to and what it grants, while it is good.
    pub(super) fn find(&self, token: &str) -> Option<(Option<String>, ScopeSet)> {
        let issued = self.issued();
        let grant = issued.get(&Secret::from(token))?;
        (Instant::now() < grant.ends).then(|| (grant.user.clone(), grant.scopes.clone()))
    }

    pub(super) fn settings(&self) -> &Bearer {
        &self.settings
    }

    /// Whether clients without credentials may pull.
    pub(super) fn is_open_to_read(&self) -> bool {
        self.settings.anonymous.contains(&Action::Pull)
    }

    pub(super) fn users(&self) -> &Users {
        &self.settings.users
    }

    pub(super) fn count(&self) -> usize {
        self.issued().len()
    }

    pub(super) fn revoke(&self) {
        self.issued().clear();
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

    /// Answers `GET /token`.
    pub(super) fn issue(&self, query: &Query, headers: &HeaderMap) -> Result<Response, Refusal> {
        let user = self.settings.users.check(headers);
        if user.is_none() && headers.contains_key(header::AUTHORIZATION) {
            return Err(unauthorized(&Challenge::Basic {
                realm: self.settings.service.clone(),
            }));
        }
        let scopes = self.grant(query, user.is_some())?;
        let token = secret::random_hex()?;
        let mut body = serde_json::json!({"token": token, "access_token": token});
        if let Some(announced) = self.settings.announced {
            body["expires_in"] = announced.as_secs().into();
        }
        self.remember(
            Secret::from(token),
            Grant {
                user,
                scopes,
                ends: Instant::now() + self.settings.valid_for,
            },
        );
        let mut response = answer::with_body(StatusCode::OK, body.to_string());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    /// What is granted of the scopes a query asks for: any number of parameters,
    /// each with any number of scopes.
    fn grant(&self, query: &Query, known: bool) -> Result<ScopeSet, Refusal> {
        let mut scopes = ScopeSet::new();
        let texts = query.all("scope").flat_map(str::split_ascii_whitespace);
        for text in texts.take(MAX_SCOPES) {
            let wanted: Scope = text.parse().map_err(|error: oci::wire::ScopeError| {
                Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported)
                    .message(error.to_string())
            })?;
            scopes.add(self.settings.granted(&wanted, known));
        }
        Ok(scopes)
    }

    fn remember(&self, token: Secret, grant: Grant) {
        let mut issued = self.issued();
        if issued.len() >= MAX_TOKENS {
            let now = Instant::now();
            issued.retain(|_, it| it.ends > now);
        }
        if issued.len() >= MAX_TOKENS {
            let first = issued.iter().min_by_key(|it| it.1.ends);
            let first = first.map(|it| it.0.clone());
            first.map(|first| issued.remove(&first));
        }
        issued.insert(token, grant);
    }
}
