//! Who may do what: nobody is asked, Basic, or Bearer with a token service of our own.
//!
//! [distribution, Token Authentication](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/token.md)
//! for the Bearer flow. Tokens are opaque random texts; what they grant is kept here.

mod bearer;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use oci::wire::{Action, Challenge, ErrorCode, Scope, ScopeSet};

pub use bearer::Bearer;
pub(crate) use bearer::Tokens;

use crate::{
    answer::Refusal,
    endpoint::Endpoint,
    route::{Name, Page, Query, Resource},
    secret::Secret,
};

/// How a server authenticates its clients.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Nobody is asked: everybody may do everything.
    #[default]
    None,
    /// User name and password with every request. Who has them may do everything.
    Basic(Users),
    /// A token with every request, from the server's own token service at `/token`.
    Bearer(Bearer),
}

/// User names and their passwords.
#[derive(Clone, Debug, Default)]
pub struct Users(Vec<(String, Secret)>);

/// Who a request comes from, and what it may do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Principal {
    pub(crate) user: Option<String>,
    grant: Grant,
}

#[derive(Clone, Debug, Default)]
enum Grant {
    #[default]
    Everything,
    Scopes(ScopeSet),
    /// What the token service would grant, to somebody it knows or not.
    Visitor(Box<Bearer>, bool),
}

/// Auth at run time.
#[derive(Debug)]
pub(crate) enum Guard {
    None,
    Basic(Users),
    Bearer(Tokens),
}

// === impl Auth ===

impl Auth {
    /// Basic with one user.
    pub fn basic(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Basic(Users::default().with(user, password))
    }
}

impl Users {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and one user more.
    #[must_use]
    pub fn with(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.0.push((user.into(), password.into()));
        self
    }

    /// The user whom Basic credentials name, if the password is right.
    fn check(&self, headers: &HeaderMap) -> Option<String> {
        let (user, password) = basic(headers)?;
        let mut known = self.0.iter().filter(|it| it.0 == user);
        known.any(|it| it.1.is(&password)).then_some(user)
    }
}

/// The Basic credentials of a request.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = credentials(headers, "basic")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What follows the scheme in `Authorization`.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (found, rest) = value.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

// === impl Principal ===

impl Principal {
    /// Whether content of a repository may be read.
    pub(crate) fn may_pull(&self, name: &Name) -> bool {
        self.may(&scope(name, [Action::Pull]))
    }

    fn may(&self, wanted: &Scope) -> bool {
        match &self.grant {
            Grant::Everything => true,
            Grant::Scopes(scopes) => scopes.iter().any(|it| it.covers(wanted)),
            Grant::Visitor(settings, known) => settings.granted(wanted, *known).covers(wanted),
        }
    }
}

fn scope(name: &Name, actions: impl IntoIterator<Item = Action>) -> Scope {
    Scope::new("repository", name.as_str(), actions)
}

// === impl Guard ===

impl Guard {
    pub(crate) fn new(auth: Auth) -> Self {
        match auth {
            Auth::None => Self::None,
            Auth::Basic(users) => Self::Basic(users),
            Auth::Bearer(bearer) => Self::Bearer(Tokens::new(bearer)),
        }
    }

    /// Who asks, if they may do what they ask; a challenge if not.
    pub(crate) fn check(
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
            return self.user(headers);
        }
        if let Resource::Page(page) = resource {
            return match page {
                Page::Style | Page::Icon => Ok(Principal::default()),
                Page::Home | Page::Repository(_) => self.visitor(headers),
            };
        }
        match self {
            Self::None => Ok(Principal::default()),
            Self::Basic(users) => match users.check(headers) {
                Some(user) => Ok(Principal {
                    user: Some(user),
                    grant: Grant::Everything,
                }),
                None => Err(unauthorized(&Challenge::Basic {
                    realm: "longshore".to_owned(),
                })),
            },
            Self::Bearer(tokens) => {
                let wanted = wanted(endpoint, resource, query);
                let challenge = |error: Option<&str>| {
                    unauthorized(&tokens.challenge(origin, wanted.clone(), error))
                };
                let Some(token) = credentials(headers, "bearer") else {
                    return Err(challenge(None));
                };
                let Some((user, scopes)) = tokens.find(token) else {
                    return Err(challenge(Some("invalid_token")));
                };
                if !scopes.covers(&wanted) {
                    return Err(challenge(Some("insufficient_scope")));
                }
                Ok(Principal {
                    user,
                    grant: Grant::Scopes(scopes),
                })
            }
        }
    }

    /// Who asks for what is about the server and not about a repository: a user with a password,
    /// also where repositories want a token.
    fn user(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let users = match self {
            Self::None => return Ok(Principal::default()),
            Self::Basic(users) => users,
            Self::Bearer(tokens) => tokens.users(),
        };
        let user = users.check(headers).ok_or_else(|| {
            unauthorized(&Challenge::Basic {
                realm: "longshore".to_owned(),
            })
        })?;
        Ok(Principal {
            user: Some(user),
            grant: Grant::Scopes(ScopeSet::new()),
        })
    }

    /// Who looks at what the registry holds: a user with a password, or anybody where anybody
    /// may pull. Browsers have no tokens.
    fn visitor(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let Self::Bearer(tokens) = self else {
            return self.user(headers).map(|it| Principal {
                grant: Grant::Everything,
                ..it
            });
        };
        let anonymous = !headers.contains_key(header::AUTHORIZATION) && tokens.is_open_to_read();
        let user = if anonymous {
            None
        } else {
            self.user(headers)?.user
        };
        Ok(Principal {
            grant: Grant::Visitor(Box::new(tokens.settings().clone()), user.is_some()),
            user,
        })
    }

    /// The token service's answer.
    pub(crate) fn token(&self, query: &Query, headers: &HeaderMap) -> Result<Response, Refusal> {
        match self {
            Self::Bearer(tokens) => tokens.issue(query, headers),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported)
                .message("this registry has no token service")),
        }
    }

    /// How many tokens are remembered.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            Self::Bearer(tokens) => tokens.count(),
            _ => 0,
        }
    }

    /// Makes all tokens worthless.
    pub(crate) fn revoke(&self) {
        if let Self::Bearer(tokens) = self {
            tokens.revoke();
        }
    }
}

fn unauthorized(challenge: &Challenge) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized)
        .message("authentication required")
        .header(header::WWW_AUTHENTICATE, challenge)
}

/// What a request needs. A mount needs to read its source, so that nobody gets
/// hold of a blob they may not read by mounting it.
fn wanted(endpoint: Endpoint, resource: &Resource, query: &Query) -> ScopeSet {
    let Some(name) = resource.name() else {
        let catalog = Scope::new("registry", "catalog", [Action::from("*")]);
        return match endpoint {
            Endpoint::Catalog => ScopeSet::from_iter([catalog]),
            _ => ScopeSet::new(),
        };
    };
    let mut wanted = ScopeSet::new();
    wanted.add(match endpoint {
        Endpoint::BlobDelete | Endpoint::ManifestDelete => scope(name, [Action::Delete]),
        it if it.reads() => scope(name, [Action::Pull]),
        _ => scope(name, [Action::Pull, Action::Push]),
    });
    if endpoint == Endpoint::Mount
        && let Some(from) = query.get("from").and_then(Name::parse)
    {
        wanted.add(scope(&from, [Action::Pull]));
    }
    wanted
}
