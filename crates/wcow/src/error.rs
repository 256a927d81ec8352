//! Why an image's parts do not make an image.

use oci::{Digest, DocumentError};

/// Why an image's parts do not make a [`BuiltImage`](crate::BuiltImage).
///
/// Layers are counted from 0, base first, as in the manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuiltImageError {
    /// The config's bytes have another digest.
    #[error("the config has digest {actual}, expected {expected}")]
    ConfigDigest {
        /// The digest it was given with.
        expected: Digest,
        /// The digest its bytes have.
        actual: Digest,
    },
    /// The manifest's bytes are no manifest, or have another digest.
    #[error("the image's manifest is not usable")]
    Manifest(#[source] DocumentError),
    /// The manifest is an index. An image has one platform.
    #[error("the image's manifest is an index, which has no layers of its own")]
    Index,
    /// The manifest names another config.
    #[error(
        "the manifest names config {named} of {named_size} bytes, but the config is {actual} of {actual_size} bytes"
    )]
    ConfigDisagrees {
        /// The digest in the manifest.
        named: Digest,
        /// The size in the manifest, in bytes.
        named_size: u64,
        /// The digest of the config that was given.
        actual: Digest,
        /// The size of the config that was given, in bytes.
        actual_size: u64,
    },
    /// The manifest has more layers, or fewer.
    #[error("the manifest has {named} layers, but {actual} were given")]
    LayerCount {
        /// How many the manifest has.
        named: usize,
        /// How many were given.
        actual: usize,
    },
    /// The manifest describes a layer otherwise.
    #[error("layer {position} has {field} {actual}, but {named} in the manifest")]
    LayerDisagrees {
        /// Which layer.
        position: usize,
        /// What differs.
        field: LayerField,
        /// What the manifest says.
        named: String,
        /// What the layer says.
        actual: String,
    },
    /// A layer's bytes, given in memory, are not what they are described as.
    #[error("layer {position} holds {actual_size} bytes with digest {actual}")]
    LayerBytes {
        /// Which layer.
        position: usize,
        /// The digest of the bytes.
        actual: Digest,
        /// How many there are.
        actual_size: u64,
    },
    /// Something that is given in memory is too large for that.
    #[error(
        "{what} of {bytes} bytes is too large to be kept in memory: at most {} bytes",
        crate::MAX_INLINE_BYTES
    )]
    TooLarge {
        /// What it is: `the config`, `layer 3`.
        what: String,
        /// How large it is, in bytes.
        bytes: usize,
    },
}

/// What layer and manifest disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerField {
    /// The media type.
    MediaType,
    /// The digest.
    Digest,
    /// The size.
    Size,
    /// The `urls`; none and an empty list are the same.
    Urls,
}

impl std::fmt::Display for LayerField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MediaType => "media type",
            Self::Digest => "digest",
            Self::Size => "size",
            Self::Urls => "urls",
        })
    }
}
