//! Who may do what: who a request comes from, and what the rules give them.
//!
//! ```text
//!   Authorization ─▶ Given ─▶ Verifier (Basic) or Tokens (Bearer) ─▶ Principal
//!                                                        Rules ───────▲
//! ```
//!
//! A request is judged by the repository's name before anything is looked up, so what
//! is refused is refused alike whether it exists or not:
//!
//! - **401** and a challenge: no credentials where they are needed, wrong ones, or a token
//!   that does not cover the request (the token protocol's way to ask for a wider one).
//! - **403**: right credentials, and the rules say no. Other credentials would not be asked
//!   for: the same client would send the same again.
//! - A mount from a source that may not be read is a mount from a source that is not there:
//!   202 and an upload session, byte for byte.
//!
//! [distribution, Token Authentication](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md)
//! for the Bearer flow. Tokens are opaque random texts; what they grant is kept here.

mod bearer;
mod credentials;
mod htpasswd;
mod needs;
mod policy;
mod rules;
mod text;
mod tokens;
mod users;
mod verify;

use std::{
    io,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use oci::wire::{Challenge, ErrorCode};

pub use bearer::Bearer;
use credentials::Given;
pub use htpasswd::{HtpasswdError, HtpasswdFault};
use needs::Needs;
use policy::Policy;
pub(crate) use policy::Principal;
pub use rules::{Grant, PatternError, RepositoryPattern, RuleFault, Rules, RulesError, Who};
use tokens::Tokens;
pub use users::Users;
use verify::Verifier;

use crate::{
    answer::Refusal,
    endpoint::Endpoint,
    route::{Page, Query, Resource},
    secret::Secret,
};

/// How a server learns who its clients are. What they may do is a matter of [`Rules`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Nobody is asked.
    #[default]
    None,
    /// User name and password with every request.
    Basic(Users),
    /// A token with every request, from the server's own token service at `/token`.
    Bearer(Bearer),
}

/// Auth at run time.
#[derive(Debug)]
pub(crate) struct Guard {
    scheme: Scheme,
    policy: RwLock<Arc<Policy>>,
}

#[derive(Debug)]
enum Scheme {
    Open,
    Basic(Box<Verifier>),
    Bearer(Box<Tokens>),
}

// === impl Auth ===

impl Auth {
    /// Basic with one user.
    pub fn basic(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Basic(Users::default().with(user, password))
    }

    /// Whether clients send secrets to a server with this.
    pub(crate) fn takes_secrets(&self) -> bool {
        !matches!(self, Self::None)
    }
}

// === impl Guard ===

impl Guard {
    /// A guard by these rules. Without any, whoever has credentials may do everything, and
    /// where nobody is asked for them everybody may.
    pub(crate) fn new(auth: Auth, rules: Option<Rules>) -> io::Result<Self> {
        let mut policy = Policy {
            rules: rules.unwrap_or_else(|| match auth {
                Auth::None => Rules::open(),
                _ => Rules::open_to_users(),
            }),
            denied: Vec::new(),
        };
        let scheme = match auth {
            Auth::None => Scheme::Open,
            Auth::Basic(users) => Scheme::Basic(Box::new(Verifier::new(users)?)),
            Auth::Bearer(bearer) => {
                let (settings, users) = bearer.settle(&mut policy);
                Scheme::Bearer(Box::new(Tokens::new(settings, Verifier::new(users)?)))
            }
        };
        Ok(Self {
            scheme,
            policy: RwLock::new(Arc::new(policy)),
        })
    }

    /// The rules as they are at this moment: a request goes by the same ones to its end.
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes by these rules from now on. What tokens grant that were issued before stays.
    pub(crate) fn replace_rules(&self, rules: Rules) {
        let mut policy = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        let denied = policy.denied.clone();
        *policy = Arc::new(Policy { rules, denied });
    }

    /// Knows these users from now on. Tokens of those who are gone, or have another password, are
    /// worthless at once. False if nobody is asked who they are.
    pub(crate) fn replace_users(&self, users: Users) -> io::Result<bool> {
        let verifier = match &self.scheme {
            Scheme::Open => return Ok(false),
            Scheme::Basic(verifier) => verifier,
            Scheme::Bearer(tokens) => tokens.verifier(),
        };
        for user in verifier.replace(users)? {
            self.revoke(Some(&user));
        }
        Ok(true)
    }

    /// Who asks, if they may do what they ask; a challenge if not.
    pub(crate) async fn check(
        &self,
        endpoint: Endpoint,
        resource: &Resource,
        query: &Query,
        headers: &HeaderMap,
        origin: &str,
    ) -> Result<Principal, Refusal> {
        if matches!(endpoint, Endpoint::Token | Endpoint::Health) {
            return Ok(Principal::default());
        }
        if endpoint == Endpoint::Metrics {
            return self.check_user(headers).await;
        }
        if let Resource::Page(page) = resource {
            return match page {
                Page::Style | Page::Icon => Ok(Principal::default()),
                Page::Home | Page::Repository(_) => self.check_visitor(headers).await,
            };
        }
        let needs = Needs::of(endpoint, resource);
        match &self.scheme {
            Scheme::Open => {
                let anybody = Principal::ruled(None, &self.policy());
                let is_base = matches!(needs, Needs::Login);
                if is_base || self.suffices(&anybody, &needs) {
                    return Ok(anybody);
                }
                Err(forbidden())
            }
            Scheme::Basic(verifier) => self.check_basic(verifier, &needs, headers).await,
            Scheme::Bearer(tokens) => {
                let challenge = |error: Option<&str>| {
                    let scopes = needs.announced(endpoint, query);
                    unauthorized(&tokens.challenge(origin, scopes, error))
                };
                let Given::Bearer(token) = Given::of(headers) else {
                    return Err(challenge(None));
                };
                let Some((user, scopes)) = tokens.find(&token) else {
                    return Err(challenge(Some("invalid_token")));
                };
                if !scopes.covers(&needs.scopes()) {
                    return Err(challenge(Some("insufficient_scope")));
                }
                Ok(Principal::scoped(user, scopes, &self.policy()))
            }
        }
    }

    /// Who asks for what is about the server and not about a repository: a user with a password,
    /// also where repositories want a token.
    async fn check_user(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let verifier = match &self.scheme {
            Scheme::Open => return Ok(Principal::default()),
            Scheme::Basic(verifier) => verifier,
            Scheme::Bearer(tokens) => tokens.verifier(),
        };
        match Given::of(headers) {
            Given::Basic(user, password) if verifier.check(&user, password.expose()).await? => {
                Ok(Principal::ruled(Some(user), &self.policy()))
            }
            _ => Err(unauthorized(&basic_challenge())),
        }
    }

    /// Who looks at what the registry holds: a user with a password, or anybody where something
    /// is open to everybody. Browsers have no tokens.
    async fn check_visitor(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let is_open = match self.scheme {
            Scheme::Open => true,
            _ => self.policy().allows_catalog(None) && matches!(Given::of(headers), Given::Nothing),
        };
        if is_open {
            return Ok(Principal::ruled(None, &self.policy()));
        }
        self.check_user(headers).await
    }

    async fn check_basic(
        &self,
        verifier: &Verifier,
        needs: &Needs<'_>,
        headers: &HeaderMap,
    ) -> Result<Principal, Refusal> {
        let user = match Given::of(headers) {
            Given::Nothing => None,
            Given::Basic(user, password) => {
                if !verifier.check(&user, password.expose()).await? {
                    return Err(unauthorized(&basic_challenge()));
                }
                Some(user)
            }
            Given::Bearer(_) | Given::Unreadable => {
                return Err(unauthorized(&basic_challenge()));
            }
        };
        let principal = Principal::ruled(user, &self.policy());
        match (self.suffices(&principal, needs), &principal.user) {
            (true, _) => Ok(principal),
            (false, None) => Err(unauthorized(&basic_challenge())),
            (false, Some(_)) => Err(forbidden()),
        }
    }

    /// Whether the rules give somebody what a request needs. `GET /v2/` needs a user even
    /// where much is open: its challenge is how clients learn that there are users at all.
    fn suffices(&self, principal: &Principal, needs: &Needs<'_>) -> bool {
        match needs {
            Needs::Login => principal.user.is_some(),
            Needs::Catalog => self.policy().allows_catalog(principal.user.as_deref()),
            Needs::Repository(name, actions) => actions.iter().all(|it| principal.may(name, it)),
        }
    }

    /// The token service's answer to a GET.
    pub(crate) async fn token(
        &self,
        query: &Query,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        self.tokens()?
            .answer_get(query, headers, &self.policy())
            .await
    }

    /// The token service's answer to a POST with this form.
    pub(crate) async fn token_for_form(
        &self,
        headers: &HeaderMap,
        form: &Bytes,
    ) -> Result<Response, Refusal> {
        self.tokens()?
            .answer_post(headers, form, &self.policy())
            .await
    }

    fn tokens(&self) -> Result<&Tokens, Refusal> {
        match &self.scheme {
            Scheme::Bearer(tokens) => Ok(tokens),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported)
                .message("this registry has no token service")),
        }
    }

    /// How many tokens are remembered.
    pub(crate) fn token_count(&self) -> usize {
        match &self.scheme {
            Scheme::Bearer(tokens) => tokens.count(),
            _ => 0,
        }
    }

    /// Makes tokens worthless, refresh tokens too: one user's, or all.
    pub(crate) fn revoke(&self, user: Option<&str>) {
        if let Scheme::Bearer(tokens) = &self.scheme {
            tokens.revoke(user);
        }
    }
}

fn unauthorized(challenge: &Challenge) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        .message("authentication required")
        .header(header::WWW_AUTHENTICATE, challenge)
}

fn basic_challenge() -> Challenge {
    Challenge::Basic {
        realm: "longshore".to_owned(),
    }
}

fn forbidden() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, ErrorCode::Denied)
        .message("the registry's rules do not give this to you")
}
