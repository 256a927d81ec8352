//! Keeping a store within its limit: what was not used for longest goes first.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::{Duration, SystemTime},
};

use super::{
    Store, StoreError,
    directory::{Directory, Entry, Removal},
    lock, run,
};

/// What a store that has become full is pruned to: this much of its limit is left free, so that
/// not every blob that comes in has the whole store looked through.
const SLACK: u64 = 16;
/// How far ahead a clock may have been that was set back in the ordinary course of things.
const AHEAD: Duration = Duration::from_hours(1);

/// What came of pruning a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many blobs and manifests were removed.
    pub removed: usize,
    /// Their bytes; of files with several names only those that went with the last of them.
    pub freed: u64,
    /// How many blobs and manifests are left.
    pub left: usize,
    /// Their bytes, each file once.
    pub left_bytes: u64,
    /// How many of those would have gone and are being used.
    pub in_use: usize,
}

impl Store {
    /// Removes what was not used for longest until at most `limit` bytes are left (inclusive).
    ///
    /// A file of several names counts once, and is gone when all of them are. What is being read
    /// stays, whoever reads it. Images that are not whole any more are taken off the list.
    pub async fn prune(&self, limit: u64) -> Result<Pruned, StoreError> {
        let it = self.clone();
        run(move || {
            let pruned = it.prune_now(limit);
            let pruned = pruned.map_err(|error| StoreError::io("prune", it.path(), error))?;
            if pruned.removed > 0 {
                it.relist()?;
            }
            Ok(pruned)
        })
        .await?
    }

    /// Notes that so many bytes came in, and makes room for more if it was too much. Blocks.
    pub(super) fn kept(&self, bytes: u64) {
        let mut held = lock(&self.0.held);
        let now = match *held {
            Some(before) => before.saturating_add(bytes),
            // What came in is among what is there.
            None => match self.directory().entries() {
                Ok(entries) => total(&entries),
                Err(_) => return,
            },
        };
        *held = Some(now);
        if now > self.limit() {
            // A list that cannot be rewritten now is, when the store is pruned again.
            if let Ok(pruned) = self.prune_now(self.limit() - self.limit() / SLACK) {
                *held = Some(pruned.left_bytes);
                let _ = self.relist();
            }
        }
    }

    /// Blocks.
    fn prune_now(&self, limit: u64) -> io::Result<Pruned> {
        let mut entries = self.directory().entries()?;
        let now = SystemTime::now();
        entries.sort_by_cached_key(|it| (last_use(it, now), it.digest.to_string()));
        let mut names: HashMap<(u64, u64), usize> = HashMap::new();
        for entry in &entries {
            *names.entry(entry.identity).or_default() += 1;
        }
        let mut pruned = Pruned {
            left: entries.len(),
            left_bytes: total(&entries),
            ..Pruned::default()
        };
        for entry in &entries {
            if pruned.left_bytes <= limit {
                break;
            }
            match Directory::remove(&entry.path)? {
                Removal::InUse => {
                    pruned.in_use += 1;
                    continue;
                }
                Removal::Removed => pruned.removed += 1,
                Removal::Gone => {}
            }
            pruned.left -= 1;
            if let Some(names) = names.get_mut(&entry.identity) {
                *names -= 1;
                if *names == 0 {
                    pruned.left_bytes -= entry.size;
                    pruned.freed += entry.size;
                }
            }
        }
        Ok(pruned)
    }
}

/// When a blob was used last, as far as that can be believed. What was used later than now was
/// noted by a clock that has been set back since: it goes first, or whatever comes in would until
/// that time comes.
fn last_use(entry: &Entry, now: SystemTime) -> SystemTime {
    match entry.used.duration_since(now) {
        Ok(ahead) if ahead > AHEAD => SystemTime::UNIX_EPOCH,
        _ => entry.used,
    }
}

/// The bytes of all of these, each file once.
pub(super) fn total(entries: &[Entry]) -> u64 {
    let mut seen = HashSet::new();
    let each = entries.iter().filter(|it| seen.insert(it.identity));
    each.map(|it| it.size).sum()
}
