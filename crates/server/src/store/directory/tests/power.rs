//! A disk whose power goes: what was not synced may be there or not.
//!
//! The model is stricter than any file system: bytes last that were there when their
//! file was synced, names last that were there when their directory was.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use crate::store::directory::files::{Step, Witness};

/// What a disk holds, and what of it would outlive the power.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many steps are left until the power goes.
    left: u64,
    is_off: bool,
    /// The bytes of each file when it was synced last.
    synced: Vec<Vec<u8>>,
    /// Names as they are.
    live: BTreeMap<PathBuf, Entry>,
    /// Names as they were when their directory was synced last.
    durable: HashMap<PathBuf, BTreeMap<PathBuf, Entry>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File(usize),
    Directory,
    /// Nothing refers to what is behind it.
    Link,
}

/// Which names are kept that were not synced.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    None,
    All,
    /// Each change of a name for itself.
    Some(fastrand::Rng),
}

impl Kept {
    /// Nothing, and everything or a mixture in turn.
    pub(super) fn some(n: u64) -> [Self; 2] {
        let other = match n % 3 {
            0 => Self::All,
            _ => Self::Some(fastrand::Rng::with_seed(n)),
        };
        [Self::None, other]
    }

    fn next(&mut self) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(random) => random.bool(),
        }
    }
}

// === impl Disk ===

impl Disk {
    /// A disk whose power goes at step `n`, counted from 1.
    pub(super) fn new(root: &Path, n: u64) -> Self {
        Self {
            root: root.to_owned(),
            state: Mutex::new(State {
                left: n,
                ..State::default()
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Makes in `to` what is left after the power went.
    pub(super) fn lay_out(&self, to: &Path, kept: &Kept) {
        let state = self.state();
        state.lay_out(&self.root, to, &mut kept.clone());
    }
}

impl State {
    fn children(&self, directory: &Path) -> BTreeMap<PathBuf, Entry> {
        let below = self.live.iter();
        below
            .filter(|(path, _)| path.parent() == Some(directory))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect()
    }

    fn lay_out(&self, from: &Path, to: &Path, kept: &mut Kept) {
        let mut names = self.durable.get(from).cloned().unwrap_or_default();
        let live = self.children(from);
        let mut both: Vec<_> = names.keys().chain(live.keys()).cloned().collect();
        both.sort_unstable();
        both.dedup();
        for path in both {
            if names.get(&path) == live.get(&path) || !kept.next() {
                continue;
            }
            match live.get(&path) {
                Some(entry) => names.insert(path, entry.clone()),
                None => names.remove(&path),
            };
        }
        for (path, entry) in names {
            let to = to.join(path.file_name().unwrap());
            match entry {
                Entry::File(number) => fs::write(to, &self.synced[number]).unwrap(),
                Entry::Link => {}
                Entry::Directory => {
                    fs::create_dir(&to).unwrap();
                    self.lay_out(&path, &to, kept);
                }
            }
        }
    }
}

impl Witness for Disk {
    fn before(&self, _: Step<'_>) -> io::Result<()> {
        let mut state = self.state();
        state.left = state.left.saturating_sub(1);
        state.is_off |= state.left == 0;
        if state.is_off {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    fn after(&self, step: Step<'_>) {
        let mut state = self.state();
        if state.is_off {
            return;
        }
        match step {
            Step::Create(path) if !state.live.contains_key(path) => {
                let number = state.synced.len();
                state.synced.push(Vec::new());
                state.live.insert(path.to_owned(), Entry::File(number));
            }
            Step::Sync(path) => {
                let file = state.live.get(path).cloned();
                if let (Some(Entry::File(number)), Ok(bytes)) = (file, fs::read(path)) {
                    state.synced[number] = bytes;
                }
            }
            Step::SyncDirectory(path) => {
                let names = state.children(path);
                state.durable.insert(path.to_owned(), names);
            }
            Step::Rename(from, to) => {
                let entry = state.live.remove(from).unwrap();
                state.live.insert(to.to_owned(), entry);
            }
            Step::Remove(path) => {
                state.live.remove(path);
            }
            Step::MakeDirectory(path) => {
                state.live.insert(path.to_owned(), Entry::Directory);
            }
            Step::RemoveTree(path) => state.live.retain(|it, _| !it.starts_with(path)),
            Step::LinkSymbolically(path) => {
                state.live.insert(path.to_owned(), Entry::Link);
            }
            Step::Create(_) | Step::Write(..) | Step::Shorten(..) | Step::SetTime(_) => {}
        }
    }
}
