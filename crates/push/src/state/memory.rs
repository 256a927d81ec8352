//! The tables in memory: for tests, and when there can be no database.

use std::collections::BTreeMap;

use oci::Registry;

use super::{
    locations::{Found, Kept, Place, Which},
    table::{
        FACT_LIFE, Fact, HOLDS, LOCATION_LIFE, LOCATIONS, PAIRS, ROWS, SIGHTING_LIFE, SIGHTINGS,
        Slot, Table,
    },
};
use crate::{
    index::{MOST_LOCATIONS, rules::Row as Location},
    journal::{
        BlobKey, StateError,
        rules::{Now, Row},
    },
};

/// The tables, as maps.
#[derive(Debug, Default)]
pub(super) struct MemoryTable {
    sessions: BTreeMap<BlobKey, Row>,
    facts: BTreeMap<(String, String), Fact>,
    pauses: BTreeMap<String, u64>,
    locations: BTreeMap<Place, Location>,
    /// By places without a digest.
    holds: BTreeMap<Place, u64>,
    contents: BTreeMap<String, String>,
    sightings: BTreeMap<Slot, (String, u64)>,
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

    fn location(&self, place: &Place) -> Result<Option<Location>, StateError> {
        Ok(self.locations.get(place).copied())
    }

    fn put_location(&mut self, place: &Place, row: &Location) -> Result<(), StateError> {
        self.locations.insert(place.clone(), *row);
        Ok(())
    }

    fn locate(&self, registry: &str, digests: &[String]) -> Result<Vec<Found>, StateError> {
        let mut found = Vec::new();
        for digest in digests {
            let first = Place {
                digest: digest.clone(),
                ..Place::default()
            };
            let of_digest = self.locations.range(first..);
            let of_digest = of_digest.take_while(|(place, _)| place.digest == *digest);
            let (mut here, mut elsewhere): (Vec<_>, Vec<_>) =
                of_digest.partition(|(place, _)| place.registry == registry);
            for list in [&mut here, &mut elsewhere] {
                list.sort_by_key(|(place, row)| {
                    (row.held.is_none(), std::cmp::Reverse(row.seen), *place)
                });
                list.truncate(MOST_LOCATIONS);
                found.extend(list.iter().map(|(place, row)| Found {
                    place: (*place).clone(),
                    row: **row,
                    denied: self.holds.get(&without_digest(place)).copied(),
                }));
            }
        }
        Ok(found)
    }

    fn hold(&self, place: &Place) -> Result<Option<u64>, StateError> {
        Ok(self.holds.get(&without_digest(place)).copied())
    }

    fn put_hold(&mut self, place: &Place, seen: u64) -> Result<(), StateError> {
        self.holds.insert(without_digest(place), seen);
        Ok(())
    }

    fn delete_hold(&mut self, place: &Place) -> Result<(), StateError> {
        self.holds.remove(&without_digest(place));
        Ok(())
    }

    fn seen(&self, which: &Which, after: &Place, most: usize) -> Result<Vec<Kept>, StateError> {
        let holds = self.holds.iter().map(|(place, seen)| (place, None, *seen));
        let locations = self.locations.iter();
        let locations = locations.map(|(place, row)| (place, Some(*row), row.seen));
        let later = |it: &&Place| **it > *after && which.contains(it);
        let all = holds.chain(locations).filter(|(place, ..)| later(place));
        Ok(all
            .take(most)
            .map(|(place, row, seen)| Kept {
                place: place.clone(),
                row,
                seen,
            })
            .collect())
    }

    fn unsee(&mut self, which: &Which) -> Result<usize, StateError> {
        let before = self.locations.len() + self.holds.len();
        self.locations.retain(|place, _| !which.contains(place));
        self.holds.retain(|place, _| !which.contains(place));
        Ok(before - self.locations.len() - self.holds.len())
    }

    fn prune(&mut self, before: u64) -> Result<usize, StateError> {
        let all = self.locations.len() + self.holds.len();
        self.locations.retain(|_, row| row.seen >= before);
        self.holds.retain(|_, seen| *seen >= before);
        Ok(all - self.locations.len() - self.holds.len())
    }

    fn content(&self, blob: &str) -> Result<Option<String>, StateError> {
        Ok(self.contents.get(blob).cloned())
    }

    fn put_content(&mut self, blob: &str, content: &str) -> Result<(), StateError> {
        self.contents.insert(blob.to_owned(), content.to_owned());
        Ok(())
    }

    fn with_content(&self, content: &str, most: usize) -> Result<Vec<String>, StateError> {
        let same = self.contents.iter().filter(|(_, it)| *it == content);
        Ok(same.take(most).map(|(blob, _)| blob.clone()).collect())
    }

    fn sighting(&self, at: &Slot) -> Result<Option<(String, u64)>, StateError> {
        Ok(self.sightings.get(at).cloned())
    }

    fn put_sighting(&mut self, at: &Slot, digest: &str, seen: u64) -> Result<(), StateError> {
        self.sightings.insert(at.clone(), (digest.to_owned(), seen));
        Ok(())
    }

    fn any_sighting(&self, registry: &Registry, since: u64) -> Result<bool, StateError> {
        let mut on = self.sightings.iter();
        Ok(on.any(|(at, (_, seen))| at.repository.registry() == registry && *seen >= since))
    }

    fn delete_sighting(&mut self, at: &Slot) -> Result<(), StateError> {
        self.sightings.remove(at);
        Ok(())
    }

    fn purge(&mut self, now: &Now<'_>) -> Result<(), StateError> {
        self.sessions.retain(|_, row| !now.outlived(row));
        let forgotten = now.time.saturating_sub(FACT_LIFE);
        self.facts.retain(|_, it| it.seen >= forgotten);
        self.pauses.retain(|_, until| *until > now.time);
        self.keep_within_bounds(now)?;
        while self.contents.len() > PAIRS {
            self.contents.pop_first();
        }
        let outdated = now.time.saturating_sub(SIGHTING_LIFE);
        self.sightings.retain(|_, (_, seen)| *seen >= outdated);
        keep_newest(&mut self.sightings, |(_, seen)| *seen, SIGHTINGS);
        Ok(())
    }

    fn keep_within_bounds(&mut self, now: &Now<'_>) -> Result<usize, StateError> {
        let old = self.prune(now.time.saturating_sub(LOCATION_LIFE))?;
        let locations = keep_newest(&mut self.locations, |row| row.seen, LOCATIONS);
        let holds = keep_newest(&mut self.holds, |seen| *seen, HOLDS);
        Ok(old + locations + holds)
    }
}

/// Drops the oldest of more than `most`; of the same time those that come last in their order.
fn keep_newest<K: Ord + Clone, V>(
    rows: &mut BTreeMap<K, V>,
    seen: impl Fn(&V) -> u64,
    most: usize,
) -> usize {
    let Some(excess) = rows.len().checked_sub(most).filter(|it| *it > 0) else {
        return 0;
    };
    let mut order: Vec<(std::cmp::Reverse<u64>, &K)> = rows
        .iter()
        .map(|(key, row)| (std::cmp::Reverse(seen(row)), key))
        .collect();
    order.sort_unstable();
    let oldest: Vec<K> = order[most..]
        .iter()
        .map(|(_, key)| (*key).clone())
        .collect();
    for key in oldest {
        rows.remove(&key);
    }
    excess
}

/// Where a repository as such is kept.
fn without_digest(place: &Place) -> Place {
    Place {
        digest: String::new(),
        ..place.clone()
    }
}
