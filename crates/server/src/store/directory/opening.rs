//! Opening a store: it is claimed, made if there is none, and looked through once.

use std::{
    collections::hash_map::RandomState,
    io,
    path::Path,
    sync::{Arc, Mutex, RwLock},
};

use super::{
    Directory, Shared, claim, files, integrity, known, manifests,
    view::{self, Views},
};
use crate::{
    ServerError,
    route::Name,
    store::{Grace, watch::Watches},
};

impl Directory {
    /// Opens a store, or makes one in a directory that is empty or not there.
    pub(crate) fn open(root: &Path, grace: Grace) -> Result<Self, ServerError> {
        let files = files::Files::new(root.join("scratch"));
        Self::open_with(root, grace, files)
    }

    pub(super) fn open_with(
        root: &Path,
        grace: Grace,
        files: files::Files,
    ) -> Result<Self, ServerError> {
        let failed = |error| ServerError::Store {
            path: root.to_owned(),
            error,
        };
        let lock = claim::claim(root, &files)?;
        // Nobody else has it open, so nobody is about to finish these.
        files.remove_tree(&root.join("scratch")).map_err(failed)?;
        for directory in [
            "blobs/sha256",
            "blobs/sha512",
            "repositories",
            "uploads",
            "scratch",
        ] {
            files
                .make_directory(&root.join(directory))
                .map_err(failed)?;
        }
        claim::write_marker(root, &files).map_err(failed)?;
        let store = Self(Arc::new(Shared {
            root: root.to_owned(),
            files,
            grace,
            _lock: lock,
            links: RwLock::default(),
            tags: std::array::from_fn(|_| Mutex::default()),
            tags_key: RandomState::new(),
            watches: Watches::default(),
            staging: Mutex::default(),
            views: Views::default(),
            integrity: integrity::Integrity::default(),
            spare: Arc::default(),
            names: known::Names::default(),
            tagged: known::Tagged::default(),
            size: known::Size::default(),
            released: Mutex::default(),
        }));
        let names = found_repositories(root).map_err(failed)?;
        view::look(&store.0, &names).map_err(failed)?;
        store.0.names.fill(names);
        store.0.measure().map_err(failed)?;
        Ok(store)
    }
}

/// All repositories that there are on the disk.
fn found_repositories(root: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    find_repositories(&root.join("repositories"), "", &mut names)?;
    Ok(names)
}

/// Directories that hold something of a repository, at any depth below `at`.
fn find_repositories(at: &Path, prefix: &str, names: &mut Vec<Name>) -> io::Result<()> {
    for part in files::names(at)? {
        if part.starts_with('_') {
            continue;
        }
        let below = at.join(&part);
        let name = if prefix.is_empty() {
            part
        } else {
            format!("{prefix}/{part}")
        };
        if manifests::is_repository(&below)?
            && let Some(name) = Name::parse(&name)
        {
            names.push(name);
        }
        find_repositories(&below, &name, names)?;
    }
    Ok(())
}
