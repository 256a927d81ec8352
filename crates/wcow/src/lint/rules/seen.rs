//! Which names a layer had so far, in a few bytes each.

use std::collections::HashMap;

use crate::names::table::{Id, PathTable};

/// About what a name takes beside its text, in bytes: its place in the table, and what it is.
const EACH: usize = 24;

/// Names, compared as Windows does.
pub(super) struct Seen {
    paths: PathTable,
    /// Of each path of the table, what it is. Some are only on the way to others.
    kinds: Vec<Kind>,
    /// Names whose parents were there before in another spelling.
    spelled: HashMap<Id, Box<str>>,
    spelled_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    OnTheWay,
    Directory,
    Other,
}

/// A name that was there.
pub(super) struct Earlier<'a> {
    seen: &'a Seen,
    id: Id,
    pub(super) is_directory: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            paths: PathTable::new(true),
            kinds: Vec::new(),
            spelled: HashMap::new(),
            spelled_bytes: 0,
        }
    }
}

impl Seen {
    /// What was there under a name, whatever its case.
    pub(super) fn get(&self, name: &str) -> Option<Earlier<'_>> {
        let known = self.paths.known(name.split('/'));
        let is_there = known.names == name.split('/').count();
        let kind = *self.kinds.get(known.id.index()).filter(|_| is_there)?;
        (kind != Kind::OnTheWay).then_some(Earlier {
            seen: self,
            id: known.id,
            is_directory: kind == Kind::Directory,
        })
    }

    /// Keeps a name that was not there; nothing if there is no room for it.
    pub(super) fn keep(&mut self, name: &str, is_directory: bool) -> Option<()> {
        let known = self.paths.known(name.split('/'));
        let mut at = known.id;
        for rest in name.split('/').skip(known.names) {
            at = self.paths.add(at, rest)?;
            self.kinds.push(Kind::OnTheWay);
        }
        *self.kinds.get_mut(at.index())? = if is_directory {
            Kind::Directory
        } else {
            Kind::Other
        };
        if !known.is_exact {
            self.spelled_bytes += name.len() + 2 * EACH;
            self.spelled.insert(at, name.into());
        }
        Some(())
    }

    /// About what it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.paths.text_bytes() + self.paths.len() * EACH + self.spelled_bytes
    }
}

impl Earlier<'_> {
    /// As it was spelled.
    pub(super) fn name(&self) -> String {
        match self.seen.spelled.get(&self.id) {
            Some(name) => name.to_string(),
            None => self.seen.paths.path(self.id),
        }
    }
}
