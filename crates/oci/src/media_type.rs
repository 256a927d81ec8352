//! Media types, and the questions the product asks of them.
//!
//! A media type is kept as the text it came as. What it *means* is asked in one
//! place only, here: [`MediaType::is_foreign`] above all, because tools whose
//! several predicates disagree push layers they must not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of a piece of content, as written in a descriptor or header.
///
/// Comparison is byte for byte; parameters (`; charset=…`) are cut off by
/// [`MediaType::from_header`] and are not part of the type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(std::borrow::Cow<'static, str>);

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: Self = Self::known("application/vnd.oci.image.manifest.v1+json");
    /// OCI image index.
    pub const OCI_INDEX: Self = Self::known("application/vnd.oci.image.index.v1+json");
    /// OCI image config.
    pub const OCI_CONFIG: Self = Self::known("application/vnd.oci.image.config.v1+json");
    /// OCI layer, plain tar.
    pub const OCI_LAYER: Self = Self::known("application/vnd.oci.image.layer.v1.tar");
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: Self = Self::known("application/vnd.oci.image.layer.v1.tar+gzip");
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: Self = Self::known("application/vnd.oci.image.layer.v1.tar+zstd");
    /// OCI empty descriptor (`{}`).
    pub const OCI_EMPTY: Self = Self::known("application/vnd.oci.empty.v1+json");
    /// Docker image manifest, schema 2.
    pub const DOCKER_MANIFEST: Self =
        Self::known("application/vnd.docker.distribution.manifest.v2+json");
    /// Docker manifest list.
    pub const DOCKER_LIST: Self =
        Self::known("application/vnd.docker.distribution.manifest.list.v2+json");
    /// Docker image config.
    pub const DOCKER_CONFIG: Self = Self::known("application/vnd.docker.container.image.v1+json");
    /// Docker layer, plain tar.
    pub const DOCKER_LAYER: Self = Self::known("application/vnd.docker.image.rootfs.diff.tar");
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: Self =
        Self::known("application/vnd.docker.image.rootfs.diff.tar.gzip");
    /// Docker layer that is distributed from its `urls`.
    pub const DOCKER_FOREIGN_LAYER: Self =
        Self::known("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");

    /// What a client accepts when it asks for a manifest: the four kinds it can follow.
    pub const MANIFESTS: [Self; 4] = [
        Self::OCI_MANIFEST,
        Self::OCI_INDEX,
        Self::DOCKER_MANIFEST,
        Self::DOCKER_LIST,
    ];

    const fn known(text: &'static str) -> Self {
        Self(std::borrow::Cow::Borrowed(text))
    }

    /// A media type from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(std::borrow::Cow::Owned(text.into()))
    }

    /// A media type from a `Content-Type` header: parameters and white space cut off.
    pub fn from_header(value: &str) -> Self {
        let essence = value.split(';').next().unwrap_or_default();
        Self::new(essence.trim().to_ascii_lowercase())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an image manifest, OCI or Docker.
    pub fn is_manifest(&self) -> bool {
        *self == Self::OCI_MANIFEST || *self == Self::DOCKER_MANIFEST
    }

    /// Whether this is an image index or a Docker manifest list.
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_LIST
    }

    /// Whether this is an image config, OCI or Docker.
    pub fn is_config(&self) -> bool {
        *self == Self::OCI_CONFIG || *self == Self::DOCKER_CONFIG
    }

    /// Whether a layer of this type is **foreign**: to be had from its `urls`, and
    /// not to be uploaded unless asked for. The one predicate for it.
    ///
    /// True for Docker's foreign layers (tar, gzip, zstd) and OCI's
    /// nondistributable ones
    /// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/layer.md#non-distributable-layers)).
    /// Whether `urls` are present does not matter: an empty list never makes a
    /// layer foreign, and a missing one never makes it ordinary.
    pub fn is_foreign(&self) -> bool {
        self.foreign().is_some()
    }

    /// The type of the same layer where it is uploaded as any other: Docker's `…diff.tar.gzip` for
    /// `…foreign.diff.tar.gzip`, OCI's `…layer.v1.tar` for `…layer.nondistributable.v1.tar`. None
    /// if this is not a foreign layer's.
    pub fn distributable(&self) -> Option<Self> {
        let (ordinary, compression) = self.foreign()?;
        Some(Self::new(format!("{ordinary}{compression}")))
    }

    /// The beginning of the ordinary type for a foreign one, and what says how it is compressed.
    fn foreign(&self) -> Option<(Self, &str)> {
        let foreign = [
            (
                "application/vnd.docker.image.rootfs.foreign.diff.tar",
                Self::DOCKER_LAYER,
            ),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar",
                Self::OCI_LAYER,
            ),
        ];
        foreign.into_iter().find_map(|(base, ordinary)| {
            let compression = self.0.strip_prefix(base)?;
            matches!(compression, "" | ".gzip" | "+gzip" | ".zstd" | "+zstd")
                .then_some((ordinary, compression))
        })
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq<str> for MediaType {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MediaType;

    #[test]
    fn foreign_are_dockers_foreign_and_ocis_nondistributable_layers() {
        let docker = "application/vnd.docker.image.rootfs.foreign.diff.tar";
        let oci = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        for base in [docker, oci] {
            for compression in ["", ".gzip", "+gzip", "+zstd", ".zstd"] {
                let it = MediaType::new(format!("{base}{compression}"));
                assert!(it.is_foreign(), "{it}");
                let ordinary = it.distributable().unwrap();
                assert!(!ordinary.is_foreign() && ordinary.distributable().is_none());
            }
            for other in ["+", "gzip", "+gzip+zstd", "+xz", ".gz", "x", " ", "+GZIP"] {
                let it = MediaType::new(format!("{base}{other}"));
                assert!(!it.is_foreign(), "{it}");
            }
        }
        for ordinary in [
            MediaType::OCI_LAYER,
            MediaType::OCI_LAYER_GZIP,
            MediaType::OCI_LAYER_ZSTD,
            MediaType::DOCKER_LAYER,
            MediaType::DOCKER_LAYER_GZIP,
            MediaType::OCI_CONFIG,
            MediaType::OCI_EMPTY,
            MediaType::new(""),
            MediaType::new("text/plain; application/vnd.oci.image.layer.nondistributable.v1.tar"),
        ] {
            assert!(!ordinary.is_foreign(), "{ordinary}");
        }
    }

    #[test]
    fn n9_the_distributable_type_keeps_family_and_compression() {
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar";
        let ordinary = "application/vnd.docker.image.rootfs.diff.tar";
        let nondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        let layer = "application/vnd.oci.image.layer.v1.tar";
        for (from, to) in [
            (foreign.to_owned(), ordinary.to_owned()),
            (format!("{foreign}.gzip"), format!("{ordinary}.gzip")),
            (format!("{foreign}.zstd"), format!("{ordinary}.zstd")),
            (nondistributable.to_owned(), layer.to_owned()),
            (format!("{nondistributable}+gzip"), format!("{layer}+gzip")),
            (format!("{nondistributable}+zstd"), format!("{layer}+zstd")),
        ] {
            let to = MediaType::new(to);
            assert_eq!(MediaType::new(from).distributable(), Some(to));
        }
        assert_eq!(MediaType::OCI_LAYER_GZIP.distributable(), None);
    }

    #[test]
    fn a_type_keeps_its_family_and_compression_through_json() {
        for text in [
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
            "Application/Odd",
            "",
        ] {
            let it: MediaType = serde_json::from_value(text.into()).expect("a media type");
            assert_eq!((it.as_str(), it.to_string().as_str()), (text, text));
            assert_eq!(serde_json::to_value(&it).expect("json"), text);
        }
        let escaped = r#""application\/vnd.oci.empty.v1+json""#;
        let it: MediaType = serde_json::from_reader(escaped.as_bytes()).expect("a media type");
        assert_eq!(it, MediaType::OCI_EMPTY);
    }

    #[test]
    fn each_of_the_four_manifests_is_an_image_or_an_index() {
        for it in &MediaType::MANIFESTS {
            assert!(it.is_manifest() != it.is_index(), "{it}");
            assert!(!it.is_config() && !it.is_foreign(), "{it}");
        }
        assert!(MediaType::OCI_CONFIG.is_config() && MediaType::DOCKER_CONFIG.is_config());
        assert!(!MediaType::new("application/vnd.oci.image.manifest.v1+JSON").is_manifest());
    }

    #[test]
    fn a_header_loses_parameters_white_space_and_case() {
        for header in [
            "application/vnd.oci.image.index.v1+json",
            " Application/VND.oci.image.index.v1+json ; charset=utf-8",
            "application/vnd.oci.image.index.v1+json;",
        ] {
            assert_eq!(MediaType::from_header(header), MediaType::OCI_INDEX);
        }
        assert_eq!(MediaType::from_header(""), MediaType::new(""));
    }

    proptest! {
        #[test]
        fn any_text_has_one_kind_at_most(text in "\\PC{0,60}") {
            let it = MediaType::from_header(&text);
            let kinds = [it.is_manifest(), it.is_index(), it.is_config(), it.is_foreign()];
            prop_assert!(kinds.into_iter().filter(|&kind| kind).count() <= 1);
        }
    }
}
