//! TLS: rustls with aws-lc, HTTP/2 and HTTP/1.1 by ALPN.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::ServerError;

/// A certificate chain and its key, ready to be shown to clients.
#[derive(Clone, Debug)]
pub(crate) struct Identity(pub(crate) Arc<ServerConfig>);

impl Identity {
    pub(crate) fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, ServerError> {
        let unusable = |what: &str, error: &dyn std::fmt::Display| {
            ServerError::Tls(format!("{what}: {error}"))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable("certificates", &error))?;
        if chain.is_empty() {
            return Err(ServerError::Tls("no certificate in the PEM".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable("key", &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("protocol versions", &error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unusable("certificate and key", &error))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}
