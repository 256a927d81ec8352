//! Where an answer may lead, and what may be taken along.
//!
//! A registry names URLs of three kinds: where an upload goes on (`Location`), where an
//! answer has moved to (redirects, page links), and where tokens are issued
//! (`realm`). None is trusted beyond this:
//!
//! - credentials belong to the registry's own origin, and to its token service;
//! - nothing leads from TLS to plain HTTP;
//! - a public registry leads to no private [address](super::address): that is decided when it is
//!   connected to.

use std::{fmt, net::IpAddr};

use oci::Registry;
use url::{Host, Url};

use super::address::is_private;

mod domain;

use domain::registrable;

/// Scheme, host and port: what credentials belong to.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    tls: bool,
    host: Box<str>,
    port: u16,
}

/// Why a URL that an answer names is not followed.
///
/// Shows hosts only: a location may be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LocationError {
    #[error("the answer leads to a URL that is malformed")]
    Malformed,
    #[error("the answer leads to a URL of scheme {0:?}, neither http nor https")]
    Scheme(String),
    #[error(
        "the answer leads from https to plain http, at {0}: the registry's own URL may be misconfigured behind a proxy"
    )]
    Downgrade(String),
    #[error("the answer leads to a URL with a user name in it, at {0}")]
    UserInfo(String),
    #[error(
        "the registry names a token service on a foreign domain, {0}: it gets no credentials unless it is trusted by configuration"
    )]
    ForeignRealm(String),
    #[error("a page of a list is followed by one on another host, {0}")]
    OtherOrigin(String),
    #[error("the answer leads through more than {0} redirects")]
    TooManyRedirects(usize),
}

/// The URL that `location` names, relative to `base`, where a request went; none of the
/// rules broken.
pub(crate) fn follow(base: &Url, location: &str, registry: &Origin) -> Result<Url, LocationError> {
    let mut url = base.join(location).map_err(|_| LocationError::Malformed)?;
    url.set_fragment(None);
    check(&url, registry)?;
    Ok(url)
}

/// Whether a URL that was kept (an upload session's) may be gone to.
pub(crate) fn check(url: &Url, registry: &Origin) -> Result<(), LocationError> {
    let next = origin_of(url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(LocationError::UserInfo(next.to_string()));
    }
    if next == *registry {
        return Ok(());
    }
    if registry.tls && !next.tls {
        return Err(LocationError::Downgrade(next.to_string()));
    }
    Ok(())
}

/// The token service at `realm`, as far as it may be asked at all.
pub(crate) fn realm(realm: &str, registry: &Origin) -> Result<Url, LocationError> {
    let mut url = Url::parse(realm).map_err(|_| LocationError::Malformed)?;
    url.set_fragment(None);
    check(&url, registry)?;
    Ok(url)
}

/// Whether the token service at `realm` may have the credentials kept for `registry`: on its own
/// host, or on a host of the same registrable domain.
pub(crate) fn shares_credentials(realm: &Url, registry: &Origin) -> bool {
    let Some(host) = realm.host_str().map(str::to_ascii_lowercase) else {
        return false;
    };
    *host == *registry.host
        || match (registrable(&host), registrable(&registry.host)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
}

fn origin_of(url: &Url) -> Result<Origin, LocationError> {
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        other => return Err(LocationError::Scheme(other.chars().take(32).collect())),
    };
    let host = url.host_str().ok_or(LocationError::Malformed)?;
    let port = url
        .port_or_known_default()
        .ok_or(LocationError::Malformed)?;
    Ok(Origin {
        tls,
        host: host.to_ascii_lowercase().into(),
        port,
    })
}

/// Host and port of a registry's API over TLS.
pub(crate) fn authority(registry: &Registry) -> String {
    let api = registry.api_authority();
    let host = registry.port().map_or(api, |_| registry.host());
    let port = registry.port().unwrap_or(443);
    format!("{host}:{port}").to_ascii_lowercase()
}

// === impl Origin ===

impl Origin {
    /// The origin of an absolute `http` or `https` URL.
    pub(crate) fn of(url: &Url) -> Result<Self, LocationError> {
        origin_of(url)
    }

    /// Whether it is spoken to over TLS.
    pub(crate) fn tls(&self) -> bool {
        self.tls
    }

    /// The host; an IPv6 address in brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the host is an address and not a name.
    pub(crate) fn is_address(&self) -> bool {
        !matches!(Host::parse(&self.host), Ok(Host::Domain(_)) | Err(_))
    }

    /// Whether the host is this machine or a private network, as far as its name says: a
    /// literal address, or `localhost`.
    pub(crate) fn is_private(&self) -> bool {
        match Host::parse(&self.host) {
            Ok(Host::Ipv4(ip)) => is_private(IpAddr::V4(ip)),
            Ok(Host::Ipv6(ip)) => is_private(IpAddr::V6(ip)),
            _ => {
                let name = self.host.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
