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

mod accounting;
mod claim;
mod content;
mod files;
mod garbage;
mod integrity;
mod known;
mod manifests;
mod opening;
mod staged;
mod syncs;
#[cfg(test)]
mod tests;
mod view;

use std::{
    collections::{HashSet, hash_map::RandomState},
    fs::File,
    hash::BuildHasher as _,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, SystemTime},
};

use oci::{Digest, Tag};
use tokio::sync::Notify;

use super::{
    Collect, Content, Grace, Leftover, NewManifest, OpenManifest, Put, Staged, Store,
    StoredManifest, Tally, Ticket,
    watch::{Watch, Watches},
};
use crate::route::Name;

pub(crate) use claim::is_store;

/// A file that is written to see whether that works.
const TRIAL: &str = "trial~";
/// Tags are moved under one of so many locks, by repository.
const TAG_LOCKS: usize = 64;

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
    names: known::Names,
    tagged: known::Tagged,
    size: known::Size,
    /// Content that a repository no longer holds, and perhaps none does.
    released: Mutex<HashSet<Digest>>,
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
        self.files.touch(&link, self.grace.now())?;
        self.names.note(name);
        Ok(())
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
            self.0.release(digest);
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
            self.0.release(digest);
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
        Ok(self.0.names.all())
    }

    fn size(&self) -> Tally {
        self.0.size.get()
    }

    fn garbage(&self) -> Option<&dyn Collect> {
        Some(self)
    }

    fn view_changes(&self) -> Option<Arc<Notify>> {
        Some(Arc::clone(&self.0.views.notify))
    }

    fn renew_views(&self) -> io::Result<()> {
        let dropped = self.0.drop_unheld();
        view::renew(&self.0).and(dropped)
    }
}
