//! Who else holds a layer, and what came of asking for it.
//!
//! What is kept here is a list of places worth asking. It grants nothing: no upload
//! is left out on its word, only on a registry's answer, so a wrong entry costs one
//! request and never a broken image.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oci::{Digest, Registry, Repository, TargetError, TargetErrorKind};
use serde::Serialize;

/// How many layers are remembered at most; what is over it is not learned.
const MAX_LAYERS: usize = 100_000;
/// How many repositories are remembered for one layer at most; the oldest goes.
const MAX_REPOSITORIES: usize = 16;

/// What came of trying to mount a blob. Every blob of a report carries exactly one.
///
/// What happened to the bytes is another matter: [`Done`](crate::event::Done).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum MountStatus {
    /// None was tried: none was needed, or no repository is known to hold it.
    Skipped,
    /// The registry linked it.
    Mounted {
        /// Where from.
        from: Repository,
    },
    /// Repositories are known to hold it, none of them on this registry.
    Unavailable,
    /// The registry would not, and it is pushed instead, in the session the refusal came
    /// with if there was one.
    PushStarted,
    /// Its bytes may not be sent, and no repository asked would link it; fails the push.
    MountRequired {
        /// The repositories asked, in order, and their answers.
        tried: Vec<Tried>,
    },
    /// Every repository asked answered with an error; it is uploaded unless it must be mounted.
    Failure {
        /// What the last one answered.
        cause: MountAnswer,
    },
}

/// One repository that was asked for a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The repository.
    pub from: Repository,
    /// What came of it.
    pub answer: MountAnswer,
    /// The HTTP status of an answer that was an error, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What a registry answered to a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MountAnswer {
    /// It linked the blob.
    Mounted,
    /// It opened an upload instead (202), or would not for no stated reason.
    Refused,
    /// 401 or 403.
    Denied,
    /// 404.
    NotFound,
    /// 5xx.
    ServerError,
    /// No answer: network or time limit.
    Unreachable,
    /// 429.
    RateLimited,
    /// Any other error.
    Other,
}

/// What is known of who holds which layer.
///
/// Sync, because it is asked for every layer: an implementation over something slow
/// keeps what it needs in memory.
pub trait MountableLayers: fmt::Debug + Send + Sync {
    /// The repositories of `destination`'s registry that were seen to hold `layer`, most
    /// recent first; never `destination` itself.
    fn sources(&self, layer: &Digest, destination: &Repository) -> Vec<Repository>;

    /// Notes that `repository` holds `layer`: it goes to the front.
    fn add_source(&self, layer: &Digest, repository: &Repository);

    /// Notes that `repository` does not hold `layer` after all.
    fn forget(&self, layer: &Digest, repository: &Repository);

    /// Whether `layer` is worth mounting into `destination`: some repository of the same
    /// registry is known to hold it, and `destination` is not.
    fn is_mountable(&self, layer: &Digest, destination: &Repository) -> bool;

    /// Whether any repository of another registry than `destination`'s is known to hold `layer`.
    fn is_elsewhere(&self, layer: &Digest, destination: &Repository) -> bool;

    /// Whether `layer` must not be sent.
    fn must_mount(&self, layer: &Digest) -> bool;
}

/// [`MountableLayers`] in memory: what this process has learned.
///
/// Bounded: it stops learning new layers at 100,000, and keeps 16 repositories for each.
#[derive(Debug, Default)]
pub struct LayerRepos {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    holders: HashMap<Digest, Vec<Repository>>,
    must_mount: HashSet<Digest>,
}

// === impl LayerRepos ===

impl LayerRepos {
    /// Knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `layer` must not be sent (`true`), or may be again. What was said stays
    /// until the opposite is, whatever is learned about the layer.
    pub fn set_must_mount(&self, layer: &Digest, required: bool) {
        let mut known = self.lock();
        if required {
            known.must_mount.insert(layer.clone());
        } else {
            known.must_mount.remove(layer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn any(&self, layer: &Digest, wanted: impl Fn(&Repository) -> bool) -> bool {
        self.lock()
            .holders
            .get(layer)
            .is_some_and(|holders| holders.iter().any(wanted))
    }
}

impl MountableLayers for LayerRepos {
    fn sources(&self, layer: &Digest, destination: &Repository) -> Vec<Repository> {
        let known = self.lock();
        let holders = known.holders.get(layer).into_iter().flatten();
        holders
            .filter(|it| it.registry() == destination.registry() && *it != destination)
            .cloned()
            .collect()
    }

    fn add_source(&self, layer: &Digest, repository: &Repository) {
        let mut known = self.lock();
        if known.holders.len() >= MAX_LAYERS && !known.holders.contains_key(layer) {
            return;
        }
        let holders = known.holders.entry(layer.clone()).or_default();
        holders.retain(|it| it != repository);
        holders.insert(0, repository.clone());
        holders.truncate(MAX_REPOSITORIES);
    }

    fn forget(&self, layer: &Digest, repository: &Repository) {
        if let Some(holders) = self.lock().holders.get_mut(layer) {
            holders.retain(|it| it != repository);
        }
    }

    fn is_mountable(&self, layer: &Digest, destination: &Repository) -> bool {
        let on = |registry: &Registry, it: &Repository| it.registry() == registry;
        self.any(layer, |it| on(destination.registry(), it))
            && !self.any(layer, |it| it == destination)
    }

    fn is_elsewhere(&self, layer: &Digest, destination: &Repository) -> bool {
        self.any(layer, |it| it.registry() != destination.registry())
    }

    fn must_mount(&self, layer: &Digest) -> bool {
        self.lock().must_mount.contains(layer)
    }
}

// === impl MountAnswer ===

impl MountAnswer {
    /// What an error means for the repository that was asked.
    pub(crate) fn of(error: &TargetError) -> Self {
        match error.kind() {
            TargetErrorKind::Unauthorized | TargetErrorKind::Denied => Self::Denied,
            TargetErrorKind::RateLimited => Self::RateLimited,
            TargetErrorKind::Server => Self::ServerError,
            TargetErrorKind::Network | TargetErrorKind::Timeout => Self::Unreachable,
            TargetErrorKind::Refused if error.status() == Some(404) => Self::NotFound,
            _ => Self::Other,
        }
    }

    /// Whether the registry answered without an error.
    pub(crate) fn is_answer(self) -> bool {
        matches!(self, Self::Mounted | Self::Refused)
    }
}

impl fmt::Display for MountAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mounted => "mounted",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::NotFound => "not found",
            Self::ServerError => "server error",
            Self::Unreachable => "unreachable",
            Self::RateLimited => "rate limited",
            Self::Other => "error",
        })
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.from, self.answer)
    }
}

#[cfg(test)]
mod tests;
