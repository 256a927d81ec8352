//! [`LayerRepos`]: who holds what, in memory.
//!
//! What this process has learned and what an index recalled are one list for each layer, in the
//! order of when it was seen. What a repository would not give stays in the list, behind the rest.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use oci::{Digest, Repository};

use super::{LayerProvider, MountableLayers, SetAside};
use crate::index::{BlobIndex, Evidence, Location};

/// How many layers are remembered at most; what is over it is not learned.
const MAX_LAYERS: usize = 100_000;
/// How many repositories are remembered for one layer at most; the oldest goes.
const MAX_REPOSITORIES: usize = 32;
/// How many repositories can be on hold; what is over it is not noted.
const MAX_HOLDS: usize = 10_000;
/// How many repositories are given out for one layer unless told otherwise.
const MOST: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// How long a repository that did not give a layer is not asked for it: a day. Then it is worth
/// a question again, after all others.
const GONE_FOR: Duration = Duration::from_hours(24);
/// How long a repository that nothing could be read of is not asked: rights change by the hour.
const HOLD_FOR: Duration = Duration::from_hours(6);

/// [`MountableLayers`] in memory: what this process has learned, was told, and was recalled from
/// an index.
///
/// Bounded: it stops learning new layers at 100,000, and keeps 32 repositories for each.
///
/// ```
/// use longshore_push::{LayerRepos, MountableLayers};
/// # use std::sync::Arc;
/// let base = "registry.test/base".parse()?;
/// let layer = oci::Digest::of(b"layer");
/// let layers = LayerRepos::builder()
///     .source(&layer, &base)
///     .index(Arc::new(longshore_push::State::memory()))
///     .build();
/// assert!(layers.is_mountable(&layer, &"registry.test/app".parse()?));
/// assert!(layers.index().is_some());
/// # Ok::<(), oci::ReferenceError>(())
/// ```
#[derive(Debug)]
pub struct LayerRepos {
    known: Mutex<Known>,
    index: Option<Arc<dyn BlobIndex>>,
    providers: Vec<Arc<dyn LayerProvider>>,
    most: NonZeroUsize,
}

/// What [`LayerRepos`] begin with. Empty by default.
#[derive(Debug, Default)]
pub struct LayerReposBuilder {
    sources: Vec<(Digest, Repository)>,
    must_mount: HashSet<Digest>,
    index: Option<Arc<dyn BlobIndex>>,
    providers: Vec<Arc<dyn LayerProvider>>,
    most: Option<NonZeroUsize>,
}

#[derive(Debug, Default)]
struct Known {
    holders: HashMap<Digest, Vec<Holder>>,
    /// By the repository's normal name.
    on_hold: HashMap<Repository, SystemTime>,
    must_mount: HashSet<Digest>,
    /// Grows with everything that is learned here: of the same time the later comes first.
    learned: u64,
    /// When something was learned last: a clock that is set back changes no order.
    last: Option<SystemTime>,
}

/// One repository that was seen to hold a layer, or not to.
#[derive(Clone, Debug)]
struct Holder {
    /// By its normal name.
    repository: Repository,
    at: SystemTime,
    learned: u64,
    /// None if it did not give the layer.
    by: Option<Evidence>,
}

// === impl LayerRepos ===

impl LayerRepos {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows what it is told.
    pub fn builder() -> LayerReposBuilder {
        LayerReposBuilder::default()
    }

    /// Says that `layer` must not be sent. It stays so, whatever is learned about the layer,
    /// until it is [released](Self::release).
    pub fn require(&self, layer: &Digest) {
        self.lock().must_mount.insert(layer.clone());
    }

    /// Says that `layer` may be sent again.
    pub fn release(&self, layer: &Digest) {
        self.lock().must_mount.remove(layer);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a layer, the best first, with why it is not asked.
    fn all(&self, layer: &Digest, destination: &Repository) -> Vec<(Repository, Option<SetAside>)> {
        let now = SystemTime::now();
        let known = self.lock();
        let holders = known.holders.get(layer).into_iter().flatten();
        let others = holders.filter(|it| !it.repository.agrees(destination));
        others
            .map(|it| (it.repository.clone(), known.aside(it, destination, now)))
            .collect()
    }
}

impl Default for LayerRepos {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl MountableLayers for LayerRepos {
    fn is_mountable(&self, layer: &Digest, destination: &Repository) -> bool {
        !self.is_held(layer, destination) && !self.sources(layer, destination).is_empty()
    }

    fn must_mount(&self, layer: &Digest) -> bool {
        self.lock().must_mount.contains(layer)
    }

    fn sources(&self, layer: &Digest, destination: &Repository) -> Vec<Repository> {
        let known = self.all(layer, destination);
        let (asked, aside): (Vec<_>, Vec<_>) = known.iter().partition(|(_, why)| why.is_none());
        let asked = asked.into_iter().map(|(repository, _)| repository.clone());
        let told = self.providers.iter();
        let told = told.flat_map(|it| it.sources(layer, destination));
        let told = told.map(|it| it.normal()).filter(|it| {
            let usable = it.registry().agrees(destination.registry()) && !it.agrees(destination);
            usable && !aside.iter().any(|(known, _)| known == it)
        });
        let mut sources: Vec<Repository> = Vec::new();
        for it in asked.chain(told) {
            if sources.len() < self.most.get() && !sources.contains(&it) {
                sources.push(it);
            }
        }
        sources
    }

    fn add_source(&self, layer: &Digest, repository: &Repository) {
        let mut known = self.lock();
        let repository = repository.normal();
        known.on_hold.remove(&repository);
        known.learn(layer, repository, Some(Evidence::Answered));
    }

    fn set_aside(&self, layer: &Digest, repository: &Repository, why: SetAside) {
        let mut known = self.lock();
        let repository = repository.normal();
        match why {
            SetAside::Gone => known.learn(layer, repository, None),
            SetAside::OnHold if known.on_hold.len() < MAX_HOLDS => {
                known.on_hold.insert(repository, SystemTime::now());
            }
            SetAside::OnHold | SetAside::OtherRegistry => {}
        }
    }

    fn aside(&self, layer: &Digest, destination: &Repository) -> Vec<(Repository, SetAside)> {
        let known = self.all(layer, destination).into_iter();
        known
            .filter_map(|(repository, why)| Some((repository, why?)))
            .collect()
    }

    fn is_held(&self, layer: &Digest, destination: &Repository) -> bool {
        let known = self.lock();
        let holders = known.holders.get(layer).into_iter().flatten();
        let mut here = holders.filter(|it| it.repository.agrees(destination));
        here.any(|it| it.by.is_some())
    }

    fn seen_at(&self, layer: &Digest, repository: &Repository) -> Option<SystemTime> {
        let known = self.lock();
        let holders = known.holders.get(layer).into_iter().flatten();
        let mut here = holders.filter(|it| it.repository.agrees(repository));
        here.find_map(|it| it.by.map(|_| it.at))
    }

    fn index(&self) -> Option<Arc<dyn BlobIndex>> {
        self.index.clone()
    }

    fn recall(&self, recalled: &[Location]) {
        let now = SystemTime::now();
        let mut known = self.lock();
        for it in recalled {
            let repository = it.repository.normal();
            if let Some(denied) = it.denied
                && known.on_hold.len() < MAX_HOLDS
            {
                let hold = known.on_hold.entry(repository.clone()).or_insert(denied);
                *hold = denied.max(*hold);
            }
            // A clock that is ahead does not put its facts before those of this process.
            known.put(
                &it.digest,
                Holder {
                    repository,
                    at: it.at.min(now),
                    learned: 0,
                    by: it.held.map(|(_, by)| by),
                },
            );
        }
    }
}

// === impl Known ===

impl Known {
    /// Notes what was just seen.
    fn learn(&mut self, layer: &Digest, repository: Repository, by: Option<Evidence>) {
        self.learned += 1;
        let now = SystemTime::now();
        let at = self.last.map_or(now, |last| last.max(now));
        self.last = Some(at);
        let holder = Holder {
            repository,
            at,
            learned: self.learned,
            by,
        };
        self.put(layer, holder);
    }

    /// Notes what was seen, unless something later is known.
    fn put(&mut self, layer: &Digest, holder: Holder) {
        if self.holders.len() >= MAX_LAYERS && !self.holders.contains_key(layer) {
            return;
        }
        let holders = self.holders.entry(layer.clone()).or_default();
        let order = |it: &Holder| (it.at, it.learned);
        let same = holders
            .iter()
            .position(|it| it.repository == holder.repository);
        match same {
            Some(same) if order(&holders[same]) > order(&holder) => return,
            Some(same) => holders[same] = holder,
            None => holders.push(holder),
        }
        holders.sort_by(|one, other| {
            let present = |it: &Holder| (it.by.is_some(), it.at, it.learned, it.by);
            let latest = present(other).cmp(&present(one));
            latest.then_with(|| one.repository.cmp(&other.repository))
        });
        holders.truncate(MAX_REPOSITORIES);
    }

    /// Why a repository is not asked, if it is not.
    fn aside(
        &self,
        holder: &Holder,
        destination: &Repository,
        now: SystemTime,
    ) -> Option<SetAside> {
        let within = |at: SystemTime, time| now.duration_since(at).is_ok_and(|age| age < time);
        let denied = self.on_hold.get(&holder.repository);
        if !holder.repository.registry().agrees(destination.registry()) {
            Some(SetAside::OtherRegistry)
        } else if denied.is_some_and(|&at| within(at, HOLD_FOR)) {
            Some(SetAside::OnHold)
        } else if holder.by.is_none() && within(holder.at, GONE_FOR) {
            Some(SetAside::Gone)
        } else {
            None
        }
    }
}

// === impl LayerReposBuilder ===

impl LayerReposBuilder {
    /// Knows that `repository` holds `layer`; what is told last is asked first.
    #[must_use]
    pub fn source(mut self, layer: &Digest, repository: &Repository) -> Self {
        self.sources.push((layer.clone(), repository.clone()));
        self
    }

    /// `layer` must not be sent.
    #[must_use]
    pub fn must_mount(mut self, layer: &Digest) -> Self {
        self.must_mount.insert(layer.clone());
        self
    }

    /// Uses this index: an engine recalls from it what a push needs, and keeps in it what pushes
    /// learn.
    #[must_use]
    pub fn index(mut self, index: Arc<dyn BlobIndex>) -> Self {
        self.index = Some(index);
        self
    }

    /// Asks this provider as well, after all that was seen; of several, in their order.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn LayerProvider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// Gives out this many repositories for a layer at most. Default 4.
    #[must_use]
    pub fn most_sources(mut self, most: NonZeroUsize) -> Self {
        self.most = Some(most);
        self
    }

    /// The layers.
    pub fn build(self) -> LayerRepos {
        let layers = LayerRepos {
            known: Mutex::default(),
            index: self.index,
            providers: self.providers,
            most: self.most.unwrap_or(MOST),
        };
        for (layer, repository) in &self.sources {
            layers.add_source(layer, repository);
        }
        layers.lock().must_mount = self.must_mount;
        layers
    }
}

#[cfg(test)]
mod tests;
