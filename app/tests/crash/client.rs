//! The real client, as a process that is killed, and what it keeps between its lives.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use longshore::push::{
    BlobIndex as _, Journal as _, State,
    index::{Selection, Sight},
};
use rustix::fs::{FlockOperation, fcntl_lock};

/// A push that runs.
pub(crate) struct Client {
    process: Child,
    stderr: PathBuf,
}

impl Client {
    /// Starts a push that keeps its sessions beside `stderr`, which gets its messages.
    pub(crate) fn push(home: &Path, image: &Path, reference: &str, flags: &[&str]) -> Self {
        let stderr = home.join("stderr");
        let process = Command::new(env!("CARGO_BIN_EXE_longshore"))
            .env_clear()
            .env("HOME", home)
            .args(["push", image.to_str().unwrap(), reference, "--quiet"])
            .args(["--state", state(home).to_str().unwrap()])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Self { process, stderr }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Whether it has come to its end, which must be a good one.
    pub(crate) fn is_over(&mut self) -> bool {
        let Some(status) = self.process.try_wait().unwrap() else {
            return false;
        };
        let said = fs::read_to_string(&self.stderr).unwrap();
        assert!(status.success(), "{status}: {said}");
        true
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn state(home: &Path) -> PathBuf {
    home.join("state.db")
}

/// How much each kept session has acknowledged.
pub(crate) fn kept(home: &Path) -> Vec<u64> {
    let (state, notice) = State::open(&state(home));
    assert!(notice.is_none(), "{notice:?}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let rows = runtime.block_on(state.list()).unwrap();
    rows.iter().map(|it| it.acknowledged).collect()
}

/// How many blobs the repository with this path is known to hold.
pub(crate) fn seen(home: &Path, path: &str) -> usize {
    let (state, notice) = State::open(&state(home));
    assert!(notice.is_none(), "{notice:?}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let known = runtime.block_on(state.page(&Selection::all(), None));
    let known = known.unwrap().into_iter();
    let there = known.filter(|it| it.repository.path() == path);
    there
        .filter(|it| matches!(it.sight, Sight::Present { .. }))
        .count()
}

/// Keeps every process from writing to the state, until it is dropped.
///
/// `SQLite`'s writers lock a byte of the log's index for themselves; a lock on all of the
/// file that others may share keeps them, and nobody else, waiting.
pub(crate) struct Locked(#[expect(dead_code, reason = "held")] File);

impl Locked {
    pub(crate) fn state(home: &Path) -> Self {
        let index = File::open(home.join("state.db-shm")).unwrap();
        while fcntl_lock(&index, FlockOperation::NonBlockingLockShared).is_err() {
            std::thread::yield_now();
        }
        Self(index)
    }
}
