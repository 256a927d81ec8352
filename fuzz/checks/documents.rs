//! Manifests, indexes and configurations.
//!
//! A document is its bytes: whatever is read out of them, they stay, and their digest
//! is the one it goes by. What it refers to is counted and sized within bounds.

use oci::{Document, ImageConfig, MAX_MANIFEST_BYTES, MediaType};

/// The media types a document may be declared as.
const DECLARED: [Option<&str>; 5] = [
    None,
    Some("application/vnd.oci.image.manifest.v1+json"),
    Some("application/vnd.oci.image.index.v1+json"),
    Some("application/vnd.docker.distribution.manifest.v2+json"),
    Some("application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8"),
];

pub(crate) fn check(data: &[u8]) {
    // The first byte picks what the document is said to be.
    let Some((first, json)) = data.split_first() else {
        return;
    };
    let declared = DECLARED[usize::from(*first) % DECLARED.len()].map(MediaType::from_header);
    let _: Result<ImageConfig, _> = serde_json::from_slice(json);
    let bytes = json.to_vec();
    let Ok(document) = Document::new(bytes.clone().into(), declared.as_ref()) else {
        return;
    };
    assert!(json.len() <= MAX_MANIFEST_BYTES);
    assert_eq!(document.bytes(), json);
    assert!(document.digest().matches(json));
    assert_eq!(document.descriptor().size, json.len() as u64);
    assert!(document.as_manifest().is_none() || document.as_index().is_none());
    if let Some(declared) = declared {
        assert_eq!(document.media_type(), &declared);
    }

    // What it says of itself is enough to read it again.
    let digest = document.digest().clone();
    let by_digest =
        Document::with_digest(bytes.clone().into(), Some(document.media_type()), &digest);
    let by_descriptor = Document::verified(bytes.clone().into(), document.descriptor());
    assert!(by_digest.is_ok_and(|it| it == document));
    assert!(by_descriptor.is_ok_and(|it| it == document));
    let wrong = oci::Digest::of(b"other content");
    assert!(wrong == digest || Document::with_digest(bytes.into(), None, &wrong).is_err());

    let children: Vec<_> = document.children().collect();
    // Each takes at least a digest's worth of text.
    assert!(children.len() <= json.len() / 64);
    for child in children.into_iter().chain(document.subject()) {
        let text = serde_json::to_string(child).unwrap_or_default();
        let again: Option<oci::Descriptor> = serde_json::from_str(&text).ok();
        assert_eq!(again.as_ref(), Some(child), "{text}");
    }
}
