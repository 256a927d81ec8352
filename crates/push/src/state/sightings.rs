//! The state as a memory of what was seen where. What cannot be read or written was not seen.

use async_trait::async_trait;
use oci::{Digest, Registry, Repository, TagOrDigest};

use super::{
    State,
    table::{Access, SIGHTING_LIFE, Slot},
};
use crate::sightings::{SeenName, Sightings};

#[async_trait]
impl Sightings for State {
    async fn recall(&self, repository: &Repository, names: &[TagOrDigest]) -> Vec<Option<Digest>> {
        let slots: Vec<Slot> = names.iter().map(|it| slot(repository, it)).collect();
        let read = self.run(Access::Read, move |table, now| {
            let outdated = now.time.saturating_sub(SIGHTING_LIFE);
            let last = |at: &Slot| {
                let seen = table.sighting(at)?.filter(|(_, seen)| *seen >= outdated);
                Ok(seen.and_then(|(digest, _)| digest.parse().ok()))
            };
            slots.iter().map(last).collect()
        });
        read.await.unwrap_or_else(|_| vec![None; names.len()])
    }

    async fn knows(&self, registry: &Registry) -> bool {
        let registry = registry.clone();
        let read = self.run(Access::Read, move |table, now| {
            table.any_sighting(&registry, now.time.saturating_sub(SIGHTING_LIFE))
        });
        read.await.unwrap_or(false)
    }

    fn note(&self, repository: &Repository, seen: Vec<SeenName>) {
        let repository = repository.clone();
        self.post(move |table, now| {
            for it in seen {
                let at = slot(&repository, &it.name);
                table.put_sighting(&at, &it.digest.to_string(), now.time)?;
            }
            Ok(())
        });
    }

    fn forget(&self, repository: &Repository, names: Vec<TagOrDigest>) {
        let repository = repository.clone();
        self.post(move |table, _| {
            for name in names {
                table.delete_sighting(&slot(&repository, &name))?;
            }
            Ok(())
        });
    }
}

fn slot(repository: &Repository, name: &TagOrDigest) -> Slot {
    Slot {
        repository: repository.clone(),
        name: name.to_string(),
    }
}
