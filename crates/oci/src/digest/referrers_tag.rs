//! The tag under which registries without a referrers API keep what is about a digest.
//!
//! [distribution-spec, Referrers Tag Schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema):
//! the algorithm, a hyphen and the hash, of which a tag has room for 64 digits only. Tools append
//! to it what they keep there (`sha256-….sig`).

use super::{Algorithm, Digest};

/// Digits of a hash in such a tag, at the most.
const DIGITS: usize = 64;

impl Digest {
    /// The tag for what is about this: `sha256-` and the hash, `sha512-` and its first 64 digits.
    pub fn referrers_tag(&self) -> String {
        let digits = self.encoded().get(..DIGITS).unwrap_or(self.encoded());
        format!("{}-{digits}", self.algorithm())
    }

    /// Whether a tag begins as one for what is about some digest does.
    pub fn is_in_tag(tag: &str) -> bool {
        let all = Algorithm::ALL.into_iter();
        let mut hashes = all.filter_map(|it| tag.strip_prefix(it.name())?.strip_prefix('-'));
        hashes.any(|hash| {
            let digits = hash.bytes().take(DIGITS).filter(u8::is_ascii_hexdigit);
            digits.count() == DIGITS
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_and_known_again_for_every_algorithm() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of_with(algorithm, b"content");
            let tag = digest.referrers_tag();
            assert_eq!(tag.len(), algorithm.name().len() + 1 + DIGITS);
            assert_eq!(tag.replacen('-', ":", 1), digest.to_string()[..tag.len()]);
            assert!(tag.parse::<crate::Tag>().is_ok(), "{tag}");
            assert!(Digest::is_in_tag(&tag) && Digest::is_in_tag(&format!("{tag}.sig")));
            assert!(!Digest::is_in_tag(&tag[..tag.len() - 1]), "{tag}");
            assert!(!Digest::is_in_tag(&digest.to_string()), "{digest}");
        }
        for tag in ["", "latest", "sha256-", "sha384-00"] {
            assert!(!Digest::is_in_tag(tag), "{tag}");
        }
    }
}
