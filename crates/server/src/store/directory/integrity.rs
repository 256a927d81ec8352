//! Whether stored content is still what was stored.
//!
//! Disks change bits, and people edit files. So content is hashed while it is read from
//! front to back, and its last piece is given out only if the digest is right: a client
//! sees an answer that breaks off, never a whole one that is wrong. Content that was found
//! to be right is not hashed again for a moment, so that many readers of one blob cost
//! one hash. Content that was found to be wrong is no longer there for who asks, and the
//! next upload of it replaces it. Nothing is removed: it may be the memory that is at fault.

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use oci::{Digest, Hasher};

/// How long content that was right is taken to be right.
const TRUST: Duration = Duration::from_mins(1);
/// About so much content is known to be right or wrong; then all is looked at again.
const MAX_KNOWN: usize = 10_000;

/// What is known of content.
#[derive(Debug, Default)]
pub(super) struct Integrity(Mutex<HashMap<Digest, Found>>);

#[derive(Clone, Copy, Debug)]
enum Found {
    Right(Instant),
    Wrong,
}

/// Hashing content that is read.
#[derive(Debug)]
pub(super) struct Check {
    digest: Digest,
    hasher: Hasher,
}

// === impl Integrity ===

impl Integrity {
    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether content was found to be wrong.
    pub(super) fn is_damaged(&self, digest: &Digest) -> bool {
        matches!(self.known().get(digest), Some(Found::Wrong))
    }

    /// What to check content with that is read now; none if it was right a moment ago.
    pub(super) fn check(&self, digest: &Digest) -> Option<Check> {
        match self.known().get(digest) {
            Some(Found::Right(when)) if when.elapsed() < TRUST => None,
            _ => Some(Check {
                digest: digest.clone(),
                hasher: Hasher::for_digest(digest),
            }),
        }
    }

    /// Forgets what was found: the content is another file now.
    pub(super) fn forget(&self, digest: &Digest) {
        self.known().remove(digest);
    }

    /// Ends a check: an error if the content is not what it should be.
    pub(super) fn end(&self, check: Check) -> io::Result<()> {
        let actual = check.hasher.check(&check.digest).err();
        let found = match &actual {
            None => Found::Right(Instant::now()),
            Some(_) => Found::Wrong,
        };
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(check.digest.clone(), found);
        drop(known);
        let Some(actual) = actual else { return Ok(()) };
        tracing::error!(digest = %check.digest, %actual,
            "stored content is damaged: push it again to replace it");
        let message = format!("the stored bytes of {} have digest {actual}", check.digest);
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

// === impl Check ===

impl Check {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// How many bytes it has seen.
    pub(super) fn bytes(&self) -> u64 {
        self.hasher.bytes()
    }
}
