//! Manifests and indexes as read-only views.
//!
//! Neither serialises: what is sent is a [`Document`](crate::Document)'s bytes.
//! [Image manifest](https://github.com/opencontainers/image-spec/blob/main/manifest.md),
//! [image index](https://github.com/opencontainers/image-spec/blob/main/image-index.md).

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Descriptor, Platform};

/// An image manifest or an artifact's, read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Manifest {
    /// The config: a blob like the layers.
    pub config: Descriptor,
    /// The layers, base first. One digest may stand several times.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub layers: Vec<Descriptor>,
    /// The kind of artifact, if it is not an image.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// The manifest this one is about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// Free-form annotations.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index or manifest list, read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Index {
    /// The children, in their order of preference.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub manifests: Vec<Descriptor>,
    /// The kind of artifact, if it is not an image.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// The manifest this one is about.
    #[serde(default)]
    pub subject: Option<Descriptor>,
    /// Free-form annotations.
    #[serde(default, deserialize_with = "crate::nullable::or_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The first child for `platform`, by [`Platform::matches`]; among those that match,
    /// the first of just that variant goes before one of another, so that `amd64`
    /// finds an image that runs on every such machine.
    pub fn child_for(&self, platform: &Platform) -> Option<&Descriptor> {
        let matching = || {
            self.manifests.iter().filter_map(|child| {
                let offered = child.platform.as_ref()?;
                platform.matches(offered).then_some((child, offered))
            })
        };
        matching()
            .find(|(_, offered)| offered.cpu() == platform.cpu())
            .or_else(|| matching().next())
            .map(|(child, _)| child)
    }

    /// The platforms there are, in order, each once; what says `unknown` (an attestation) or nothing is left out.
    pub fn platforms(&self) -> Vec<&Platform> {
        let mut platforms: Vec<&Platform> = Vec::new();
        for platform in self.manifests.iter().filter_map(|it| it.platform.as_ref()) {
            let known = !matches!(platform.os.as_str(), "" | "unknown");
            if known && !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        platforms
    }
}
