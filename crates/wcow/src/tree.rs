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

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    LayerPath,
    names::{self, NameFault},
};

mod body;
mod entry;
mod error;

pub use body::{FileBody, OpenFile};
pub use entry::{Entry, EntryKind, Meta, Origin, Owner};
pub use error::{TreeError, TreeWarning};

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
/// let paths: Vec<_> = tree.entries().map(|it| it.path().as_str()).collect();
/// assert_eq!(paths, ["app", "app/hello.exe", "app/readme.txt"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerTree {
    system: System,
    entries: BTreeMap<Arc<str>, Entry>,
    warnings: Vec<TreeWarning>,
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
            entries: BTreeMap::new(),
            warnings: Vec::new(),
        }
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
    pub fn get(&self, path: &LayerPath) -> Option<&Entry> {
        self.entries.get(&*self.key(path))
    }

    /// All entries in the order they are written in: by the bytes of their paths, so a
    /// directory comes before what is in it.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self.entries.values().collect();
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        entries.into_iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What was taken and should be looked at, in the order it came.
    pub fn warnings(&self) -> &[TreeWarning] {
        &self.warnings
    }

    /// Gives each implicit directory what `below`, the tree of the layers below this one, has
    /// at its place, if that was asked for. Windows takes a directory's rights from the last
    /// layer that has it: those for what nobody asked for would take the others back.
    ///
    /// Nothing changes in a tree for Linux: no layer has its implicit directories.
    pub(crate) fn keep_directories_of(&mut self, below: &Self) {
        if self.system == System::Linux {
            return;
        }
        for entry in self.entries.values_mut() {
            let EntryKind::Directory { implicit: true } = entry.kind else {
                continue;
            };
            if let Some(old) = below.get(&entry.path)
                && let EntryKind::Directory { implicit: false } = old.kind
            {
                entry.kind = old.kind.clone();
                entry.meta = old.meta.clone();
            }
        }
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
        check_depth(path, &meta.origin)?;
        let warnings = self.check_names(path, &meta.origin)?;
        let asked = path.clone();
        let key = self.key(path);
        let old = self.entries.get(&*key);
        if let Some(old) = old {
            replaces(old, path, &kind, &meta)?;
        }
        let path = match old {
            // What is in a directory is spelled like it, so its spelling stays.
            Some(old) if old.is_directory() => old.path.clone(),
            _ => self.beside_its_siblings(path, &meta.origin)?,
        };
        let entry = Entry {
            path,
            asked,
            kind,
            meta,
        };
        self.make_parents(&entry)?;
        self.entries.insert(key, entry);
        self.warnings.extend(warnings);
        Ok(())
    }

    /// `path` with its parents spelled as they are there, if they are.
    fn beside_its_siblings(
        &self,
        path: &LayerPath,
        origin: &Origin,
    ) -> Result<LayerPath, TreeError> {
        let Some(above) = self.nearest(path) else {
            return Ok(path.clone());
        };
        if !above.is_directory() {
            return Err(TreeError::BelowFile {
                origin: origin.clone(),
                parent: above.path.clone(),
                old: above.kind.noun(),
                earlier: above.meta.origin.clone(),
            });
        }
        let known = above.path.components().count();
        let mut spelled = above.path.as_str().to_owned();
        for name in path.components().skip(known) {
            spelled.push('/');
            spelled.push_str(name);
        }
        // One text for both, where it is the same.
        if spelled == path.as_str() {
            return Ok(path.clone());
        }
        // The same number of names, each checked before.
        Ok(spelled.parse().unwrap_or_else(|_| path.clone()))
    }

    /// The nearest entry on the way from `path` to the root, itself left out.
    fn nearest(&self, path: &LayerPath) -> Option<&Entry> {
        let mut at = path.parent()?;
        while !at.is_root() {
            if let Some(found) = self.get(&at) {
                return Some(found);
            }
            at = at.parent()?;
        }
        None
    }

    /// The directories on the way to `entry` that are not there, and room for all.
    fn make_parents(&mut self, entry: &Entry) -> Result<(), TreeError> {
        let mut missing = Vec::new();
        let mut at = entry.path.parent();
        while let Some(parent) = at.filter(|it| !it.is_root()) {
            let key = self.key(&parent);
            if self.entries.contains_key(&*key) {
                break;
            }
            at = parent.parent();
            missing.push((key, parent));
        }
        if self.entries.len() + missing.len() >= MAX_ENTRIES {
            return Err(TreeError::TooMany {
                origin: entry.meta.origin.clone(),
            });
        }
        for (key, path) in missing {
            let meta = Meta {
                mode: 0o755,
                origin: entry.meta.origin.clone(),
                ..Meta::default()
            };
            let kind = EntryKind::Directory { implicit: true };
            let asked = path.clone();
            let entry = Entry {
                path,
                asked,
                kind,
                meta,
            };
            self.entries.insert(key, entry);
        }
        Ok(())
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
        origin: &Origin,
    ) -> Result<Vec<TreeWarning>, TreeError> {
        match self.system {
            System::Windows(rules) => {
                let there = self.get(path).or_else(|| self.nearest(path));
                let known = there.map_or(0, |it| it.path.components().count());
                check_windows(path, rules, origin, known)
            }
            System::Linux => check_linux(path, origin).map(|()| Vec::new()),
        }
    }

    fn key(&self, path: &LayerPath) -> Arc<str> {
        match self.system {
            System::Windows(_) => names::fold(path.as_str()).into(),
            System::Linux => path.shared(),
        }
    }
}

/// Whether `kind` may take the place of `old`.
fn replaces(old: &Entry, path: &LayerPath, kind: &EntryKind, meta: &Meta) -> Result<(), TreeError> {
    let directory = matches!(kind, EntryKind::Directory { .. });
    if directory != old.is_directory() {
        return Err(TreeError::Conflict {
            origin: meta.origin.clone(),
            new: kind.noun(),
            path: old.path.clone(),
            old: old.kind.noun(),
            earlier: old.meta.origin.clone(),
        });
    }
    let once = old.meta.origin.instruction() == meta.origin.instruction();
    if !directory && once && old.asked != *path {
        return Err(TreeError::CaseCollision {
            origin: meta.origin.clone(),
            earlier: old.meta.origin.clone(),
            path: old.path.clone(),
        });
    }
    Ok(())
}

fn check_depth(path: &LayerPath, origin: &Origin) -> Result<(), TreeError> {
    let depth = path.components().count();
    if depth > MAX_DEPTH {
        return Err(TreeError::TooDeep {
            origin: origin.clone(),
            depth,
        });
    }
    Ok(())
}

/// The first `known` names are in the tree already: whatever is to be said of them was.
fn check_windows(
    path: &LayerPath,
    rules: NameRules,
    origin: &Origin,
    known: usize,
) -> Result<Vec<TreeWarning>, TreeError> {
    let mut warnings = Vec::new();
    for name in path.components().skip(known) {
        let Some(fault) = names::check(name) else {
            continue;
        };
        let (origin, name) = (origin.clone(), name.to_owned());
        if fault.is_fatal() || rules == NameRules::Strict {
            return Err(TreeError::Name {
                origin,
                name,
                fault,
            });
        }
        warnings.push(TreeWarning::Name {
            origin,
            name,
            fault,
        });
    }
    // As it is opened: with the drive and its root.
    let units = r"C:\".len() + names::units(path.as_str());
    if units > names::MAX_PATH_UNITS {
        return Err(TreeError::PathTooLong {
            origin: origin.clone(),
            length: units,
            most: names::MAX_PATH_UNITS,
            unit: "UTF-16 units",
        });
    }
    if units > names::LEGACY_PATH_UNITS {
        warnings.push(TreeWarning::LongPath {
            origin: origin.clone(),
            units,
        });
    }
    Ok(warnings)
}

fn check_linux(path: &LayerPath, origin: &Origin) -> Result<(), TreeError> {
    if let Some(name) = path.components().find(|it| it.starts_with(names::WHITEOUT)) {
        return Err(TreeError::Name {
            origin: origin.clone(),
            name: name.to_owned(),
            fault: NameFault::Whiteout,
        });
    }
    let mut longest = path.components().map(|it| (it.len(), LINUX_NAME_BYTES));
    let whole = (path.as_str().len() + 1, LINUX_PATH_BYTES);
    match longest.find(|(it, most)| it > most).unwrap_or(whole) {
        (length, most) if length > most => Err(TreeError::PathTooLong {
            origin: origin.clone(),
            length,
            most,
            unit: "bytes",
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
