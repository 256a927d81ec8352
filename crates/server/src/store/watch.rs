//! What was linked while somebody looked for garbage.
//!
//! Looking through a store takes long and is done without a lock. Who looks begins
//! a [`Watch`] first; every link made from then on is noted, under the lock that
//! links are made under. What is about to be removed, under the lock that excludes
//! them, is checked against it: so nothing goes that somebody began to refer to
//! after it was found to be garbage.
//!
//! Digests are kept as fingerprints of eight bytes with a key drawn at random: two that
//! meet keep some garbage until the next time, and never cost anything else.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use oci::Digest;

/// A watch that has seen more than this no longer tells things apart, and protects all.
const MAX_SEEN: usize = 1_000_000;

/// A set of digests that may say that it has one it has not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingerprints {
    all: HashSet<u64>,
    key: RandomState,
}

/// All watches that are being kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    watches: HashMap<u64, Fingerprints>,
}

/// What was linked since it began. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    id: u64,
    watches: Watches,
}

// === impl Fingerprints ===

impl Fingerprints {
    pub(crate) fn insert(&mut self, digest: &Digest) {
        self.all.insert(self.key.hash_one(digest));
    }

    /// Whether a digest is in it; rarely also if it is not.
    pub(crate) fn may_contain(&self, digest: &Digest) -> bool {
        self.all.contains(&self.key.hash_one(digest))
    }
}

// === impl Watches ===

impl Watches {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a watch. The caller excludes who links for this moment: a link that was noted
    /// before and is made after would be seen neither here nor by who looks.
    pub(crate) fn begin(&self) -> Watch {
        let mut kept = self.kept();
        let id = kept.next;
        kept.next += 1;
        kept.watches.insert(id, Fingerprints::default());
        Watch {
            id,
            watches: self.clone(),
        }
    }

    /// Notes what is linked, or referred to by what is linked.
    pub(crate) fn note<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) {
        let mut kept = self.kept();
        if kept.watches.is_empty() {
            return;
        }
        for digest in digests {
            for seen in kept.watches.values_mut() {
                if seen.all.len() < MAX_SEEN {
                    seen.insert(digest);
                }
            }
        }
    }
}

// === impl Watch ===

impl Watch {
    /// Whether a digest was linked since the watch began, or may have been.
    pub(crate) fn saw(&self, digest: &Digest) -> bool {
        let kept = self.watches.kept();
        let seen = kept.watches.get(&self.id);
        seen.is_none_or(|it| it.all.len() >= MAX_SEEN || it.may_contain(digest))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.kept().watches.remove(&self.id);
    }
}
