//! Which repositories are asked to mount a blob, and in which order.
//!
//! ```text
//!   the image's own origin · seen to hold the blob, the latest first · named for this push
//!   · only where the blob must be mounted: those that did not give it before
//! ```

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use oci::{Digest, PushTarget, Repository, Source};

use crate::{
    mount::{MountAnswer, MountableLayers, SetAside, Tried},
    options::{Destination, Options},
};

/// The most repositories a target is told about beforehand.
const MAX_EXPECTED: usize = 16;

/// How lately a repository must have been seen to hold a blob so that its not giving it says
/// something of the registry.
const FRESH: Duration = Duration::from_hours(24);

/// Where blobs of one push may be mounted from.
#[derive(Clone, Debug)]
pub(crate) struct Siblings {
    destination: Repository,
    /// Where the image itself is read from, if that is on this registry: it holds every blob.
    origin: Option<Repository>,
    named: Vec<Repository>,
    learned: Arc<dyn MountableLayers>,
    /// Named, or the origin, and on another registry.
    elsewhere: Vec<Repository>,
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
        let here = |it: &&Repository| it.registry().agrees(repository.registry());
        let usable = |it: &&Repository| here(it) && !it.agrees(repository);
        let origin = source.origin();
        let named = destination.mount_from.iter();
        let mut elsewhere: Vec<Repository> = Vec::new();
        for it in named.clone().chain(origin).filter(|it| !here(it)) {
            if !elsewhere.contains(it) {
                elsewhere.push(it.clone());
            }
        }
        Self {
            destination: repository.clone(),
            origin: origin.filter(usable).cloned(),
            named: named.filter(usable).cloned().collect(),
            learned: Arc::clone(learned),
            elsewhere,
            most: options.mount_candidates.get(),
        }
    }

    /// The repositories to ask for `layer`, each once, never the destination, bounded.
    pub(crate) fn of(&self, layer: &Digest) -> Vec<Repository> {
        self.candidates(layer, false)
    }

    /// The same, and where nothing else is left, those that did not give it before.
    pub(crate) fn of_required(&self, layer: &Digest) -> Vec<Repository> {
        self.candidates(layer, true)
    }

    fn candidates(&self, layer: &Digest, required: bool) -> Vec<Repository> {
        let mut candidates: Vec<Repository> = Vec::new();
        let learned = self.learned.sources(layer, &self.destination);
        let known = self.origin.iter().chain(&learned).chain(&self.named);
        let mut gone = Vec::new();
        if required {
            let aside = self.learned.aside(layer, &self.destination).into_iter();
            let aside = aside.filter(|(_, why)| *why == SetAside::Gone);
            gone.extend(aside.map(|(repository, _)| repository));
        }
        for it in known.chain(&gone) {
            if candidates.len() < self.most && !candidates.iter().any(|known| known.agrees(it)) {
                candidates.push(it.clone());
            }
        }
        candidates
    }

    /// The repositories that may hold `layer` and are not asked, bounded: those on hold, those on
    /// other registries.
    pub(crate) fn not_asked(&self, layer: &Digest) -> Vec<Tried> {
        let aside = self.learned.aside(layer, &self.destination).into_iter();
        let named = self.elsewhere.iter().cloned();
        let named = named.map(|it| (it, SetAside::OtherRegistry));
        let mut not_asked: Vec<Tried> = Vec::new();
        for (from, why) in named.chain(aside) {
            let answer = match why {
                SetAside::OnHold => MountAnswer::OnHold,
                SetAside::OtherRegistry => MountAnswer::OtherRegistry,
                SetAside::Gone => continue,
            };
            let listed = not_asked.iter().any(|it| it.from == from);
            if not_asked.len() < self.most && !listed {
                not_asked.push(Tried {
                    from,
                    answer,
                    status: None,
                });
            }
        }
        not_asked
    }

    /// Whether `from` surely holds `layer`: the image is read from there, or it was seen to lately.
    pub(crate) fn is_sure(&self, layer: &Digest, from: &Repository) -> bool {
        if self.origin.as_ref().is_some_and(|it| it.agrees(from)) {
            return true;
        }
        let seen = self.learned.seen_at(layer, from);
        let age = |at| SystemTime::now().duration_since(at).unwrap_or_default();
        seen.is_some_and(|at| age(at) < FRESH)
    }

    /// Whether the destination itself is thought to hold `layer`.
    pub(crate) fn is_held(&self, layer: &Digest) -> bool {
        self.learned.is_held(layer, &self.destination)
    }

    /// Whether `layer` is thought to be in the destination or in a repository that may give it.
    pub(crate) fn is_known(&self, layer: &Digest) -> bool {
        self.is_held(layer) || !self.of(layer).is_empty()
    }

    /// Whether `layer` was said to be one that must not be sent.
    pub(crate) fn must_mount(&self, layer: &Digest) -> bool {
        self.learned.must_mount(layer)
    }

    /// Says to the target which repositories any of `layers` may be asked from.
    pub(crate) fn announce<'a>(
        &self,
        target: &dyn PushTarget,
        layers: impl Iterator<Item = &'a Digest>,
    ) {
        let expected = self.expected(layers);
        if !expected.is_empty() {
            target.expect_mounts(&expected);
        }
    }

    /// All repositories that any of `layers` may be asked from, the first found first.
    fn expected<'a>(&self, layers: impl Iterator<Item = &'a Digest>) -> Vec<Repository> {
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
