//! URLs as they may be shown: only where they lead.
//!
//! User information and queries may be secret or signed, and so may the path of an upload.

use std::fmt;

use url::Url;

/// Only where a URL leads: scheme, host and port.
pub(crate) struct OriginOnly<'a>(pub(crate) &'a Url);

impl fmt::Display for OriginOnly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        write!(f, "{}://{host}", self.0.scheme())?;
        match self.0.port() {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        let url = Url::parse("https://user:pw@r.test:8443/v2/a/b?X-Sig=canary#frag").unwrap();
        assert_eq!(OriginOnly(&url).to_string(), "https://r.test:8443");
    }
}
