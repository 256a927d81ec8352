//! Layers as a build leaves them: described, and with where their bytes are.

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use oci::{Descriptor, Digest, MediaType, Repository};
use serde::{Deserialize, Serialize};

/// A layer that a build made, or took over from its base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EmittedLayer {
    /// The media type, as the manifest has it.
    pub media_type: MediaType,
    /// The digest of the layer as it is stored: compressed, if it is.
    pub digest: Digest,
    /// The length of the same, in bytes.
    pub size: u64,
    /// Where its bytes are.
    pub source: LayerSource,
    /// Where else it can be had, as the manifest has it. Whether a layer is foreign is
    /// a question of its media type alone: no list, an empty one or a full one changes nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// Where a layer's bytes are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LayerSource {
    /// In a file, from its first byte to its last. The path must be UTF-8 to be written as JSON.
    File(PathBuf),
    /// Here, at most [`MAX_INLINE_BYTES`](crate::MAX_INLINE_BYTES); base64 in JSON.
    #[serde(with = "crate::inline")]
    Bytes(Bytes),
    /// In a repository: the base image's. Read through the source that is given to
    /// [`BuiltSource::with_base`](crate::BuiltSource::with_base).
    Registry(Repository),
    /// In the base image, which is in no registry: in a layout, an archive. Read through the same.
    Base,
    /// Nowhere: the manifest points at it, and that is all.
    None,
}

// === impl EmittedLayer ===

impl EmittedLayer {
    /// A layer without `urls`, `size` bytes long.
    pub fn new(media_type: MediaType, digest: Digest, size: u64, source: LayerSource) -> Self {
        Self {
            media_type,
            digest,
            size,
            source,
            urls: Vec::new(),
        }
    }

    /// A layer whose bytes are at hand: digest and length are taken from them.
    pub fn of_bytes(media_type: MediaType, bytes: Bytes) -> Self {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        Self::new(media_type, digest, size, LayerSource::Bytes(bytes))
    }

    /// The same with places where else it can be had.
    #[must_use]
    pub fn with_urls(mut self, urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.urls = urls.into_iter().map(Into::into).collect();
        self
    }

    /// The layer as a manifest describes it.
    pub fn descriptor(&self) -> Descriptor {
        let mut it = Descriptor::new(self.media_type.clone(), self.digest.clone(), self.size);
        it.urls.clone_from(&self.urls);
        it
    }

    /// Whether the layer is not to be uploaded unless asked for: see [`MediaType::is_foreign`].
    pub fn is_foreign(&self) -> bool {
        self.media_type.is_foreign()
    }
}

// === impl LayerSource ===

impl fmt::Display for LayerSource {
    /// For a person who reads an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Bytes(_) => f.write_str("the image itself"),
            Self::Registry(repository) => repository.fmt(f),
            Self::Base => f.write_str("the base"),
            Self::None => f.write_str("no place: the manifest only points at it"),
        }
    }
}

impl fmt::Debug for LayerSource {
    /// Of bytes, how many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::Registry(repository) => f.debug_tuple("Registry").field(repository).finish(),
            Self::Base => f.write_str("Base"),
            Self::None => f.write_str("None"),
        }
    }
}
