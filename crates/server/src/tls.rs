//! TLS: rustls with aws-lc, HTTP/2 and HTTP/1.1 by ALPN; from files, or made on the spot.

mod self_signed;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

pub use self_signed::{SelfSigned, SelfSignedError};

/// The longest file read, in bytes, inclusive.
const MAX_BYTES: u64 = 1024 * 1024;

/// A certificate chain and its key, ready to be shown to clients.
#[derive(Clone, Debug)]
pub(crate) struct Identity(pub(crate) Arc<ServerConfig>);

/// Why a certificate chain and a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// No certificate in the PEM of the chain.
    #[error("no certificate was found: expected PEM with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The chain is damaged.
    #[error("the certificate is damaged: {0}")]
    Certificate(String),
    /// No private key in the PEM of the key.
    #[error("no private key was found: expected PEM with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// The key wants a passphrase.
    #[error(
        "the key is encrypted with a passphrase: write it without, for instance with `openssl pkey`"
    )]
    Encrypted,
    /// The key is damaged.
    #[error("the key is damaged: {0}")]
    Key(String),
    /// The key is another certificate's.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// The TLS library refuses them.
    #[error("{0}")]
    Unusable(String),
}

/// Why the files of a certificate chain and a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// What is in them cannot be used.
    #[error(
        "could not use the TLS certificate {} with the key {}",
        certificates.display(), key.display()
    )]
    Content {
        /// The file of the chain.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        fault: TlsFault,
    },
}

impl Identity {
    pub(crate) fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsFault> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsFault::Certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(TlsFault::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound if is_encrypted(key) => TlsFault::Encrypted,
            pem::Error::NoItemsFound => TlsFault::NoKey,
            error => TlsFault::Key(error.to_string()),
        })?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsFault::Unusable(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsFault::Mismatch,
                rustls::Error::InvalidCertificate(error) => {
                    TlsFault::Certificate(format!("{error:?}"))
                }
                error => TlsFault::Unusable(error.to_string()),
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn from_files(certificates: &Path, key: &Path) -> Result<Self, TlsFileError> {
        let (chain, secret) = (read(certificates)?, read(key)?);
        Self::from_pem(&chain, &secret).map_err(|fault| TlsFileError::Content {
            certificates: certificates.to_owned(),
            key: key.to_owned(),
            fault,
        })
    }
}

/// Whether a PEM holds a key under a passphrase, in the new form or the old one.
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let mut content = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut content))
        .map_err(|error| TlsFileError::Read {
            path: path.to_owned(),
            error,
        })?;
    Ok(content)
}
