//! The state as the index: where blobs were seen.
//!
//! Each fact is read, compared by the rules, and written, all of a batch in one transaction.

use std::{collections::HashMap, time::SystemTime};

use async_trait::async_trait;
use oci::{Digest, Registry, Repository};

use super::{
    State, millis,
    table::{Access, Table},
    time,
};
use crate::index::{
    BlobIndex, Located, Location, MOST_LOCATIONS, PAGE, Selection, Sight, Sighting, StateError,
    VerifiedPair,
    rules::{self, Row},
};

/// One blob in one repository; without a digest, the repository as such. All by their normal names.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) digest: String,
    /// The whole name.
    pub(super) repository: String,
    pub(super) registry: String,
}

/// A location that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) row: Row,
    pub(super) denied: Option<u64>,
}

/// A fact as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) place: Place,
    /// None for a hold.
    pub(super) row: Option<Row>,
    pub(super) seen: u64,
}

/// Which facts are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Which {
    pub(super) digest: Option<String>,
    pub(super) registry: Option<String>,
    pub(super) repository: Option<String>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobIndex for State {
    async fn locate(
        &self,
        registry: &Registry,
        digests: &[Digest],
    ) -> Result<Vec<Located>, StateError> {
        let registry = normal(registry);
        let wanted: Vec<String> = digests.iter().map(ToString::to_string).collect();
        let (here, looked_for) = (registry.clone(), wanted.clone());
        let find = move |table: &mut dyn Table, _: &crate::journal::rules::Now<'_>| {
            table.locate(&here, &looked_for)
        };
        let found = self.run(Access::Read, find).await?;
        let mut by_digest: HashMap<String, Located> = HashMap::new();
        for it in found {
            let here = it.place.registry == registry;
            let located = by_digest.entry(it.place.digest.clone()).or_default();
            let list = if here {
                &mut located.here
            } else {
                &mut located.elsewhere
            };
            list.extend(it.location());
        }
        for it in by_digest.values_mut() {
            for list in [&mut it.here, &mut it.elsewhere] {
                list.sort_by_cached_key(|it| {
                    let newest = std::cmp::Reverse(it.at);
                    (it.held.is_none(), newest, it.repository.to_string())
                });
            }
        }
        let take = |it: &String| by_digest.get(it).cloned().unwrap_or_default();
        Ok(wanted.iter().map(take).collect())
    }

    async fn record(&self, sightings: Vec<Sighting>) -> Result<usize, StateError> {
        if sightings.is_empty() {
            return Ok(0);
        }
        let full = self.inner.fills(sightings.len());
        self.run(Access::Write, move |table, now| {
            let news = record(table, now.time, &sightings)?;
            if full {
                table.keep_within_bounds(now)?;
            }
            Ok(news)
        })
        .await
    }

    fn record_soon(&self, sightings: Vec<Sighting>) {
        if !sightings.is_empty() {
            let full = self.inner.fills(sightings.len());
            self.post(move |table, now| {
                record(table, now.time, &sightings)?;
                if full {
                    table.keep_within_bounds(now)?;
                }
                Ok(())
            });
        }
    }

    async fn page(
        &self,
        selection: &Selection,
        after: Option<&Sighting>,
    ) -> Result<Vec<Sighting>, StateError> {
        let which = Which::of(selection);
        let after = after.map(Place::of).unwrap_or_default();
        self.run(Access::Read, move |table, _| page(table, &which, after))
            .await
    }

    async fn forget(&self, selection: &Selection) -> Result<usize, StateError> {
        let which = Which::of(selection);
        self.run(Access::Write, move |table, _| table.unsee(&which))
            .await
    }

    async fn prune(&self, before: SystemTime) -> Result<usize, StateError> {
        let before = millis(before);
        self.run(Access::Write, move |table, _| table.prune(before))
            .await
    }

    async fn record_pair(&self, pair: &VerifiedPair) -> Result<(), StateError> {
        let (blob, content) = (pair.blob().to_string(), pair.content().to_string());
        self.run(Access::Write, move |table, _| {
            table.put_content(&blob, &content)
        })
        .await
    }

    async fn substitutes(&self, digest: &Digest) -> Result<Vec<Digest>, StateError> {
        let wanted = digest.to_string();
        let found = self.run(Access::Read, move |table, _| {
            let content = table.content(&wanted)?.unwrap_or_else(|| wanted.clone());
            let mut same = table.with_content(&content, MOST_LOCATIONS)?;
            if !same.is_empty() {
                same.push(content);
            }
            same.retain(|it| *it != wanted);
            same.sort();
            same.truncate(MOST_LOCATIONS);
            Ok(same)
        });
        Ok(found
            .await?
            .iter()
            .filter_map(|it| it.parse().ok())
            .collect())
    }
}

/// Keeps what was seen; nothing was seen later than now.
fn record(table: &mut dyn Table, now: u64, sightings: &[Sighting]) -> Result<usize, StateError> {
    let mut news = 0;
    for it in sightings {
        let place = Place::of(it);
        let seen = millis(it.at).min(now);
        let held = match &it.sight {
            Sight::Denied => {
                let before = table.hold(&place)?;
                if before.is_none_or(|before| rules::renews(seen, before, now)) {
                    table.put_hold(&place, seen)?;
                    news += 1;
                }
                continue;
            }
            Sight::Gone { .. } => None,
            Sight::Present { size, by, .. } => Some((*size, *by)),
        };
        let row = Row { held, seen };
        let before = table.location(&place)?;
        if before.is_none_or(|before| rules::replaces(&row, &before, now)) {
            table.put_location(&place, &row)?;
            news += 1;
        }
        if table
            .hold(&place)?
            .is_some_and(|it| rules::admits(&row, it, now))
        {
            table.delete_hold(&place)?;
        }
    }
    Ok(news)
}

/// A full page, unless there is no more; what this version cannot read is not in it.
fn page(
    table: &mut dyn Table,
    which: &Which,
    mut after: Place,
) -> Result<Vec<Sighting>, StateError> {
    let mut page = Vec::new();
    loop {
        let wanted = PAGE - page.len();
        let kept = table.seen(which, &after, wanted)?;
        page.extend(kept.iter().filter_map(Kept::sighting));
        match kept.last() {
            Some(last) if kept.len() == wanted && page.len() < PAGE => after = last.place.clone(),
            _ => return Ok(page),
        }
    }
}

fn normal(registry: &Registry) -> String {
    // Any path does: what is wanted is the name that all that agree share.
    let repository = registry.repository("a/a");
    repository.map_or_else(
        |_| registry.to_string(),
        |it| it.normal().registry().to_string(),
    )
}

impl Place {
    fn of(sighting: &Sighting) -> Self {
        let repository = sighting.repository.normal();
        Self {
            digest: sighting
                .digest()
                .map(ToString::to_string)
                .unwrap_or_default(),
            registry: repository.registry().to_string(),
            repository: repository.to_string(),
        }
    }
}

impl Which {
    fn of(selection: &Selection) -> Self {
        let normal_name = |it: &Repository| it.normal().to_string();
        Self {
            digest: selection.digest.as_ref().map(ToString::to_string),
            registry: selection.registry.as_ref().map(normal),
            repository: selection.repository.as_ref().map(normal_name),
        }
    }

    /// Whether a place is meant.
    pub(super) fn contains(&self, place: &Place) -> bool {
        let meant = |one: &Option<String>, it: &str| one.as_ref().is_none_or(|one| one == it);
        meant(&self.digest, &place.digest)
            && meant(&self.registry, &place.registry)
            && meant(&self.repository, &place.repository)
    }
}

impl Found {
    /// None where this version cannot read a name.
    fn location(&self) -> Option<Location> {
        Some(Location {
            digest: self.place.digest.parse().ok()?,
            repository: self.place.repository.parse().ok()?,
            held: self.row.held,
            at: time(self.row.seen),
            denied: self.denied.map(time),
        })
    }
}

impl Kept {
    /// None where this version cannot read a name.
    fn sighting(&self) -> Option<Sighting> {
        let digest = || self.place.digest.parse::<Digest>().ok();
        let sight = match self.row.map(|it| it.held) {
            None => Sight::Denied,
            Some(None) => Sight::Gone { digest: digest()? },
            Some(Some((size, by))) => Sight::Present {
                digest: digest()?,
                size,
                by,
            },
        };
        Some(Sighting {
            repository: self.place.repository.parse().ok()?,
            sight,
            at: time(self.seen),
        })
    }
}
