//! The image config: what runs, and which layers it is made of.
//!
//! [image-spec, Image Configuration](https://github.com/opencontainers/image-spec/blob/main/config.md).
//! Unknown keys are kept beside the known ones, so that a child's config can
//! inherit what this version has never heard of.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Digest, Platform};

/// An image's config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageConfig {
    /// CPU architecture.
    pub architecture: String,
    /// Operating system.
    pub os: String,
    /// Version of the operating system; on Windows the full build.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "crate::nullable::or_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features the image needs.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "crate::nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// Variant of the architecture.
    #[serde(
        default,
        deserialize_with = "crate::nullable::or_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub variant: Option<String>,
    /// What is run and how, as Docker's schema has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Map<String, Value>>,
    /// The layers, uncompressed.
    pub rootfs: RootFs,
    /// How the layers came about.
    #[serde(
        default,
        deserialize_with = "crate::nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<History>,
    /// Every other key.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The layers an image is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Digests of the *uncompressed* layers, base first.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of how an image came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Every other key.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ImageConfig {
    /// Reads a config. Keys it does not know are kept, a `null` list is an empty one.
    ///
    /// ```
    /// use longshore_oci::ImageConfig;
    /// let config = ImageConfig::from_slice(
    ///     br#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":null}}"#,
    /// )?;
    /// assert_eq!(config.platform().to_string(), "linux/amd64");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn from_slice(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// What the image runs on.
    pub fn platform(&self) -> Platform {
        Platform {
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
            ..Platform::new(self.os.clone(), self.architecture.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ImageConfig;
    use crate::Digest;

    fn windows() -> Value {
        json!({
            "architecture": "amd64",
            "os": "windows",
            "os.version": "10.0.20348.2113",
            "os.features": ["win32k"],
            "created": "2024-01-01T00:00:00Z",
            "config": {"Cmd": ["c:\\windows\\system32\\cmd.exe"], "ArgsEscaped": true},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"")]},
            "history": [{"created_by": "Apply image", "comment": "kept"}, {"empty_layer": true}],
            "x-unknown": {"kept": [1, null]},
        })
    }

    #[test]
    fn a_config_keeps_every_key_through_json() {
        let it = ImageConfig::from_slice(windows().to_string().as_bytes()).expect("a config");
        assert_eq!(it.platform().to_string(), "windows/amd64:10.0.20348.2113");
        assert_eq!(it.platform().os_features, ["win32k"]);
        assert_eq!(it.rootfs.diff_ids, [Digest::of(b"")]);
        assert!(it.history[1].empty_layer && !it.history[0].empty_layer);
        assert_eq!(serde_json::to_value(&it).expect("json"), windows());
    }

    #[test]
    fn null_and_empty_fields_are_read_as_missing_ones() {
        let text = r#"{"architecture":"arm","os":"linux","os.version":"","os.features":null,
            "variant":"","config":null,"history":null,"rootfs":{"type":"layers","diff_ids":null}}"#;
        let it = ImageConfig::from_slice(text.as_bytes()).expect("a config");
        assert_eq!(it.platform().to_string(), "linux/arm");
        assert!(it.config.is_none() && it.history.is_empty() && it.rootfs.diff_ids.is_empty());
    }

    #[test]
    fn what_is_not_an_image_config_is_an_error() {
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"architecture":"a","os":"b"}"#,
            "{\"os\":1}",
        ] {
            assert!(ImageConfig::from_slice(text.as_bytes()).is_err(), "{text}");
        }
    }
}
