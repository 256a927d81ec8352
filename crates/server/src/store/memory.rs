//! A store in memory, for tests and demonstrations: bounded, gone when dropped.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use oci::{Digest, Tag};

use super::{
    Committed, Content, Leftover, NewManifest, Put, Staged, Store, StoredManifest, Ticket,
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
}

#[derive(Debug, Default)]
struct Kept {
    contents: HashMap<Digest, Arc<Pieces>>,
    repositories: BTreeMap<Name, Repository>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeSet<Digest>,
    manifests: HashMap<Digest, StoredManifest>,
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
    /// An empty store that keeps at most `limit` bytes of blobs.
    pub(crate) fn new(limit: u64) -> Self {
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            used: Arc::default(),
            limit,
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
}

impl Store for Memory {
    fn blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        Ok(self.kept().held(name, digest).map(|it| it.length))
    }

    fn open(&self, name: &Name, digest: &Digest) -> io::Result<Option<Box<dyn Content>>> {
        let kept = self.kept();
        let pieces = kept.held(name, digest).cloned();
        Ok(pieces.map(Reading::boxed))
    }

    fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> io::Result<bool> {
        let mut kept = self.kept();
        if kept.held(from, digest).is_none() {
            return Ok(false);
        }
        let to = kept.repositories.entry(to.clone()).or_default();
        to.blobs.insert(digest.clone());
        Ok(true)
    }

    fn holder(
        &self,
        digest: &Digest,
        may_read: &dyn Fn(&Name) -> bool,
    ) -> io::Result<Option<Name>> {
        let kept = self.kept();
        let holds = |(name, it): &(&Name, &Repository)| it.blobs.contains(digest) && may_read(name);
        Ok(kept.repositories.iter().find(holds).map(|it| it.0.clone()))
    }

    fn remove_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let mut kept = self.kept();
        let held = kept
            .repositories
            .get_mut(name)
            .is_some_and(|it| it.blobs.remove(digest));
        if !kept
            .repositories
            .values()
            .any(|it| it.blobs.contains(digest))
        {
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
        let mut kept = self.kept();
        // A condition that fails leaves nothing behind, not even a repository.
        let repository = kept.repositories.get(name);
        let tag = |it| repository.and_then(|all| all.tags.get(it));
        let there = repository.is_some_and(|it| it.manifests.contains_key(&manifest.digest));
        let itself = there.then_some(&manifest.digest);
        let holds = match manifest.tags.as_slice() {
            [] => manifest.condition.holds(itself),
            tags => tags.iter().all(|it| manifest.condition.holds(tag(it))),
        };
        if !holds {
            return Ok(Put::ConditionFailed);
        }
        let repository = kept.repositories.entry(name.clone()).or_default();
        repository.manifests.insert(
            manifest.digest.clone(),
            StoredManifest {
                media_type: manifest.media_type.clone(),
                bytes: manifest.bytes.clone(),
            },
        );
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
        Ok(repository.and_then(|it| it.manifests.get(digest)).cloned())
    }

    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        Ok(self.manifest(name, digest)?.is_some())
    }

    fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        Ok(repository.and_then(|it| it.tags.get(tag)).cloned())
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
        let Some(repository) = kept.repositories.get_mut(name) else {
            return Ok(false);
        };
        repository.tags.retain(|_, it| it != digest);
        for referrers in repository.referrers.values_mut() {
            referrers.remove(digest);
        }
        Ok(repository.manifests.remove(digest).is_some())
    }

    fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>> {
        let kept = self.kept();
        let repository = kept.repositories.get(name);
        let referrers = repository.and_then(|it| it.referrers.get(subject));
        Ok(referrers.into_iter().flatten().cloned().collect())
    }

    fn try_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn repositories(&self) -> io::Result<Vec<Name>> {
        Ok(self.kept().repositories.keys().cloned().collect())
    }
}

// === impl Pieces ===

impl Drop for Pieces {
    fn drop(&mut self) {
        self.used.fetch_sub(self.length, Ordering::Relaxed);
    }
}

impl Pieces {
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
        let repository = kept.repositories.entry(name.clone()).or_default();
        repository.blobs.insert(digest.clone());
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
