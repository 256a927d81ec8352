//! The tables in memory: for tests, and when there can be no database.

use std::collections::BTreeMap;

use super::table::{FACT_LIFE, Fact, ROWS, Table};
use crate::journal::{
    BlobKey, StateError,
    rules::{Now, Row},
};

/// The tables, as maps.
#[derive(Debug, Default)]
pub(super) struct MemoryTable {
    sessions: BTreeMap<BlobKey, Row>,
    facts: BTreeMap<(String, String), Fact>,
    pauses: BTreeMap<String, u64>,
}

impl Table for MemoryTable {
    fn session(&self, blob: &BlobKey) -> Result<Option<Row>, StateError> {
        Ok(self.sessions.get(blob).cloned())
    }

    fn put_session(&mut self, blob: &BlobKey, row: &Row) -> Result<(), StateError> {
        self.sessions.insert(blob.clone(), row.clone());
        Ok(())
    }

    fn delete_session(&mut self, blob: &BlobKey) -> Result<(), StateError> {
        self.sessions.remove(blob);
        Ok(())
    }

    fn sessions(&self) -> Result<Vec<(BlobKey, Row)>, StateError> {
        let rows = self.sessions.iter().take(ROWS);
        Ok(rows
            .map(|(blob, row)| (blob.clone(), row.clone()))
            .collect())
    }

    fn fact(&self, host: &str, key: &str) -> Result<Option<Fact>, StateError> {
        Ok(self.facts.get(&(host.to_owned(), key.to_owned())).cloned())
    }

    fn put_fact(&mut self, fact: &Fact) -> Result<(), StateError> {
        let at = (fact.host.clone(), fact.key.clone());
        self.facts.insert(at, fact.clone());
        Ok(())
    }

    fn forget(&mut self, host: &str) -> Result<usize, StateError> {
        let before = self.facts.len();
        self.facts.retain(|(of, _), _| of != host);
        Ok(before - self.facts.len())
    }

    fn facts_of(&self, host: &str) -> Result<Vec<Fact>, StateError> {
        let of_host = self.facts.values().filter(|it| it.host == host);
        Ok(of_host.take(ROWS).cloned().collect())
    }

    fn facts(&self) -> Result<Vec<Fact>, StateError> {
        Ok(self.facts.values().take(ROWS).cloned().collect())
    }

    fn pause(&self, host: &str) -> Result<Option<u64>, StateError> {
        Ok(self.pauses.get(host).copied())
    }

    fn put_pause(&mut self, host: &str, until: u64) -> Result<(), StateError> {
        self.pauses.insert(host.to_owned(), until);
        Ok(())
    }

    fn purge(&mut self, now: &Now<'_>) -> Result<(), StateError> {
        self.sessions.retain(|_, row| !now.outlived(row));
        let forgotten = now.time.saturating_sub(FACT_LIFE);
        self.facts.retain(|_, it| it.seen >= forgotten);
        self.pauses.retain(|_, until| *until > now.time);
        Ok(())
    }
}
