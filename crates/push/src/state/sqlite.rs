//! The tables in `SQLite`: one thread owns the connection and takes work over a channel.
//!
//! Writers begin with `BEGIN IMMEDIATE`, so that they wait for one another and never find
//! that what they read has changed; no transaction is open across a request. `FULL` has
//! every commit on the disk before it is relied on: with `NORMAL`,
//! [a commit may be rolled back](https://www.sqlite.org/wal.html) by a loss of power.

#![expect(
    clippy::disallowed_types,
    reason = "this is the one place that names the database"
)]

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    notice::{NoDatabase, Notice},
    table::{Access, Table},
};
use crate::journal::StateError;

mod bounds;
mod files;
mod open;
mod rows;

pub(super) use files::{beside, private_directory};
pub(super) use open::Damaged;
use open::Opened;
use rows::SqliteTable;

/// How much work may wait for the connection.
const WAITING: usize = 1024;

/// How long a writer is waited for that did not make way before.
const IMPATIENT: Duration = Duration::from_millis(50);

/// A commit is on the disk before it is relied on.
const SYNCED: &str = "PRAGMA synchronous = FULL";
/// A loss of power may take the last commits back.
const UNSYNCED: &str = "PRAGMA synchronous = NORMAL";

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// The database, by way of the thread that owns it.
#[derive(Debug)]
pub(super) struct Database {
    work: Option<SyncSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Database {
    /// Opens the file at `path`, or makes it.
    pub(super) fn open(
        path: &Path,
        damaged: Damaged,
    ) -> Result<(Self, Option<Notice>), NoDatabase> {
        let Opened {
            mut connection,
            presence,
            aside,
        } = open::open(path, damaged)?;
        let (work, waiting) = sync_channel::<Work>(WAITING);
        let thread = std::thread::Builder::new()
            .name("state".into())
            .spawn(move || {
                while let Ok(work) = waiting.recv() {
                    work(&mut connection);
                }
                // The file is closed before others may think that nobody has it open.
                drop(connection);
                drop(presence);
            })
            .map_err(|error| NoDatabase::Unusable(StateError::File(error)))?;
        let database = Self {
            work: Some(work),
            thread: Some(thread),
        };
        let path = path.to_owned();
        Ok((database, aside.map(|aside| Notice::Rebuilt { path, aside })))
    }

    /// Does `work` in a transaction of its own, and waits for the commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl FnOnce(&mut dyn Table) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Box::new(move |connection| {
            // Nobody may be waiting any more; the work is done all the same.
            let _ = answer.send(transact(connection, access, work));
        }))?;
        answered.await.map_err(|_| StateError::Closed)?
    }

    /// Does `work` soon.
    pub(super) fn post(
        &self,
        access: Access,
        work: impl FnOnce(&mut dyn Table) -> Result<(), StateError> + Send + 'static,
    ) {
        let _ = self.submit(Box::new(move |connection| {
            let _ = transact(connection, access, work);
        }));
    }

    fn submit(&self, work: Work) -> Result<(), StateError> {
        let sender = self.work.as_ref().ok_or(StateError::Closed)?;
        sender.try_send(work).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => StateError::Closed,
        })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop(self.work.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn transact<T>(
    connection: &mut Connection,
    access: Access,
    work: impl FnOnce(&mut dyn Table) -> Result<T, StateError>,
) -> Result<T, StateError> {
    let behavior = match access {
        Access::Read => TransactionBehavior::Deferred,
        Access::Write => TransactionBehavior::Immediate,
        Access::Spare => {
            connection.busy_timeout(Duration::ZERO).map_err(failed)?;
            let done = transact(connection, Access::Write, work);
            connection.busy_timeout(open::BUSY).map_err(failed)?;
            return done;
        }
        Access::Hint => {
            connection.execute_batch(UNSYNCED).map_err(failed)?;
            let done = transact(connection, Access::Write, work);
            connection.execute_batch(SYNCED).map_err(failed)?;
            return done;
        }
    };
    let begun = Transaction::new_unchecked(connection, behavior);
    let transaction: Transaction<'_> = match begun {
        Ok(begun) => begun,
        Err(error) => {
            // Who did not make way in all that time is not waited for as long again: a push writes
            // some more times, and would stand still meanwhile.
            if open::is_busy(&error) {
                connection.busy_timeout(IMPATIENT).map_err(failed)?;
            }
            return Err(failed(error));
        }
    };
    if access == Access::Write {
        transaction.busy_timeout(open::BUSY).map_err(failed)?;
    }
    let done = work(&mut SqliteTable(&transaction))?;
    transaction.commit().map_err(failed)?;
    Ok(done)
}

fn failed(error: rusqlite::Error) -> StateError {
    StateError::Database(Box::new(error))
}

/// The files of a database: itself, its log, and the log's index.
fn family(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::Connection;

    /// Does something to a file behind everybody's back.
    ///
    /// The file stays open, and what the statements began goes on, as long as what comes back
    /// lives.
    pub(in crate::state) fn execute(path: &Path, sql: &str) -> impl Sized + use<> {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(sql).unwrap();
        connection
    }
}
