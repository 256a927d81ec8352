//! A store in memory, for tests and demonstrations: bounded, gone when dropped.

mod garbage;
mod pieces;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use oci::{Digest, Tag};

use super::{
    Collect, Content, Grace, Leftover, NewManifest, OpenManifest, Put, Staged, Store,
    StoredManifest, Tally, Ticket, children, watch::Watches,
};
use crate::route::Name;

use pieces::{Arriving, Counted, Pieces, Reading};

/// Everything in memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    used: Arc<AtomicU64>,
    limit: u64,
    grace: Grace,
    watches: Watches,
}

#[derive(Debug, Default)]
struct Kept {
    contents: HashMap<Digest, Arc<Pieces>>,
    repositories: BTreeMap<Name, Repository>,
}

#[derive(Debug, Default)]
struct Repository {
    /// Each with when somebody relied on it last.
    blobs: BTreeMap<Digest, SystemTime>,
    manifests: BTreeMap<Digest, (StoredManifest, SystemTime, Counted)>,
    tags: BTreeMap<Tag, Digest>,
    referrers: HashMap<Digest, BTreeSet<Digest>>,
}

// === impl Memory ===

impl Memory {
    /// An empty store that keeps at most `limit` bytes of blobs and manifests.
    pub(crate) fn new(limit: u64, grace: Grace) -> Self {
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            used: Arc::default(),
            limit,
            grace,
            watches: Watches::default(),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn held(&self, name: &Name, digest: &Digest) -> Option<&Arc<Pieces>> {
        let repository = self.repositories.get(name)?;
        repository.blobs.get(digest)?;
        self.contents.get(digest)
    }

    fn hold(&mut self, name: &Name, digest: &Digest, now: SystemTime) {
        let repository = self.repositories.entry(name.clone()).or_default();
        repository.blobs.insert(digest.clone(), now);
    }

    fn is_held(&self, digest: &Digest) -> bool {
        let mut all = self.repositories.values();
        all.any(|it| it.blobs.contains_key(digest))
    }
}

impl Repository {
    fn renew(&mut self, digest: &Digest, now: SystemTime) {
        if let Some(relied_on) = self.blobs.get_mut(digest) {
            *relied_on = now;
        }
        if let Some((_, relied_on, _)) = self.manifests.get_mut(digest) {
            *relied_on = now;
        }
    }

    /// The children that are missing.
    fn missing(&self, manifest: &NewManifest) -> io::Result<Vec<Digest>> {
        if manifest.is_sparse {
            return Ok(Vec::new());
        }
        children::missing(
            &manifest.children,
            |it| Ok(self.manifests.contains_key(it)),
            |it| Ok(self.blobs.contains_key(it)),
        )
    }

    fn remove_manifest(&mut self, digest: &Digest) -> bool {
        self.tags.retain(|_, it| it != digest);
        for referrers in self.referrers.values_mut() {
            referrers.remove(digest);
        }
        self.manifests.remove(digest).is_some()
    }
}

impl Memory {
    /// Counts bytes of a manifest, unless they are more than there is room for.
    fn count(&self, bytes: u64) -> io::Result<Counted> {
        let used = Arc::clone(&self.0.used);
        if used.load(Ordering::Relaxed) + bytes > self.0.limit {
            return Err(io::ErrorKind::StorageFull.into());
        }
        used.fetch_add(bytes, Ordering::Relaxed);
        Ok(Counted { bytes, used })
    }

    fn rely_on(&self, name: &Name, digest: &Digest) {
        let now = self.0.grace.now();
        if let Some(repository) = self.kept().repositories.get_mut(name) {
            repository.renew(digest, now);
        }
    }
}

impl Store for Memory {
    fn blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        self.rely_on(name, digest);
        Ok(self.kept().held(name, digest).map(|it| it.length))
    }

    fn open(&self, name: &Name, digest: &Digest) -> io::Result<Option<Box<dyn Content>>> {
        self.rely_on(name, digest);
        let kept = self.kept();
        let pieces = kept.held(name, digest).cloned();
        Ok(pieces.map(Reading::boxed))
    }

    fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> io::Result<bool> {
        self.rely_on(from, digest);
        let mut kept = self.kept();
        if kept.held(from, digest).is_none() {
            return Ok(false);
        }
        self.0.watches.note([digest]);
        kept.hold(to, digest, self.0.grace.now());
        Ok(true)
    }

    fn holder(
        &self,
        digest: &Digest,
        may_read: &dyn Fn(&Name) -> bool,
    ) -> io::Result<Option<Name>> {
        let kept = self.kept();
        let holds =
            |(name, it): &(&Name, &Repository)| it.blobs.contains_key(digest) && may_read(name);
        Ok(kept.repositories.iter().find(holds).map(|it| it.0.clone()))
    }

    fn remove_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let mut kept = self.kept();
        let held = kept
            .repositories
            .get_mut(name)
            .is_some_and(|it| it.blobs.remove(digest).is_some());
        if !kept.is_held(digest) {
            kept.contents.remove(digest);
        }
        Ok(held)
    }

    fn stage(&self, _id: &str, _ticket: &Ticket) -> io::Result<Box<dyn Staged>> {
        Ok(Box::new(Arriving {
            store: self.clone(),
            pieces: Arc::new(Pieces::counted(&self.0.used)),
        }))
    }

    fn leftovers(&self, _idle: Duration) -> io::Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn put_manifest(&self, name: &Name, manifest: &NewManifest) -> io::Result<Put> {
        let now = self.0.grace.now();
        let mut kept = self.kept();
        let nothing = Repository::default();
        let current = kept.repositories.get(name).unwrap_or(&nothing);
        let missing = current.missing(manifest)?;
        if !missing.is_empty() {
            return Ok(Put::Missing(missing));
        }
        // A condition that fails leaves nothing behind, not even a repository.
        let there = current.manifests.contains_key(&manifest.digest);
        let itself = there.then_some(&manifest.digest);
        let holds = match manifest.tags.as_slice() {
            [] => manifest.condition.holds(itself),
            tags => tags
                .iter()
                .all(|it| manifest.condition.holds(current.tags.get(it))),
        };
        if !holds {
            return Ok(Put::ConditionFailed);
        }
        let counted = if there {
            None
        } else {
            Some(self.count(manifest.bytes.len() as u64)?)
        };
        self.0.watches.note(manifest.mentions());
        let repository = kept.repositories.entry(name.clone()).or_default();
        for child in &manifest.children {
            repository.renew(&child.digest, now);
        }
        let stored = StoredManifest {
            media_type: manifest.media_type.clone(),
            bytes: manifest.bytes.clone(),
        };
        let manifests = &mut repository.manifests;
        if let Some(counted) = counted {
            manifests.insert(manifest.digest.clone(), (stored, now, counted));
        } else if let Some(entry) = manifests.get_mut(&manifest.digest) {
            (entry.0, entry.1) = (stored, now);
        }
        for tag in &manifest.tags {
            repository.tags.insert(tag.clone(), manifest.digest.clone());
        }
        if let Some(subject) = &manifest.subject {
            let referrers = repository.referrers.entry(subject.clone()).or_default();
            referrers.insert(manifest.digest.clone());
        }
        Ok(Put::Stored)
    }

    fn manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<StoredManifest>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        let found = repository.and_then(|it| it.manifests.get(digest));
        Ok(found.map(|it| it.0.clone()))
    }

    fn open_manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<OpenManifest>> {
        let found = self.manifest(name, digest)?;
        Ok(found.map(|it| {
            (
                it.media_type,
                Reading::boxed(Arc::new(Pieces::of(it.bytes))),
            )
        }))
    }

    fn rely_on_manifest(&self, name: &Name, digest: &Digest) {
        self.rely_on(name, digest);
    }

    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        Ok(self.manifest(name, digest)?.is_some())
    }

    fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        Ok(repository.and_then(|it| it.tags.get(tag)).cloned())
    }

    fn has_repository(&self, name: &Name) -> io::Result<bool> {
        Ok(self.kept().repositories.contains_key(name))
    }

    fn tags_after(&self, name: &Name, after: &str, most: usize) -> io::Result<Vec<Tag>> {
        let kept = self.kept();
        let tags = kept.repositories.get(name).map(|it| it.tags.keys());
        let after = tags.into_iter().flatten().filter(|it| it.as_str() > after);
        Ok(after.take(most).cloned().collect())
    }

    fn tags(&self, name: &Name) -> io::Result<Option<Vec<Tag>>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        Ok(repository.map(|it| it.tags.keys().cloned().collect()))
    }

    fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool> {
        let mut kept = self.kept();
        let repository = kept.repositories.get_mut(name);
        Ok(repository.is_some_and(|it| it.tags.remove(tag).is_some()))
    }

    fn remove_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let mut kept = self.kept();
        let repository = kept.repositories.get_mut(name);
        Ok(repository.is_some_and(|it| it.remove_manifest(digest)))
    }

    fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        let referrers = repository.and_then(|it| it.referrers.get(subject));
        Ok(referrers.into_iter().flatten().cloned().collect())
    }

    fn tagged_at(&self, _name: &Name, _tag: &Tag) -> io::Result<Option<SystemTime>> {
        Ok(None)
    }

    fn try_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn repositories(&self) -> io::Result<Vec<Name>> {
        Ok(self.kept().repositories.keys().cloned().collect())
    }

    /// Bytes of uploads that are under way included, as the bound on memory has it.
    fn size(&self) -> Tally {
        let kept = self.kept();
        let manifests = kept.repositories.values().map(|it| it.manifests.len());
        Tally {
            count: (kept.contents.len() + manifests.sum::<usize>()) as u64,
            bytes: self.0.used.load(Ordering::Relaxed),
        }
    }

    fn garbage(&self) -> Option<&dyn Collect> {
        Some(self)
    }
}
