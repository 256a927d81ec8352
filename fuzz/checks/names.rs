//! Names: references, digests, tags, media types and platforms.
//!
//! What is accepted prints as text that is accepted again and means the same; what it is
//! made of keeps the grammar's bounds.

use oci::{
    Algorithm, Digest, MediaType, Platform, Reference, Registry, Repository, Tag, TagOrDigest,
};

/// The longest tag, in characters.
const MAX_TAG: usize = 128;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    reference(text);
    digest(text);
    parts(text);
    let media_type = MediaType::from_header(text);
    assert_eq!(MediaType::from_header(media_type.as_str()), media_type);
}

fn reference(text: &str) {
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    reads_back(&reference);
    let repository = reference.repository();
    assert!(!repository.path().is_empty());
    assert_eq!(repository.path(), repository.path().to_ascii_lowercase());
    let again = repository.registry().repository(repository.path());
    assert_eq!(again.as_ref(), Ok(repository));
    if let Some(tag) = reference.tag() {
        assert!((1..=MAX_TAG).contains(&tag.as_str().len()));
    }
    match reference.tag_or_digest() {
        TagOrDigest::Digest(it) => assert_eq!(reference.digest(), Some(&it)),
        TagOrDigest::Tag(it) => assert!(reference.digest().is_none() && it.as_str() != ""),
    }
}

/// JSON is the form that keeps all of a reference, its scheme too.
fn reads_back<T>(it: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let json = serde_json::to_string(it).unwrap_or_default();
    let again: Result<T, _> = serde_json::from_str(&json);
    assert_eq!(again.as_ref().ok(), Some(it), "{json}");
}

fn digest(text: &str) {
    let Ok(digest) = text.parse::<Digest>() else {
        return;
    };
    assert_eq!(digest.to_string(), text);
    let length = match digest.algorithm() {
        Algorithm::Sha256 => 64,
        _ => 128,
    };
    assert_eq!(digest.encoded().len(), length);
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    assert!(digest.encoded().bytes().all(hex));
}

fn parts(text: &str) {
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
        assert_eq!(text.parse(), Ok(TagOrDigest::Tag(tag)));
    }
    if let Ok(registry) = text.parse::<Registry>() {
        let printed = registry.to_string();
        assert_eq!(printed.parse(), Ok(registry), "{printed:?}");
    }
    if let Ok(repository) = text.parse::<Repository>() {
        reads_back(&repository);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        let printed = platform.to_string();
        assert!(platform.matches(&platform), "{printed:?}");
        assert_eq!(printed.parse(), Ok(platform), "{printed:?}");
    }
}
