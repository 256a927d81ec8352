//! What a plan knows of the images that its image was built on.

use std::collections::HashSet;

use oci::{Descriptor, Digest};

use super::{Action, Plan};
use crate::source::seed::{BASE_DIGEST, BASE_NAME};

/// An image that a manifest says it was built on
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/annotations.md)).
///
/// What a manifest says is not proven: whoever wrote it chose the text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Base {
    /// Its name, as it stands there.
    pub name: String,
    /// Its digest, if that is said and is one.
    pub digest: Option<Digest>,
}

impl Plan {
    /// The images that the manifests and indexes say they were built on, each once.
    pub fn bases(&self) -> Vec<Base> {
        let mut bases: Vec<Base> = Vec::new();
        for node in self.graph.nodes() {
            let document = &node.document;
            let annotations = match (document.as_manifest(), document.as_index()) {
                (Some(it), _) => &it.annotations,
                (None, Some(it)) => &it.annotations,
                (None, None) => continue,
            };
            let Some(name) = annotations.get(BASE_NAME) else {
                continue;
            };
            let digest = annotations.get(BASE_DIGEST);
            let base = Base {
                name: name.clone(),
                digest: digest.and_then(|it| it.parse().ok()),
            };
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        bases
    }

    /// How many bytes of `blobs` would be sent, each blob counted once.
    pub fn bytes_to_send<'a>(&self, blobs: impl IntoIterator<Item = &'a Descriptor>) -> u64 {
        let wanted: HashSet<&Digest> = blobs.into_iter().map(|it| &it.digest).collect();
        let steps = self.steps.iter();
        let sent = steps.filter(|it| wanted.contains(&it.node.digest));
        sent.map(|step| match &step.action {
            Action::Upload => step.node.size,
            Action::Resume { acknowledged } => step.node.size.saturating_sub(*acknowledged),
            _ => 0,
        })
        .sum()
    }

    /// The layers that the plan's images consist of, each as often as it is listed.
    pub fn layers(&self) -> impl Iterator<Item = &Descriptor> {
        let nodes = self.graph.nodes().iter();
        nodes
            .filter_map(|node| node.document.as_manifest())
            .flat_map(|it| &it.layers)
    }
}
