//! Single flight: one upload of a blob at a time for a registry, one of anything for a
//! repository.
//!
//! Whoever comes second waits. If the first succeeded into the same repository, the
//! second has its proof; into another repository of the registry, the second mounts from
//! there; if the first failed or was dropped, the second goes first. Nobody holds a permit
//! while waiting, and nobody who holds a claim waits for another, so all of them get on.
//!
//! A claim lives as long as somebody is concerned with it. Nothing is remembered here
//! afterwards: what a registry held a while ago proves nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use oci::{Digest, Registry, Repository};
use tokio::sync::Notify;

type Key = (Registry, Digest);

/// The blobs that are being dealt with.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    open: Mutex<HashMap<Key, Arc<Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Repositories the registry has just confirmed to hold the blob.
    proven: Vec<Repository>,
    /// Repositories somebody is getting it into.
    busy: HashSet<Repository>,
    /// Whether somebody is first, with no repository to mount from.
    leading: bool,
}

/// What a claim came to.
pub(super) enum Claim<'a> {
    /// Somebody else has just got the blob into this very repository.
    Proven,
    /// It is the caller's turn.
    Turn(Turn<'a>),
}

/// The right to get a blob into a repository. Dropped, the next one gets it.
pub(super) struct Turn<'a> {
    claims: &'a Claims,
    key: Key,
    entry: Option<Arc<Entry>>,
    repository: Repository,
    leads: bool,
    /// Repositories that have just been confirmed to hold the blob.
    pub(super) holders: Vec<Repository>,
}

impl Claims {
    /// Waits for the caller's turn with `blob` in `repository`, or for the proof that it is there.
    pub(super) async fn claim(&self, repository: &Repository, blob: &Digest) -> Claim<'_> {
        let key = (repository.registry().clone(), blob.clone());
        let mut turn = Turn {
            claims: self,
            entry: Some(Arc::clone(lock(&self.open).entry(key.clone()).or_default())),
            key,
            repository: repository.clone(),
            leads: false,
            holders: Vec::new(),
        };
        loop {
            let Some(entry) = turn.entry.clone() else {
                return Claim::Proven;
            };
            let changed = entry.changed.notified();
            tokio::pin!(changed);
            {
                let mut state = lock(&entry.state);
                // Registered under the lock, so that no change is missed.
                changed.as_mut().enable();
                if state.proven.contains(repository) {
                    return Claim::Proven;
                }
                let free = !state.busy.contains(repository);
                if free && (!state.leading || !state.proven.is_empty()) {
                    turn.leads = state.proven.is_empty();
                    state.leading |= turn.leads;
                    state.busy.insert(repository.clone());
                    turn.holders.clone_from(&state.proven);
                    return Claim::Turn(turn);
                }
            }
            changed.await;
        }
    }
}

impl Turn<'_> {
    /// The registry has confirmed that the repository holds the blob.
    pub(super) fn prove(self) {
        if let Some(entry) = &self.entry {
            lock(&entry.state).proven.push(self.repository.clone());
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        {
            let mut state = lock(&entry.state);
            // A caller that was still waiting has neither: it must not free another's.
            if self.leads {
                state.leading = false;
            }
            if self.leads || !self.holders.is_empty() {
                state.busy.remove(&self.repository);
            }
        }
        entry.changed.notify_waiters();
        let mut open = lock(&self.claims.open);
        // The map's own and this one: nobody else is concerned. Counted and let go under one
        // lock, or two that leave together would each see the other and leave the entry behind.
        if Arc::strong_count(&entry) == 2 {
            open.remove(&self.key);
        }
        drop(entry);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
