//! A host that is trusted by configuration, and its port if one was given.

use std::str::FromStr;

use url::{Host, Url};

/// A host that may have credentials of a registry it does not belong to, for
/// [`ClientBuilder::trust_token_service`] and [`ClientBuilder::trust_host`]: `auth.example.com`, or
/// with the only port that is meant, `auth.example.com:8443`; an IPv6 address in brackets. Names in
/// other scripts are read as URLs have them.
///
/// [`ClientBuilder::trust_token_service`]: crate::ClientBuilder::trust_token_service
/// [`ClientBuilder::trust_host`]: crate::ClientBuilder::trust_host
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustedHost {
    host: Host<String>,
    port: Option<u16>,
}

/// Why a text is no host that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustedHostError {
    /// It has a scheme, a path or a user name, as URLs have.
    #[error("{0:?} is more than a host: expected for instance auth.example.com, or with a port")]
    Url(String),
    /// It is neither a name nor an address.
    #[error("{0:?} is no host: expected for instance auth.example.com or auth.example.com:8443")]
    Host(String),
    /// What follows the colon is no port.
    #[error("{0:?} has no port of 1 to 65535 after its colon")]
    Port(String),
}

impl TrustedHost {
    /// Whether the host of `url` is meant.
    pub(crate) fn is_of(&self, url: &Url) -> bool {
        let host = match url.host() {
            Some(Host::Domain(name)) => Host::Domain(without_dot(name)),
            Some(address) => address,
            None => return false,
        };
        let port = self.port.is_none_or(|port| {
            let of_url = url.port_or_known_default();
            of_url == Some(port)
        });
        port && host.to_owned() == self.host
    }
}

impl FromStr for TrustedHost {
    type Err = TrustedHostError;

    fn from_str(text: &str) -> Result<Self, TrustedHostError> {
        let shown = || text.chars().take(100).collect::<String>();
        if text.contains(['/', '@', '?', '#']) {
            // There may be a password before the `@`.
            let secret = text.contains('@');
            let shown = if secret { "…@…".into() } else { shown() };
            return Err(TrustedHostError::Url(shown));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(TrustedHostError::Port(shown())),
        };
        let host = Host::parse(without_dot(host));
        let host = host.map_err(|_| TrustedHostError::Host(shown()))?;
        if let Host::Domain(name) = &host {
            let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
            if !name.bytes().all(plain) {
                return Err(TrustedHostError::Host(shown()));
            }
        }
        Ok(Self { host, port })
    }
}

/// `auth.example.com.` is `auth.example.com`.
fn without_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_and_without_a_port_is_the_realms() {
        let cases = [
            ("auth.test", "https://auth.test/token", true),
            ("Auth.Test", "https://aUTH.test/token", true),
            ("auth.test", "https://auth.test.:8443/token", true),
            ("auth.test.", "https://auth.test/token", true),
            ("auth.test:8443", "https://auth.test:8443/token", true),
            ("auth.test:443", "https://auth.test/token", true),
            ("auth.test:8443", "https://auth.test/token", false),
            ("auth.test", "https://x.auth.test/token", false),
            ("auth.test", "https://auth.test.evil.test/token", false),
            ("münchen.test", "https://xn--mnchen-3ya.test/token", true),
            ("[::1]", "http://[0:0::1]:5001/token", true),
            ("[::1]:5001", "http://[::1]:5001/token", true),
            ("[::1]:5001", "http://[::1]:5002/token", false),
            ("127.0.0.1:5001", "http://127.0.0.1:5001/token", true),
            ("localhost", "http://127.0.0.1:5001/token", false),
        ];
        for (host, realm, expected) in cases {
            let parsed: TrustedHost = host.parse().unwrap();
            let realm = Url::parse(realm).unwrap();
            assert_eq!(parsed.is_of(&realm), expected, "{host} {realm}");
        }
    }

    #[test]
    fn what_could_match_nothing_is_refused() {
        use TrustedHostError as E;
        let url = |it: &str| Err(E::Url(it.to_owned()));
        let host = |it: &str| Err(E::Host(it.to_owned()));
        let port = |it: &str| Err(E::Port(it.to_owned()));
        let cases = [
            "https://auth.test/token",
            "auth.test/token",
            "me:canary@auth.test",
            "",
            "*.test",
            "auth test",
            "::1",
            "[::1",
            "auth.test:",
            "auth.test:0",
            "auth.test:99999",
            "auth.test:https",
        ];
        let expected = [
            url("https://auth.test/token"),
            url("auth.test/token"),
            url("…@…"),
            host(""),
            host("*.test"),
            host("auth test"),
            host("::1"),
            host("[::1"),
            port("auth.test:"),
            port("auth.test:0"),
            port("auth.test:99999"),
            port("auth.test:https"),
        ];
        for (text, expected) in cases.iter().zip(expected) {
            assert_eq!(text.parse::<TrustedHost>(), expected, "{text}");
        }
    }
}
