//! Where a tree keeps its entries: a few dozen bytes each, however long paths are.
//!
//! What neighbours have in common is kept once: names on the way ([`PathTable`]), who owns
//! them and with which rights, the directory that sources are in. What is asked for is put
//! together again.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Entry, EntryKind, FileBody, Folder, Kept, Meta, Origin, Owner};
use crate::{
    LayerPath,
    names::table::{Id, PathTable},
};

/// Entries by path.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) paths: PathTable,
    slots: Vec<Slot>,
    rights: Interned<Rights>,
    sources: Interned<Arc<str>>,
    folders: Folders,
    bodies: Vec<FileBody>,
    targets: Vec<Box<str>>,
    /// What files out of other images bring along.
    kept: HashMap<Id, Arc<Kept>>,
    /// What sources and targets take, in bytes.
    texts: usize,
}

/// All of an entry but its path.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Of a file in a folder, in bytes.
    length: u64,
    /// Since 1970, or before.
    seconds: i64,
    nanoseconds: u32,
    rights: u32,
    source: u32,
    /// Where its folder, its body or its target is.
    place: u32,
    kind: Kind,
    /// Whether its source is called like it.
    is_named_like_source: bool,
}

/// About what a text takes that is kept by itself, beside its bytes, and what comes with it.
const TEXT: usize = 128;

/// About what is kept of a file out of another image, in bytes.
const KEPT: usize = 1024;

/// In place of nanoseconds: no time is known.
const NO_TIME: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Implicit,
    Directory,
    /// In a folder, by the same name.
    Listed,
    File,
    LinkToFile,
    LinkToDirectory,
}

/// What many entries have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rights {
    mode: u32,
    owner: Owner,
    instruction: u32,
}

/// Values, each once.
#[derive(Clone, Debug)]
struct Interned<T> {
    all: Vec<T>,
    found: HashMap<T, u32>,
}

/// Folders, each once: by where they are in memory, which is theirs as long as they are kept.
#[derive(Clone, Debug, Default)]
struct Folders {
    all: Vec<Arc<dyn Folder>>,
    found: HashMap<usize, u32>,
}

impl Store {
    pub(super) fn new(folds: bool) -> Self {
        Self {
            paths: PathTable::new(folds),
            slots: Vec::new(),
            rights: Interned::new(),
            sources: Interned::new(),
            folders: Folders::default(),
            bodies: Vec::new(),
            targets: Vec::new(),
            kept: HashMap::new(),
            texts: 0,
        }
    }

    /// About what it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        // Places in tables, of which some are free.
        let entries = self.slots.len() * (size_of::<Slot>() + 24);
        let bodies = self.bodies.len() * 128 + self.kept.len() * KEPT;
        let texts = self.paths.text_bytes() + self.texts;
        (entries + bodies + texts) as u64
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds an entry below one that is there, or replaces one. Nothing if there is no more room.
    pub(super) fn add(
        &mut self,
        parent: Id,
        name: &str,
        kind: EntryKind,
        meta: &Meta,
    ) -> Option<Id> {
        let slot = self.slot(name, kind, meta)?;
        let id = self.paths.add(parent, name)?;
        self.slots.push(slot);
        self.keep(id, meta);
        Some(id)
    }

    /// Puts something in the place of what is there.
    pub(super) fn replace(&mut self, id: Id, kind: EntryKind, meta: &Meta) -> Option<()> {
        let name = self.paths.name(id).to_owned();
        let slot = self.slot(&name, kind, meta)?;
        *self.slots.get_mut(id.index())? = slot;
        self.keep(id, meta);
        Some(())
    }

    fn keep(&mut self, id: Id, meta: &Meta) {
        match &meta.kept {
            Some(kept) => drop(self.kept.insert(id, Arc::clone(kept))),
            None => drop(self.kept.remove(&id)),
        }
    }

    /// Whether something in it has times of its own, whatever the build's are.
    pub(super) fn keeps_times(&self) -> bool {
        self.kept.values().any(|it| it.times.is_some())
    }

    fn slot(&mut self, name: &str, kind: EntryKind, meta: &Meta) -> Option<Slot> {
        let (seconds, nanoseconds) = packed(meta.mtime);
        let (text, is_named_like_source) = source_of(&meta.origin.text, name);
        let sources = self.sources.all.len();
        let source = self.sources.index_of(text)?;
        if self.sources.all.len() > sources {
            self.texts += text.len() + TEXT;
        }
        let mut slot = Slot {
            length: 0,
            seconds,
            nanoseconds,
            rights: self.rights.index(Rights {
                mode: meta.mode,
                owner: meta.owner,
                instruction: meta.origin.instruction,
            })?,
            source,
            place: 0,
            kind: Kind::Directory,
            is_named_like_source,
        };
        match kind {
            EntryKind::Directory { implicit: true } => slot.kind = Kind::Implicit,
            EntryKind::Directory { implicit: false } => {}
            EntryKind::File(body) => self.file(&mut slot, name, body, meta)?,
            EntryKind::Symlink {
                target,
                to_directory,
            } => {
                slot.kind = if to_directory {
                    Kind::LinkToDirectory
                } else {
                    Kind::LinkToFile
                };
                self.texts += target.len() + TEXT;
                slot.place = pushed(&mut self.targets, target.into())?;
            }
        }
        Some(slot)
    }

    fn file(&mut self, slot: &mut Slot, name: &str, body: FileBody, meta: &Meta) -> Option<()> {
        let listed = match &body {
            FileBody::Opens(file) => file.listed(),
            FileBody::Bytes(_) => None,
        };
        let listed = listed.filter(|it| it.name == name && it.mtime == meta.mtime);
        if let Some(listed) = listed {
            slot.kind = Kind::Listed;
            slot.length = body.len();
            slot.place = self.folders.index(listed.folder)?;
        } else {
            slot.kind = Kind::File;
            slot.place = pushed(&mut self.bodies, body)?;
        }
        Some(())
    }

    /// Makes this the owner of what has none. What is known of it, at the first of those that have
    /// their rights in common.
    pub(super) fn given(&mut self, id: Id, owner: Owner) -> Option<Meta> {
        let slot = self.slots.get(id.index())?;
        let rights = *self.rights.all.get(slot.rights as usize)?;
        if rights.owner != Owner::Default {
            return None;
        }
        let known = self.rights.all.len();
        let index = self.rights.index(Rights { owner, ..rights })?;
        self.slots.get_mut(id.index())?.rights = index;
        let is_first = self.rights.all.len() > known;
        is_first.then(|| self.entry(id).map(|it| it.meta)).flatten()
    }

    // --- what is there

    pub(super) fn is_directory(&self, id: Id) -> bool {
        let kind = self.slots.get(id.index()).map(|it| it.kind);
        matches!(kind, Some(Kind::Directory | Kind::Implicit))
    }

    pub(super) fn is_implicit(&self, id: Id) -> bool {
        let kind = self.slots.get(id.index()).map(|it| it.kind);
        kind == Some(Kind::Implicit)
    }

    /// An entry, put together again.
    pub(super) fn entry(&self, id: Id) -> Option<Entry> {
        let slot = self.slots.get(id.index())?;
        let name = self.paths.name(id);
        let rights = self.rights.all.get(slot.rights as usize)?;
        let source = self.sources.all.get(slot.source as usize)?;
        let text = if slot.is_named_like_source {
            format!("{source}/{name}").into()
        } else {
            Arc::clone(source)
        };
        let mtime = unpacked(slot.seconds, slot.nanoseconds);
        let place = slot.place as usize;
        let kind = match slot.kind {
            Kind::Implicit => EntryKind::Directory { implicit: true },
            Kind::Directory => EntryKind::Directory { implicit: false },
            Kind::Listed => {
                let folder = Arc::clone(self.folders.all.get(place)?);
                EntryKind::File(FileBody::Opens(folder.file(name, slot.length, mtime)))
            }
            Kind::File => EntryKind::File(self.bodies.get(place)?.clone()),
            Kind::LinkToFile | Kind::LinkToDirectory => EntryKind::Symlink {
                target: self.targets.get(place)?.to_string(),
                to_directory: slot.kind == Kind::LinkToDirectory,
            },
        };
        Some(Entry {
            path: LayerPath::of_names(self.paths.path(id)),
            kind,
            meta: Meta {
                mtime,
                mode: rights.mode,
                owner: rights.owner,
                origin: Origin {
                    text,
                    instruction: rights.instruction,
                },
                kept: self.kept.get(&id).cloned(),
            },
        })
    }
}

/// A source as the directory it is in, where it is called like its entry.
fn source_of<'s>(source: &'s str, name: &str) -> (&'s str, bool) {
    match source.rsplit_once('/') {
        Some((directory, last)) if last == name => (directory, true),
        _ => (source, false),
    }
}

fn packed(time: Option<SystemTime>) -> (i64, u32) {
    let Some(time) = time else {
        return (0, NO_TIME);
    };
    let seconds = |it: Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (seconds(since), since.subsec_nanos()),
        // Whole seconds before, and from there on.
        Err(error) => match (seconds(error.duration()), error.duration().subsec_nanos()) {
            (before, 0) => (-before, 0),
            (before, nanoseconds) => (-before - 1, 1_000_000_000 - nanoseconds),
        },
    }
}

fn unpacked(seconds: i64, nanoseconds: u32) -> Option<SystemTime> {
    if nanoseconds == NO_TIME {
        return None;
    }
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    time?.checked_add(Duration::new(0, nanoseconds))
}

fn pushed<T>(all: &mut Vec<T>, it: T) -> Option<u32> {
    let at = u32::try_from(all.len()).ok()?;
    all.push(it);
    Some(at)
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn new() -> Self {
        Self {
            all: Vec::new(),
            found: HashMap::new(),
        }
    }

    fn index(&mut self, it: T) -> Option<u32> {
        if let Some(at) = self.found.get(&it) {
            return Some(*at);
        }
        let at = pushed(&mut self.all, it.clone())?;
        self.found.insert(it, at);
        Some(at)
    }
}

impl Interned<Arc<str>> {
    fn index_of(&mut self, it: &str) -> Option<u32> {
        match self.found.get(it) {
            Some(at) => Some(*at),
            None => self.index(it.into()),
        }
    }
}

impl Folders {
    fn index(&mut self, it: &Arc<dyn Folder>) -> Option<u32> {
        let address = Arc::as_ptr(it).addr();
        if let Some(at) = self.found.get(&address) {
            return Some(*at);
        }
        let at = pushed(&mut self.all, Arc::clone(it))?;
        self.found.insert(address, at);
        Some(at)
    }
}
