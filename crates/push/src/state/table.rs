//! What both implementations can do: rows in, rows out, inside one transaction.

use oci::{Registry, Repository};

use super::locations::{Found, Kept, Place, Which};
use crate::{
    index::{MOST_FACTS, rules::Row as Location},
    journal::{
        BlobKey, StateError,
        rules::{Change, Now, Row},
    },
};

/// The most rows a list has.
pub(super) const ROWS: usize = 4096;

/// How long something learned of a host is kept, in milliseconds: 90 days. Whoever reads it
/// believes it for less.
pub(super) const FACT_LIFE: u64 = 90 * 24 * 60 * 60 * 1000;

/// How long it is kept where a blob was seen, in milliseconds: 90 days, more than a repository
/// usually goes without a push.
pub(super) const LOCATION_LIFE: u64 = FACT_LIFE;

/// The most locations that are kept; the oldest go.
pub(super) const LOCATIONS: usize = MOST_FACTS;

/// The most repositories that are kept as denied; the oldest go.
pub(super) const HOLDS: usize = MOST_FACTS;

/// The most pairs of blobs with one content that are kept.
pub(super) const PAIRS: usize = 65_536;
/// How long a manifest that was seen somewhere is worth asking for, in milliseconds.
pub(super) const SIGHTING_LIFE: u64 = 30 * 24 * 60 * 60 * 1000;

/// The most names of manifests that are kept; the oldest go.
pub(super) const SIGHTINGS: usize = 65_536;

/// How often what has outlived its use is looked for, in milliseconds: an hour. Whoever opens a
/// database would otherwise read all of it first.
const TIDY_EVERY: u64 = 60 * 60 * 1000;
/// What the next time is kept under, among the pauses. No host has such a name.
const TIDIED: &str = "tidied";

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    /// Something that is left to the next process where others are writing.
    Spare,
    /// Something that a loss of power may take back.
    Hint,
}

/// Something learned of a host, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) host: String,
    pub(super) key: String,
    pub(super) value: String,
    /// Milliseconds since 1970.
    pub(super) seen: u64,
}

/// A name in a repository: a tag, or a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) repository: Repository,
    pub(super) name: String,
}

/// The tables.
pub(super) trait Table {
    fn session(&self, blob: &BlobKey) -> Result<Option<Row>, StateError>;
    fn put_session(&mut self, blob: &BlobKey, row: &Row) -> Result<(), StateError>;
    fn delete_session(&mut self, blob: &BlobKey) -> Result<(), StateError>;
    /// At most [`ROWS`], ordered.
    fn sessions(&self) -> Result<Vec<(BlobKey, Row)>, StateError>;

    fn fact(&self, host: &str, key: &str) -> Result<Option<Fact>, StateError>;
    fn put_fact(&mut self, fact: &Fact) -> Result<(), StateError>;
    /// How many there were.
    fn forget(&mut self, host: &str) -> Result<usize, StateError>;
    /// Of one host: at most [`ROWS`], ordered by key.
    fn facts_of(&self, host: &str) -> Result<Vec<Fact>, StateError>;
    /// At most [`ROWS`], ordered by host and key.
    fn facts(&self) -> Result<Vec<Fact>, StateError>;

    /// When a pause ends, in milliseconds since 1970.
    fn pause(&self, host: &str) -> Result<Option<u64>, StateError>;
    fn put_pause(&mut self, host: &str, until: u64) -> Result<(), StateError>;

    fn location(&self, place: &Place) -> Result<Option<Location>, StateError>;
    fn put_location(&mut self, place: &Place, row: &Location) -> Result<(), StateError>;
    /// Where blobs are, in no order: of each at most [`MOST_LOCATIONS`](crate::index::MOST_LOCATIONS)
    /// on the registry and as many elsewhere, those that are there before those that are gone,
    /// then the newest.
    fn locate(&self, registry: &str, digests: &[String]) -> Result<Vec<Found>, StateError>;
    /// When nothing could be read of a repository, in milliseconds since 1970.
    fn hold(&self, place: &Place) -> Result<Option<u64>, StateError>;
    fn put_hold(&mut self, place: &Place, seen: u64) -> Result<(), StateError>;
    fn delete_hold(&mut self, place: &Place) -> Result<(), StateError>;
    /// What comes after a place, ordered by digest, which a hold has none of, and repository.
    fn seen(&self, which: &Which, after: &Place, most: usize) -> Result<Vec<Kept>, StateError>;
    /// How many there were.
    fn unsee(&mut self, which: &Which) -> Result<usize, StateError>;
    /// The same with what was seen before then.
    fn prune(&mut self, before: u64) -> Result<usize, StateError>;
    /// The digest of a compressed blob's content.
    fn content(&self, blob: &str) -> Result<Option<String>, StateError>;
    fn put_content(&mut self, blob: &str, content: &str) -> Result<(), StateError>;
    /// The blobs with a content; ordered.
    fn with_content(&self, content: &str, most: usize) -> Result<Vec<String>, StateError>;
    /// Which manifest was seen under a name in a repository, and when (milliseconds since 1970).
    fn sighting(&self, at: &Slot) -> Result<Option<(String, u64)>, StateError>;
    fn put_sighting(&mut self, at: &Slot, digest: &str, seen: u64) -> Result<(), StateError>;
    /// Whether there is any on a registry, seen at this time or later.
    fn any_sighting(&self, registry: &Registry, since: u64) -> Result<bool, StateError>;
    fn delete_sighting(&mut self, at: &Slot) -> Result<(), StateError>;

    /// Drops what has outlived its use.
    fn purge(&mut self, now: &Now<'_>) -> Result<(), StateError>;
    /// Drops the facts of the index that are too old or too many, and says how many that were.
    ///
    /// Of too many the newest stay, and of the same time those that come first in their order: so
    /// that it does not matter in how many steps they came.
    fn keep_within_bounds(&mut self, now: &Now<'_>) -> Result<usize, StateError>;
}

/// Drops what has outlived its use, unless somebody has done so a while ago.
pub(super) fn tidy(table: &mut dyn Table, now: &Now<'_>) -> Result<(), StateError> {
    // A clock that was set back is not waited for.
    let soon = now.time..=now.time.saturating_add(TIDY_EVERY);
    if table.pause(TIDIED)?.is_some_and(|it| soon.contains(&it)) {
        return Ok(());
    }
    table.purge(now)?;
    table.put_pause(TIDIED, *soon.end())
}

/// Does to a blob's row what the rules say.
pub(super) fn apply(
    table: &mut dyn Table,
    blob: &BlobKey,
    change: &Change,
) -> Result<(), StateError> {
    match change {
        Change::Nothing => Ok(()),
        Change::Put(row) => table.put_session(blob, row),
        Change::Delete => table.delete_session(blob),
    }
}
