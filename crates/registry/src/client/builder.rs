//! How a client is set up: every part has a default.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use oci::Registry;
use rustls::pki_types::CertificateDer;
use tokio_util::task::TaskTracker;

use super::{Client, Inner};
use crate::{
    auth::{
        Auth, Trusted, credentials::CredentialProvider, store::CredentialStore,
        trusted::TrustedHost,
    },
    event::ClientObserver,
    manner::{ChunkSize, Manner},
    profile::{
        ledger::Ledger,
        store::{MemoryProfiles, ProfileStore},
    },
    transport::{
        Gates, Transport,
        address::{Resolver, SystemResolver},
        limit::Hosts,
        location::authority,
        pause::{PauseBoard, Pauses},
        proxy::Proxies,
        rate::{Rate, Rates},
        retry::RetryPolicy,
        timeouts::Timeouts,
        tls::{
            Tls,
            host::{HostTls, HostTlsError, authorities},
        },
        turns::{Quotas, RequestRate, Turns},
        version::HttpVersions,
        warning::Warnings,
    },
};

/// Requests in flight to one host, unless set otherwise.
const MAX_IN_FLIGHT: usize = 32;

/// What a [`Client`] is made of; every part has a default.
#[must_use]
pub struct ClientBuilder {
    credentials: Arc<dyn CredentialProvider>,
    plain_http: HashSet<Registry>,
    https: HashSet<Registry>,
    extra: Vec<CertificateDer<'static>>,
    tls: HashMap<String, HostTls>,
    trusted: Trusted,
    resolver: Arc<dyn Resolver>,
    proxies: Proxies,
    max_in_flight: NonZeroUsize,
    timeouts: Timeouts,
    retry: RetryPolicy,
    chunks: ChunkSize,
    profiles: Arc<dyn ProfileStore>,
    versions: Option<HttpVersions>,
    versions_of: HashMap<String, HttpVersions>,
    pauses: Option<Arc<dyn PauseBoard>>,
    rates: Rates,
    quotas: Quotas,
    observer: Arc<dyn ClientObserver>,
    user_agent: String,
    registry_headers: HeaderMap,
    own_headers: HashMap<Registry, HeaderMap>,
    api_paths: HashMap<Registry, String>,
    fault: Option<BuildError>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The extra certificates are not PEM, there is none in it, or one of them is none.
    #[error("the certificates to trust for every host are not usable")]
    Certificates(#[source] HostTlsError),
    /// The user agent cannot stand in a header.
    #[error("user agent {0:?} cannot be sent: visible ASCII only")]
    UserAgent(String),
    /// A header for a registry cannot be sent. Its value is not shown.
    #[error("the header {0:?} cannot be sent: visible ASCII only")]
    Header(String),
    /// The path of a registry's API is not one.
    #[error("{0:?} is no path for a registry's API: expected for instance /registry/v2")]
    ApiPath(String),
}

impl ClientBuilder {
    /// With its defaults.
    pub(super) fn new() -> Self {
        Self {
            credentials: Arc::new(CredentialStore::new()),
            plain_http: HashSet::new(),
            https: HashSet::new(),
            extra: Vec::new(),
            tls: HashMap::new(),
            trusted: Trusted::default(),
            resolver: Arc::new(SystemResolver),
            proxies: Proxies::none(),
            max_in_flight: NonZeroUsize::new(MAX_IN_FLIGHT).unwrap_or(NonZeroUsize::MIN),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            chunks: ChunkSize::default(),
            profiles: Arc::new(MemoryProfiles::default()),
            versions: None,
            versions_of: HashMap::new(),
            pauses: None,
            rates: Rates::default(),
            quotas: Quotas::default(),
            observer: Arc::new(()),
            user_agent: concat!("longshore/", env!("CARGO_PKG_VERSION")).to_owned(),
            registry_headers: HeaderMap::new(),
            own_headers: HashMap::new(),
            api_paths: HashMap::new(),
            fault: None,
        }
    }

    /// Where credentials come from; by default there are none.
    pub fn credentials(mut self, provider: impl CredentialProvider + 'static) -> Self {
        self.credentials = Arc::new(provider);
        self
    }

    /// Speaks to this registry without TLS. Registries on loopback are spoken to so anyway.
    pub fn plain_http(mut self, registry: Registry) -> Self {
        self.plain_http.insert(registry);
        self
    }

    /// Speaks to this registry over TLS, even on loopback.
    pub fn https(mut self, registry: Registry) -> Self {
        self.https.insert(registry);
        self
    }

    /// Trusts the certificates in `pem` beside the system's, for every host.
    pub fn extra_ca(mut self, pem: &[u8]) -> Self {
        match authorities(pem) {
            Ok(more) => self.extra.extend(more),
            Err(error) => self.fault = Some(BuildError::Certificates(error)),
        }
        self
    }

    /// Takes any certificate from this registry, and from no other host.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "all that name a registry take it the same way"
    )]
    pub fn insecure_skip_verify(self, registry: Registry) -> Self {
        self.host_tls(&registry, HostTls::new().without_checks())
    }

    /// Speaks TLS with this host so, beside what was said of it before. It may be a token service:
    /// one gets what was said of its own host, and is trusted by the certificates of the registries
    /// whose credentials it may have. A registry on loopback that something was said of is spoken to
    /// over TLS, unless it was named for [plain HTTP](Self::plain_http).
    pub fn host_tls(mut self, host: &Registry, tls: HostTls) -> Self {
        let known = self.tls.remove(&authority(host)).unwrap_or_default();
        self.tls.insert(authority(host), known.and(tls));
        self
    }

    /// Gives credentials to the token service on this host, whatever domain it is of and wherever
    /// its address is. Without this, only a service on the registry's own host or domain gets any,
    /// and one with a private address is not asked by a public registry's word.
    pub fn trust_token_service(mut self, host: TrustedHost) -> Self {
        self.trusted.token_services.push(host);
        self
    }

    /// Gives a registry's credentials to this host too, if an upload location or a redirect of the
    /// registry leads there and it asks for them (401): those of the registry that has led there, or
    /// a token for them. Its address may be anywhere. Without this no other host gets any.
    pub fn trust_host(mut self, host: TrustedHost) -> Self {
        self.trusted.hosts.push(host);
        self
    }

    /// Finds the addresses of hosts, in the place of the system.
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Through which proxies hosts are spoken to, token services included; none by default.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// How many requests may be in flight to one host, and how many connections open. 32.
    pub fn max_in_flight(mut self, requests: NonZeroUsize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// The time limits.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// When to try again.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Into what bodies blobs are cut. One each, until a registry shows that it wants chunks.
    pub fn chunk_size(mut self, size: ChunkSize) -> Self {
        self.chunks = size;
        self
    }

    /// Over which versions of HTTP hosts are spoken to. By default [`HttpVersions::Mixed`], unless a
    /// host has shown that its HTTP/2 does not work.
    pub fn http_versions(mut self, versions: HttpVersions) -> Self {
        self.versions = Some(versions);
        self
    }

    /// The same for one host, in the place of what holds for all.
    pub fn http_versions_of(mut self, host: &Registry, versions: HttpVersions) -> Self {
        self.versions_of.insert(authority(host), versions);
        self
    }

    /// Where it is kept what registries have shown of themselves, so that the next process sends
    /// fewer requests; in memory by default. [`Client::close`] has it kept.
    pub fn profiles(mut self, store: impl ProfileStore + 'static) -> Self {
        self.profiles = Arc::new(store);
        self
    }

    /// Shares with other processes which hosts want no requests for a while. By default only what
    /// shares the client knows of it.
    pub fn pause_board(mut self, board: impl PauseBoard + 'static) -> Self {
        self.pauses = Some(Arc::new(board));
        self
    }

    /// The bytes of blobs are sent no faster than this, and received no faster, to and from all
    /// hosts together.
    pub fn limit_rate(mut self, rate: Rate) -> Self {
        self.rates.all = Some(rate);
        self
    }

    /// The same for one host, beside the limit for all.
    pub fn limit_rate_of(mut self, host: &Registry, rate: Rate) -> Self {
        self.rates.hosts.insert(authority(host), rate);
        self
    }

    /// No more requests than this go to any one host, evenly and with nothing made up for; by all
    /// processes together that share a [board](Self::pause_board). By default a host's own
    /// `RateLimit-Limit` alone is kept to, where it counts by the second.
    pub fn limit_requests(mut self, rate: RequestRate) -> Self {
        self.quotas.each = Some(rate);
        self
    }

    /// The same for one host, in the place of the limit for each.
    pub fn limit_requests_of(mut self, host: &Registry, rate: RequestRate) -> Self {
        self.quotas.hosts.insert(authority(host), rate);
        self
    }

    /// Who is told what happens; nobody by default.
    pub fn observer(mut self, observer: impl ClientObserver + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// The `User-Agent` of every request. `longshore/<version>`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Sends these headers with every request to a registry, at its own origin and nowhere else:
    /// neither to token services nor to where an answer leads. A header the client sets itself
    /// stays as it is.
    pub fn registry_headers(mut self, headers: HeaderMap) -> Self {
        self.registry_headers = headers;
        self
    }

    /// Sends this header with every request to one registry, as [`registry_headers`] are sent; of
    /// equal names this one counts. The value may be a secret.
    ///
    /// [`registry_headers`]: Self::registry_headers
    pub fn header_for(mut self, registry: &Registry, name: &str, value: &str) -> Self {
        let pair = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(value).ok());
        match pair {
            Some((name, mut value)) => {
                value.set_sensitive(true);
                let own = self.own_headers.entry(registry.clone()).or_default();
                own.append(name, value);
            }
            None => self.fault = Some(BuildError::Header(name.chars().take(100).collect())),
        }
        self
    }

    /// Finds the API of this registry at `path` in the place of `/v2`: an absolute path without
    /// query, for instance `/registry/v2`; a slash at its end makes no difference.
    pub fn api_path(mut self, registry: Registry, path: &str) -> Self {
        let trimmed = path.trim_end_matches('/');
        let plain = |it: char| it.is_ascii_alphanumeric() || "/-._~%".contains(it);
        let above = trimmed.split('/').any(|it| matches!(it, "." | ".."));
        if (path.starts_with('/') && trimmed.chars().all(plain)) && !above {
            self.api_paths.insert(registry, trimmed.to_owned());
        } else {
            self.fault = Some(BuildError::ApiPath(path.chars().take(100).collect()));
        }
        self
    }

    /// The client. Nothing is sent, and no file is read, before its first request.
    pub fn build(self) -> Result<Client, BuildError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let user_agent = HeaderValue::from_str(&self.user_agent)
            .map_err(|_| BuildError::UserAgent(self.user_agent.chars().take(100).collect()))?;
        let with_tls = self
            .tls
            .iter()
            .filter(|(_, it)| it.roots() + it.identities() > 0);
        let with_tls = with_tls.map(|(authority, _)| authority.clone()).collect();
        let tls = Tls::new(self.extra, self.tls);
        let warnings = Warnings::new(self.observer.clone());
        let turns = Turns::new(self.quotas, self.pauses.clone());
        let pauses = Pauses::new(
            self.pauses,
            self.observer,
            self.retry.max_retry_after,
            self.retry.base,
        );
        Ok(Client {
            inner: Arc::new(Inner {
                transport: Transport::new(
                    tls,
                    Hosts::new(self.max_in_flight.get()).over(self.versions, self.versions_of),
                    self.timeouts,
                    self.resolver,
                    self.proxies,
                    Gates {
                        pauses,
                        turns,
                        rates: self.rates,
                        warnings,
                    },
                ),
                auth: Auth::new(
                    self.credentials,
                    self.trusted,
                    self.retry,
                    user_agent.clone(),
                ),
                retry: self.retry,
                manner: Manner::new(self.chunks),
                profiles: Ledger::new(self.profiles),
                user_agent,
                registry_headers: self.registry_headers,
                own_headers: self.own_headers,
                api_paths: self.api_paths,
                plain_http: self.plain_http,
                https: self.https,
                with_tls,
                afterwards: TaskTracker::new(),
            }),
        })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("max_in_flight", &self.max_in_flight)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
