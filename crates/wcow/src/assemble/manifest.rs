//! An image's manifest: the base's descriptors byte for byte, and those of what is new.

use bytes::Bytes;
use oci::{Descriptor, Digest, MediaType};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{AssembleOptions, BuildError, spool::Spooled};
use crate::{
    Base, BuiltImage, BuiltImageError, Compression, CompressionFormat, EmittedLayer, LayerOptions,
    LayerSource, UnverifiedImage,
};

/// Which family of media types a manifest has: one, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Docker,
    Oci,
}

impl Family {
    /// The family of what is built on a base.
    pub(super) fn of(base: Option<&Base>, options: &AssembleOptions) -> Result<Self, BuildError> {
        let Some(base) = base.filter(|_| !options.oci) else {
            return Ok(Self::Oci);
        };
        let manifest = base.manifest();
        let parts = manifest.children().map(|it| &it.media_type);
        let all = parts.chain([manifest.media_type()]).filter_map(family_of);
        let mut families: Vec<Self> = all.collect();
        families.dedup();
        match families[..] {
            [one] => Ok(one),
            _ => Err(BuildError::MixedMediaTypes {
                what: base.reference().to_owned(),
            }),
        }
    }

    fn manifest(self) -> MediaType {
        match self {
            Self::Docker => MediaType::DOCKER_MANIFEST,
            Self::Oci => MediaType::OCI_MANIFEST,
        }
    }

    fn config(self) -> MediaType {
        match self {
            Self::Docker => MediaType::DOCKER_CONFIG,
            Self::Oci => MediaType::OCI_CONFIG,
        }
    }

    /// The type of a layer that is new.
    fn layer(self, compression: CompressionFormat) -> MediaType {
        match (self, compression) {
            (Self::Docker, CompressionFormat::None) => MediaType::DOCKER_LAYER,
            (Self::Docker, CompressionFormat::Gzip) => MediaType::DOCKER_LAYER_GZIP,
            (Self::Docker, CompressionFormat::Zstd) => {
                MediaType::new("application/vnd.docker.image.rootfs.diff.tar.zstd")
            }
            (Self::Oci, CompressionFormat::None) => MediaType::OCI_LAYER,
            (Self::Oci, CompressionFormat::Gzip) => MediaType::OCI_LAYER_GZIP,
            (Self::Oci, CompressionFormat::Zstd) => MediaType::OCI_LAYER_ZSTD,
        }
    }
}

/// The family that a media type is of; none for one of neither.
pub(super) fn family_of(media_type: &MediaType) -> Option<Family> {
    let text = media_type.as_str();
    if text.starts_with("application/vnd.docker.") {
        Some(Family::Docker)
    } else if text.starts_with("application/vnd.oci.") {
        Some(Family::Oci)
    } else {
        None
    }
}

/// OCI's name for what Docker's name says: what is foreign stays foreign, and what is compressed
/// stays so.
fn as_oci(media_type: &str) -> String {
    const NAMES: [(&str, &str); 2] = [
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ),
        (
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.oci.image.layer.v1.tar",
        ),
    ];
    for (docker, oci) in NAMES {
        if let Some(compression) = media_type.strip_prefix(docker) {
            return format!("{oci}{}", compression.replace('.', "+"));
        }
    }
    media_type.to_owned()
}

/// How layers are written.
pub(super) fn layer_options(options: &AssembleOptions) -> LayerOptions {
    let compression = Compression::new(options.compression);
    LayerOptions {
        timestamps: options.timestamps,
        compression: match options.threads {
            Some(threads) => compression.with_threads(threads),
            None => compression,
        },
    }
}

/// An image that is being put together.
pub(super) struct Making<'a> {
    pub(super) family: Family,
    pub(super) base: Option<&'a Base>,
    /// What is new, in order.
    pub(super) layers: &'a [Spooled],
    pub(super) options: &'a AssembleOptions,
}

impl Making<'_> {
    /// The image with this config.
    pub(super) fn image(&self, config: Vec<u8>) -> Result<BuiltImage, BuildError> {
        let config = Bytes::from(config);
        let (mut descriptors, mut layers) = self.inherited()?;
        for new in self.layers {
            let source = LayerSource::File(new.path.clone());
            let media_type = self.family.layer(self.options.compression);
            let layer = EmittedLayer::new(media_type, new.digest.clone(), new.size, source);
            descriptors.push(json!(layer.descriptor()).to_string());
            layers.push(layer);
        }
        let manifest = self.manifest(&Descriptor::of(self.family.config(), &config), &descriptors);
        let image = UnverifiedImage {
            tags: self.options.tags.clone(),
            config_digest: Digest::of(&config),
            config,
            manifest_digest: Digest::of(manifest.as_bytes()),
            manifest: manifest.into(),
            layers,
        };
        Ok(image.verify()?)
    }

    /// The base's layers: their descriptors as they stand in its manifest, and where they are.
    fn inherited(&self) -> Result<(Vec<String>, Vec<EmittedLayer>), BuildError> {
        let Some(base) = self.base else {
            return Ok((Vec::new(), Vec::new()));
        };
        let malformed = |error| {
            BuildError::Image(BuiltImageError::Manifest(oci::DocumentError::Malformed(
                error,
            )))
        };
        let raw: Raw<'_> = serde_json::from_slice(base.manifest().bytes()).map_err(malformed)?;
        let mut descriptors = Vec::new();
        for layer in raw.layers.unwrap_or_default() {
            descriptors.push(if self.options.oci {
                converted(layer).map_err(malformed)?
            } else {
                layer.get().to_owned()
            });
        }
        let layers = base.layers().iter().map(|it| {
            let media_type = if self.options.oci {
                MediaType::new(as_oci(it.media_type.as_str()))
            } else {
                it.media_type.clone()
            };
            let source = match base.source().origin() {
                Some(repository) => LayerSource::Registry(repository.clone()),
                None => LayerSource::Base,
            };
            EmittedLayer::new(media_type, it.digest.clone(), it.size, source)
                .with_urls(it.urls.iter().cloned())
        });
        Ok((descriptors, layers.collect()))
    }

    /// The text: what is known first, in the order of the specification.
    fn manifest(&self, config: &Descriptor, layers: &[String]) -> String {
        let annotations = match self.annotations() {
            none if none.is_empty() => String::new(),
            some => format!(r#","annotations":{}"#, Value::Object(some)),
        };
        format!(
            r#"{{"schemaVersion":2,"mediaType":{},"config":{},"layers":[{}]{annotations}}}"#,
            json!(self.family.manifest()),
            json!(config),
            layers.join(","),
        )
    }

    /// Which base it is: OCI's manifests say it
    /// ([annotations](https://github.com/opencontainers/image-spec/blob/main/annotations.md)),
    /// Docker's have no place for it.
    fn annotations(&self) -> Map<String, Value> {
        let mut annotations = Map::new();
        if let Some(base) = self.base
            && self.family == Family::Oci
            && let Some(repository) = base.source().origin()
        {
            let named = base.reference().parse::<oci::Reference>().ok();
            let tag = named.and_then(|it| it.tag_or_latest());
            let name = match tag {
                Some(tag) => repository.with_tag(tag).to_string(),
                None => format!("{repository}@{}", base.manifest().digest()),
            };
            let digest = base.manifest().digest().to_string();
            annotations.insert("org.opencontainers.image.base.name".into(), name.into());
            annotations.insert("org.opencontainers.image.base.digest".into(), digest.into());
        }
        annotations
    }
}

/// A manifest's layers as they are written.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    layers: Option<Vec<&'a RawValue>>,
}

/// A descriptor with another media type, and everything else as it was.
fn converted(descriptor: &RawValue) -> Result<String, serde_json::Error> {
    let mut fields: Map<String, Value> = serde_json::from_str(descriptor.get())?;
    if let Some(Value::String(media_type)) = fields.get_mut("mediaType") {
        *media_type = as_oci(media_type);
    }
    Ok(Value::Object(fields).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4_conversion_keeps_what_is_foreign_foreign_and_what_is_compressed_so() {
        let docker = "application/vnd.docker.image.rootfs";
        let oci = "application/vnd.oci.image.layer";
        for (from, expected) in [
            (format!("{docker}.diff.tar"), format!("{oci}.v1.tar")),
            (
                format!("{docker}.diff.tar.gzip"),
                format!("{oci}.v1.tar+gzip"),
            ),
            (
                format!("{docker}.diff.tar.zstd"),
                format!("{oci}.v1.tar+zstd"),
            ),
            (
                format!("{docker}.foreign.diff.tar.gzip"),
                format!("{oci}.nondistributable.v1.tar+gzip"),
            ),
            (format!("{oci}.v1.tar+zstd"), format!("{oci}.v1.tar+zstd")),
            ("application/x".to_owned(), "application/x".to_owned()),
        ] {
            let to = as_oci(&from);
            assert_eq!(to, expected);
            let foreign = |it: &str| MediaType::new(it).is_foreign();
            assert_eq!(foreign(&from), foreign(&to));
        }
    }
}
