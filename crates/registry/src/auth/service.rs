//! Asking a token service.
//!
//! Passwords and anonymous clients ask by GET: one request, understood everywhere. A refresh
//! token is exchanged by POST, as `OAuth2` has it; services that do not know that are asked by
//! GET from then on. A refresh token that is replaced is replaced for everybody who uses it, so
//! each is used by one at a time.

use std::sync::{Arc, PoisonError, atomic::Ordering::Relaxed};

use http::{StatusCode, header::USER_AGENT};
use oci::wire::ScopeSet;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use url::Url;

use super::{
    Auth, Door,
    credentials::Credentials,
    error::AuthError,
    token::{self, Issued, MAX_ANSWER_BYTES, Token, TokenRequest},
};
use crate::transport::{
    Kind, Outgoing, Transport, address::Reach, body::RequestBody, pause::Account,
    redact::OriginOnly,
};

/// Refresh tokens of one registry that are followed, and token services that are remembered.
const MAX_KEPT: usize = 64;

/// A refresh token as it was configured, and what has become of it.
#[derive(Debug)]
pub(super) struct Refreshed {
    configured: SecretString,
    current: Arc<AsyncMutex<SecretString>>,
}

/// Where tokens are asked for, and in whose name.
#[derive(Clone, Copy)]
pub(super) struct Service<'a> {
    pub(super) realm: &'a Url,
    pub(super) name: Option<&'a str>,
    /// Which addresses it may have.
    pub(super) reach: Reach,
    pub(super) account: &'a Account,
}

impl Auth {
    /// One token for all scopes; if that is refused, one for the first of them, the destination's.
    pub(super) async fn fetch(
        &self,
        transport: &Transport,
        door: &Door,
        service: Service<'_>,
        scopes: &ScopeSet,
        credentials: Option<&Credentials>,
    ) -> Result<Token, AuthError> {
        let all = self.fetch_scopes(transport, door, service, scopes, credentials);
        match all.await {
            Err(AuthError::Refused { status, .. })
                if scopes.iter().nth(1).is_some() && status.is_client_error() =>
            {
                let first: ScopeSet = scopes.iter().take(1).cloned().collect();
                let token = self.fetch_scopes(transport, door, service, &first, credentials);
                // Kept as what was asked for: nobody need ask for the rest again.
                Ok(token.await?.for_scopes(scopes))
            }
            answer => answer,
        }
    }

    async fn fetch_scopes(
        &self,
        transport: &Transport,
        door: &Door,
        service: Service<'_>,
        scopes: &ScopeSet,
        credentials: Option<&Credentials>,
    ) -> Result<Token, AuthError> {
        let Some(Credentials::Identity(configured)) = credentials else {
            let request = token::request(service.realm, service.name, scopes, credentials);
            return Ok(self.ask(transport, service, request, scopes).await?.token);
        };
        let current = door.current(configured);
        let mut refresh = current.lock().await;
        let issued = self.exchange(transport, service, scopes, &refresh).await?;
        if let Some(next) = issued.refresh {
            *refresh = next;
        }
        Ok(issued.token)
    }

    /// A token for a refresh token.
    async fn exchange(
        &self,
        transport: &Transport,
        service: Service<'_>,
        scopes: &ScopeSet,
        refresh: &SecretString,
    ) -> Result<Issued, AuthError> {
        let mut refused = None;
        if !self.asks_by_get(service.realm) {
            let request = token::exchange(service.realm, service.name, scopes, refresh);
            match self.ask(transport, service, request, scopes).await {
                Err(error) if is_no_exchange(&error) => refused = Some(error),
                answer => return answer,
            }
        }
        let identity = Credentials::Identity(refresh.clone());
        let request = token::request(service.realm, service.name, scopes, Some(&identity));
        match (self.ask(transport, service, request, scopes).await, refused) {
            // The first refusal was about the refresh token, not about the way of asking.
            (Err(AuthError::Refused { .. }), Some(refused)) => Err(refused),
            (Ok(issued), Some(_)) => {
                self.ask_by_get(service.realm);
                Ok(issued)
            }
            (answer, _) => answer,
        }
    }

    fn asks_by_get(&self, realm: &Url) -> bool {
        let realms = self.by_get.lock().unwrap_or_else(PoisonError::into_inner);
        realms.contains(realm)
    }

    fn ask_by_get(&self, realm: &Url) {
        let mut realms = self.by_get.lock().unwrap_or_else(PoisonError::into_inner);
        if realms.len() >= MAX_KEPT {
            realms.clear();
        }
        realms.insert(realm.clone());
    }

    async fn ask(
        &self,
        transport: &Transport,
        service: Service<'_>,
        request: TokenRequest,
        scopes: &ScopeSet,
    ) -> Result<Issued, AuthError> {
        let mut retry = self.retry.start();
        loop {
            let asked = Instant::now();
            let mut headers = request.headers.clone();
            headers.insert(USER_AGENT, self.user_agent.clone());
            let outgoing = Outgoing {
                method: request.method.clone(),
                url: request.url.clone(),
                headers,
                body: RequestBody::Bytes(request.body.clone()),
                flow: None,
                kind: Kind::Token,
                reach: service.reach,
                account: service.account.clone(),
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
            let place = OriginOnly(&request.url).to_string();
            if answer.status != StatusCode::OK {
                return Err(AuthError::Refused {
                    service: place,
                    status: answer.status,
                    answer: answer.errors_without(request.refresh.as_ref()).await,
                });
            }
            let body = match answer.bytes(MAX_ANSWER_BYTES).await {
                Ok(body) => body,
                Err(error) => {
                    // It broke off: what there is of it is no token.
                    transport
                        .pause_after(&mut retry, &request.url, error)
                        .await
                        .map_err(AuthError::Unreachable)?;
                    continue;
                }
            };
            let number = self.numbers.fetch_add(1, Relaxed);
            return Token::parse(&body, scopes.clone(), asked, number).map_err(|reason| {
                AuthError::Answer {
                    service: place,
                    reason,
                }
            });
        }
    }
}

impl Door {
    /// What has become of a refresh token.
    fn current(&self, configured: &SecretString) -> Arc<AsyncMutex<SecretString>> {
        let mut all = self
            .refreshed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let same = |it: &&Refreshed| it.configured.expose_secret() == configured.expose_secret();
        if let Some(known) = all.iter().find(same) {
            return known.current.clone();
        }
        if all.len() >= MAX_KEPT {
            all.remove(0);
        }
        let current = Arc::new(AsyncMutex::new(configured.clone()));
        all.push(Refreshed {
            configured: configured.clone(),
            current: current.clone(),
        });
        current
    }
}

/// Whether the refusal may be about the way of asking: what services answer that know the GET flow
/// only.
fn is_no_exchange(error: &AuthError) -> bool {
    let AuthError::Refused { status, .. } = error else {
        return false;
    };
    matches!(status.as_u16(), 400 | 401 | 404 | 405)
}
