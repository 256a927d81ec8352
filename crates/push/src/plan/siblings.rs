//! Which repositories are asked to mount a blob, and in which order.

use std::sync::Arc;

use oci::{Digest, Repository, Source};

use crate::{
    mount::MountableLayers,
    options::{Destination, Options},
};

/// The most repositories a target is told about beforehand.
const MAX_EXPECTED: usize = 16;

/// Where blobs of one push may be mounted from.
#[derive(Clone, Debug)]
pub(crate) struct Siblings {
    destination: Repository,
    /// Where the image itself is read from, if that is on this registry: it holds every blob.
    origin: Option<Repository>,
    named: Vec<Repository>,
    learned: Arc<dyn MountableLayers>,
    elsewhere: bool,
    most: usize,
}

impl Siblings {
    pub(crate) fn new(
        repository: &Repository,
        source: &dyn Source,
        destination: &Destination,
        learned: &Arc<dyn MountableLayers>,
        options: &Options,
    ) -> Self {
        let here = |it: &Repository| it.registry() == repository.registry();
        let usable = |it: &&Repository| here(it) && *it != repository;
        let origin = source.origin();
        Self {
            destination: repository.clone(),
            origin: origin.filter(usable).cloned(),
            named: destination
                .mount_from
                .iter()
                .filter(usable)
                .cloned()
                .collect(),
            learned: Arc::clone(learned),
            elsewhere: destination
                .mount_from
                .iter()
                .chain(origin)
                .any(|it| !here(it)),
            most: options.mount_candidates.get(),
        }
    }

    /// The repositories to ask for `layer`: the one the image is read from, those seen to
    /// hold the layer, those that were named; each once, never the destination, bounded.
    pub(crate) fn of(&self, layer: &Digest) -> Vec<Repository> {
        let mut candidates: Vec<Repository> = Vec::new();
        let learned = self.learned.sources(layer, &self.destination);
        for it in self.origin.iter().chain(&learned).chain(&self.named) {
            if candidates.len() < self.most && !candidates.contains(it) {
                candidates.push(it.clone());
            }
        }
        candidates
    }

    /// Whether `layer` may be held by a repository that cannot be asked: another registry's.
    pub(crate) fn elsewhere(&self, layer: &Digest) -> bool {
        self.elsewhere || self.learned.is_elsewhere(layer, &self.destination)
    }

    /// Whether `layer` was said to be one that must not be sent.
    pub(crate) fn must_mount(&self, layer: &Digest) -> bool {
        self.learned.must_mount(layer)
    }

    /// All repositories that any of `layers` may be asked from, the first found first.
    pub(crate) fn expected<'a>(&self, layers: impl Iterator<Item = &'a Digest>) -> Vec<Repository> {
        let mut expected: Vec<Repository> = Vec::new();
        for it in layers.flat_map(|layer| self.of(layer)) {
            if expected.len() == MAX_EXPECTED {
                break;
            }
            if !expected.contains(&it) {
                expected.push(it);
            }
        }
        expected
    }
}
