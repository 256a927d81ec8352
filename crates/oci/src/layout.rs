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
///
/// ```
/// use longshore_oci::{Digest, layout};
/// let path = layout::blob_path(&Digest::of(b""));
/// assert!(path.starts_with("blobs/sha256/e3b0c44298fc"));
/// ```
pub fn blob_path(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm(), digest.encoded())
}

#[cfg(test)]
mod tests {
    use super::{Marker, VERSION, blob_path};
    use crate::{Algorithm, Digest};

    #[test]
    fn the_marker_is_the_specifications() {
        let json = r#"{"imageLayoutVersion":"1.0.0"}"#;
        let it: Marker = serde_json::from_str(json).expect("a marker");
        assert_eq!(it.image_layout_version, VERSION);
        assert_eq!(serde_json::to_string(&it).expect("json"), json);
    }

    #[test]
    fn a_blob_stands_below_its_algorithm() {
        for algorithm in Algorithm::ALL {
            let digest = Digest::of_with(algorithm, b"");
            let expected = format!("blobs/{}/{}", algorithm.name(), digest.encoded());
            assert_eq!(blob_path(&digest), expected);
        }
    }
}
