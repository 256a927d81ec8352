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
//! it, so that N requests at once are one challenge and one token request, not N. What an
//! earlier process learned is told ([`known`]); it is doubted when it does not work.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use http::{HeaderMap, HeaderValue};
use oci::{Registry, Repository, wire::ScopeSet};
use tokio::{sync::OwnedMutexGuard, time::Duration};
use url::Url;

pub(crate) mod cache;
mod challenge;
pub(crate) mod credentials;
pub(crate) mod docker_config;
mod door;
mod error;
pub(crate) mod helper;
mod jwt;
pub(crate) mod known;
mod service;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod trusted;

use challenge::{Read, Wants, read_challenge};
use credentials::{CredentialError, CredentialProvider, Credentials, bearer};
pub(crate) use door::Door;
pub(crate) use error::{AuthError, Grant};
use known::KnownChallenge;
use service::Service;
use trusted::TrustedHost;

use crate::transport::{
    Transport,
    address::Reach,
    location::{self, LocationError, Origin},
    pause::Account,
    redact::OriginOnly,
    retry::RetryPolicy,
};

/// Origins of trusted hosts that are remembered, at the most: one that was named without a port has
/// many.
const MAX_GUESTS: usize = 64;

/// What is known of every registry, and who knows the credentials.
#[derive(Debug)]
pub(crate) struct Auth {
    provider: Arc<dyn CredentialProvider>,
    trusted: Trusted,
    retry: RetryPolicy,
    /// For token services; they are asked by nobody else.
    user_agent: HeaderValue,
    /// What an earlier process has learned.
    known: Mutex<HashMap<Registry, KnownChallenge>>,
    doors: Mutex<HashMap<Registry, Arc<Door>>>,
    /// Other hosts that are trusted with a registry's credentials.
    guests: Mutex<HashMap<(Registry, Origin), Arc<Door>>>,
    /// Token services that exchange a refresh token by GET only.
    by_get: Mutex<HashSet<Url>>,
    numbers: AtomicU64,
}

/// Who may have credentials of a registry they do not belong to, if they ask for them.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    pub(crate) token_services: Vec<TrustedHost>,
    /// Where an upload goes on, or a redirect leads.
    pub(crate) hosts: Vec<TrustedHost>,
}

/// What a request may show, and whether it goes first.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) header: Option<HeaderValue>,
    token: Option<u64>,
    fetched: bool,
    /// What the token is for.
    pub(crate) grant: Option<Grant>,
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
    /// Not worth a token.
    at_hand: bool,
}

impl Asked {
    pub(crate) fn new(scopes: ScopeSet, needed: Duration) -> Self {
        Self {
            scopes,
            needed,
            challenged: false,
            renewed: false,
            at_hand: false,
        }
    }

    /// The same for a request that is not worth another token.
    pub(crate) fn with_what_is_at_hand(self) -> Self {
        Self {
            renewed: true,
            at_hand: true,
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
            grant: None,
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

// === impl Auth ===

impl Auth {
    pub(crate) fn new(
        provider: Arc<dyn CredentialProvider>,
        trusted: Trusted,
        retry: RetryPolicy,
        user_agent: HeaderValue,
    ) -> Self {
        Self {
            provider,
            trusted,
            retry,
            user_agent,
            known: Mutex::default(),
            doors: Mutex::default(),
            guests: Mutex::default(),
            by_get: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    pub(crate) fn door(&self, registry: &Registry, origin: Origin) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let door = || {
            // What cannot be used is not known.
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get(registry);
            let wants = known.and_then(|known| known.wants(&origin).ok());
            Door::new(registry, origin, None, wants)
        };
        doors.entry(registry.clone()).or_insert_with(door).clone()
    }

    /// Another host, at `url`, that an answer of this registry has led to, if it is trusted by
    /// configuration. It is asked without credentials first, as every host is.
    pub(crate) fn guest(&self, door: &Door, url: &Url) -> Option<Arc<Door>> {
        let origin = Origin::of(url).ok()?;
        if !self.trusted.hosts.iter().any(|it| it.is_of(url)) {
            return None;
        }
        let key = (door.registry.clone(), origin.clone());
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if guests.len() >= MAX_GUESTS && !guests.contains_key(&key) {
            return None;
        }
        let home = || Door::new(&door.registry, origin, Some(door.origin.clone()), None);
        Some(guests.entry(key).or_insert_with(home).clone())
    }

    /// What an earlier process has learned, unless there is something better to go by.
    pub(crate) fn told(&self, registry: &Registry, known: &KnownChallenge) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(registry.clone()).or_insert_with(|| known.clone());
    }

    /// What this process has seen of each registry, in no order.
    pub(crate) fn known(&self) -> Vec<(Registry, KnownChallenge)> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = doors.values().filter_map(|door| {
            let state = door.state();
            let wants = state.wants.as_ref().filter(|_| !state.assumed)?;
            Some((door.registry.clone(), KnownChallenge::of(wants)))
        });
        seen.collect()
    }

    /// In whose name requests to a registry are made, as far as that is known without asking.
    pub(crate) fn account(&self, door: &Door, repository: Option<&Repository>) -> Account {
        let name = self.provider.account(&door.registry, repository);
        name.map_or_else(Account::anonymous, |name| Account::named(&name))
    }

    /// What a request to `repository` may show.
    ///
    /// Waits while another request finds out what the registry wants.
    pub(crate) async fn authorize(
        &self,
        transport: &Transport,
        door: &Door,
        repository: Option<&Repository>,
        asked: &Asked,
    ) -> Result<Permission, AuthError> {
        loop {
            if door.is_unsure() {
                let alone = door.gate.clone().lock_owned().await;
                if door.is_unsure() {
                    return Ok(Permission {
                        _alone: Some(alone),
                        ..self.first(door, repository).await?
                    });
                }
            }
            match door.wants() {
                None => {}
                Some(Wants::Nothing) => return Ok(Permission::none()),
                Some(Wants::Basic) => {
                    let credentials = self.credentials(door, repository).await?;
                    return Ok(Permission::with(credentials.and_then(|it| it.basic())));
                }
                Some(Wants::Bearer { realm, service }) => {
                    let account = self.account(door, repository);
                    let service = Service {
                        realm: &realm,
                        name: service.as_deref(),
                        reach: self.reach(transport, door, &realm).await?,
                        account: &account,
                    };
                    let token = self.token(transport, door, repository, asked, service);
                    match token.await {
                        Err(error) if error.may_be_of_yesterday() && door.doubt() => {}
                        answer => return answer,
                    }
                }
            }
        }
    }

    /// What the request may show that finds out what the registry wants.
    async fn first(
        &self,
        door: &Door,
        repository: Option<&Repository>,
    ) -> Result<Permission, AuthError> {
        if let Some(Wants::Basic) = door.wants() {
            let credentials = self.credentials(door, repository).await?;
            return Ok(Permission::with(credentials.and_then(|it| it.basic())));
        }
        self.prepare(door, repository);
        Ok(Permission::none())
    }

    /// Answers a 401: whether the request is worth making again, with what `asked` says now.
    pub(crate) async fn challenged(
        &self,
        door: &Door,
        repository: Option<&Repository>,
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
            return Ok(unexplained(door, repository, permission, asked).await);
        };
        let changed = door.wants().is_some_and(|known| known != wants);
        if let Some(token) = permission.token {
            let more = changed || !asked.scopes.covers(&scope);
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
        let refused = first && !changed && permission.header.is_some();
        if refused && self.renewed(door, repository).await?.is_some() {
            return Ok(true);
        }
        let answerable = match wants {
            Wants::Bearer { .. } => true,
            _ => self.credentials(door, repository).await?.is_some(),
        };
        door.learn(wants);
        asked.scopes = std::mem::take(&mut asked.scopes).union(&scope);
        Ok(first && answerable && (changed || permission.header.is_none()))
    }

    /// Has credentials looked for while the registry is asked whether it wants any.
    fn prepare(&self, door: &Door, repository: Option<&Repository>) {
        let (provider, repository) = (self.provider.clone(), repository.cloned());
        let registry = door.registry.clone();
        tokio::spawn(async move { provider.prepare(&registry, repository.as_ref()).await });
    }

    async fn credentials(
        &self,
        door: &Door,
        repository: Option<&Repository>,
    ) -> Result<Option<Arc<Credentials>>, CredentialError> {
        let ask = self.provider.credentials(&door.registry, repository);
        door.keyring(repository).credentials(ask).await
    }

    /// Whether two repositories have the same credentials, or both none.
    pub(crate) async fn same(&self, door: &Door, one: &Repository, other: &Repository) -> bool {
        let both = futures_util::future::join(
            self.credentials(door, Some(one)),
            self.credentials(door, Some(other)),
        );
        match both.await {
            (Ok(Some(one)), Ok(Some(other))) => one.is(&other),
            (Ok(None), Ok(None)) => true,
            _ => false,
        }
    }

    /// Other credentials than those that were just refused, if whoever gave them out has others.
    async fn renewed(
        &self,
        door: &Door,
        repository: Option<&Repository>,
    ) -> Result<Option<Arc<Credentials>>, CredentialError> {
        let Some(refused) = self.credentials(door, repository).await? else {
            return Ok(None);
        };
        if !self.provider.refused(&door.registry, repository).await {
            return Ok(None);
        }
        door.keyring(repository).forget_credentials().await;
        let now = self.credentials(door, repository).await?;
        Ok(now.filter(|it| !it.is(&refused)))
    }

    async fn token(
        &self,
        transport: &Transport,
        door: &Door,
        repository: Option<&Repository>,
        asked: &Asked,
        service: Service<'_>,
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
        } else if asked.at_hand {
            return Err(AuthError::NothingAtHand);
        } else {
            if credentials.is_some() && !self.may_have_credentials(service.realm, door) {
                let host = OriginOnly(service.realm).to_string();
                return Err(LocationError::ForeignRealm(host).into());
            }
            let fetch = async |credentials: Option<&Credentials>| {
                self.fetch(transport, door, service, &asked.scopes, credentials)
                    .await
            };
            let token = match fetch(credentials.as_deref()).await {
                Err(refused @ AuthError::Refused { .. }) => {
                    let renewed = self.renewed(door, repository).await?;
                    let credentials = renewed.ok_or(refused)?;
                    fetch(Some(&credentials)).await?
                }
                token => token?,
            };
            tokens.keep(token.clone());
            token
        };
        Ok(Permission {
            header: Some(token.header),
            token: Some(token.number),
            fetched,
            grant: Some(Grant {
                asked: token.scopes,
                granted: token.granted,
            }),
            _alone: None,
        })
    }

    /// A token service that is trusted by configuration may be anywhere, as the registry may.
    async fn reach(
        &self,
        transport: &Transport,
        door: &Door,
        realm: &Url,
    ) -> Result<Reach, AuthError> {
        if self.may_have_credentials(realm, door) {
            transport.vouch(&Origin::of(realm)?, &door.origin);
        }
        if self.is_trusted(realm) {
            return Ok(Reach::Anywhere);
        }
        Ok(transport.reach(&door.origin, &Origin::of(realm)?).await)
    }

    fn may_have_credentials(&self, realm: &Url, door: &Door) -> bool {
        let mut origins = door.home.iter().chain([&door.origin]);
        origins.any(|it| location::shares_credentials(realm, it)) || self.is_trusted(realm)
    }

    fn is_trusted(&self, realm: &Url) -> bool {
        self.trusted.token_services.iter().any(|it| it.is_of(realm))
    }
}

/// A 401 that asks for nothing: some say so that a token has ended. A new one may do: once, and not if
/// this one is new itself.
async fn unexplained(
    door: &Door,
    repository: Option<&Repository>,
    permission: Permission,
    asked: &mut Asked,
) -> bool {
    let Some(token) = permission.token else {
        return false;
    };
    let again = !asked.renewed && !permission.fetched;
    asked.renewed = true;
    if again {
        door.keyring(repository).tokens().await.forget(token);
    }
    again
}
