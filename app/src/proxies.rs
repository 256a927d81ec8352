//! Proxies, as the environment and the settings file name them.
//!
//! ```text
//!   [registry."host"] proxy     "http://…", or "none"; whatever the environment says
//!   HTTPS_PROXY, HTTP_PROXY     by whether the registry is spoken to over TLS
//!   ALL_PROXY                   for both, where they have none
//!   NO_PROXY                    hosts that are spoken to directly
//! ```
//!
//! Each in upper or lower case; upper case counts first.

use registry::{Proxies, ProxyError};
use secrecy::{ExposeSecret as _, SecretString};

use crate::env::ProxyVariables;

/// Where a proxy that cannot be used is named.
#[derive(Debug, thiserror::Error)]
#[error("the proxy of {place} cannot be used")]
pub(crate) struct ProxySettingError {
    pub(crate) place: String,
    #[source]
    pub(crate) error: ProxyError,
}

/// The value that the settings file has for no proxy at all.
pub(crate) const NONE: &str = "none";

impl ProxyVariables {
    /// Through which proxies hosts are spoken to.
    pub(crate) fn proxies(&self) -> Result<Proxies, ProxySettingError> {
        let mut proxies = Proxies::none();
        let at = |place: &str| {
            let place = place.to_owned();
            move |error| ProxySettingError { place, error }
        };
        let or_all = |own: &Option<SecretString>, name| match own {
            Some(own) => Some((own.clone(), name)),
            None => self.all.clone().map(|all| (all, "ALL_PROXY")),
        };
        if let Some((url, name)) = or_all(&self.https, "HTTPS_PROXY") {
            proxies = proxies.for_https(url.expose_secret()).map_err(at(name))?;
        }
        if let Some((url, name)) = or_all(&self.http, "HTTP_PROXY") {
            proxies = proxies.for_http(url.expose_secret()).map_err(at(name))?;
        }
        Ok(match &self.except {
            Some(list) => proxies.except(list),
            None => proxies,
        })
    }
}

#[cfg(test)]
mod tests {
    use oci::Registry;

    use super::*;

    #[test]
    fn a_proxy_for_all_is_for_those_that_have_none_of_their_own() {
        let password = |text: &str| Some(SecretString::from(text));
        let registry: Registry = "r.test".parse().unwrap();
        let variables = ProxyVariables {
            https: password("own.test:1"),
            all: password("http://me:canary@all.test:2"),
            ..ProxyVariables::default()
        };
        let proxies = variables.proxies().unwrap();
        let shown = |tls| proxies.shown(&registry, tls).unwrap();
        assert_eq!(shown(true), "http://own.test:1");
        assert_eq!(shown(false), "http://all.test:2");
        assert!(!format!("{variables:?}{proxies:?}").contains("canary"));
        let except = Some("r.test".to_owned());
        let proxies = ProxyVariables {
            except,
            ..variables
        };
        assert_eq!(proxies.proxies().unwrap().shown(&registry, true), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_told_of_by_its_variable_and_without_its_password() {
        let variables = ProxyVariables {
            https: Some(SecretString::from("socks4://me:canary@p.test")),
            ..ProxyVariables::default()
        };
        let error = variables.proxies().unwrap_err();
        assert_eq!(error.place, "HTTPS_PROXY");
        assert!(!format!("{error:?}").contains("canary"));
    }
}
