//! The contract between a build and a push.
//!
//! A build gives its parts, with the digests it thinks they have, as an
//! [`UnverifiedImage`]. Only what agrees becomes a [`BuiltImage`]; reading one from
//! JSON goes the same way. So whoever pushes need not ask again whether manifest,
//! config and layers belong together.

use std::fmt;

use bytes::Bytes;
use oci::{Descriptor, Digest, Document, Manifest, Tag};
use serde::{Deserialize, Serialize};

use crate::{
    BuiltImageError, EmittedLayer, LayerSource, MAX_INLINE_BYTES, error::LayerField, inline,
};

/// An image that was built, its parts known to agree.
///
/// - The config's bytes have the digest and size that the manifest names.
/// - The manifest's bytes have their digest, and are an image manifest's.
/// - Each layer is what the manifest says at its place: media type, digest, size, `urls`.
/// - A layer whose bytes are in memory has them right. A layer in a file is
///   not read here: whoever pushes it checks what it reads.
///
/// ```
/// use oci::{Descriptor, Digest, MediaType, Tag};
/// use longshore_wcow::{BuiltImage, EmittedLayer, UnverifiedImage};
///
/// let config = br#"{"os":"windows"}"#.as_slice();
/// let layer = EmittedLayer::of_bytes(MediaType::OCI_LAYER, b"a layer".as_slice().into());
/// let manifest = serde_json::json!({
///     "schemaVersion": 2,
///     "mediaType": MediaType::OCI_MANIFEST,
///     "config": Descriptor::of(MediaType::OCI_CONFIG, config),
///     "layers": [layer.descriptor()],
/// })
/// .to_string();
///
/// let image = UnverifiedImage {
///     tags: vec![Tag::latest()],
///     config_digest: Digest::of(config),
///     config: config.into(),
///     manifest_digest: Digest::of(manifest.as_bytes()),
///     manifest: manifest.into(),
///     layers: vec![layer],
/// }
/// .verify()?;
///
/// let json = serde_json::to_string(&image)?;
/// assert_eq!(serde_json::from_str::<BuiltImage>(&json)?, image);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "UnverifiedImage", into = "UnverifiedImage")]
pub struct BuiltImage {
    tags: Vec<Tag>,
    config: Bytes,
    config_descriptor: Descriptor,
    manifest: Document,
    layers: Vec<EmittedLayer>,
}

/// An image's parts, as a build gives them or as JSON holds them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnverifiedImage {
    /// The tags to push it under, in order; none to push it by digest only.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The config, at most [`MAX_INLINE_BYTES`]; base64 in JSON.
    #[serde(with = "inline")]
    pub config: Bytes,
    /// The digest the config should have.
    pub config_digest: Digest,
    /// The manifest, at most [`oci::MAX_MANIFEST_BYTES`]; base64 in JSON.
    #[serde(with = "inline")]
    pub manifest: Bytes,
    /// The digest the manifest should have.
    pub manifest_digest: Digest,
    /// The layers, base first, one for each that the manifest names.
    pub layers: Vec<EmittedLayer>,
}

// === impl UnverifiedImage ===

impl UnverifiedImage {
    /// The image, if the parts agree.
    pub fn verify(self) -> Result<BuiltImage, BuiltImageError> {
        let manifest = Document::with_digest(self.manifest, None, &self.manifest_digest)
            .map_err(BuiltImageError::Manifest)?;
        let view = manifest.as_manifest().ok_or(BuiltImageError::Index)?;
        check_config(&self.config, &self.config_digest, view)?;
        check_layers(&self.layers, view)?;
        Ok(BuiltImage {
            tags: self.tags,
            config: self.config,
            config_descriptor: view.config.clone(),
            layers: self.layers,
            manifest,
        })
    }
}

fn check_config(
    config: &Bytes,
    digest: &Digest,
    manifest: &Manifest,
) -> Result<(), BuiltImageError> {
    check_inline("the config", config)?;
    let actual = Digest::of_with(digest.algorithm(), config);
    if actual != *digest {
        return Err(BuiltImageError::ConfigDigest {
            expected: digest.clone(),
            actual,
        });
    }
    let (named, size) = (&manifest.config, config.len() as u64);
    if named.digest != actual || named.size != size {
        return Err(BuiltImageError::ConfigDisagrees {
            named: named.digest.clone(),
            named_size: named.size,
            actual,
            actual_size: size,
        });
    }
    Ok(())
}

fn check_layers(layers: &[EmittedLayer], manifest: &Manifest) -> Result<(), BuiltImageError> {
    if layers.len() != manifest.layers.len() {
        return Err(BuiltImageError::LayerCount {
            named: manifest.layers.len(),
            actual: layers.len(),
        });
    }
    for (position, (layer, named)) in layers.iter().zip(&manifest.layers).enumerate() {
        if let Some((field, named, actual)) = difference(layer, named) {
            return Err(BuiltImageError::LayerDisagrees {
                position,
                field,
                named,
                actual,
            });
        }
        if let LayerSource::Bytes(bytes) = &layer.source {
            check_layer_bytes(position, layer, bytes)?;
        }
    }
    Ok(())
}

/// The first thing layer and manifest disagree about: what, the manifest's, the layer's.
fn difference(layer: &EmittedLayer, named: &Descriptor) -> Option<(LayerField, String, String)> {
    let urls = |urls: &[String]| format!("{urls:?}");
    [
        (
            LayerField::MediaType,
            named.media_type.to_string(),
            layer.media_type.to_string(),
        ),
        (
            LayerField::Digest,
            named.digest.to_string(),
            layer.digest.to_string(),
        ),
        (
            LayerField::Size,
            named.size.to_string(),
            layer.size.to_string(),
        ),
        (LayerField::Urls, urls(&named.urls), urls(&layer.urls)),
    ]
    .into_iter()
    .find(|(_, named, actual)| named != actual)
}

fn check_layer_bytes(
    position: usize,
    layer: &EmittedLayer,
    bytes: &Bytes,
) -> Result<(), BuiltImageError> {
    check_inline(&format!("layer {position}"), bytes)?;
    let actual = Digest::of_with(layer.digest.algorithm(), bytes);
    let actual_size = bytes.len() as u64;
    if actual != layer.digest || actual_size != layer.size {
        return Err(BuiltImageError::LayerBytes {
            position,
            actual,
            actual_size,
        });
    }
    Ok(())
}

fn check_inline(what: &str, bytes: &Bytes) -> Result<(), BuiltImageError> {
    if bytes.len() > MAX_INLINE_BYTES {
        return Err(BuiltImageError::TooLarge {
            what: what.to_owned(),
            bytes: bytes.len(),
        });
    }
    Ok(())
}

// === impl BuiltImage ===

impl BuiltImage {
    /// The tags to push it under, in order; none to push it by digest only.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The config, as it came.
    pub fn config(&self) -> &Bytes {
        &self.config
    }

    /// The config as the manifest describes it.
    pub fn config_descriptor(&self) -> &Descriptor {
        &self.config_descriptor
    }

    /// The manifest.
    pub fn manifest(&self) -> &Document {
        &self.manifest
    }

    /// The image's digest: the manifest's.
    pub fn digest(&self) -> &Digest {
        self.manifest.digest()
    }

    /// The layers, base first.
    pub fn layers(&self) -> &[EmittedLayer] {
        &self.layers
    }
}

impl TryFrom<UnverifiedImage> for BuiltImage {
    type Error = BuiltImageError;

    fn try_from(image: UnverifiedImage) -> Result<Self, BuiltImageError> {
        image.verify()
    }
}

impl From<BuiltImage> for UnverifiedImage {
    fn from(image: BuiltImage) -> Self {
        Self {
            tags: image.tags,
            config: image.config,
            config_digest: image.config_descriptor.digest,
            manifest: image.manifest.bytes().clone(),
            manifest_digest: image.manifest.digest().clone(),
            layers: image.layers,
        }
    }
}

impl fmt::Debug for BuiltImage {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltImage")
            .field("digest", self.digest())
            .field("tags", &self.tags)
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UnverifiedImage {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedImage")
            .field("tags", &self.tags)
            .field("config_digest", &self.config_digest)
            .field("manifest_digest", &self.manifest_digest)
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
