//! What of the store is in memory, so that what is asked often need not look through the disk.
//!
//! The truth is in the files. Each of these is read from them once, kept up by whoever changes
//! them (nobody else does: the store is one process's), and bounded.
//!
//! - **Repositories**: their names, from the start on. None ever goes.
//! - **Tags**: where each tag of a repository points to, from the first time that a manifest of it is
//!   removed. A fingerprint of the digest is kept: who finds a tag by it reads its file.
//! - **Size**: how many contents there are and how long they are together.

use std::{
    collections::{BTreeSet, HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use oci::{Digest, Tag};

use crate::{route::Name, store::Tally};

/// The most tags that are known, of all repositories together; of a repository with more, none is.
pub(super) const MAX_TAGS: usize = 50_000;

/// The names of all repositories.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<BTreeSet<Name>>);

/// Where tags point to.
#[derive(Debug, Default)]
pub(super) struct Tagged {
    repositories: Mutex<HashMap<Name, HashMap<Tag, u64>>>,
    key: RandomState,
}

/// How much content there is. Locked while a file comes to its place or leaves it.
#[derive(Debug, Default)]
pub(super) struct Size(Mutex<Tally>);

// === impl Names ===

impl Names {
    pub(super) fn fill(&self, names: impl IntoIterator<Item = Name>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(names);
    }

    /// Notes that there is a repository.
    pub(super) fn note(&self, name: &Name) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if all.contains(name) {
            return;
        }
        drop(all);
        self.fill([name.clone()]);
    }

    /// All of them, in order.
    pub(super) fn all(&self) -> Vec<Name> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().cloned().collect()
    }
}

// === impl Tagged ===

impl Tagged {
    fn repositories(&self) -> MutexGuard<'_, HashMap<Name, HashMap<Tag, u64>>> {
        self.repositories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where a tag points to, if the repository's are known.
    pub(super) fn moved(&self, name: &Name, tag: &Tag, digest: &Digest) {
        let mut repositories = self.repositories();
        let Some(tags) = repositories.get_mut(name) else {
            return;
        };
        tags.insert(tag.clone(), self.key.hash_one(digest));
        if tags.len() > MAX_TAGS {
            repositories.remove(name);
        }
    }

    /// Notes that a tag is gone.
    pub(super) fn removed(&self, name: &Name, tag: &Tag) {
        if let Some(tags) = self.repositories().get_mut(name) {
            tags.remove(tag);
        }
    }

    /// Whether a repository's are known.
    pub(super) fn knows(&self, name: &Name) -> bool {
        self.repositories().contains_key(name)
    }

    /// Takes in all tags of a repository, as far as there is room; those of others make it. The
    /// caller excludes who moves them.
    pub(super) fn learn(&self, name: &Name, tags: &[(Tag, Digest)]) {
        if tags.len() > MAX_TAGS {
            return;
        }
        let mut repositories = self.repositories();
        let known: usize = repositories.values().map(HashMap::len).sum();
        if known + tags.len() > MAX_TAGS {
            repositories.clear();
        }
        let tags = tags.iter();
        let tags = tags.map(|(tag, digest)| (tag.clone(), self.key.hash_one(digest)));
        repositories.insert(name.clone(), tags.collect());
    }

    /// The tags that may point to a manifest, all that do among them; none if they are not known.
    pub(super) fn of(&self, name: &Name, digest: &Digest) -> Option<Vec<Tag>> {
        let wanted = self.key.hash_one(digest);
        let repositories = self.repositories();
        let tags = repositories.get(name)?.iter();
        let found = tags.filter(|it| *it.1 == wanted);
        Some(found.map(|it| it.0.clone()).collect())
    }
}

// === impl Size ===

impl Size {
    pub(super) fn get(&self) -> Tally {
        *self.held()
    }

    /// Excludes others who change it, until the answer of this is dropped.
    pub(super) fn held(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(count: usize) -> Vec<(Tag, Digest)> {
        let one = |it: usize| (format!("t{it}").parse().unwrap(), Digest::of(&[0]));
        (0..count).map(one).collect()
    }

    #[test]
    fn no_more_tags_are_known_than_there_may_be() {
        let known = Tagged::default();
        let names = ["a", "b", "c"].map(|it| Name::parse(it).unwrap());
        let digest = Digest::of(&[0]);
        known.learn(&names[0], &tagged(MAX_TAGS / 2));
        known.learn(&names[1], &tagged(MAX_TAGS / 2));
        assert!(known.knows(&names[0]) && known.knows(&names[1]));
        known.learn(&names[2], &tagged(1));
        assert!(!known.knows(&names[0]) && !known.knows(&names[1]));
        assert_eq!(known.of(&names[2], &digest).unwrap().len(), 1);
        known.learn(&names[0], &tagged(MAX_TAGS + 1));
        assert_eq!(known.of(&names[0], &digest), None);
        // One that grows over it is no longer known, rather than known in part.
        known.learn(&names[0], &tagged(MAX_TAGS));
        known.moved(&names[0], &"more".parse().unwrap(), &digest);
        assert_eq!(known.of(&names[0], &digest), None);
    }
}
