//! Bases: what `FROM` names, read as far as a child needs it.
//!
//! ```text
//!   Bases::open(reference) ─▶ Source ── root ──▶ index ── by platform ──▶ manifest ──▶ config
//! ```
//!
//! **Not one byte of a base's layers is read.** Its layers go on as their descriptors, byte for
//! byte as the manifest has them, and their bytes stay where they are until a push needs them.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use oci::{BlobStream, Descriptor, Document, Manifest, Platform, Source, SourceError};
use serde_json::{Map, Value};

mod choice;
mod error;

pub use error::BaseError;

use crate::{
    configure::Configuration,
    dockerfile::TargetOs,
    os_version::{Chosen, resolve},
};

/// The largest config that is read: 4 MiB, inclusive, as much as a manifest may have.
pub const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Where bases are found: the port to registries, layouts and archives.
#[async_trait]
pub trait Bases: Send + Sync {
    /// The image or index that a `FROM` names, as it is written there with its variables expanded.
    async fn open(&self, reference: &str) -> Result<Arc<dyn Source>, SourceError>;

    /// The bytes of a layer of an image that was opened before, to copy files out of it. The default
    /// asks the image's source; one that may fetch foreign layers from elsewhere does so here.
    async fn open_layer(
        &self,
        source: &Arc<dyn Source>,
        layer: &Descriptor,
    ) -> Result<BlobStream, SourceError> {
        source.open(layer, 0).await
    }
}

/// A base for one platform.
#[derive(Clone, Debug)]
pub struct Base {
    os: TargetOs,
    reference: String,
    source: Arc<dyn Source>,
    manifest: Document,
    platform: Platform,
    configuration: Configuration,
}

/// What is wanted of a base.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The platform; with a version of Windows, a base of that build.
    pub platform: Platform,
    /// The version of Windows that the image says it is for, or that it says none, whatever the base
    /// says.
    pub os_version: Option<Chosen>,
}

impl Base {
    /// Reads what `reference` names, as far as a child needs it.
    pub async fn read(
        bases: &dyn Bases,
        reference: &str,
        os: TargetOs,
        wanted: &Wanted,
    ) -> Result<Self, BaseError> {
        let unreadable = |error| BaseError::Source {
            reference: reference.to_owned(),
            error: Box::new(error),
        };
        let source = bases.open(reference).await.map_err(unreadable)?;
        let root = source.root().await.map_err(unreadable)?;
        let manifest = match root.as_index() {
            None => root,
            Some(index) => {
                let child = choice::chosen(index, reference, &wanted.platform)?;
                source.document(child).await.map_err(unreadable)?
            }
        };
        let reading = Reading {
            reference,
            os,
            wanted,
        };
        let view = reading.image(&manifest)?;
        let bytes = reading.config_bytes(&*source, &view.config).await?;
        let config = reading.config(&bytes)?;
        let platform = reading.platform(&manifest, &config)?;
        let configuration = reading.configuration(view, &config, &platform)?;
        Ok(Self {
            os,
            reference: reference.to_owned(),
            source,
            manifest,
            platform,
            configuration,
        })
    }

    /// The system it is for.
    pub(crate) fn os(&self) -> TargetOs {
        self.os
    }

    /// As `FROM` names it.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Where its bytes are.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Its manifest: an image's.
    pub fn manifest(&self) -> &Document {
        &self.manifest
    }

    /// What a child runs on: version and features with it.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// What a child's config begins as.
    pub fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }

    /// Its layers, as its manifest describes them.
    pub fn layers(&self) -> &[Descriptor] {
        self.manifest.as_manifest().map_or(&[], |it| &it.layers)
    }
}

/// What is being read, and for what.
struct Reading<'a> {
    reference: &'a str,
    os: TargetOs,
    wanted: &'a Wanted,
}

impl Reading<'_> {
    fn reference(&self) -> String {
        self.reference.to_owned()
    }

    fn image<'a>(&self, document: &'a Document) -> Result<&'a Manifest, BaseError> {
        let manifest = document.as_manifest().ok_or_else(|| BaseError::Nested {
            reference: self.reference(),
        })?;
        let media_type = &manifest.config.media_type;
        if !media_type.is_config() {
            return Err(BaseError::NotAnImage {
                reference: self.reference(),
                media_type: media_type.clone(),
            });
        }
        Ok(manifest)
    }

    /// The config, whole: it is verified here, because a source need not.
    async fn config_bytes(
        &self,
        source: &dyn Source,
        config: &Descriptor,
    ) -> Result<Vec<u8>, BaseError> {
        let too_large = |size| BaseError::ConfigTooLarge {
            reference: self.reference(),
            size,
        };
        if config.size > MAX_CONFIG_BYTES {
            return Err(too_large(config.size));
        }
        let unreadable = |error| BaseError::Source {
            reference: self.reference(),
            error: Box::new(error),
        };
        let mut pieces = source.open(config, 0).await.map_err(unreadable)?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(unreadable)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MAX_CONFIG_BYTES {
                return Err(too_large(bytes.len() as u64));
            }
        }
        let actual = oci::Digest::of_with(config.digest.algorithm(), &bytes);
        if actual != config.digest {
            return Err(BaseError::ConfigAltered {
                reference: self.reference(),
                expected: config.digest.clone(),
                actual,
            });
        }
        Ok(bytes)
    }

    fn config(&self, bytes: &[u8]) -> Result<Map<String, Value>, BaseError> {
        serde_json::from_slice(bytes).map_err(|error| BaseError::ConfigMalformed {
            reference: self.reference(),
            error,
        })
    }

    /// What a child runs on: what the index says of the base, else its config.
    fn platform(
        &self,
        manifest: &Document,
        config: &Map<String, Value>,
    ) -> Result<Platform, BaseError> {
        let described = manifest.descriptor().platform.as_ref();
        let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
        let mut platform = Platform::new(text("os"), text("architecture"));
        let of_index = described.and_then(|it| it.variant.as_deref());
        let variants = [Some(text("variant")), of_index].into_iter().flatten();
        let variant = variants.map(str::trim).find(|it| !it.is_empty());
        platform.variant = variant.map(str::to_owned);
        let asked = without_version(&self.wanted.platform);
        if !asked.matches(&platform) {
            return Err(BaseError::NoPlatform {
                reference: self.reference(),
                platform: Box::new(asked),
                candidates: vec![platform.to_string()],
            });
        }
        platform.os_features = match described.map(|it| &it.os_features) {
            Some(features) if !features.is_empty() => features.clone(),
            _ => {
                let features = config.get("os.features").and_then(Value::as_array);
                let features = features.into_iter().flatten().filter_map(Value::as_str);
                features.map(str::to_owned).collect()
            }
        };
        if self.os == TargetOs::Windows {
            let described = described.and_then(|it| it.os_version.as_deref());
            let of_config = Some(text("os.version"));
            self.check_build(described, of_config, &platform)?;
            let chosen = self.wanted.os_version;
            platform.os_version = resolve(self.reference, chosen, described, of_config)?;
        }
        Ok(platform)
    }

    /// A base that is no index may still be of another build than was asked for.
    fn check_build(
        &self,
        described: Option<&str>,
        of_config: Option<&str>,
        platform: &Platform,
    ) -> Result<(), BaseError> {
        let build = |text: &str| text.parse::<crate::OsVersion>().ok().map(|it| it.build);
        let Some(wanted) = &self.wanted.platform.os_version else {
            return Ok(());
        };
        let said = [described, of_config]
            .into_iter()
            .flatten()
            .find(|it| !it.trim().is_empty());
        match said {
            Some(said) if said != wanted && build(said) != build(wanted) => {
                Err(BaseError::NoPlatform {
                    reference: self.reference(),
                    platform: Box::new(self.wanted.platform.clone()),
                    candidates: vec![format!("{platform}:{said}")],
                })
            }
            _ => Ok(()),
        }
    }

    fn configuration(
        &self,
        manifest: &Manifest,
        config: &Map<String, Value>,
        platform: &Platform,
    ) -> Result<Configuration, BaseError> {
        let configuration = Configuration::of_base(self.os, config.clone());
        let mut it = configuration.map_err(|error| BaseError::Config {
            reference: self.reference(),
            error,
        })?;
        let (layers, diff_ids) = (manifest.layers.len(), it.diff_ids().len());
        let steps = it.steps_with_layer();
        if diff_ids != layers || steps > layers {
            return Err(BaseError::Inconsistent {
                reference: self.reference(),
                layers,
                diff_ids,
                steps,
            });
        }
        // Many tools write no history, and there is a step for each layer.
        for _ in steps..layers {
            it.step_of_base();
        }
        if let Some(variant) = &platform.variant {
            it.insert("variant", variant.clone().into());
        }
        match &platform.os_version {
            Some(version) => it.insert("os.version", version.clone().into()),
            None if self.os == TargetOs::Windows => it.remove("os.version"),
            None => {}
        }
        if !platform.os_features.is_empty() {
            it.insert("os.features", platform.os_features.clone().into());
        }
        Ok(it)
    }
}

fn without_version(platform: &Platform) -> Platform {
    let mut it = platform.clone();
    it.os_version = None;
    it
}

#[cfg(test)]
pub(crate) mod tests;
