//! What one host is trusted by, and who this client is to it.
//!
//! Belongs to a host and port: certificates that vouch for one host vouch for no other, and a
//! client certificate is shown nowhere else.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};

/// The TLS of one host: certificates it is trusted by beside the system's, certificates this client
/// shows it, and whether its own is checked at all.
#[derive(Clone, Default)]
#[must_use]
pub struct HostTls {
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) identities: Vec<Arc<CertifiedKey>>,
    pub(super) unchecked: bool,
}

/// Why a certificate or a key cannot be used. Says nothing of their content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostTlsError {
    /// The certificates are not PEM, or there is none in it.
    #[error("expected certificates in PEM")]
    Certificates(#[source] pem::Error),
    /// What is PEM, and says of itself that it is a certificate, is none. Counted from 1.
    #[error("certificate {position} of it is none that can vouch for others")]
    Certificate {
        /// Which one of them.
        position: usize,
        /// What is wrong with it.
        #[source]
        error: rustls::Error,
    },
    /// The key is not PEM, is encrypted, or is not there.
    #[error("expected a private key in PEM that is not encrypted")]
    Key(#[source] pem::Error),
    /// The key is not the certificate's, or of a kind that cannot sign.
    #[error("the client certificate and the key cannot be used together")]
    Pair(#[source] rustls::Error),
}

/// Certificates out of PEM; an empty list is an error.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Err(pem::Error::NoItemsFound);
    }
    Ok(found)
}

/// Certificates out of PEM that can vouch for others, each of them.
pub(crate) fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, HostTlsError> {
    let found = certificates(pem).map_err(HostTlsError::Certificates)?;
    let mut roots = RootCertStore::empty();
    for (position, certificate) in (1..).zip(&found) {
        let added = roots.add(certificate.clone());
        added.map_err(|error| HostTlsError::Certificate { position, error })?;
    }
    Ok(found)
}

// === impl HostTls ===

impl HostTls {
    /// What every host has: the system's certificates, and none to show.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in `pem` beside those there are.
    pub fn with_ca(mut self, pem: &[u8]) -> Result<Self, HostTlsError> {
        self.roots.extend(authorities(pem)?);
        Ok(self)
    }

    /// Shows this certificate when the host asks for one; `certificate` begins with it, and its
    /// issuers may follow. Of several, the first whose key the host can check is shown.
    pub fn with_identity(mut self, certificate: &[u8], key: &[u8]) -> Result<Self, HostTlsError> {
        let chain = certificates(certificate).map_err(HostTlsError::Certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(HostTlsError::Key)?;
        let pair = CertifiedKey::from_der(chain, key, &super::provider());
        self.identities
            .push(Arc::new(pair.map_err(HostTlsError::Pair)?));
        Ok(self)
    }

    /// Takes any certificate from the host.
    pub fn without_checks(mut self) -> Self {
        self.unchecked = true;
        self
    }

    /// The same, and what `other` says.
    pub fn and(mut self, other: Self) -> Self {
        self.roots.extend(other.roots);
        self.identities.extend(other.identities);
        self.unchecked |= other.unchecked;
        self
    }

    /// How many certificates it is trusted by beside the system's.
    #[must_use]
    pub fn roots(&self) -> usize {
        self.roots.len()
    }

    /// How many client certificates there are to show.
    #[must_use]
    pub fn identities(&self) -> usize {
        self.identities.len()
    }

    /// Whether its certificate is checked.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        !self.unchecked
    }

    /// Whether it says nothing but what holds for every host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.identities.is_empty() && !self.unchecked
    }

    pub(super) fn resolver(&self) -> Arc<Identities> {
        Arc::new(Identities(self.identities.clone()))
    }
}

impl fmt::Debug for HostTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostTls")
            .field("roots", &self.roots.len())
            .field("identities", &self.identities.len())
            .field("unchecked", &self.unchecked)
            .finish()
    }
}

// === Identities ===

/// Client certificates, for one host.
pub(super) struct Identities(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for Identities {
    fn resolve(&self, _: &[&[u8]], offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let usable = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(offered).is_some();
        self.0.iter().find(usable).cloned()
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}
