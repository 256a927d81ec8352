//! What goes into one layer: entries by path, each once.
//!
//! Whoever copies files fills a tree; the layer's writer reads it, in the order it
//! writes. So the questions that only both together can answer are answered here, once:
//!
//! - **Names.** A tree for Windows takes only names that Windows can reach, and an error
//!   names the source.
//! - **Case.** On Windows names do not differ by case. A directory keeps the spelling it
//!   came with first, and what comes to it under another joins it. A file replaces the
//!   file of the same name that an earlier instruction put there, its spelling too; two
//!   spellings by *one* instruction are an error. Linux trees compare names as they are.
//! - **Parents.** Each directory on the way is there, made if it was not, and marked
//!   [implicit](EntryKind::Directory): the writer gives those away with fewer rights.
//!
//! What is not here: `Files` and `Hives` are the writer's, since paths begin at the root
//! of the file system. There are no hard links and no whiteouts.

use std::collections::HashMap;

use crate::{
    LayerPath,
    names::{
        self,
        table::{Id, Known},
    },
};

mod body;
mod checks;
mod entry;
mod error;
mod stack;
mod store;

pub use body::{FileBody, Folder, Listed, OpenFile};
use checks::{check_depth, check_linux, check_windows, replaces};
pub(crate) use entry::KeptTimes;
pub use entry::{Entry, EntryKind, Kept, Meta, Origin, Owner};
pub use error::{TreeError, TreeWarning};
pub use stack::LayerStack;
use store::Store;

/// The most entries of a layer, inclusive, made ones counted.
pub const MAX_ENTRIES: usize = 1_000_000;

/// How many names a path may have, inclusive. No parent is made of one that is deeper, and
/// whoever walks a tree goes no deeper.
pub(crate) const MAX_DEPTH: usize = 256;

/// The longest name on Linux, inclusive, in bytes: `NAME_MAX`.
const LINUX_NAME_BYTES: usize = 255;

/// The longest path on Linux, inclusive, in bytes: `PATH_MAX` without its NUL.
const LINUX_PATH_BYTES: usize = 4095;

/// What goes into one layer: entries by path, each once.
///
/// ```
/// use longshore_wcow::{LayerTree, Meta};
/// let mut tree = LayerTree::windows();
/// tree.file(&"app/hello.exe".parse()?, b"MZ".as_slice().into(), Meta::default())?;
/// tree.file(&"APP/readme.txt".parse()?, b"hi".as_slice().into(), Meta::default())?;
/// let paths: Vec<_> = tree.entries().map(|it| it.path().to_string()).collect();
/// assert_eq!(paths, ["app", "app/hello.exe", "app/readme.txt"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerTree {
    system: System,
    store: Store,
    /// How files were asked for whose parents were there in another spelling.
    asked: HashMap<Id, LayerPath>,
    warnings: Vec<TreeWarning>,
    /// How much memory it may take, in bytes, inclusive.
    room: u64,
}

/// The system that a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum System {
    /// Windows, with this view on names.
    Windows(NameRules),
    /// Linux.
    Linux,
}

/// What is done about names that Windows keeps but no ordinary program can open:
/// devices' (`CON`), and those that end in a dot or a space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRules {
    /// They are an error.
    #[default]
    Strict,
    /// They are a warning.
    Warn,
}

// === impl LayerTree ===

impl LayerTree {
    /// An empty tree for Windows, strict about names.
    pub fn windows() -> Self {
        Self::new(System::Windows(NameRules::Strict))
    }

    /// An empty tree for Windows with its own view on names.
    pub fn windows_with(rules: NameRules) -> Self {
        Self::new(System::Windows(rules))
    }

    /// An empty tree for Linux.
    pub fn linux() -> Self {
        Self::new(System::Linux)
    }

    fn new(system: System) -> Self {
        Self {
            system,
            store: Store::new(matches!(system, System::Windows(_))),
            asked: HashMap::new(),
            warnings: Vec::new(),
            room: u64::MAX,
        }
    }

    /// The same with so much memory for what it keeps, in bytes, inclusive: what needs more is an
    /// error. A path takes its last name, and a few dozen bytes.
    #[must_use]
    pub(crate) fn with_room(mut self, bytes: u64) -> Self {
        self.room = bytes;
        self
    }

    /// The system that the layer is for.
    pub fn system(&self) -> System {
        self.system
    }

    /// Puts a directory at `path`. One that is there takes over `meta`, and is explicit
    /// from then on. The root is there always, and nothing is kept of it.
    pub fn directory(&mut self, path: &LayerPath, meta: Meta) -> Result<(), TreeError> {
        if path.is_root() {
            return Ok(());
        }
        self.put(path, EntryKind::Directory { implicit: false }, meta)
    }

    /// Puts a file at `path`, in the place of the file or link that an earlier
    /// instruction put there.
    pub fn file(&mut self, path: &LayerPath, body: FileBody, meta: Meta) -> Result<(), TreeError> {
        self.put(path, EntryKind::File(body), meta)
    }

    /// Puts a symbolic link at `path`, as [`file`](Self::file) does. `target` is written
    /// as it is; `to_directory` says what kind of link Windows is to make.
    pub fn symlink(
        &mut self,
        path: &LayerPath,
        target: &str,
        to_directory: bool,
        meta: Meta,
    ) -> Result<(), TreeError> {
        let most = match self.system {
            System::Windows(_) => names::MAX_PATH_UNITS,
            System::Linux => LINUX_PATH_BYTES,
        };
        if target.is_empty() || target.contains('\0') || target.len() > most {
            return Err(TreeError::LinkTarget {
                origin: meta.origin,
                target: target.chars().take(256).collect(),
            });
        }
        let kind = EntryKind::Symlink {
            target: target.to_owned(),
            to_directory,
        };
        self.put(path, kind, meta)
    }

    /// What is at `path`, whatever its case if the tree is Windows'. The root is no entry.
    pub fn get(&self, path: &LayerPath) -> Option<Entry> {
        self.store.entry(self.id(path)?)
    }

    /// Whether there is a directory at `path`.
    pub(crate) fn has_directory(&self, path: &LayerPath) -> bool {
        self.id(path).is_some_and(|it| self.store.is_directory(it))
    }

    /// All entries in the order they are written in: by the bytes of their paths, so a
    /// directory comes before what is in it. Each is made when it is its turn.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        let order = self.store.paths.in_order().into_iter();
        order.filter_map(|it| self.store.entry(it))
    }

    /// What is in each directory.
    pub(crate) fn directories(&self) -> Directories<'_> {
        Directories {
            store: &self.store,
            ids: self.store.paths.by_directory(),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something in it has times of its own, whatever the build's are.
    pub(crate) fn keeps_times(&self) -> bool {
        self.store.keeps_times()
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// What was taken and should be looked at, in the order it came.
    pub fn warnings(&self) -> &[TreeWarning] {
        &self.warnings
    }

    /// Gives each implicit directory what `below`, the layers below this one, have
    /// at its place, if that was asked for. Windows takes a directory's rights from the last
    /// layer that has it: those for what nobody asked for would take the others back.
    ///
    /// Nothing changes in a tree for Linux: no layer has its implicit directories.
    pub(crate) fn keep_directories_of(&mut self, below: &LayerStack) {
        if self.system == System::Linux {
            return;
        }
        for id in self.store.paths.ids() {
            if !self.store.is_implicit(id) {
                continue;
            }
            let path = LayerPath::of_names(self.store.paths.path(id));
            if let Some(old) = below.asked_directory(&path) {
                // It had room for what was there.
                let _ = self.store.replace(id, old.kind, &old.meta);
            }
        }
    }

    /// Makes this the owner of what was asked for and is nobody's in particular.
    pub(crate) fn give_to(&mut self, owner: Owner) -> Result<(), TreeError> {
        for id in self.store.paths.ids() {
            if self.store.is_implicit(id) {
                continue;
            }
            if let Some(meta) = self.store.given(id, owner) {
                self.check_owner(&meta)?;
            }
        }
        Ok(())
    }

    /// Puts everything that is in another tree into this one.
    pub(crate) fn take_in(&mut self, other: &Self) -> Result<(), TreeError> {
        for entry in other.entries() {
            let Entry { path, kind, meta } = entry;
            // What is implicit is made again where it is needed.
            if !matches!(kind, EntryKind::Directory { implicit: true }) {
                self.put(&path, kind, meta)?;
            }
        }
        Ok(())
    }

    // --- putting something in

    fn put(&mut self, path: &LayerPath, kind: EntryKind, meta: Meta) -> Result<(), TreeError> {
        if path.is_root() {
            return Err(TreeError::Root {
                origin: meta.origin,
            });
        }
        self.check_owner(&meta)?;
        // Before anything looks at each of the parents.
        let depth = check_depth(path, &meta.origin)?;
        let known = self.store.paths.known(path.components());
        let warnings = self.check_names(path, known.names, &meta.origin)?;
        let done = if known.names == depth {
            self.replace(path, &known, kind, &meta)?
        } else {
            self.add(path, &known, kind, &meta)?
        };
        if self.bytes() > self.room {
            return Err(TreeError::NoRoom {
                origin: meta.origin,
                entries: self.len(),
            });
        }
        done.ok_or(TreeError::TooMany {
            origin: meta.origin,
        })?;
        self.warnings.extend(warnings);
        Ok(())
    }

    /// Puts something in the place of what is there, if it may be.
    fn replace(
        &mut self,
        path: &LayerPath,
        known: &Known,
        kind: EntryKind,
        meta: &Meta,
    ) -> Result<Option<()>, TreeError> {
        let Some(old) = self.store.entry(known.id) else {
            return Ok(None);
        };
        let asked = self.asked.get(&known.id).unwrap_or(&old.path);
        replaces(&old, asked, path, &kind, meta)?;
        // What is in a directory is spelled like it, so its spelling stays.
        if !old.is_directory() {
            self.store
                .paths
                .spell(known.id, path.name().unwrap_or_default());
            self.ask(known.id, path, known.is_exact);
        }
        Ok(self.store.replace(known.id, kind, meta))
    }

    /// Adds what is not there, and the directories on the way to it. Those that are there keep
    /// their spelling.
    fn add(
        &mut self,
        path: &LayerPath,
        known: &Known,
        kind: EntryKind,
        meta: &Meta,
    ) -> Result<Option<()>, TreeError> {
        if known.id != Id::ROOT
            && !self.store.is_directory(known.id)
            && let Some(above) = self.store.entry(known.id)
        {
            return Err(TreeError::BelowFile {
                origin: meta.origin.clone(),
                parent: above.path,
                old: above.kind.noun(),
                earlier: above.meta.origin,
            });
        }
        let names: Vec<&str> = path.components().skip(known.names).collect();
        let Some((last, above)) = names.split_last() else {
            return Ok(None);
        };
        if self.len() + names.len() > MAX_ENTRIES {
            return Ok(None);
        }
        let made = Meta {
            mode: 0o755,
            origin: meta.origin.clone(),
            ..Meta::default()
        };
        let mut at = known.id;
        for name in above {
            let directory = EntryKind::Directory { implicit: true };
            let Some(id) = self.store.add(at, name, directory, &made) else {
                return Ok(None);
            };
            at = id;
        }
        let Some(id) = self.store.add(at, last, kind, meta) else {
            return Ok(None);
        };
        self.ask(id, path, known.is_exact);
        Ok(Some(()))
    }

    /// Keeps how a file was asked for, if that is not how it is spelled.
    fn ask(&mut self, id: Id, path: &LayerPath, is_exact: bool) {
        self.asked.remove(&id);
        if !is_exact && !self.store.is_directory(id) {
            self.asked.insert(id, path.clone());
        }
    }

    /// Where what another tree has is in this one.
    fn id_of(&self, other: &Self, id: Id) -> Option<Id> {
        self.store.paths.same(&other.store.paths, id)
    }

    fn id(&self, path: &LayerPath) -> Option<Id> {
        let known = self.store.paths.known(path.components());
        (known.names > 0 && known.names == path.components().count()).then_some(known.id)
    }

    // --- what may be put in

    fn check_owner(&self, meta: &Meta) -> Result<(), TreeError> {
        let (system, known) = match (self.system, meta.owner) {
            (_, Owner::Default) => return Ok(()),
            (System::Windows(_), owner) => ("Windows", !matches!(owner, Owner::Ids { .. })),
            (System::Linux, owner) => ("Linux", matches!(owner, Owner::Ids { .. })),
        };
        if known {
            return Ok(());
        }
        Err(TreeError::Owner {
            origin: meta.origin.clone(),
            owner: meta.owner,
            system,
        })
    }

    fn check_names(
        &self,
        path: &LayerPath,
        known: usize,
        origin: &Origin,
    ) -> Result<Vec<TreeWarning>, TreeError> {
        match self.system {
            System::Windows(rules) => check_windows(path, rules, origin, known),
            System::Linux => check_linux(path, origin).map(|()| Vec::new()),
        }
    }
}

/// What is in each directory of a tree.
#[derive(Debug)]
pub(crate) struct Directories<'a> {
    store: &'a Store,
    ids: Vec<Id>,
}

impl<'a> Directories<'a> {
    /// The entries of the directory at `path`, by name; none if it is not there.
    pub(crate) fn within(&self, path: &str) -> impl Iterator<Item = Entry> + use<'a, '_> {
        let paths = &self.store.paths;
        let names = || path.split('/').filter(|it| !it.is_empty());
        let known = paths.known(names());
        let is_there = known.names == names().count();
        let ids = if is_there {
            paths.within(&self.ids, known.id)
        } else {
            &[]
        };
        ids.iter().filter_map(|it| self.store.entry(*it))
    }
}

#[cfg(test)]
mod tests;
