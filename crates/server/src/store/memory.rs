//! A store in memory, for tests and demonstrations: bounded, gone when dropped.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use oci::{Digest, Tag};

use super::{
    Collect, Committed, Content, Grace, Leftover, NewManifest, OpenManifest, Put, Rules, Staged,
    Store, StoredManifest, Tally, Ticket, children,
    collection::{Held, Pass},
    watch::{Watch, Watches},
};
use crate::route::Name;

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

/// Bytes in pieces, counted against the store's limit while they are there.
#[derive(Debug, Default)]
struct Pieces {
    all: Vec<Bytes>,
    length: u64,
    used: Arc<AtomicU64>,
}

/// Bytes of a manifest, counted the same way.
#[derive(Debug)]
struct Counted {
    bytes: u64,
    used: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Arriving {
    store: Memory,
    pieces: Arc<Pieces>,
}

#[derive(Debug)]
struct Reading {
    pieces: Arc<Pieces>,
    at: usize,
    within: usize,
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
            pieces: Arc::new(Pieces {
                all: Vec::new(),
                length: 0,
                used: Arc::clone(&self.0.used),
            }),
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

    fn garbage(&self) -> Option<&dyn Collect> {
        Some(self)
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
        Ok(repository.and_then(|it| match kind {
            Held::Blob => it.blobs.get(digest).copied(),
            Held::Manifest => it.manifests.get(digest).map(|it| it.1),
        }))
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
            let relied_on = match kind {
                Held::Blob => repository.blobs.get(digest).copied(),
                Held::Manifest => repository.manifests.get(digest).map(|it| it.1),
            };
            if pass.watch.saw(digest) || relied_on.is_none_or(|it| it >= pass.cutoff) {
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

// === impl Pieces ===

impl Drop for Counted {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.used.fetch_sub(self.length, Ordering::Relaxed);
    }
}

impl Pieces {
    /// Bytes that are counted by somebody else.
    fn of(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        let used = Arc::new(AtomicU64::new(length));
        let all = vec![bytes];
        Self { all, length, used }
    }

    /// The same bytes and more. Counts the new ones only.
    fn push(&mut self, piece: Bytes) {
        let length = piece.len() as u64;
        self.used.fetch_add(length, Ordering::Relaxed);
        self.length += length;
        self.all.push(piece);
    }
}

// === impl Arriving ===

impl Staged for Arriving {
    fn length(&self) -> u64 {
        self.pieces.length
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            // An empty piece would read as the end.
            return Ok(());
        }
        let shared = &self.store.0;
        if shared.used.load(Ordering::Relaxed) + bytes.len() as u64 > shared.limit {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let staged = Arc::get_mut(&mut self.pieces)
            .ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, "content is being read"))?;
        staged.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn read(&self) -> io::Result<Box<dyn Content>> {
        Ok(Reading::boxed(Arc::clone(&self.pieces)))
    }

    fn commit(&mut self, name: &Name, digest: &Digest) -> io::Result<Committed> {
        let mut kept = self.store.kept();
        let pieces = std::mem::take(&mut self.pieces);
        let committed = if kept.contents.contains_key(digest) {
            Committed::Known
        } else {
            kept.contents.insert(digest.clone(), pieces);
            Committed::New
        };
        self.store.0.watches.note([digest]);
        kept.hold(name, digest, self.store.0.grace.now());
        Ok(committed)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.pieces = Arc::default();
        Ok(())
    }
}

// === impl Reading ===

impl Reading {
    fn boxed(pieces: Arc<Pieces>) -> Box<dyn Content> {
        Box::new(Self {
            pieces,
            at: 0,
            within: 0,
        })
    }
}

impl Content for Reading {
    fn length(&self) -> u64 {
        self.pieces.length
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let mut left = offset;
        for (at, piece) in self.pieces.all.iter().enumerate() {
            let length = piece.len() as u64;
            if left < length {
                self.at = at;
                self.within = usize::try_from(left).map_err(io::Error::other)?;
                return Ok(());
            }
            left -= length;
        }
        self.at = self.pieces.all.len();
        self.within = 0;
        Ok(())
    }

    fn read_at_hand(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        self.read(limit).map(Some)
    }

    fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let Some(piece) = self.pieces.all.get(self.at) else {
            return Ok(Bytes::new());
        };
        let end = piece.len().min(self.within.saturating_add(limit));
        let read = piece.slice(self.within..end);
        if end == piece.len() {
            self.at += 1;
            self.within = 0;
        } else {
            self.within = end;
        }
        Ok(read)
    }
}
