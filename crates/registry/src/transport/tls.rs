//! TLS: what is trusted, host by host, token services included.
//!
//! ```text
//!   every host          system's roots + extra ones
//!   a host of its own    + its roots, its client certificates, its checks
//!   a token service      + the roots of the registries whose credentials it may have
//! ```
//!
//! Certificates go unchecked, and client certificates are shown, only where the host's own name and
//! port were given for that: neither is inherited by a token service.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::sync::OnceCell;

use super::limit::Lane;

pub(crate) mod host;
pub(crate) mod refusal;

use host::HostTls;

/// Token services that are remembered, and registries for each.
const MAX_SERVICES: usize = 64;

/// A configuration for each lane.
type PerLane = [Arc<ClientConfig>; 2];

/// What hosts are trusted, and the configurations made from it on first use.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    extra: Vec<CertificateDer<'static>>,
    /// By authority (`host:port`).
    hosts: HashMap<String, HostTls>,
    /// By the authority of a token service: the registries that vouch for it.
    services: Mutex<HashMap<String, BTreeSet<String>>>,
    /// The system's and the extra ones.
    roots: OnceCell<Roots>,
    /// For every host that has nothing of its own.
    common: OnceCell<PerLane>,
    /// For those that have.
    own: Mutex<HashMap<String, PerLane>>,
}

/// Why there is no TLS.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsError {
    #[error("the system has no trusted certificates{} and none was given", InBrackets(.0))]
    NoRoots(Option<String>),
    #[error("could not set TLS up")]
    Setup(#[source] rustls::Error),
    #[error("could not read the system's trusted certificates")]
    Interrupted,
}

/// Who vouches for every host.
#[derive(Clone, Debug)]
struct Roots {
    store: RootCertStore,
    /// What was wrong with the system's, if anything was: it matters where there are none.
    fault: Option<String>,
}

struct InBrackets<'a>(&'a Option<String>);

impl fmt::Display for InBrackets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |it| write!(f, " ({it})"))
    }
}

impl Tls {
    pub(crate) fn new(
        extra: Vec<CertificateDer<'static>>,
        hosts: HashMap<String, HostTls>,
    ) -> Self {
        Self {
            extra,
            hosts,
            ..Self::default()
        }
    }

    /// The configuration for a connection to `authority` (`host:port`).
    pub(crate) async fn config(
        &self,
        authority: &str,
        lane: Lane,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let configs = self.per_lane(authority).await?;
        Ok(configs[usize::from(lane == Lane::Questions)].clone())
    }

    /// The token service at `service` gets credentials of `registry`, so what vouches for the one
    /// vouches for the other; both are authorities.
    pub(crate) fn vouch(&self, service: &str, registry: &str) {
        let has_roots = |it: &HostTls| !it.roots.is_empty();
        if service == registry || !self.hosts.get(registry).is_some_and(has_roots) {
            return;
        }
        let mut services = lock(&self.services);
        if services.len() >= MAX_SERVICES {
            services.clear();
        }
        let registries = services.entry(service.to_owned()).or_default();
        if registries.len() < MAX_SERVICES && registries.insert(registry.to_owned()) {
            lock(&self.own).remove(service);
        }
    }

    async fn per_lane(&self, authority: &str) -> Result<PerLane, TlsError> {
        let Some(tls) = self.own(authority) else {
            let common = self
                .common
                .get_or_try_init(|| async { config(&HostTls::new(), self.roots().await?.clone()) });
            return Ok(common.await?.clone());
        };
        if let Some(known) = lock(&self.own).get(authority) {
            return Ok(known.clone());
        }
        let roots = if tls.unchecked {
            Roots {
                store: RootCertStore::empty(),
                fault: None,
            }
        } else {
            self.roots().await?.clone()
        };
        let made = config(&tls, roots)?;
        let mut own = lock(&self.own);
        // One that another connection has made meanwhile knows the sessions of that connection.
        Ok(own.entry(authority.to_owned()).or_insert(made).clone())
    }

    /// What holds for this host beside what holds for all.
    fn own(&self, authority: &str) -> Option<HostTls> {
        let mut tls = self.hosts.get(authority).cloned().unwrap_or_default();
        let services = lock(&self.services);
        for registry in services.get(authority).into_iter().flatten() {
            let roots = self.hosts.get(registry).map(|it| &it.roots[..]);
            tls.roots.extend_from_slice(roots.unwrap_or_default());
        }
        (!tls.is_empty()).then_some(tls)
    }

    async fn roots(&self) -> Result<&Roots, TlsError> {
        let read = async || {
            // Reads files: not on a thread that drives connections.
            let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
                .await
                .map_err(|_| TlsError::Interrupted)?;
            let mut store = RootCertStore::empty();
            // What cannot be parsed is left out: one odd certificate of the system's takes no
            // others along. Those that were given have been looked at.
            store.add_parsable_certificates(native.certs);
            add(&mut store, &self.extra)?;
            let fault = native.errors.first().map(ToString::to_string);
            Ok(Roots { store, fault })
        };
        self.roots.get_or_try_init(read).await
    }
}

/// The roots of all hosts, and what one has of its own.
fn config(tls: &HostTls, mut roots: Roots) -> Result<PerLane, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?;
    let config = if tls.unchecked {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider())))
            .with_client_cert_resolver(tls.resolver())
    } else {
        add(&mut roots.store, &tls.roots)?;
        if roots.store.is_empty() {
            return Err(TlsError::NoRoots(roots.fault));
        }
        builder
            .with_root_certificates(roots.store)
            .with_client_cert_resolver(tls.resolver())
    };
    Ok(per_lane(config))
}

fn add(roots: &mut RootCertStore, more: &[CertificateDer<'static>]) -> Result<(), TlsError> {
    let mut more = more.iter().cloned();
    more.try_for_each(|it| roots.add(it))
        .map_err(TlsError::Setup)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Bodies, then questions: only the latter may become HTTP/2.
fn per_lane(config: ClientConfig) -> PerLane {
    let mut bodies = config.clone();
    bodies.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut questions = config;
    questions.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    [Arc::new(bodies), Arc::new(questions)]
}

/// Takes any certificate; the signatures of the handshake are still checked.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
