//! What becomes of an image's foreign layers, told in plans and reports.

use oci::{Descriptor, Digest, MediaType};
use serde::Serialize;

use crate::{
    embed::{Embedding, Rewritten},
    graph::Graph,
    options::Foreign,
};

/// What becomes of an image's foreign layers, by the policy of the engine.
///
/// As JSON: `{"policy", "layers": [{"digest", "size", "mediaType", "urls", "effect", …}]}`, and of
/// an image that got another digest by it `"rewritten"` and `"left_behind"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ForeignLayers {
    /// What was asked for.
    pub policy: Foreign,
    /// The layers, each once; at least one.
    pub layers: Vec<ForeignLayer>,
    /// The manifests and indexes that are pushed as others, children first: the image itself is
    /// the last. Empty unless layers are embedded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewritten: Vec<Rewritten>,
    /// What is about a manifest that is pushed as another one, signatures and attestations, and
    /// so is not pushed with it. Looked for where referrers go along.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<Digest>,
}

/// One foreign layer, as the source's manifests have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ForeignLayer {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its type in the source.
    pub media_type: MediaType,
    /// Where it is said to be.
    pub urls: Vec<String>,
    /// What becomes of it.
    pub effect: ForeignEffect,
    /// The type that the manifest gives it then, if that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_as: Option<MediaType>,
}

/// What becomes of a foreign layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ForeignEffect {
    /// It stays where it is, and the manifest points there.
    Kept,
    /// The repository gets its bytes; the manifest still has its type and `urls`.
    Included,
    /// The repository gets its bytes as those of an ordinary layer.
    Embedded,
}

impl ForeignLayers {
    /// What becomes of those of an image; none if it has no foreign layers.
    pub(crate) fn of(
        policy: Foreign,
        graph: &Graph,
        embedding: Option<&Embedding>,
    ) -> Option<Self> {
        let in_graph = graph.blobs().iter().map(|it| &it.descriptor);
        let layers: Vec<&Descriptor> = match embedding {
            Some(embedding) => embedding.layers.iter().collect(),
            None => in_graph.filter(|it| it.is_foreign()).collect(),
        };
        let layers: Vec<ForeignLayer> = layers
            .into_iter()
            .map(|it| ForeignLayer::of(policy, it))
            .collect();
        (!layers.is_empty()).then(|| Self {
            policy,
            layers,
            rewritten: embedding.map_or_else(Vec::new, |it| it.rewritten.clone()),
            left_behind: embedding.map_or_else(Vec::new, |it| it.left_behind.clone()),
        })
    }

    /// The digest that the image has in the source, and the one it is pushed with, if that is
    /// another.
    pub fn image(&self) -> Option<&Rewritten> {
        self.rewritten.last()
    }

    /// The bytes of all of them, each once.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|it| it.size).sum()
    }
}

impl ForeignLayer {
    fn of(policy: Foreign, layer: &Descriptor) -> Self {
        let (effect, pushed_as) = match policy {
            Foreign::Keep => (ForeignEffect::Kept, None),
            Foreign::Include => (ForeignEffect::Included, None),
            Foreign::Embed => (ForeignEffect::Embedded, layer.media_type.distributable()),
        };
        Self {
            digest: layer.digest.clone(),
            size: layer.size,
            media_type: layer.media_type.clone(),
            urls: layer.urls.clone(),
            effect,
            pushed_as,
        }
    }
}
