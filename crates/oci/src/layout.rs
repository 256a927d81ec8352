//! The image layout's paths and marker: grammar only, no file is touched.
//!
//! [image-spec, Image Layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md).

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The file that marks a directory or archive as an image layout.
pub const MARKER: &str = "oci-layout";
/// The file that lists the layout's images: an image index.
pub const INDEX: &str = "index.json";
/// The directory of blobs.
pub const BLOBS: &str = "blobs";
/// The one version of the layout there is.
pub const VERSION: &str = "1.0.0";

/// The content of [`MARKER`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marker {
    /// The version of the layout; [`VERSION`] is the only one known.
    pub image_layout_version: String,
}

/// Where a blob stands, relative to the layout's root: `blobs/sha256/<hex>`.
///
/// Safe to join to a directory: a [`Digest`] is nothing but hex.
pub fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm(), digest.encoded())
}
