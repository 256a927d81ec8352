//! The source index: which repository was seen to hold which blob, from one process to the next.
//!
//! ```text
//!   push · mount · pull · existence answer ──record──▶ index ──locate──▶ repositories worth asking
//! ```
//!
//! A hint, never a truth: no upload is left out on its word, only on a registry's own answer, so
//! a wrong or missing fact costs a request or an upload and never a broken image. What was not
//! there when it was asked for is kept too, so that it is not asked for first again. Nothing of it
//! is secret: names, digests, sizes and times.

use std::{fmt, time::SystemTime};

use async_trait::async_trait;
use oci::{Digest, Registry, Repository};
use serde::Serialize;

pub use crate::journal::StateError;

mod pair;
mod rank;
pub(crate) mod rules;
pub mod text;

pub use pair::VerifiedPair;
pub use rank::ranked;

/// The most locations that are given out for one digest on one registry, and as many for all
/// others together.
pub const MOST_LOCATIONS: usize = 16;
/// The most facts about blobs that an index in a [`State`](crate::State) keeps, give or take those
/// of the last minutes; the oldest go. As many repositories are kept as denied.
pub const MOST_FACTS: usize = 65_536;
/// The most facts of one page of a [page](BlobIndex::page).
pub const PAGE: usize = 1024;

/// Something that was seen of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The repository.
    pub repository: Repository,
    /// What was seen.
    pub sight: Sight,
    /// When. Kept to the millisecond.
    pub at: SystemTime,
}

/// What was seen of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It holds a blob.
    Present {
        /// The blob.
        digest: Digest,
        /// The blob's size in bytes.
        size: u64,
        /// How that is known.
        by: Evidence,
    },
    /// It did not give a blob that it was thought to hold.
    Gone {
        /// The blob.
        digest: Digest,
    },
    /// Nothing may be read of it: 401 or 403.
    Denied,
}

/// How it is known that a repository holds a blob; what comes later tells more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Evidence {
    /// It holds a manifest that the blob is part of.
    Implied,
    /// The blob was read from there.
    Pulled,
    /// It said so when it was asked.
    Answered,
    /// The blob was mounted into it.
    Mounted,
    /// The blob was mounted from it.
    Gave,
    /// The blob was uploaded to it.
    Pushed,
}

/// What is known of one blob in one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The blob.
    pub digest: Digest,
    /// The repository.
    pub repository: Repository,
    /// Its size in bytes and how that is known; none if it was not there when it was asked for.
    pub held: Option<(u64, Evidence)>,
    /// When that was seen.
    pub at: SystemTime,
    /// When nothing could be read of the repository, if nothing could since.
    pub denied: Option<SystemTime>,
}

/// What is known of one blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// On the registry that was asked about: at most [`MOST_LOCATIONS`].
    pub here: Vec<Location>,
    /// On others: as many.
    pub elsewhere: Vec<Location>,
}

/// Which facts are meant. What is none matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those about this blob.
    pub digest: Option<Digest>,
    /// Those about this registry.
    pub registry: Option<Registry>,
    /// Those about this repository.
    pub repository: Option<Repository>,
}

/// Whether a blob may stand for another of the same content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Substitution {
    /// No: the digest is what is wanted.
    #[default]
    Never,
    /// Blobs that were verified to have the same content uncompressed may: the caller writes a
    /// manifest of its own.
    SameContent,
}

/// Keeps what was seen where.
///
/// Registries and repositories are compared as [`Repository::agrees`] has it. An error says that
/// nothing could be read or kept; whoever pushes goes on without.
#[async_trait]
pub trait BlobIndex: fmt::Debug + Send + Sync {
    /// Where each of `digests` was seen, in their order; in each list what is there before what
    /// is gone, then the newest first.
    async fn locate(
        &self,
        registry: &Registry,
        digests: &[Digest],
    ) -> Result<Vec<Located>, StateError>;

    /// Keeps what was seen, all of it or nothing; of what is known already the newest stays.
    /// Returns how many were news.
    async fn record(&self, sightings: Vec<Sighting>) -> Result<usize, StateError>;

    /// The same, done soon and not waited for; what goes wrong is not told.
    fn record_soon(&self, sightings: Vec<Sighting>);

    /// A page of what is known, at most [`PAGE`], what comes after `after`; ordered by
    /// [`Sighting::order`]. Less than a page is the end.
    async fn page(
        &self,
        selection: &Selection,
        after: Option<&Sighting>,
    ) -> Result<Vec<Sighting>, StateError>;

    /// Forgets, and says how many facts that were.
    async fn forget(&self, selection: &Selection) -> Result<usize, StateError>;

    /// Forgets what was seen before then, and says how many facts that were.
    async fn prune(&self, before: SystemTime) -> Result<usize, StateError>;

    /// Keeps that two blobs have the same content.
    async fn record_pair(&self, pair: &VerifiedPair) -> Result<(), StateError>;

    /// The other blobs that are known to have the content of `digest`, compressed differently or
    /// not at all: at most [`MOST_LOCATIONS`], ordered.
    async fn substitutes(&self, digest: &Digest) -> Result<Vec<Digest>, StateError>;
}

/// Where `digest`, or what may stand for it, is worth asking for on a registry: at most `most`, in
/// the order of [`ranked`].
pub async fn candidates(
    index: &dyn BlobIndex,
    registry: &Registry,
    digest: &Digest,
    substitution: Substitution,
    most: usize,
) -> Result<Vec<Location>, StateError> {
    let mut wanted = vec![digest.clone()];
    if substitution == Substitution::SameContent {
        wanted.extend(index.substitutes(digest).await?);
    }
    let found = index.locate(registry, &wanted).await?;
    let found = found.into_iter().flat_map(|it| it.here).collect();
    Ok(ranked(digest, found, most))
}

// === impl Sighting ===

impl Sighting {
    /// Seen just now.
    pub fn now(repository: &Repository, sight: Sight) -> Self {
        Self {
            repository: repository.clone(),
            sight,
            at: SystemTime::now(),
        }
    }

    /// What lists are ordered by: repositories as such before blobs, then digest, then repository,
    /// by their text.
    pub fn order(&self) -> (String, String) {
        let digest = self.digest().map(ToString::to_string);
        let repository = self.repository.normal();
        (digest.unwrap_or_default(), repository.to_string())
    }

    /// The blob it is about, if it is about one.
    pub fn digest(&self) -> Option<&Digest> {
        match &self.sight {
            Sight::Present { digest, .. } | Sight::Gone { digest } => Some(digest),
            Sight::Denied => None,
        }
    }
}

// === impl Evidence ===

impl Evidence {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Implied,
        Self::Pulled,
        Self::Answered,
        Self::Mounted,
        Self::Gave,
        Self::Pushed,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Implied => "implied",
            Self::Pulled => "pulled",
            Self::Answered => "answered",
            Self::Mounted => "mounted",
            Self::Gave => "gave",
            Self::Pushed => "pushed",
        }
    }

    /// What a word means.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

// === impl Selection ===

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// What is about a blob.
    pub fn digest(digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..Self::default()
        }
    }

    /// What is about a registry.
    pub fn registry(registry: Registry) -> Self {
        Self {
            registry: Some(registry),
            ..Self::default()
        }
    }

    /// What is about a repository.
    pub fn repository(repository: Repository) -> Self {
        Self {
            repository: Some(repository),
            ..Self::default()
        }
    }

    /// Whether `sighting` is meant.
    pub fn contains(&self, sighting: &Sighting) -> bool {
        let repository = &sighting.repository;
        self.digest
            .as_ref()
            .is_none_or(|it| Some(it) == sighting.digest())
            && self
                .registry
                .as_ref()
                .is_none_or(|it| it.agrees(repository.registry()))
            && self
                .repository
                .as_ref()
                .is_none_or(|it| it.agrees(repository))
    }
}
