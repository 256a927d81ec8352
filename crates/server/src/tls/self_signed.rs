//! A certificate made on the spot, for development: signed by itself, trusted by nobody
//! until somebody says so.

use std::fmt;

use aws_lc_rs::digest;

use crate::secret::Secret;

/// Names every such certificate is for.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate that is its own authority, and its key.
#[derive(Clone)]
pub struct SelfSigned {
    certificate: String,
    key: Secret,
    fingerprint: String,
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfSignedError {
    /// A name that cannot be in one.
    #[error("{0:?} is neither a host's name nor an address, so no certificate can be for it")]
    Name(String),
    /// The library could not make one.
    #[error("could not make a certificate: {0}")]
    Failed(String),
}

impl SelfSigned {
    /// A new certificate for `localhost`, `127.0.0.1`, `::1` and these names and addresses.
    pub fn generate(
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, SelfSignedError> {
        let mut all: Vec<String> = OWN_NAMES.map(str::to_owned).to_vec();
        for name in names {
            let name = name.into();
            if !is_host(&name) {
                return Err(SelfSignedError::Name(name.chars().take(300).collect()));
            }
            if !all.contains(&name) {
                all.push(name);
            }
        }
        let made = rcgen::generate_simple_self_signed(all)
            .map_err(|error| SelfSignedError::Failed(error.to_string()))?;
        Ok(Self {
            fingerprint: fingerprint(made.cert.der()),
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem().into(),
        })
    }

    /// The certificate as PEM: what clients are given to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The private key as PEM: to be kept from everybody else.
    pub fn key_pem(&self) -> &str {
        self.key.expose()
    }

    /// SHA-256 of the certificate as pairs of hex digits with colons, as other tools show it.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

fn fingerprint(der: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, der);
    let pairs: Vec<String> = digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02X}"))
        .collect();
    pairs.join(":")
}

/// Whether a text is an address, or made of a host name's characters; a wildcard may begin it.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |it: &str| {
        let spelled = it
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-');
        !it.is_empty() && it.len() <= 63 && spelled && !it.starts_with('-') && !it.ends_with('-')
    };
    text.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Identity;

    #[test]
    fn a_certificate_is_made_with_its_key_and_does_not_print_it() {
        let made = SelfSigned::generate(["registry.test", "10.0.0.7", "localhost"]).unwrap();
        let key = made.key_pem();
        assert!(Identity::from_pem(made.certificate_pem().as_bytes(), key.as_bytes()).is_ok());
        let shown = format!("{made:?}");
        assert!(
            shown.contains(made.fingerprint()) && !shown.contains("PRIVATE"),
            "{shown}"
        );
        assert_eq!(made.fingerprint().len(), 32 * 3 - 1);
        let other = SelfSigned::generate([""; 0]).unwrap();
        assert_ne!(other.key_pem(), key);
    }

    #[test]
    fn a_name_that_no_host_has_is_refused_by_name() {
        for name in ["", "a b", "https://host", "host:5000", "-x", "a..b", "hôst"] {
            let refused = SelfSigned::generate([name]).unwrap_err();
            assert!(
                matches!(&refused, SelfSignedError::Name(it) if it == name),
                "{name}"
            );
        }
        assert!(SelfSigned::generate(["*.test", "::2", "a-b.c"]).is_ok());
    }
}
