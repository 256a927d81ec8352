//! What is known of how a registry takes uploads, and how the user wants them.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oci::Registry;

/// How a registry takes uploads, as far as it has shown.
///
/// Kept for the next process as [facts](crate::Fact). What is no longer true costs a few requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UploadProfile {
    /// The longest body it takes, in bytes, inclusive; none if no body was too long so far.
    pub(crate) body_limit: Option<NonZeroU64>,
    /// Whether a session keeps what it got when its connection breaks; none if none has broken.
    pub(crate) keeps_sessions: Option<bool>,
    /// It takes no chunks: a PATCH was refused.
    pub(crate) refuses_chunks: bool,
    /// It counts one byte too many when it is asked how far a session got: the length in the place of
    /// the last byte's number ([seen](https://github.com/quay/quay/blob/master/endpoints/v2/blob.py)).
    pub(crate) counts_one_more: bool,
    /// The closing PUT takes no bytes: the last chunk needs a PATCH too.
    pub(crate) closes_empty: bool,
}

/// Into what bodies a blob is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkSize {
    /// One body, until the registry shows that it needs chunks.
    #[default]
    Auto,
    /// One body, always.
    Whole,
    /// No body over so many bytes, inclusive. A registry's own minimum goes before it.
    AtMost(NonZeroU64),
}

impl UploadProfile {
    /// Takes over what is not as it was before.
    fn change(&mut self, before: Self, now: Self) {
        fn change<T: PartialEq>(it: &mut T, before: &T, now: T) {
            if now != *before {
                *it = now;
            }
        }
        change(&mut self.body_limit, &before.body_limit, now.body_limit);
        change(
            &mut self.keeps_sessions,
            &before.keeps_sessions,
            now.keeps_sessions,
        );
        change(
            &mut self.refuses_chunks,
            &before.refuses_chunks,
            now.refuses_chunks,
        );
        change(
            &mut self.counts_one_more,
            &before.counts_one_more,
            now.counts_one_more,
        );
        change(
            &mut self.closes_empty,
            &before.closes_empty,
            now.closes_empty,
        );
    }
}

impl ChunkSize {
    /// The setting `bytes` stands for: 0 is [`Whole`](Self::Whole).
    pub fn of(bytes: u64) -> Self {
        NonZeroU64::new(bytes).map_or(Self::Whole, Self::AtMost)
    }
}

/// How uploads are to be made, and what was learned of each registry.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    pub(crate) chunks: ChunkSize,
    known: Mutex<HashMap<Registry, UploadProfile>>,
}

impl Manner {
    pub(crate) fn new(chunks: ChunkSize) -> Self {
        let known = Mutex::default();
        Self { chunks, known }
    }

    pub(crate) fn of(&self, registry: &Registry) -> UploadProfile {
        self.lock().get(registry).copied().unwrap_or_default()
    }

    /// What an earlier process has learned, unless there is something better to go by.
    pub(crate) fn told(&self, registry: &Registry, profile: UploadProfile) {
        if profile != UploadProfile::default() {
            self.lock().entry(registry.clone()).or_insert(profile);
        }
    }

    /// Keeps what an upload has shown, beside what others have shown meanwhile.
    pub(crate) fn learned(&self, registry: &Registry, before: UploadProfile, now: UploadProfile) {
        if before == now {
            return;
        }
        let mut known = self.lock();
        let profile = known.entry(registry.clone()).or_default();
        profile.change(before, now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Registry, UploadProfile>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
