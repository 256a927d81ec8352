//! Who else holds a layer, and what came of asking for it.
//!
//! What is kept here is a list of places worth asking. It grants nothing: no upload
//! is left out on its word, only on a registry's answer, so a wrong entry costs one
//! request and never a broken image.

use std::{fmt, sync::Arc, time::SystemTime};

use oci::{Digest, Repository, TargetError, TargetErrorKind};
use serde::Serialize;

use crate::index::{BlobIndex, Location};

mod layers;

pub use layers::{LayerRepos, LayerReposBuilder};

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
        /// Where from; none where nobody was named, and it may have been there before
        /// ([`Options::mount_from_anywhere`](crate::Options::mount_from_anywhere)).
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<Repository>,
    },
    /// Repositories are known to hold it, none of them on this registry.
    Unavailable,
    /// The registry would not, and it is pushed instead, in the session the refusal came
    /// with if there was one.
    PushStarted,
    /// Its bytes may not be sent, or cannot be, and no repository asked would link it; fails the
    /// push ([`NotMounted`](crate::NotMounted)).
    MountRequired,
    /// Every repository asked answered with an error, or was not asked for what was answered for
    /// other blobs; it is uploaded unless it must be mounted.
    Failure {
        /// What came of the last one.
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
    /// The HTTP status of the answer, if there was one.
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
    /// It was not asked: nothing could be read of it before, or its registry refuses all mounts.
    OnHold,
    /// It was not asked: it is on another registry.
    OtherRegistry,
    /// There was nobody to ask.
    NoSource,
}

/// Why a repository that is thought to hold a layer is not asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetAside {
    /// It did not give the layer when it was asked; it may be asked after all others.
    Gone,
    /// Nothing could be read of it.
    OnHold,
    /// It is on another registry.
    OtherRegistry,
}

/// What is known of who holds which layer.
///
/// Sync, because it is asked for every layer: an implementation over something slow
/// keeps what it needs in memory. Registries are compared as [`Registry::agrees`] has it.
///
/// Four questions and answers are the whole of it. The rest have defaults that claim nothing; a
/// wrapper writes them all.
///
/// [`Registry::agrees`]: oci::Registry::agrees
pub trait MountableLayers: fmt::Debug + Send + Sync {
    /// Whether `layer` is worth mounting into `destination`: some repository of the same
    /// registry is known to hold it, and `destination` is not.
    fn is_mountable(&self, layer: &Digest, destination: &Repository) -> bool;

    /// Whether `layer` must not be sent.
    fn must_mount(&self, layer: &Digest) -> bool;

    /// The repositories of `destination`'s registry to ask for `layer`, the best first; each
    /// once, never `destination` itself, bounded.
    fn sources(&self, layer: &Digest, destination: &Repository) -> Vec<Repository>;

    /// Notes that `repository` holds `layer`: it goes to the front.
    fn add_source(&self, layer: &Digest, repository: &Repository);

    /// Notes that `repository` did not give `layer` ([`SetAside::Gone`]), or anything
    /// ([`SetAside::OnHold`]). Until it is known to hold the layer again, it is not in
    /// [`sources`](Self::sources).
    fn set_aside(&self, _layer: &Digest, _repository: &Repository, _why: SetAside) {}

    /// The repositories that are known and not in [`sources`](Self::sources), and why; the latest
    /// first, bounded.
    fn aside(&self, _layer: &Digest, _destination: &Repository) -> Vec<(Repository, SetAside)> {
        Vec::new()
    }

    /// Whether `destination` itself is known to hold `layer`.
    fn is_held(&self, _layer: &Digest, _destination: &Repository) -> bool {
        false
    }

    /// When `repository` was last seen to hold `layer`; none if it was not, did not give it since, or
    /// somebody only says so.
    fn seen_at(&self, _layer: &Digest, _repository: &Repository) -> Option<SystemTime> {
        None
    }

    /// The index it is to be told from, and that is to be told what pushes learn; the engine does
    /// both.
    fn index(&self) -> Option<Arc<dyn BlobIndex>> {
        None
    }

    /// Takes what an index has.
    fn recall(&self, _known: &[Location]) {}
}

/// Somebody else who knows repositories that hold a layer: a fixed base-image repository, another
/// tool's cache. Asked after all that was seen.
pub trait LayerProvider: fmt::Debug + Send + Sync {
    /// The repositories, the best first. Those of other registries, and `destination`, are left
    /// out by whoever asks.
    fn sources(&self, layer: &Digest, destination: &Repository) -> Vec<Repository>;
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
            Self::OnHold => "not asked, for what it answered before",
            Self::OtherRegistry => "not asked, it is on another registry",
            Self::NoSource => "no repository is known to hold it",
        })
    }
}

impl Tried {
    /// Not tried, for what it or its registry answered before.
    pub(crate) fn on_hold(from: Repository) -> Self {
        Self {
            from,
            answer: MountAnswer::OnHold,
            status: None,
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.from, self.answer)?;
        match self.status {
            Some(status) => write!(f, " (HTTP {status})"),
            None => Ok(()),
        }
    }
}
