//! A store in a directory: blobs once, and what each repository holds of them.
//!
//! ```text
//! <root>/
//!   longshore-store.json                        {"version":1}
//!   lock                                        held by the process that has the store open
//!   blobs/sha256/<hex>                          content: blobs and manifests, each once
//!   repositories/<name>/_blobs/sha256/<hex>     empty: the repository holds this blob
//!   repositories/<name>/_manifests/sha256/<hex> the manifest's media type
//!   repositories/<name>/_tags/<tag>             the digest it points to
//!   repositories/<name>/_referrers/sha256/<subject's hex>/sha256:<hex>
//!                                               empty: this manifest is about that one
//!   repositories/<name>/_layout/                the repository as an OCI image layout: a view
//!   uploads/<id>/data                           what an upload session has received
//!   uploads/<id>/session.json                   whose it is
//!   uploads/<id>/sha256-<hex>                   it is becoming this blob
//!   scratch/<n>                                 files that are not at their place yet
//! ```
//!
//! `blobs/` is laid out as in an OCI image layout. A part of a repository's name
//! never begins with `_`, so names and holdings do not meet. sha512 has directories
//! of its own beside sha256. The modification time of what a repository holds is when
//! somebody last relied on it ([`Grace`]).
//!
//! **Durability.** A file appears under its final name only whole: it is written
//! elsewhere, synced, renamed, and the directory is synced. Each step is durable before
//! the next one can be seen: content before the link to it, links before the manifest
//! that needs them, a manifest before its tags; and all of it before the answer.
//! What may be lost with the power, and is not with the process: upload sessions, and
//! when something was relied on.
//!
//! **Locks.** Who links holds `links` to read, who removes holds it to write: what was
//! found to be there stays there until it is linked to. Nothing that takes long is done
//! under either: bytes are synced before, large files are freed after.

mod content;
mod files;
mod garbage;
mod integrity;
mod manifests;
mod staged;
mod syncs;
mod view;

use std::{
    collections::{HashSet, hash_map::RandomState},
    fs::{File, TryLockError},
    hash::BuildHasher as _,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use oci::{Digest, Tag};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    Collect, Content, Grace, Leftover, NewManifest, OpenManifest, Put, Staged, Store,
    StoredManifest, Ticket,
    watch::{Watch, Watches},
};
use crate::{ServerError, route::Name};

const MARKER: &str = "longshore-store.json";
const VERSION: u32 = 1;
/// A file that is written to see whether that works.
const TRIAL: &str = "trial~";
/// Tags are moved under one of so many locks, by repository.
const TAG_LOCKS: usize = 64;

/// Whether a store stands at `root`, of whatever version.
pub(crate) fn is_store(root: &Path) -> bool {
    root.join(MARKER).is_file()
}

/// A store in a directory, held by this process alone.
#[derive(Debug)]
pub(crate) struct Directory(Arc<Shared>);

/// What a store and the uploads into it have in common.
#[derive(Debug)]
struct Shared {
    root: PathBuf,
    files: files::Files,
    grace: Grace,
    /// Held as long as the file is open.
    _lock: File,
    /// Taken to write by who removes content, so that nobody links to it meanwhile.
    links: RwLock<()>,
    /// Taken by who moves tags, so that conditions hold.
    tags: [Mutex<()>; TAG_LOCKS],
    tags_key: RandomState,
    watches: Watches,
    /// The uploads that somebody has in hand.
    staging: Mutex<HashSet<String>>,
    views: view::Views,
    integrity: integrity::Integrity,
    spare: Arc<content::Spare>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Marker {
    version: u32,
}

impl Directory {
    /// Opens a store, or makes one in a directory that is empty or not there.
    pub(crate) fn open(root: &Path, grace: Grace) -> Result<Self, ServerError> {
        let files = files::Files::new(root.join("scratch"));
        Self::open_with(root, grace, files)
    }

    fn open_with(root: &Path, grace: Grace, files: files::Files) -> Result<Self, ServerError> {
        let failed = |error| ServerError::Store {
            path: root.to_owned(),
            error,
        };
        let lock = claim(root, &files)?;
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
        write_marker(root, &files).map_err(failed)?;
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
            views: view::Views::default(),
            integrity: integrity::Integrity::default(),
            spare: Arc::default(),
        }));
        let names = store.repositories().map_err(failed)?;
        view::look(&store.0, &names).map_err(failed)?;
        Ok(store)
    }
}

/// Makes sure that a directory is a store or can become one, and that it is this process's.
fn claim(root: &Path, files: &files::Files) -> Result<File, ServerError> {
    let failed = |error| ServerError::Store {
        path: root.to_owned(),
        error,
    };
    let strange = |reason: &str| ServerError::NotAStore {
        path: root.to_owned(),
        reason: reason.to_owned(),
    };
    if root.is_file() {
        return Err(strange("it is a file"));
    }
    files.make_directory(root).map_err(failed)?;
    let marker = root.join(MARKER);
    let is_new = !marker.try_exists().map_err(failed)?;
    if is_new && !is_unfinished(root).map_err(failed)? {
        let is_layout = root.join(oci::layout::MARKER).is_file();
        return Err(strange(if is_layout {
            "it is an OCI image layout, which is served by its path, without --store"
        } else {
            "it holds other files, and a store begins in an empty directory or one that is not there"
        }));
    }
    let lock = File::create(root.join("lock")).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ServerError::StoreInUse {
            path: root.to_owned(),
        },
        TryLockError::Error(error) => failed(error),
    })?;
    if let Some(text) = files::read(&marker).map_err(failed)? {
        match serde_json::from_slice(&text) {
            Ok(Marker { version: VERSION }) => {}
            Ok(Marker { version }) => {
                return Err(strange(&format!(
                    "version {version} was made by a newer longshore, this one knows {VERSION}"
                )));
            }
            Err(_) => return Err(strange("its marker cannot be read")),
        }
    }
    Ok(lock)
}

/// Whether a directory without a marker is empty, or holds no more than what a start makes
/// that was cut off before it came to the marker.
fn is_unfinished(root: &Path) -> io::Result<bool> {
    for name in files::names(root)? {
        let is_ours = match name.as_str() {
            "lock" => true,
            "blobs" => {
                let algorithms = files::names(&root.join(&name))?;
                let mut all = algorithms.iter().map(|it| root.join(&name).join(it));
                all.try_fold(true, |so_far, it| {
                    io::Result::Ok(so_far && it.is_dir() && files::names(&it)?.is_empty())
                })?
            }
            "repositories" | "uploads" => files::names(&root.join(&name))?.is_empty(),
            // What is prepared there is the marker.
            "scratch" => files::names(&root.join(&name))?.len() <= 1,
            _ => false,
        };
        if !is_ours {
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_marker(root: &Path, files: &files::Files) -> io::Result<()> {
    let marker = root.join(MARKER);
    if marker.try_exists()? {
        return Ok(());
    }
    let text = serde_json::json!(Marker { version: VERSION }).to_string();
    files.write_whole(&marker, text.as_bytes())
}

// === impl Shared ===

impl Shared {
    fn repository(&self, name: &Name) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn blob_link(&self, name: &Name, digest: &Digest) -> PathBuf {
        files::by_digest(&self.repository(name).join("_blobs"), digest)
    }

    fn manifest_link(&self, name: &Name, digest: &Digest) -> PathBuf {
        files::by_digest(&self.repository(name).join("_manifests"), digest)
    }

    fn content(&self, digest: &Digest) -> PathBuf {
        files::by_digest(&self.root.join("blobs"), digest)
    }

    fn linking(&self) -> RwLockReadGuard<'_, ()> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.links.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn moving_tags(&self, name: &Name) -> MutexGuard<'_, ()> {
        let hash = self.tags_key.hash_one(name);
        let which = usize::try_from(hash % TAG_LOCKS as u64).unwrap_or_default();
        self.tags[which]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn staging(&self) -> MutexGuard<'_, HashSet<String>> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_live(&self, id: &str) -> bool {
        self.staging().contains(id)
    }

    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        self.manifest_link(name, digest).try_exists()
    }

    /// The length of a blob, if the repository holds it.
    fn blob_length(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        if !self.blob_link(name, digest).try_exists()? || self.integrity.is_damaged(digest) {
            return Ok(None);
        }
        files::length(&self.content(digest))
    }

    /// Whether content is there that is not known to be damaged.
    fn has_content(&self, digest: &Digest, length: u64) -> io::Result<bool> {
        let there = files::length(&self.content(digest))?;
        Ok(there == Some(length) && !self.integrity.is_damaged(digest))
    }

    /// Lets a repository hold a blob whose content is there. The caller has the lock to link,
    /// and syncs the link's name.
    fn link_blob(&self, name: &Name, digest: &Digest) -> io::Result<()> {
        self.watches.note([digest]);
        self.files.sync_parent(&self.content(digest))?;
        let link = self.blob_link(name, digest);
        self.files.touch(&link, self.grace.now())
    }

    /// Notes that somebody relies on what a link stands for. The caller has the lock to link.
    fn renew(&self, link: &Path) -> io::Result<()> {
        let Some(noted) = files::modified(link)? else {
            return Ok(());
        };
        if let Some(now) = self.grace.renewed(noted)
            && let Err(error) = self.files.set_modified(link, now)
        {
            // A disk that is full or broken is no reason not to be read.
            tracing::warn!(%error, "could not note that something is still in use");
        }
        Ok(())
    }

    /// The same for who has no lock; it is seldom taken.
    fn rely_on(&self, link: &Path) -> io::Result<()> {
        match files::modified(link)? {
            Some(noted) if self.grace.renewed(noted).is_some() => {
                let _linking = self.linking();
                self.renew(link)
            }
            _ => Ok(()),
        }
    }

    /// Sees all that is linked from now on. Who noted a link before has made it by now: it
    /// is found by who looks.
    fn watch(&self) -> Watch {
        let _removing = self.removing();
        self.watches.begin()
    }

    /// Removes content, if no repository holds it any more.
    fn drop_unheld(&self, store: &Directory, digest: &Digest) -> io::Result<()> {
        let watch = self.watch();
        for name in store.repositories()? {
            if self.blob_link(&name, digest).try_exists()? || self.has_manifest(&name, digest)? {
                return Ok(());
            }
        }
        let content = self.content(digest);
        let aside = {
            let _removing = self.removing();
            if watch.saw(digest) || files::length(&content)?.is_none() {
                return Ok(());
            }
            self.files.set_aside(&content)?
        };
        self.files.remove(&aside).map(drop)
    }
}

impl Store for Directory {
    fn blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        self.0.rely_on(&self.0.blob_link(name, digest))?;
        self.0.blob_length(name, digest)
    }

    fn open(&self, name: &Name, digest: &Digest) -> io::Result<Option<Box<dyn Content>>> {
        if self.blob(name, digest)?.is_none() {
            return Ok(None);
        }
        content::open_blob(&self.0, digest)
    }

    fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> io::Result<bool> {
        {
            let _linking = self.0.linking();
            if self.0.blob_length(from, digest)?.is_none() {
                return Ok(false);
            }
            self.0.renew(&self.0.blob_link(from, digest))?;
            self.0.link_blob(to, digest)?;
        }
        self.0.files.sync_parent(&self.0.blob_link(to, digest))?;
        Ok(true)
    }

    fn holder(
        &self,
        digest: &Digest,
        may_read: &dyn Fn(&Name) -> bool,
    ) -> io::Result<Option<Name>> {
        if !self.0.content(digest).try_exists()? {
            return Ok(None);
        }
        for name in self.repositories()? {
            if may_read(&name) && self.0.blob_link(&name, digest).try_exists()? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn remove_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let link = self.0.blob_link(name, digest);
        let removed = {
            let _removing = self.0.removing();
            self.0.files.remove(&link)?
        };
        if removed {
            self.0.files.sync_parent(&link)?;
            self.0.drop_unheld(self, digest)?;
        }
        Ok(removed)
    }

    fn stage(&self, id: &str, ticket: &Ticket) -> io::Result<Box<dyn Staged>> {
        staged::create(&self.0, id, ticket)
    }

    fn leftovers(&self, idle: Duration) -> io::Result<Vec<Leftover>> {
        staged::leftovers(&self.0, idle)
    }

    fn put_manifest(&self, name: &Name, manifest: &NewManifest) -> io::Result<Put> {
        manifests::put(&self.0, name, manifest)
    }

    fn manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<StoredManifest>> {
        manifests::get(&self.0, name, digest)
    }

    fn open_manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<OpenManifest>> {
        manifests::open(&self.0, name, digest)
    }

    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        self.0.has_manifest(name, digest)
    }

    fn rely_on_manifest(&self, name: &Name, digest: &Digest) {
        let relied = self.0.rely_on(&self.0.manifest_link(name, digest));
        if let Err(error) = relied {
            tracing::warn!(%error, "could not note that a manifest is still in use");
        }
    }

    fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        manifests::tag(&self.0, name, tag)
    }

    fn has_repository(&self, name: &Name) -> io::Result<bool> {
        manifests::is_repository(&self.0.repository(name))
    }

    fn tags_after(&self, name: &Name, after: &str, most: usize) -> io::Result<Vec<Tag>> {
        manifests::tags_after(&self.0, name, after, most)
    }

    fn tags(&self, name: &Name) -> io::Result<Option<Vec<Tag>>> {
        manifests::tags(&self.0, name)
    }

    fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool> {
        manifests::remove_tag(&self.0, name, tag)
    }

    fn remove_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let removed = manifests::remove(&self.0, name, digest)?;
        if removed {
            self.0.drop_unheld(self, digest)?;
        }
        Ok(removed)
    }

    fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>> {
        manifests::referrers(&self.0, name, subject)
    }

    fn tagged_at(&self, name: &Name, tag: &Tag) -> io::Result<Option<SystemTime>> {
        files::modified(&manifests::tag_path(&self.0, name, tag))
    }

    fn try_write(&self) -> io::Result<()> {
        // In the uploads' place, where content is written first.
        let path = self.0.root.join("uploads").join(TRIAL);
        self.0.files.prepare(b"longshore")?.place(&path)?;
        self.0.files.remove(&path).map(drop)
    }

    fn repositories(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        find_repositories(&self.0.root.join("repositories"), "", &mut names)?;
        names.sort_unstable();
        Ok(names)
    }

    fn garbage(&self) -> Option<&dyn Collect> {
        Some(self)
    }

    fn view_changes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.0.views.notify))
    }

    fn renew_views(&self) -> io::Result<()> {
        view::renew(&self.0)
    }
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

#[cfg(test)]
mod tests;
