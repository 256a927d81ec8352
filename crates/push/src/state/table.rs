//! What both implementations can do: rows in, rows out, inside one transaction.

use crate::journal::{
    BlobKey, StateError,
    rules::{Change, Now, Row},
};

/// The most rows a list has.
pub(super) const ROWS: usize = 4096;

/// How long something learned of a host is kept, in milliseconds: 90 days. Whoever reads it
/// believes it for less.
pub(super) const FACT_LIFE: u64 = 90 * 24 * 60 * 60 * 1000;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
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

    /// Drops what has outlived its use.
    fn purge(&mut self, now: &Now<'_>) -> Result<(), StateError>;
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
