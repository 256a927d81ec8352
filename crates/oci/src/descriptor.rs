//! Descriptors: the one currency between crates for content that is not at hand.
//!
//! [image-spec, Descriptor](https://github.com/opencontainers/image-spec/blob/main/descriptor.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, MediaType, Platform};

/// What some content is, how long, and under which digest.
///
/// A descriptor read from a manifest is a *view*: fields this type does not know
/// stay in the manifest's own bytes, which are what travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// The content's media type.
    pub media_type: MediaType,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// Where else the content can be had. Never fetched without being asked for, never with credentials.
    #[serde(
        default,
        deserialize_with = "crate::nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    /// Free-form annotations.
    #[serde(
        default,
        deserialize_with = "crate::nullable::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What an index's child runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The kind of artifact, on descriptors of manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

/// The annotation that names an image inside a layout's `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

impl Descriptor {
    /// A descriptor of content that has this type, digest and length in bytes.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }

    /// The descriptor of these very bytes, under SHA-256.
    pub fn of(media_type: MediaType, content: &[u8]) -> Self {
        Self::new(media_type, Digest::of(content), content.len() as u64)
    }

    /// Whether the content is foreign: see [`MediaType::is_foreign`].
    pub fn is_foreign(&self) -> bool {
        self.media_type.is_foreign()
    }

    /// Whether the content is a manifest or an index, and so put as a document.
    pub fn is_document(&self) -> bool {
        self.media_type.is_manifest() || self.media_type.is_index()
    }

    /// The name given to the image in a layout's `index.json`, if any.
    pub fn ref_name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Descriptor, REF_NAME};
    use crate::{Digest, MediaType, Platform};

    #[test]
    fn a_descriptor_of_bytes_has_their_length_and_digest() {
        let it = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
        assert_eq!((it.size, &it.digest), (2, &Digest::of(b"{}")));
        assert!(!it.is_foreign() && !it.is_document());
    }

    #[test]
    fn json_has_the_specifications_keys_and_leaves_empty_ones_out() {
        let mut it = Descriptor::of(MediaType::OCI_MANIFEST, b"");
        let digest = it.digest.to_string();
        let mut json = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": 0});
        assert_eq!(serde_json::to_value(&it).expect("json"), json);

        it.urls = vec!["https://example.com/a".into()];
        it.annotations.insert(REF_NAME.into(), "1.2".into());
        it.platform = Some(Platform::new("linux", "amd64"));
        it.artifact_type = Some("application/x".into());
        json["urls"] = json!(["https://example.com/a"]);
        json["annotations"] = json!({REF_NAME: "1.2"});
        json["platform"] = json!({"os": "linux", "architecture": "amd64"});
        json["artifactType"] = json!("application/x");
        assert_eq!(serde_json::to_value(&it).expect("json"), json);
        assert_eq!(
            serde_json::from_value::<Descriptor>(json).expect("a descriptor"),
            it
        );
        assert_eq!(it.ref_name(), Some("1.2"));
        assert!(it.is_document());
    }

    #[test]
    fn urls_do_not_make_a_layer_foreign_and_their_absence_does_not_make_it_ordinary() {
        let mut ordinary = Descriptor::of(MediaType::OCI_LAYER_GZIP, b"");
        let foreign = Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"");
        ordinary.urls = vec!["https://example.com/a".into()];
        assert!(!ordinary.is_foreign() && foreign.is_foreign());
    }
}
