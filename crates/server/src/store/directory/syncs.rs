//! Syncs of a directory that many ask for at the same time, shared.
//!
//! A sync makes durable all that was done before it began. So who asks while one
//! runs waits for the next one, and that one serves all who asked meanwhile: however
//! many put something into a directory at once, the disk is asked twice, not once for each.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// The syncs that are under way, by directory.
#[derive(Debug, Default)]
pub(super) struct Syncs(Mutex<HashMap<PathBuf, Arc<Turns>>>);

/// One directory's syncs, while anybody asks for one.
#[derive(Debug, Default)]
struct Turns {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many were begun.
    begun: u64,
    /// How many of those came to an end.
    ended: u64,
    /// The last one that failed, counted from one, and how.
    failed: Option<(u64, io::ErrorKind)>,
    #[cfg(test)]
    waiting: u64,
}

impl Syncs {
    /// Comes back when a sync that began after this was called has ended well. Fails if that
    /// one or one after it failed: a system reports a failure once only.
    pub(super) fn share(
        &self,
        directory: &Path,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let turns = Arc::clone(lock(&self.0).entry(directory.to_owned()).or_default());
        let done = turns.take(sync);
        let mut all = lock(&self.0);
        // Ours and the map's: nobody else has it, and nobody gets it while the map is locked.
        if Arc::strong_count(&turns) == 2 {
            all.remove(directory);
        }
        done
    }
}

impl Turns {
    fn take(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = lock(&self.state);
        let wanted = state.begun + 1;
        while state.ended < wanted {
            if state.begun > state.ended {
                #[cfg(test)]
                {
                    state.waiting += 1;
                }
                state = self
                    .ended
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.begun += 1;
            drop(state);
            let mut turn = Turn {
                turns: self,
                failed: Some(io::ErrorKind::Other),
            };
            let done = sync();
            turn.failed = done.as_ref().err().map(io::Error::kind);
            return done;
        }
        match state.failed {
            Some((which, kind)) if which >= wanted => {
                Err(io::Error::new(kind, "the sync of a directory failed"))
            }
            _ => Ok(()),
        }
    }
}

/// A sync that runs; ended when it is dropped, also by a panic.
struct Turn<'a> {
    turns: &'a Turns,
    failed: Option<io::ErrorKind>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.turns.state);
        state.ended = state.begun;
        if let Some(kind) = self.failed {
            state.failed = Some((state.ended, kind));
        }
        drop(state);
        self.turns.ended.notify_all();
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        thread,
    };

    use super::*;

    /// Waits until the directory's turns are like this.
    fn until(syncs: &Syncs, like_this: impl Fn(&State) -> bool) {
        loop {
            let turns = lock(&syncs.0).get(Path::new("d")).cloned();
            if turns.is_some_and(|it| like_this(&lock(&it.state))) {
                return;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn who_asks_while_one_runs_shares_the_next() {
        let (syncs, ran) = (Syncs::default(), AtomicU64::new(0));
        let gate = Mutex::new(());
        let held = lock(&gate);
        let sync = || {
            drop(lock(&gate));
            ran.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        thread::scope(|scope| {
            let first = scope.spawn(|| syncs.share(Path::new("d"), sync));
            until(&syncs, |it| it.begun == 1);
            let others: Vec<_> = (0..10)
                .map(|_| scope.spawn(|| syncs.share(Path::new("d"), sync)))
                .collect();
            until(&syncs, |it| it.waiting == 10);
            drop(held);
            first.join().unwrap().unwrap();
            for it in others {
                it.join().unwrap().unwrap();
            }
        });
        assert_eq!(ran.into_inner(), 2);
        assert!(lock(&syncs.0).is_empty());
    }

    #[test]
    fn a_failure_is_told_to_everyone_who_shared_it() {
        let turns = Turns::default();
        let fails = || Err(io::ErrorKind::StorageFull.into());
        assert_eq!(
            turns.take(fails).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        // One who had waited for that very sync, or for one before it.
        lock(&turns.state).failed = Some((u64::MAX, io::ErrorKind::StorageFull));
        lock(&turns.state).ended = u64::MAX;
        let waited = turns.take(|| Ok(())).unwrap_err();
        assert_eq!(waited.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_sync_that_dies_is_a_failure_and_stops_nobody() {
        let turns = Turns::default();
        let dying = std::panic::AssertUnwindSafe(|| {
            turns.take(|| std::panic::resume_unwind(Box::new("asked to")))
        });
        assert!(std::panic::catch_unwind(dying).is_err());
        turns.take(|| Ok(())).unwrap();
    }
}
