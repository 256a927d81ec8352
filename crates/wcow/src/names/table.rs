//! Paths as a tree of names, in a few bytes each: a name is kept once, however many paths go
//! through it, and all names are one text.
//!
//! A layer of hundreds of thousands of files has as many paths, and most of each is what its
//! neighbours have, too.

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;

use super::upper;

/// A path of a table: how many were added before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u32);

impl Id {
    /// What every path begins at. It is in no table.
    pub(crate) const ROOT: Self = Self(u32::MAX);

    /// The place among all that were added.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Paths, each once.
#[derive(Clone, Debug)]
pub(crate) struct PathTable {
    /// Whether names that differ by case alone are one.
    folds: bool,
    nodes: Vec<Node>,
    text: String,
    found: HashTable<u32>,
    state: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    parent: Id,
    start: u32,
    length: u16,
}

/// How far a path is known.
pub(crate) struct Known {
    /// The last name that is there.
    pub(crate) id: Id,
    /// How many names are there.
    pub(crate) names: usize,
    /// Whether those are spelled as they were asked for.
    pub(crate) is_exact: bool,
}

impl PathTable {
    pub(crate) fn new(folds: bool) -> Self {
        Self {
            folds,
            nodes: Vec::new(),
            text: String::new(),
            found: HashTable::new(),
            state: RandomState::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// All paths, in the order they were added.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(Id)
    }

    /// How much of it is text, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// The last name of a path, as it is spelled.
    pub(crate) fn name(&self, id: Id) -> &str {
        let text = self.nodes.get(id.index()).and_then(|it| {
            let start = it.start as usize;
            self.text.get(start..start + usize::from(it.length))
        });
        text.unwrap_or_default()
    }

    /// What a path is in.
    pub(crate) fn parent(&self, id: Id) -> Id {
        self.nodes.get(id.index()).map_or(Id::ROOT, |it| it.parent)
    }

    /// A whole path, its names parted by `/`.
    pub(crate) fn path(&self, id: Id) -> String {
        let (mut ids, mut at, mut bytes) = (Vec::new(), id, 0);
        while at != Id::ROOT {
            bytes += 1 + self.name(at).len();
            ids.push(at);
            at = self.parent(at);
        }
        let mut path = String::with_capacity(bytes);
        for id in ids.into_iter().rev() {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(self.name(id));
        }
        path
    }

    /// How much of a path is there.
    pub(crate) fn known<'n>(&self, names: impl Iterator<Item = &'n str>) -> Known {
        let mut known = Known {
            id: Id::ROOT,
            names: 0,
            is_exact: true,
        };
        for name in names {
            let Some(id) = self.child(known.id, name) else {
                break;
            };
            known.id = id;
            known.names += 1;
            known.is_exact &= !self.folds || self.name(id) == name;
        }
        known
    }

    /// What is here at a path of another table.
    pub(crate) fn same(&self, other: &Self, id: Id) -> Option<Id> {
        let mut names = Vec::new();
        let mut at = id;
        while at != Id::ROOT {
            names.push(other.name(at));
            at = other.parent(at);
        }
        let known = self.known(names.iter().rev().copied());
        (known.names == names.len()).then_some(known.id)
    }

    fn child(&self, parent: Id, name: &str) -> Option<Id> {
        let is_it = |&at: &u32| self.parent(Id(at)) == parent && self.is_one(Id(at), name);
        let found = self.found.find(self.hash(parent, name), is_it);
        found.copied().map(Id)
    }

    fn is_one(&self, id: Id, name: &str) -> bool {
        let known = self.name(id);
        known == name || self.folds && known.chars().map(upper).eq(name.chars().map(upper))
    }

    fn hash(&self, parent: Id, name: &str) -> u64 {
        hash_of(&self.state, self.folds, parent, name)
    }

    /// Adds a name that is not there; nothing if there is no room for it, which is at 4 GiB of
    /// names and at 64 KiB of one.
    pub(crate) fn add(&mut self, parent: Id, name: &str) -> Option<Id> {
        let id = u32::try_from(self.nodes.len()).ok();
        let id = id.filter(|it| *it != Id::ROOT.0)?;
        let (start, length) = self.write(name)?;
        self.nodes.push(Node {
            parent,
            start,
            length,
        });
        let hash = self.hash(parent, name);
        let Self {
            found,
            nodes,
            text,
            state,
            folds,
        } = self;
        let again = |&at: &u32| {
            let Some(node) = nodes.get(at as usize) else {
                return 0;
            };
            let start = node.start as usize;
            let name = text.get(start..start + usize::from(node.length));
            hash_of(state, *folds, node.parent, name.unwrap_or_default())
        };
        found.insert_unique(hash, id, again);
        Some(Id(id))
    }

    /// Spells the last name of a path in another way that is the same name.
    pub(crate) fn spell(&mut self, id: Id, name: &str) {
        if self.name(id) == name {
            return;
        }
        if let Some((start, length)) = self.write(name)
            && let Some(node) = self.nodes.get_mut(id.index())
        {
            (node.start, node.length) = (start, length);
        }
    }

    fn write(&mut self, name: &str) -> Option<(u32, u16)> {
        let start = u32::try_from(self.text.len()).ok()?;
        let length = u16::try_from(name.len()).ok()?;
        start.checked_add(u32::from(length))?;
        self.text.push_str(name);
        Some((start, length))
    }

    /// All paths, those in one directory beside each other and in the order of their bytes.
    pub(crate) fn by_directory(&self) -> Vec<Id> {
        let mut ids: Vec<Id> = self.ids().collect();
        ids.sort_unstable_by(|a, b| {
            let parents = self.parent(*a).cmp(&self.parent(*b));
            parents.then_with(|| self.name(*a).cmp(self.name(*b)))
        });
        ids
    }

    /// What is in one directory, of [`by_directory`](Self::by_directory).
    pub(crate) fn within<'i>(&self, ids: &'i [Id], directory: Id) -> &'i [Id] {
        let start = ids.partition_point(|it| self.parent(*it) < directory);
        let rest = ids.get(start..).unwrap_or_default();
        let end = rest.partition_point(|it| self.parent(*it) == directory);
        rest.get(..end).unwrap_or_default()
    }

    /// All paths in the order of their bytes, a directory before what is in it.
    ///
    /// What is in `a` comes behind `a-b`, since `-` comes before `/`: so what is in a directory
    /// waits until a name beside it comes that is behind all of it.
    pub(crate) fn in_order(&self) -> Vec<Id> {
        let ids = self.by_directory();
        let mut order = Vec::with_capacity(ids.len());
        // Directories whose names are out, the one that comes first last; and where a directory is
        // that was begun.
        let mut begun = vec![(self.within(&ids, Id::ROOT), Vec::<Id>::new())];
        while let Some((left, waiting)) = begun.last_mut() {
            let next = left.first().copied();
            let is_before = |it: &Id| {
                next.is_none_or(|next| is_before_sibling(self.name(*it), self.name(next)))
            };
            if let Some(directory) = waiting.pop_if(|it| is_before(it)) {
                let within = self.within(&ids, directory);
                if !within.is_empty() {
                    begun.push((within, Vec::new()));
                }
            } else if let Some(next) = next {
                *left = left.get(1..).unwrap_or_default();
                order.push(next);
                waiting.push(next);
            } else {
                begun.pop();
            }
        }
        order
    }
}

fn hash_of(state: &RandomState, folds: bool, parent: Id, name: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write_u32(parent.0);
    if folds {
        for it in name.chars() {
            hasher.write_u32(u32::from(upper(it)));
        }
    } else {
        hasher.write(name.as_bytes());
    }
    hasher.finish()
}

/// Whether what is in a directory comes before a name beside it.
fn is_before_sibling(directory: &str, name: &str) -> bool {
    let below = directory.bytes().chain(*b"/");
    below.lt(name.bytes())
}

#[cfg(test)]
mod tests;
