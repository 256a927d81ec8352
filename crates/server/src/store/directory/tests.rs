//! A store on a disk that fails: at every single step, and by losing its power.

mod power;
mod scenario;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write as _},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Directory,
    files::{Files, Step, Witness},
};
use crate::store::{Clock, Grace};
use scenario::{Scenario, Told};

/// A directory that syncs quickly, where there is one.
fn quick_directory() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

/// A store that is watched, with a grace period of nothing.
fn open(at: &TempDir, witness: Arc<dyn Witness>) -> io::Result<Directory> {
    let files = Files::new(at.path().join("scratch")).watched(Some(witness));
    let grace = Grace::new(Duration::ZERO, Clock::system());
    Directory::open_with(at.path(), grace, files).map_err(io::Error::other)
}

/// Fails one step: the disk is full. Of what was to be written half is there.
#[derive(Debug)]
struct FailsOnce {
    left: AtomicU64,
    kind: io::ErrorKind,
}

impl Witness for FailsOnce {
    fn before(&self, step: Step<'_>) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) != 1 {
            return Ok(());
        }
        if let Step::Write(path, bytes) = step {
            let mut file = OpenOptions::new().append(true).open(path)?;
            file.write_all(&bytes[..bytes.len() / 2])?;
        }
        Err(self.kind.into())
    }

    fn after(&self, _: Step<'_>) {}
}

/// Every step of a scenario fails once: what was acknowledged before is there, byte for byte,
/// what was under way is there whole or not at all, nothing else is, and the next try succeeds.
fn fails_at_every_step(kind: io::ErrorKind) -> u64 {
    // More than there are: a count that has not come down to this was not used up.
    const NEVER: u64 = u64::MAX / 2;
    let mut failures = 0;
    for n in 1.. {
        let dir = quick_directory();
        let witness = Arc::new(FailsOnce {
            left: AtomicU64::new(n),
            kind,
        });
        let opened = open(&dir, witness.clone());
        let store = opened.or_else(|_| open(&dir, witness.clone())).unwrap();
        let mut told = Told::default();
        for mut action in Scenario::actions() {
            if action.run(&store).is_err() {
                failures += 1;
                told.check(&store, Some(&action));
                action
                    .run(&store)
                    .unwrap_or_else(|error| panic!("step {n}: {action:?} again: {error}"));
                told.done(&action);
                told.check(&store, None);
            } else {
                told.done(&action);
            }
        }
        // Also if the failure was put up with.
        told.check(&store, None);
        drop(store);
        let left = witness.left.swap(NEVER, Ordering::SeqCst);
        let reopened = open(&dir, witness).unwrap();
        told.check(&reopened, None);
        // It counts down past nothing once it has struck.
        if (1..=n).contains(&left) {
            return failures;
        }
    }
    unreachable!()
}

#[test]
fn a_disk_that_is_full_at_any_step_loses_nothing_that_was_acknowledged() {
    let failures = fails_at_every_step(io::ErrorKind::StorageFull);
    // Some failures are put up with; most are reported.
    assert!(failures > 60, "only {failures}");
}

/// Everything that is acknowledged outlives the power, at every step it may go at: whether the
/// disk had kept nothing but what was synced, or names without their bytes, or any mixture.
#[test]
fn a_power_loss_at_any_step_loses_nothing_that_was_acknowledged() {
    let mut crashes = 0;
    for n in 1.. {
        let dir = quick_directory();
        let disk = Arc::new(power::Disk::new(dir.path(), n));
        let mut told = Told::default();
        let mut under_way = None;
        if let Ok(store) = open(&dir, disk.clone()) {
            for mut action in Scenario::actions() {
                if action.run(&store).is_err() {
                    under_way = Some(action);
                    break;
                }
                // What went wrong after the power went was put up with: nobody was told.
                if disk.is_off() {
                    under_way = Some(action);
                    break;
                }
                told.done(&action);
            }
        }
        if !disk.is_off() {
            assert!(crashes > 200, "only {crashes}");
            return;
        }
        for kept in power::Kept::some(n) {
            crashes += 1;
            let after = quick_directory();
            disk.lay_out(after.path(), &kept);
            let files = Files::new(after.path().join("scratch"));
            let grace = Grace::new(Duration::ZERO, Clock::system());
            let store = Directory::open_with(after.path(), grace, files)
                .unwrap_or_else(|error| panic!("step {n}, {kept:?}: {error:?}"));
            told.check(&store, under_way.as_ref());
        }
    }
}

/// What a store shows: every fact of the scenario that is there, and its bytes.
type Shown = BTreeMap<scenario::Fact, Vec<u8>>;
