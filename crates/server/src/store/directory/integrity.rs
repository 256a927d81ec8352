//! Whether stored content is still what was stored.
//!
//! Disks change bits, and people edit files. So content is hashed while it is read from
//! front to back, and its last piece is given out only if the digest is right: a client
//! sees an answer that breaks off, never a whole one that is wrong. All who read one blob at
//! the same time share one hash: whoever is furthest ahead hashes, who comes behind only
//! copies. Content that was found to be right is not hashed again for a moment. Content that
//! was found to be wrong is no longer there for who asks, and the next upload of it replaces
//! it. Nothing is removed: it may be the memory that is at fault.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
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

#[derive(Debug)]
enum Found {
    Right(Instant),
    Wrong,
    /// Somebody reads it, or did: who comes now shares the hash.
    Read(Weak<Shared>),
}

/// One hash for all who read the same content at the same time.
#[derive(Debug)]
struct Shared {
    digest: Digest,
    /// How many bytes are hashed, to be looked at without the lock.
    hashed: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    hasher: Hasher,
    /// After the last byte: the digest that it has if that is another one.
    ended: Option<Result<(), Digest>>,
}

/// One reader's share in it.
#[derive(Debug)]
pub(super) struct Check {
    shared: Arc<Shared>,
    /// How many bytes this reader has read.
    read: u64,
    /// The content's length in bytes.
    length: u64,
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

    /// What to check content with that is read from now on; none if it was right a moment ago.
    ///
    /// To be asked before the content is opened: what is put in its place after that has a
    /// check of its own.
    pub(super) fn check(&self, digest: &Digest) -> Option<Unopened> {
        let mut known = self.known();
        let running = match known.get(digest) {
            Some(Found::Right(when)) if when.elapsed() < TRUST => return None,
            Some(Found::Read(running)) => running.upgrade(),
            _ => None,
        };
        if let Some(running) = running {
            return Some(Unopened(running));
        }
        let begun = Arc::new(Shared::new(digest));
        // What is wrong stays known to be wrong while it is looked at again.
        if !matches!(known.get(digest), Some(Found::Wrong)) {
            note(&mut known, digest, Found::Read(Arc::downgrade(&begun)));
        }
        Some(Unopened(begun))
    }

    /// Forgets what was found: the content is another file now.
    pub(super) fn forget(&self, digest: &Digest) {
        self.known().remove(digest);
    }

    /// Passes a piece that follows on what `check` has seen. An error if it is the last and
    /// the content is not what it should be.
    pub(super) fn pass(&self, check: &mut Check, piece: &[u8]) -> io::Result<()> {
        let Some((found, is_first)) = check.pass(piece) else {
            return Ok(());
        };
        let digest = &check.shared.digest;
        if is_first {
            self.end(&check.shared, &found);
        }
        let Err(actual) = found else { return Ok(()) };
        let message = format!("the stored bytes of {digest} have digest {actual}");
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    /// Keeps what was found, unless it is about a file that another has replaced.
    fn end(&self, check: &Arc<Shared>, found: &Result<(), Digest>) {
        let mut known = self.known();
        let is_current = match known.get(&check.digest) {
            Some(Found::Read(running)) => running.as_ptr() == Arc::as_ptr(check),
            Some(Found::Wrong) => true,
            _ => false,
        };
        if !is_current {
            return;
        }
        let kept = match found {
            Ok(()) => Found::Right(Instant::now()),
            Err(_) => Found::Wrong,
        };
        note(&mut known, &check.digest, kept);
        drop(known);
        if let Err(actual) = found {
            tracing::error!(digest = %check.digest, %actual,
                "stored content is damaged: push it again to replace it");
        }
    }
}

fn note(known: &mut HashMap<Digest, Found>, digest: &Digest, found: Found) {
    if known.len() >= MAX_KNOWN && !known.contains_key(digest) {
        known.clear();
    }
    known.insert(digest.clone(), found);
}

// === impl Shared ===

impl Shared {
    fn new(digest: &Digest) -> Self {
        Self {
            digest: digest.clone(),
            hashed: AtomicU64::new(0),
            state: Mutex::new(State {
                hasher: Hasher::for_digest(digest),
                ended: None,
            }),
        }
    }

    /// Hashes what nobody has hashed of a piece that begins at `from`.
    fn hash(&self, from: u64, piece: &[u8]) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever reads from the front has passed all before, so there is no gap.
        let known = usize::try_from(state.hasher.bytes().saturating_sub(from));
        if let Some(new) = known.ok().and_then(|known| piece.get(known..)) {
            state.hasher.update(new);
            self.hashed.store(state.hasher.bytes(), Ordering::Release);
        }
        state
    }
}

// === impl Check ===

/// A share in a check of content that is not open yet.
#[derive(Debug)]
pub(super) struct Unopened(Arc<Shared>);

impl Unopened {
    /// Begins, now that the content is open.
    pub(super) fn of(self, length: u64) -> Check {
        Check {
            shared: self.0,
            read: 0,
            length,
        }
    }
}

impl Check {
    /// Whether a piece of at most `limit` bytes would be passed without hashing it.
    pub(super) fn is_ahead(&self, limit: usize) -> bool {
        let end = self.read.saturating_add(limit as u64);
        end < self.length && end <= self.shared.hashed.load(Ordering::Acquire)
    }

    /// After the last piece: what was found, and whether this found it.
    fn pass(&mut self, piece: &[u8]) -> Option<(Result<(), Digest>, bool)> {
        let from = self.read;
        let ahead = self.is_ahead(piece.len());
        self.read += piece.len() as u64;
        if ahead {
            return None;
        }
        let mut state = self.shared.hash(from, piece);
        if self.read < self.length {
            return None;
        }
        let is_first = state.ended.is_none();
        let digest = &self.shared.digest;
        let State { hasher, ended } = &mut *state;
        let ended = ended.get_or_insert_with(|| hasher.clone().check(digest));
        Some((ended.clone(), is_first))
    }
}

#[cfg(test)]
mod tests;
