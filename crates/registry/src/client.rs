//! The client: one per process, shared by everything that speaks to a registry.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use oci::{Registry, Repository, wire::ScopeSet};
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    auth::Auth,
    manner::Manner,
    profile::ledger::Ledger,
    transport::{
        Transport, TransportError,
        location::{LocationError, Origin, authority},
        retry::RetryPolicy,
        traffic::Traffic,
    },
};

mod builder;
pub(crate) mod call;
mod known;
pub(crate) mod login;
mod reachable;
mod tape;

pub use builder::{BuildError, ClientBuilder};

/// A client of any number of registries.
///
/// Holds connections, tokens and limits; clones share them. Make one per process.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) auth: Auth,
    pub(crate) retry: RetryPolicy,
    pub(crate) manner: Manner,
    profiles: Ledger,
    pub(crate) user_agent: HeaderValue,
    /// For the registry's own origin only.
    pub(crate) registry_headers: HeaderMap,
    /// The same for one registry each.
    own_headers: HashMap<Registry, HeaderMap>,
    /// Paths of APIs, where they are not `/v2`.
    api_paths: HashMap<Registry, String>,
    plain_http: HashSet<Registry>,
    https: HashSet<Registry>,
    /// Authorities (`host:port`) that certificates were given for.
    with_tls: HashSet<String>,
    /// Work that goes on after whoever wanted it has gone: sessions being given up.
    pub(crate) afterwards: TaskTracker,
}

/// One repository, and a client to speak to it with. Cheap to make and to clone.
#[derive(Clone)]
pub struct RepositoryClient {
    pub(crate) client: Client,
    pub(crate) repository: Repository,
    /// What its requests are allowed to do.
    pub(crate) scopes: ScopeSet,
    /// With whose credentials and tokens it reads, if not with its own: another repository's of
    /// the same registry.
    pub(crate) along_with: Option<Repository>,
}

// === impl Client ===

impl Client {
    /// A client to be set up.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A repository, to read.
    pub fn repository(&self, repository: &Repository) -> RepositoryClient {
        let scopes = [oci::wire::Scope::pull(repository)].into_iter().collect();
        RepositoryClient {
            client: self.clone(),
            repository: repository.clone(),
            scopes,
            along_with: None,
        }
    }

    /// What was sent so far, counted.
    pub fn traffic(&self) -> Traffic {
        self.inner.transport.hosts.traffic()
    }

    /// The hosts that want no requests now, by their URLs without a path, and for how long still.
    pub fn paused(&self) -> Vec<(String, Duration)> {
        self.inner.transport.pauses.now()
    }

    /// Has what was learned of registries kept ([`ClientBuilder::profiles`]), and waits for what goes
    /// on in the background, upload sessions being given up; both at most this long. The client
    /// can be used afterwards.
    pub async fn close(&self, deadline: Duration) {
        let afterwards = &self.inner.afterwards;
        afterwards.close();
        let both = futures_util::future::join(self.inner.keep_profiles(), afterwards.wait());
        let _ = tokio::time::timeout(deadline, both).await;
        afterwards.reopen();
    }
}

impl Inner {
    /// Whether a registry is spoken to without TLS: because it was said so, or because it is on
    /// this machine and no certificates were given for it. Decided once; a failure never changes it.
    fn is_plain(&self, registry: &Registry) -> bool {
        if self.https.contains(registry) {
            return false;
        }
        let spared = registry.is_loopback() && !self.with_tls.contains(&authority(registry));
        spared || self.plain_http.contains(registry)
    }

    /// A URL below a repository: `/v2/<path>/<rest>`.
    pub(crate) fn url(&self, repository: &Repository, rest: &str) -> Result<Url, TransportError> {
        let path = format!("{}/{rest}", repository.path());
        self.api_url(repository.registry(), &path)
    }

    /// The headers that every request to a registry's own origin carries.
    pub(crate) fn headers_of(&self, registry: &Registry) -> HeaderMap {
        let mut headers = self.registry_headers.clone();
        headers.extend(self.own_headers.get(registry).cloned().unwrap_or_default());
        headers
    }

    /// A URL of a registry's API: `/v2/<path>`, unless its API is at another path.
    pub(crate) fn api_url(&self, registry: &Registry, path: &str) -> Result<Url, TransportError> {
        let scheme = if self.is_plain(registry) {
            "http"
        } else {
            "https"
        };
        let authority = registry.api_authority();
        let root = self.api_paths.get(registry).map_or("/v2", String::as_str);
        let url = format!("{scheme}://{authority}{root}/{path}");
        Url::parse(&url).map_err(|_| LocationError::Malformed.into())
    }

    pub(crate) fn origin(&self, repository: &Repository) -> Result<Origin, TransportError> {
        Ok(Origin::of(&self.url(repository, "")?)?)
    }
}

// === impl RepositoryClient ===

impl RepositoryClient {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.client.inner
    }

    /// The same to read with a token that allows to push to another repository of its registry as
    /// well; none if the two have credentials of their own.
    pub(crate) async fn together_with(&self, other: &Repository) -> Option<Self> {
        let inner = self.inner();
        let door = inner.door(other).ok()?;
        if !inner.auth.same(&door, &self.repository, other).await {
            return None;
        }
        let mut scopes: ScopeSet = [oci::wire::Scope::push(other)].into_iter().collect();
        scopes.add(oci::wire::Scope::pull(&self.repository));
        Some(Self {
            scopes,
            along_with: Some(other.clone()),
            ..self.clone()
        })
    }
}

impl fmt::Debug for RepositoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryClient({})", self.repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(name: &str) -> Registry {
        name.parse().unwrap()
    }

    #[test]
    fn z17_only_loopback_and_named_registries_are_spoken_to_in_plain_http() {
        let client = Client::builder()
            .plain_http(registry("named.test:5000"))
            .plain_http(registry("both.test"))
            .https(registry("both.test"))
            .https(registry("localhost:5443"))
            .build()
            .unwrap();
        let cases = [
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/app/x"),
            ("[::1]:5000", "http://[::1]:5000/v2/app/x"),
            ("localhost", "http://localhost/v2/app/x"),
            ("localhost:5443", "https://localhost:5443/v2/app/x"),
            ("named.test:5000", "http://named.test:5000/v2/app/x"),
            ("named.test", "https://named.test/v2/app/x"),
            ("named.test:5001", "https://named.test:5001/v2/app/x"),
            ("both.test", "https://both.test/v2/app/x"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/v2/app/x"),
            ("r.test:80", "https://r.test:80/v2/app/x"),
            ("docker.io", "https://registry-1.docker.io/v2/library/app/x"),
        ];
        for (name, expected) in cases {
            let repository = registry(name).repository("app").unwrap();
            let url = client.inner.url(&repository, "x").unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }
}
