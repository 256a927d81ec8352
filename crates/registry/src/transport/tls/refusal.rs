//! Why TLS with a host came to nothing, in words.
//!
//! There is no way on from here: not without TLS, and not without the checks.

use std::{error::Error, fmt, io};

use rustls::{AlertDescription, CertificateError};

/// How servers say that they want a client certificate, or another one.
const ABOUT_CLIENT_CERTIFICATES: [AlertDescription; 9] = [
    AlertDescription::CertificateRequired,
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

/// A host that TLS could not be agreed on with, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no TLS with {host}: {reason}")]
pub(crate) struct TlsRefusal {
    host: String,
    reason: Reason,
}

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Reason {
    Expired,
    NotYet,
    OtherName,
    UnknownIssuer,
    Revoked,
    /// It wants a client certificate and was shown none, or none it takes.
    ClientCertificate,
    NotTls,
    /// It has no version, cipher or key exchange in common with this client.
    NothingInCommon,
    Other(String),
}

impl TlsRefusal {
    /// Why an attempt to agree on TLS with `host` failed.
    pub(crate) fn of(host: String, error: &io::Error) -> Self {
        let reason = match cause(error) {
            Some(error) => Reason::of(error),
            None => Reason::Other(error.to_string()),
        };
        Self { host, reason }
    }

    /// The same for a connection that stood already: whether a client certificate will do, a server
    /// says only then.
    pub(crate) fn of_client_certificate(host: &str, error: &(dyn Error + 'static)) -> Option<Self> {
        let refused = match cause(error) {
            Some(cause) => Reason::of(cause) == Reason::ClientCertificate,
            None => tells_of_client_certificate(error),
        };
        refused.then(|| Self {
            host: host.to_owned(),
            reason: Reason::ClientCertificate,
        })
    }
}

impl TlsRefusal {
    /// Whether the host speaks no TLS at all.
    pub(crate) fn is_no_tls(&self) -> bool {
        self.reason == Reason::NotTls
    }

    /// Whether nobody who is trusted vouches for the host's certificate.
    pub(crate) fn is_untrusted(&self) -> bool {
        self.reason == Reason::UnknownIssuer
    }
}

/// Whether an error over HTTP/2 is an alert about a client certificate: of what a connection failed
/// with, the library for HTTP/2 hands on the text alone.
fn tells_of_client_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let told = last.to_string();
    ABOUT_CLIENT_CERTIFICATES.iter().any(|alert| {
        let alert = rustls::Error::AlertReceived(*alert).to_string();
        told.ends_with(&alert)
    })
}

/// What the TLS library said, wherever it is in the chain.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let found = inner.and_then(|inner| inner.downcast_ref());
        if let Some(found) = found.or_else(|| error.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

impl Reason {
    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::PeerIncompatible(_) => Self::NothingInCommon,
            other => Self::Other(other.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYet
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Revoked => Self::Revoked,
            other => Self::Other(format!("its certificate is not valid: {other}")),
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            alert if ABOUT_CLIENT_CERTIFICATES.contains(&alert) => Self::ClientCertificate,
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
                Self::NothingInCommon
            }
            other => Self::Other(format!("it gave up with alert {other:?}")),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "its certificate has expired",
            Self::NotYet => "its certificate is not valid yet; is the clock right?",
            Self::OtherName => "its certificate is for other names",
            Self::UnknownIssuer => "its certificate is of an issuer that is not trusted",
            Self::Revoked => "its certificate is revoked",
            Self::ClientCertificate => {
                "it takes no client but one with a certificate of its liking"
            }
            Self::NotTls => "what it answers is not TLS",
            Self::NothingInCommon => {
                "it has no version of TLS or cipher in common with this client"
            }
            Self::Other(text) => text,
        })
    }
}
