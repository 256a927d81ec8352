//! Proxies: which hosts are spoken to through one, and what it is told.
//!
//! ```text
//!   https://registry   CONNECT host:port, then TLS with the registry inside
//!   http://registry    the request itself, with its whole URL
//! ```
//!
//! A SOCKS5 proxy is asked to connect for both, and reads nothing but what `http` has to say.
//!
//! A proxy looks names up itself, so nobody here knows their addresses: a host that is spoken to
//! through a proxy counts as public. This machine is never spoken to through one. Credentials of a
//! proxy are shown to it and to nobody else.

use std::{collections::HashMap, fmt, net::IpAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use oci::Registry;
use percent_encoding::percent_decode_str;
use url::Url;

mod exceptions;
pub(super) mod socks;
pub(super) mod tunnel;

use super::location::{Origin, authority};
use exceptions::Exceptions;
use socks::Login;

/// The port of a SOCKS proxy whose URL names none.
const SOCKS_PORT: u16 = 1080;

/// Through which proxies hosts are spoken to; none by default.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Proxies {
    https: Option<Arc<Proxy>>,
    http: Option<Arc<Proxy>>,
    except: Exceptions,
    /// For one host and port, whatever else is said.
    hosts: HashMap<String, Option<Arc<Proxy>>>,
}

/// Why a proxy cannot be used. Does not say which one: there may be a password in its URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It is no URL with a host.
    #[error("expected the URL of a proxy, for instance http://proxy.example.com:3128")]
    Malformed,
    /// Its scheme is another one.
    #[error("a proxy of scheme {0:?} is not known: use http, https or socks5")]
    Scheme(String),
    /// The user name or the password cannot stand in a header.
    #[error("the user name and the password of the proxy cannot be sent")]
    Credentials,
}

/// One proxy.
pub(super) struct Proxy {
    pub(super) origin: Origin,
    pub(super) url: Url,
    pub(super) authorization: Option<HeaderValue>,
    /// One that speaks SOCKS5, and who this client is to it.
    pub(super) socks: Option<Login>,
}

// === impl Proxies ===

impl Proxies {
    /// No proxies.
    pub fn none() -> Self {
        Self::default()
    }

    /// Speaks to `https` hosts through the proxy at `url` (`http://`, `https://` or `socks5://`, the
    /// first if there is no scheme; perhaps with a user name and a password).
    pub fn for_https(mut self, url: &str) -> Result<Self, ProxyError> {
        self.https = Some(Arc::new(Proxy::parse(url)?));
        Ok(self)
    }

    /// The same for `http` hosts.
    pub fn for_http(mut self, url: &str) -> Result<Self, ProxyError> {
        self.http = Some(Arc::new(Proxy::parse(url)?));
        Ok(self)
    }

    /// Speaks to these hosts without a proxy. As `NO_PROXY` has it, parted by commas: a name (its
    /// subdomains too), `.name` or `*.name` (the subdomains alone), an address, a block of them
    /// (`10.0.0.0/8`), each perhaps with a port; `*` is every host. Names are not looked up, and what
    /// cannot be read is no exception.
    pub fn except(mut self, list: &str) -> Self {
        self.except = Exceptions::parse(list);
        self
    }

    /// Speaks to this registry through its own proxy, or through none, whatever else was said.
    pub fn for_registry(
        mut self,
        registry: &Registry,
        url: Option<&str>,
    ) -> Result<Self, ProxyError> {
        let proxy = url.map(Proxy::parse).transpose()?.map(Arc::new);
        self.hosts.insert(authority(registry), proxy);
        Ok(self)
    }

    /// The proxy of a registry, without credentials; `tls` says whether it is spoken to over TLS.
    #[must_use]
    pub fn shown(&self, registry: &Registry, tls: bool) -> Option<String> {
        let scheme = if tls { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{}", registry.api_authority())).ok()?;
        let proxy = self.of(&Origin::of(&url).ok()?)?;
        Some(proxy.shown())
    }

    /// The proxy a host is spoken to through.
    pub(super) fn of(&self, origin: &Origin) -> Option<&Arc<Proxy>> {
        if let Some(own) = self.hosts.get(&origin.authority()) {
            return own.as_ref();
        }
        let proxy = if origin.tls() {
            &self.https
        } else {
            &self.http
        };
        let excepted = is_here(origin) || self.except.contain(origin.host(), origin.port());
        proxy.as_ref().filter(|_| !excepted)
    }
}

/// Whether a host is this machine by its name.
fn is_here(origin: &Origin) -> bool {
    let name = origin.host().trim_end_matches('.');
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|it| it.to_canonical().is_loopback() || it.is_unspecified())
}

// === impl Proxy ===

impl Proxy {
    fn parse(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let mut url = Url::parse(&with_scheme).map_err(|_| ProxyError::Malformed)?;
        if matches!(url.scheme(), "socks5" | "socks5h") {
            return Self::socks(&url);
        }
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme().chars().take(32).collect();
            return Err(ProxyError::Scheme(scheme));
        }
        let authorization = authorization(&url)?;
        // Not kept: it would be shown with the URL.
        let cleared = url.set_username("").and_then(|()| url.set_password(None));
        cleared.map_err(|()| ProxyError::Malformed)?;
        let origin = Origin::of(&url).map_err(|_| ProxyError::Malformed)?;
        Ok(Self {
            origin,
            url,
            authorization,
            socks: None,
        })
    }

    fn socks(url: &Url) -> Result<Self, ProxyError> {
        let login = if url.username().is_empty() && url.password().is_none() {
            Login::Nobody
        } else {
            let decoded = |text: &str| percent_decode_str(text).collect();
            let password = url.password().unwrap_or_default();
            let login = Login::new(decoded(url.username()), decoded(password));
            login.ok_or(ProxyError::Credentials)?
        };
        let host = url.host_str().ok_or(ProxyError::Malformed)?;
        // What it is connected to by; what is spoken there is another matter.
        let tcp = format!("http://{host}:{}", url.port().unwrap_or(SOCKS_PORT));
        let url = Url::parse(&tcp).map_err(|_| ProxyError::Malformed)?;
        let origin = Origin::of(&url).map_err(|_| ProxyError::Malformed)?;
        Ok(Self {
            origin,
            url,
            authorization: None,
            socks: Some(login),
        })
    }

    /// Its URL, without credentials.
    pub(super) fn shown(&self) -> String {
        match self.socks {
            Some(_) => format!("socks5://{}", self.origin.authority()),
            None => self.origin.to_string(),
        }
    }
}

/// Basic credentials out of a URL.
fn authorization(url: &Url) -> Result<Option<HeaderValue>, ProxyError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let value = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(value).map_err(|_| ProxyError::Credentials)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.shown())
    }
}

#[cfg(test)]
mod tests;
