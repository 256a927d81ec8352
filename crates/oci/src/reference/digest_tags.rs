//! The tags by which tools find what is about a digest where nothing else says so.

use super::Tag;
use crate::Digest;

/// What tools append to a digest for a signature, attestations and a bill of materials
/// ([cosign](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery)).
const SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

impl Digest {
    /// The tags by which tools find what is about this where nothing else says so: `sha256-<hash>.sig`,
    /// `.att` and `.sbom`. None for a hash that a tag has no room for.
    pub fn digest_tags(&self) -> impl Iterator<Item = Tag> {
        let name = format!("{}-{}", self.algorithm(), self.encoded());
        let tags = SUFFIXES.map(|suffix| format!("{name}.{suffix}").parse());
        tags.into_iter().filter_map(Result::ok)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Algorithm, Digest};

    #[test]
    fn p7_digest_tags_are_the_hash_and_what_is_kept_there() {
        let digest = Digest::of(b"content");
        let names: Vec<String> = digest.digest_tags().map(|it| it.to_string()).collect();
        let name = digest.referrers_tag();
        assert_eq!(
            names,
            ["sig", "att", "sbom"].map(|it| format!("{name}.{it}"))
        );
        assert!(names.iter().all(|it| Digest::is_in_tag(it)));
        let long = Digest::of_with(Algorithm::Sha512, b"content");
        assert_eq!(long.digest_tags().count(), 0, "a tag has no room for it");
    }
}
