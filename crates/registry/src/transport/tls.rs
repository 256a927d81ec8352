//! TLS: one policy for every host, token services included.
//!
//! The system's roots and the extra ones, together. Certificates go unchecked for a
//! registry only where its own name was given for that.

use std::{collections::HashSet, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::sync::OnceCell;

use super::limit::Lane;

/// What hosts are trusted, and the configurations made from it on first use.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    extra: Vec<CertificateDer<'static>>,
    /// Authorities (`host:port`) whose certificates are not checked.
    unchecked: HashSet<String>,
    checked_config: OnceCell<[Arc<ClientConfig>; 2]>,
    unchecked_config: OnceCell<[Arc<ClientConfig>; 2]>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsError {
    #[error("the system has no trusted certificates and none was given")]
    NoRoots,
    #[error("could not set TLS up")]
    Setup(#[source] rustls::Error),
    #[error("could not read the system's trusted certificates")]
    Interrupted,
}

/// Certificates out of PEM; an empty list is an error.
pub(crate) fn certificates(
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(rustls::pki_types::pem::Error::NoItemsFound);
    }
    Ok(found)
}

impl Tls {
    pub(crate) fn new(extra: Vec<CertificateDer<'static>>, unchecked: HashSet<String>) -> Self {
        Self {
            extra,
            unchecked,
            ..Self::default()
        }
    }

    /// The configuration for a connection to `authority` (`host:port`).
    pub(crate) async fn config(
        &self,
        authority: &str,
        lane: Lane,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        let configs = if self.unchecked.contains(authority) {
            self.unchecked_config
                .get_or_try_init(|| async { without_checks() })
                .await?
        } else {
            self.checked_config
                .get_or_try_init(|| self.with_checks())
                .await?
        };
        Ok(configs[usize::from(lane == Lane::Questions)].clone())
    }

    async fn with_checks(&self) -> Result<[Arc<ClientConfig>; 2], TlsError> {
        // Reads files: not on a thread that drives connections.
        let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
            .await
            .map_err(|_| TlsError::Interrupted)?;
        let mut roots = RootCertStore::empty();
        // What cannot be parsed is left out: one odd certificate takes no others along.
        roots.add_parsable_certificates(native.certs);
        roots.add_parsable_certificates(self.extra.iter().cloned());
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
        let config = builder()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(per_lane(config))
    }
}

fn without_checks() -> Result<[Arc<ClientConfig>; 2], TlsError> {
    let config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked(provider())))
        .with_no_client_auth();
    Ok(per_lane(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)
}

/// Bodies, then questions: only the latter may become HTTP/2.
fn per_lane(config: ClientConfig) -> [Arc<ClientConfig>; 2] {
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
