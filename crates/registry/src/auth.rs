//! Who may: challenges answered, with as few requests as there can be.
//!
//! ```text
//!   unknown ──first request, alone──▶ 200: open      no header
//!                                └──▶ 401: Basic     credentials, every time
//!                                          Bearer    one token per repository and scope set
//! ```
//!
//! Nobody asks a registry how it wants to be authenticated to: the first request of
//! all goes without credentials and alone, and its answer teaches. The others wait for
//! it, so that N requests at once are one challenge and one token request, not N.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::{HeaderMap, HeaderValue, StatusCode};
use oci::{Registry, Repository, wire::ScopeSet};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::{Duration, Instant},
};
use url::Url;

pub(crate) mod cache;
mod challenge;
pub(crate) mod credentials;
pub(crate) mod docker_config;
mod error;
pub(crate) mod token;

use cache::Keyring;
use challenge::{Read, Wants, read_challenge};
use credentials::{CredentialError, CredentialProvider, Credentials, bearer};
pub(crate) use error::AuthError;
use token::{MAX_ANSWER_BYTES, Token, TokenRequest};

use crate::transport::{
    Kind, Outgoing, Transport,
    body::RequestBody,
    location::{self, LocationError, Origin},
    redact::OriginOnly,
    retry::RetryPolicy,
};

/// What is known of every registry, and who knows the credentials.
#[derive(Debug)]
pub(crate) struct Auth {
    provider: Arc<dyn CredentialProvider>,
    /// Hosts of token services that may have credentials whatever their domain.
    trusted: HashSet<String>,
    retry: RetryPolicy,
    doors: Mutex<HashMap<Registry, Arc<Door>>>,
    numbers: AtomicU64,
}

/// One registry, and what it wants to see.
#[derive(Debug)]
pub(crate) struct Door {
    registry: Registry,
    /// Where its API is, and where its credentials may go.
    pub(crate) origin: Origin,
    wants: Mutex<Option<Wants>>,
    gate: Arc<AsyncMutex<()>>,
    keyrings: Mutex<HashMap<Repository, Arc<Keyring>>>,
}

/// What a request may show, and whether it goes first.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) header: Option<HeaderValue>,
    token: Option<u64>,
    fetched: bool,
    _alone: Option<OwnedMutexGuard<()>>,
}

/// What a request is allowed to do, and how often that was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) scopes: ScopeSet,
    /// How long a token must last.
    pub(crate) needed: Duration,
    challenged: bool,
    renewed: bool,
}

impl Asked {
    pub(crate) fn new(scopes: ScopeSet, needed: Duration) -> Self {
        Self {
            scopes,
            needed,
            challenged: false,
            renewed: false,
        }
    }

    /// The same for a request that is not worth another token.
    pub(crate) fn with_what_is_at_hand(self) -> Self {
        Self {
            renewed: true,
            ..self
        }
    }
}

impl Permission {
    fn none() -> Self {
        Self {
            header: None,
            token: None,
            fetched: false,
            _alone: None,
        }
    }

    fn with(header: Option<HeaderValue>) -> Self {
        Self {
            header,
            ..Self::none()
        }
    }
}

// === impl Door ===

impl Door {
    fn wants(&self) -> Option<Wants> {
        self.wants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn learn(&self, wants: Wants) {
        *self.wants.lock().unwrap_or_else(PoisonError::into_inner) = Some(wants);
    }

    fn keyring(&self, repository: &Repository) -> Arc<Keyring> {
        let mut keyrings = self.keyrings.lock().unwrap_or_else(PoisonError::into_inner);
        keyrings.entry(repository.clone()).or_default().clone()
    }

    /// The request went through: whoever has waited for its answer may go on.
    pub(crate) fn passed(&self, permission: &Permission) {
        if permission.header.is_none() {
            let mut wants = self.wants.lock().unwrap_or_else(PoisonError::into_inner);
            wants.get_or_insert(Wants::Nothing);
        }
    }
}

// === impl Auth ===

impl Auth {
    pub(crate) fn new(
        provider: Arc<dyn CredentialProvider>,
        trusted: HashSet<String>,
        retry: RetryPolicy,
    ) -> Self {
        Self {
            provider,
            trusted,
            retry,
            doors: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    pub(crate) fn door(&self, registry: &Registry, origin: Origin) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let door = || {
            Arc::new(Door {
                registry: registry.clone(),
                origin,
                wants: Mutex::default(),
                gate: Arc::default(),
                keyrings: Mutex::default(),
            })
        };
        doors.entry(registry.clone()).or_insert_with(door).clone()
    }

    /// What a request to `repository` may show.
    ///
    /// Waits while another request finds out what the registry wants.
    pub(crate) async fn authorize(
        &self,
        transport: &Transport,
        door: &Door,
        repository: &Repository,
        asked: &Asked,
    ) -> Result<Permission, AuthError> {
        loop {
            match door.wants() {
                None => {
                    let alone = door.gate.clone().lock_owned().await;
                    if door.wants().is_none() {
                        return Ok(Permission {
                            _alone: Some(alone),
                            ..Permission::none()
                        });
                    }
                }
                Some(Wants::Nothing) => return Ok(Permission::none()),
                Some(Wants::Basic) => {
                    let credentials = self.credentials(door, repository).await?;
                    return Ok(Permission::with(credentials.and_then(|it| it.basic())));
                }
                Some(Wants::Bearer { realm, service }) => {
                    let service = service.as_deref();
                    return self
                        .token(transport, door, repository, asked, (&realm, service))
                        .await;
                }
            }
        }
    }

    /// Answers a 401: whether the request is worth making again, with what `asked` says now.
    pub(crate) async fn challenged(
        &self,
        door: &Door,
        repository: &Repository,
        permission: Permission,
        headers: &HeaderMap,
        asked: &mut Asked,
    ) -> Result<bool, AuthError> {
        let Some(Read {
            wants,
            scope,
            not_granted,
        }) = read_challenge(headers, &door.origin)?
        else {
            return Ok(false);
        };
        if let Some(token) = permission.token {
            let more = !asked.scopes.covers(&scope);
            // A token that was asked for all of this and does not allow it will not the next time.
            let again = !asked.renewed && (more || !(permission.fetched || not_granted));
            asked.renewed = true;
            if again {
                door.keyring(repository).tokens().await.forget(token);
                asked.scopes = std::mem::take(&mut asked.scopes).union(&scope);
                door.learn(wants);
            }
            return Ok(again);
        }
        let first = !std::mem::replace(&mut asked.challenged, true);
        let answerable = match wants {
            Wants::Bearer { .. } => true,
            _ => self.credentials(door, repository).await?.is_some(),
        };
        door.learn(wants);
        asked.scopes = std::mem::take(&mut asked.scopes).union(&scope);
        Ok(first && answerable && permission.header.is_none())
    }

    async fn credentials(
        &self,
        door: &Door,
        repository: &Repository,
    ) -> Result<Option<Arc<Credentials>>, CredentialError> {
        let ask = self.provider.credentials(&door.registry, Some(repository));
        door.keyring(repository).credentials(ask).await
    }

    async fn token(
        &self,
        transport: &Transport,
        door: &Door,
        repository: &Repository,
        asked: &Asked,
        service: (&Url, Option<&str>),
    ) -> Result<Permission, AuthError> {
        let credentials = self.credentials(door, repository).await?;
        if let Some(Credentials::Bearer(token)) = credentials.as_deref() {
            return Ok(Permission::with(bearer(token)));
        }
        let keyring = door.keyring(repository);
        let mut tokens = keyring.tokens().await;
        let known = tokens.find(&asked.scopes, asked.needed);
        let fetched = known.is_none();
        let token = if let Some(token) = known {
            token
        } else {
            if credentials.is_some() && !self.may_have_credentials(service.0, &door.origin) {
                let host = OriginOnly(service.0).to_string();
                return Err(LocationError::ForeignRealm(host).into());
            }
            let token = self
                .fetch(transport, service, &asked.scopes, credentials.as_deref())
                .await?;
            tokens.keep(token.clone());
            token
        };
        Ok(Permission {
            header: Some(token.header),
            token: Some(token.number),
            fetched,
            _alone: None,
        })
    }

    fn may_have_credentials(&self, realm: &Url, registry: &Origin) -> bool {
        location::shares_credentials(realm, registry)
            || realm
                .host_str()
                .is_some_and(|host| self.trusted.contains(host))
    }

    /// One token for all scopes; if that is refused, one for the first of them, the destination's.
    async fn fetch(
        &self,
        transport: &Transport,
        (realm, service): (&Url, Option<&str>),
        scopes: &ScopeSet,
        credentials: Option<&Credentials>,
    ) -> Result<Token, AuthError> {
        let request = token::request(realm, service, scopes, credentials);
        match self.fetch_one(transport, request, scopes).await {
            Err(AuthError::Refused { status, .. })
                if scopes.iter().nth(1).is_some() && status.is_client_error() =>
            {
                let first: ScopeSet = scopes.iter().take(1).cloned().collect();
                let request = token::request(realm, service, &first, credentials);
                // Kept as what was asked for: nobody need ask for the rest again.
                self.fetch_one(transport, request, scopes).await
            }
            answer => answer,
        }
    }

    async fn fetch_one(
        &self,
        transport: &Transport,
        request: TokenRequest,
        scopes: &ScopeSet,
    ) -> Result<Token, AuthError> {
        let mut retry = self.retry.start();
        loop {
            let asked = Instant::now();
            let outgoing = Outgoing {
                method: request.method.clone(),
                url: request.url.clone(),
                headers: request.headers.clone(),
                body: RequestBody::Bytes(request.body.clone()),
                flow: None,
                kind: Kind::Token,
            };
            let outcome = transport.exchange(outgoing).await;
            if let Some(wait) = transport.patience(&mut retry, &request.url, &outcome) {
                if let Ok(answer) = outcome {
                    answer.finish().await;
                }
                tokio::time::sleep(wait).await;
                continue;
            }
            let answer = outcome.map_err(AuthError::Unreachable)?;
            let service = OriginOnly(&request.url).to_string();
            if answer.status != StatusCode::OK {
                return Err(AuthError::Refused {
                    service,
                    status: answer.status,
                    answer: answer.errors().await,
                });
            }
            let body = answer.bytes(MAX_ANSWER_BYTES).await;
            let body = body.map_err(AuthError::Unreachable)?;
            let number = self.numbers.fetch_add(1, Relaxed);
            return Token::parse(&body, scopes.clone(), asked, number)
                .map_err(|reason| AuthError::Answer { service, reason });
        }
    }
}
