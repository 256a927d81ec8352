//! What processes share: the journal of upload sessions, the index of where blobs were seen, what
//! was learned of hosts, and pauses that hosts asked for.
//!
//! One `SQLite` database for all of it, opened by any number of processes at once; the same in
//! memory where there can be no database. All of it is hints: losing any row may cost work,
//! never correctness. Credentials and tokens are never kept.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::journal::{BlobKey, Claim, StateError, rules::Now};

mod clock;
mod hosts;
mod locations;
mod memory;
mod notice;
mod owner;
mod sessions;
mod sightings;
mod sqlite;
mod table;

#[cfg(test)]
mod tests;

use clock::Clock;
pub use hosts::HostFact;
use memory::MemoryTable;
pub use notice::{NoDatabase, Notice};
use owner::{Owner, Owners};
use sqlite::{Damaged, Database};
use table::{Access, Table};

/// How many facts a process records before it looks whether the index has too many: counting
/// them takes as long as reading them.
const UNCOUNTED: usize = 16_384;

/// What processes share. Cheap to clone; dropping the last clone writes what is still to be written.
#[derive(Clone, Debug)]
pub struct State {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    backend: Backend,
    owner: Owner,
    owners: Owners,
    clock: Clock,
    claims: AtomicU64,
    /// Facts of the index that were recorded since it was last kept within its bounds.
    recorded: AtomicUsize,
}

#[derive(Debug)]
enum Backend {
    Memory(Arc<Mutex<MemoryTable>>),
    /// The same in the place of a database that is not there yet.
    Unmade(Arc<Mutex<MemoryTable>>),
    Sqlite(Database),
}

impl State {
    /// State that ends with the process.
    pub fn memory() -> Self {
        let table = Arc::new(Mutex::new(MemoryTable::default()));
        Self::of(
            Backend::Memory(table),
            (Owner::leased(), Owners::none()),
            Clock::System,
        )
    }

    /// As a database that is not made yet, for whoever only looks: empty, in memory, and whoever
    /// comes next will have one.
    pub fn unmade() -> Self {
        let table = Arc::new(Mutex::new(MemoryTable::default()));
        Self::of(
            Backend::Unmade(table),
            (Owner::leased(), Owners::none()),
            Clock::System,
        )
    }

    /// State in the database at `path`, which is made if it is not there, its directory too.
    /// Both are for their owner only.
    ///
    /// Where there can be no database the state is in memory, and the notice says why; one
    /// that is damaged is put aside, never in the place of one that was before, and begun anew, and
    /// the notice says that. A file of something else is not touched. Blocks for as
    /// long as a file system takes, at most some seconds if other processes are in the way.
    pub fn open(path: &Path) -> (Self, Option<Notice>) {
        Self::opened(path, Damaged::Replaced)
    }

    /// The same for whoever only looks, or forgets: a database that is damaged stays as it is,
    /// and the notice says that.
    pub fn look(path: &Path) -> (Self, Option<Notice>) {
        Self::opened(path, Damaged::Left)
    }

    fn opened(path: &Path, damaged: Damaged) -> (Self, Option<Notice>) {
        match Database::open(path, damaged) {
            Ok((database, notice)) => {
                let owners = Owners::beside(path);
                let owner = owners.register();
                let state = Self::of(Backend::Sqlite(database), (owner, owners), Clock::System);
                state.post_as(Access::Spare, table::tidy);
                (state, notice)
            }
            Err(cause) => {
                let path = path.to_owned();
                (Self::memory(), Some(Notice::Memory { path, cause }))
            }
        }
    }

    fn of(backend: Backend, (owner, owners): (Owner, Owners), clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner {
                backend,
                owner,
                owners,
                clock,
                claims: AtomicU64::new(0),
                recorded: AtomicUsize::new(0),
            }),
        }
    }

    /// Whether it outlives the process.
    pub fn lasts(&self) -> bool {
        matches!(self.inner.backend, Backend::Sqlite(_))
    }

    /// Whether the next process knows nothing that this one knows, and never will.
    pub(crate) fn is_forgetful(&self) -> bool {
        matches!(self.inner.backend, Backend::Memory(_))
    }

    /// Forgets the facts of the index that are older than 90 days, and the oldest of more than
    /// [`MOST_FACTS`](crate::index::MOST_FACTS); says how many that were. Happens by itself now
    /// and then.
    pub async fn keep_within_bounds(&self) -> Result<usize, StateError> {
        self.inner.recorded.store(0, Ordering::Relaxed);
        self.run(Access::Write, |table, now| table.keep_within_bounds(now))
            .await
    }

    fn new_claim(&self, blob: BlobKey, size: u64) -> Claim {
        let number = self.inner.claims.fetch_add(1, Ordering::Relaxed);
        Claim::new(blob, size, format!("{}/{number}", self.inner.owner.name()))
    }

    /// Does something with the tables, in one transaction.
    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl FnOnce(&mut dyn Table, &Now<'_>) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        match &self.inner.backend {
            Backend::Memory(table) | Backend::Unmade(table) => {
                let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                self.inner.now(|now| work(&mut *table, now))
            }
            Backend::Sqlite(database) => {
                let (clock, owners) = (self.inner.clock.clone(), self.inner.owners.clone());
                let work =
                    move |table: &mut dyn Table| now(&clock, &owners, |now| work(table, now));
                database.run(access, work).await
            }
        }
    }

    /// Does something with the tables soon.
    fn post(
        &self,
        work: impl FnOnce(&mut dyn Table, &Now<'_>) -> Result<(), StateError> + Send + 'static,
    ) {
        self.post_as(Access::Write, work);
    }

    fn post_as(
        &self,
        access: Access,
        work: impl FnOnce(&mut dyn Table, &Now<'_>) -> Result<(), StateError> + Send + 'static,
    ) {
        // What is not done here is done by the next process: a lease ends, rows grow old.
        match &self.inner.backend {
            Backend::Memory(table) | Backend::Unmade(table) => {
                let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = self.inner.now(|now| work(&mut *table, now));
            }
            Backend::Sqlite(database) => {
                let (clock, owners) = (self.inner.clock.clone(), self.inner.owners.clone());
                database.post(access, move |table| {
                    now(&clock, &owners, |now| work(table, now))
                });
            }
        }
    }
}

impl Inner {
    /// Whether so many facts more are enough to look whether they are too many.
    fn fills(&self, facts: usize) -> bool {
        let before = self.recorded.fetch_add(facts, Ordering::Relaxed);
        let full = before.saturating_add(facts) >= UNCOUNTED;
        if full {
            self.recorded.store(0, Ordering::Relaxed);
        }
        full
    }

    fn now<T>(&self, work: impl FnOnce(&Now<'_>) -> T) -> T {
        now(&self.clock, &self.owners, work)
    }
}

fn now<T>(clock: &Clock, owners: &Owners, work: impl FnOnce(&Now<'_>) -> T) -> T {
    work(&Now {
        time: clock.millis(),
        alive: &|owner| owners.alive(owner),
    })
}

/// A time as it is kept, for people and programs.
fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}

/// A time as it is kept; what was before 1970 is 0.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
