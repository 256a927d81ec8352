//! What garbage collection needs of a store in memory.

use std::{io, time::SystemTime};

use oci::Digest;

use super::{Memory, Repository};
use crate::{
    route::Name,
    store::{
        Collect, Rules, Tally,
        collection::{Held, Pass},
        watch::Watch,
    },
};

impl Repository {
    fn held_since(&self, kind: Held, digest: &Digest) -> Option<SystemTime> {
        match kind {
            Held::Blob => self.blobs.get(digest).copied(),
            Held::Manifest => self.manifests.get(digest).map(|it| it.1),
        }
    }
}

impl Collect for Memory {
    fn cutoff(&self) -> SystemTime {
        self.0.grace.cutoff()
    }

    fn watch(&self) -> Watch {
        // Who noted a link before has made it by now.
        let _kept = self.kept();
        self.0.watches.begin()
    }

    fn held(&self, name: &Name, kind: Held) -> io::Result<Vec<Digest>> {
        let kept = self.kept();
        let Some(repository) = kept.repositories.get(name) else {
            return Ok(Vec::new());
        };
        Ok(match kind {
            Held::Blob => repository.blobs.keys().cloned().collect(),
            Held::Manifest => repository.manifests.keys().cloned().collect(),
        })
    }

    fn relied_on(
        &self,
        name: &Name,
        kind: Held,
        digest: &Digest,
    ) -> io::Result<Option<SystemTime>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        Ok(repository.and_then(|it| it.held_since(kind, digest)))
    }

    fn release(
        &self,
        name: &Name,
        kind: Held,
        batch: &[Digest],
        pass: &Pass,
    ) -> io::Result<Vec<Digest>> {
        let mut kept = self.kept();
        let mut gone = Vec::new();
        let Some(repository) = kept.repositories.get_mut(name) else {
            return Ok(gone);
        };
        for digest in batch {
            if !pass.may_go(digest, repository.held_since(kind, digest)) {
                continue;
            }
            match kind {
                _ if pass.dry_run => {}
                Held::Blob => drop(repository.blobs.remove(digest)),
                Held::Manifest => drop(repository.remove_manifest(digest)),
            }
            gone.push(digest.clone());
        }
        Ok(gone)
    }

    fn contents(&self) -> io::Result<Vec<Digest>> {
        Ok(self.kept().contents.keys().cloned().collect())
    }

    fn drop_contents(&self, batch: &[Digest], pass: &Pass) -> io::Result<Tally> {
        let mut kept = self.kept();
        let mut dropped = Tally::default();
        for digest in batch {
            let Some(pieces) = kept.contents.get(digest) else {
                continue;
            };
            if pass.watch.saw(digest) {
                continue;
            }
            dropped.add(Tally::one(pieces.length));
            if !pass.dry_run {
                kept.contents.remove(digest);
            }
        }
        Ok(dropped)
    }

    /// There are none: what arrives lives as long as its session.
    fn drop_leftovers(&self, _rules: &Rules) -> io::Result<Tally> {
        Ok(Tally::default())
    }
}
