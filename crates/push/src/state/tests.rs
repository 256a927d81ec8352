//! One contract over both implementations, each as two processes see it; then what only a file has.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use oci::{Digest, UploadSession};
use tempfile::TempDir;

use super::*;
use crate::journal::{
    BlobKey,
    rules::{LEASE, LIFE},
};

mod contract;
mod damage;
mod file;
mod index;

const START: u64 = 1_700_000_000_000;
const SIZE: u64 = 1 << 30;

/// Two processes that share a state, and the time.
struct World {
    a: State,
    b: State,
    clock: Arc<AtomicU64>,
    /// Where the file is, if there is one.
    _directory: Option<TempDir>,
}

impl World {
    fn memory() -> Self {
        let table = Arc::new(Mutex::new(MemoryTable::default()));
        let clock = Arc::new(AtomicU64::new(START));
        let one = || {
            State::of(
                Backend::Memory(Arc::clone(&table)),
                (Owner::leased(), Owners::none()),
                Clock::Set(Arc::clone(&clock)),
            )
        };
        Self {
            a: one(),
            b: one(),
            clock,
            _directory: None,
        }
    }

    fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let clock = Arc::new(AtomicU64::new(START));
        let one = || {
            let (database, notice) = Database::open(&path, Damaged::Replaced).unwrap();
            assert!(notice.is_none());
            State::of(
                Backend::Sqlite(database),
                (Owner::leased(), Owners::beside(&path)),
                Clock::Set(Arc::clone(&clock)),
            )
        };
        Self {
            a: one(),
            b: one(),
            clock,
            _directory: Some(directory),
        }
    }

    fn passes(&self, millis: u64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }
}

impl State {
    /// What was posted is done before what is asked after it.
    async fn settled(&self) {
        crate::journal::Journal::list(self).await.unwrap();
    }
}

fn blob(name: &str) -> BlobKey {
    BlobKey {
        repository: "registry.test:5000/team/app".parse().unwrap(),
        digest: Digest::of(name.as_bytes()),
    }
}

fn session(acknowledged: u64) -> UploadSession {
    UploadSession::new("https://registry.test:5000/v2/team/app/blobs/uploads/1?_state=canary")
        .with_acknowledged(acknowledged)
        .with_chunk_minimum(5)
}

fn in_directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("longshore").join("state.db");
    (directory, path)
}

/// A state that is a file, or the test has nothing to say.
fn opened(path: &Path) -> State {
    let (state, notice) = State::open(path);
    assert!(notice.is_none(), "{notice:?}");
    assert!(state.lasts());
    state
}
