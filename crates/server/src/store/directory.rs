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
//!   uploads/<id>/data                           what an upload session has received
//!   uploads/<id>/session.json                   whose it is
//! ```
//!
//! `blobs/` is laid out as in an OCI image layout. A part of a repository's name
//! never begins with `_`, so names and holdings do not meet. sha512 has directories
//! of its own beside sha256.
//!
//! **Durability.** A file appears under its final name only whole: it is written
//! elsewhere, synced, renamed, and the directory is synced. A blob's content is durable before its 201; that the
//! *repository* holds it is durable before the 201 of the manifest that needs it
//! (a push that is cut off by a power loss may have to send a link again, never a
//! wrong image). Tags are replaced by rename, after the manifest they point to.

mod content;
mod files;
mod manifests;
mod staged;

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use oci::{Digest, Tag};
use serde::{Deserialize, Serialize};

use super::{Content, Leftover, NewManifest, Put, Staged, Store, StoredManifest, Ticket};
use crate::{ServerError, route::Name};

const MARKER: &str = "longshore-store.json";
const VERSION: u32 = 1;
/// A file that is written to see whether that works.
const TRIAL: &str = "trial~";

/// A store in a directory, held by this process alone.
#[derive(Debug)]
pub(crate) struct Directory {
    root: PathBuf,
    /// Held as long as the file is open.
    _lock: File,
    /// Taken to write by who removes content, so that nobody links to it meanwhile.
    links: std::sync::Arc<RwLock<()>>,
    /// Taken by who moves tags, so that conditions hold.
    tags: Mutex<()>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Marker {
    version: u32,
}

impl Directory {
    /// Opens a store, or makes one in a directory that is empty or not there.
    pub(crate) fn open(root: &Path) -> Result<Self, ServerError> {
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
        files::make_directory(root).map_err(failed)?;
        let marker = root.join(MARKER);
        let is_new = !marker.try_exists().map_err(failed)?;
        if is_new && !files::is_empty_but_for(root, "lock").map_err(failed)? {
            return Err(strange("it holds other files"));
        }
        let lock = File::create(root.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ServerError::StoreInUse {
                path: root.to_owned(),
            },
            TryLockError::Error(error) => failed(error),
        })?;
        if is_new {
            let text = serde_json::json!(Marker { version: VERSION }).to_string();
            files::write_whole(&marker, text.as_bytes()).map_err(failed)?;
        } else {
            let text = fs::read(&marker).map_err(failed)?;
            match serde_json::from_slice(&text) {
                Ok(Marker { version: VERSION }) => {}
                Ok(Marker { version }) => return Err(strange(&format!("version {version}"))),
                Err(_) => return Err(strange("its marker cannot be read")),
            }
        }
        for directory in ["blobs/sha256", "blobs/sha512", "repositories", "uploads"] {
            files::make_directory(&root.join(directory)).map_err(failed)?;
        }
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
            links: std::sync::Arc::default(),
            tags: Mutex::default(),
        })
    }

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

    /// Removes content that no repository holds any more. Takes the lock held to write as proof.
    fn collect(&self, digest: &Digest, _removing: &RwLockWriteGuard<'_, ()>) -> io::Result<()> {
        for name in self.repositories()? {
            if self.blob_link(&name, digest).try_exists()?
                || self.manifest_link(&name, digest).try_exists()?
            {
                return Ok(());
            }
        }
        files::remove(&self.content(digest)).map(drop)
    }
}

impl Store for Directory {
    fn blob(&self, name: &Name, digest: &Digest) -> io::Result<Option<u64>> {
        if !self.blob_link(name, digest).try_exists()? {
            return Ok(None);
        }
        files::length(&self.content(digest))
    }

    fn open(&self, name: &Name, digest: &Digest) -> io::Result<Option<Box<dyn Content>>> {
        if !self.blob_link(name, digest).try_exists()? {
            return Ok(None);
        }
        content::open(&self.content(digest))
    }

    fn mount(&self, from: &Name, to: &Name, digest: &Digest) -> io::Result<bool> {
        let _linking = self.linking();
        if self.blob(from, digest)?.is_none() {
            return Ok(false);
        }
        files::touch(&self.blob_link(to, digest))?;
        Ok(true)
    }

    fn holder(
        &self,
        digest: &Digest,
        may_read: &dyn Fn(&Name) -> bool,
    ) -> io::Result<Option<Name>> {
        if !self.content(digest).try_exists()? {
            return Ok(None);
        }
        for name in self.repositories()? {
            if may_read(&name) && self.blob_link(&name, digest).try_exists()? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn remove_blob(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        let removing = self.removing();
        let removed = files::remove(&self.blob_link(name, digest))?;
        if removed {
            self.collect(digest, &removing)?;
        }
        Ok(removed)
    }

    fn stage(&self, id: &str, ticket: &Ticket) -> io::Result<Box<dyn Staged>> {
        staged::create(self, id, ticket)
    }

    fn leftovers(&self, idle: Duration) -> io::Result<Vec<Leftover>> {
        staged::leftovers(self, idle)
    }

    fn put_manifest(&self, name: &Name, manifest: &NewManifest) -> io::Result<Put> {
        manifests::put(self, name, manifest)
    }

    fn manifest(&self, name: &Name, digest: &Digest) -> io::Result<Option<StoredManifest>> {
        manifests::get(self, name, digest)
    }

    fn has_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        self.manifest_link(name, digest).try_exists()
    }

    fn tag(&self, name: &Name, tag: &Tag) -> io::Result<Option<Digest>> {
        manifests::tag(self, name, tag)
    }

    fn tags(&self, name: &Name) -> io::Result<Option<Vec<Tag>>> {
        manifests::tags(self, name)
    }

    fn remove_tag(&self, name: &Name, tag: &Tag) -> io::Result<bool> {
        let _tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        files::remove(&manifests::tag_path(self, name, tag))
    }

    fn remove_manifest(&self, name: &Name, digest: &Digest) -> io::Result<bool> {
        manifests::remove(self, name, digest)
    }

    fn referrers(&self, name: &Name, subject: &Digest) -> io::Result<Vec<Digest>> {
        manifests::referrers(self, name, subject)
    }

    fn try_write(&self) -> io::Result<()> {
        // In the uploads' place, where content is written first.
        let path = self.root.join("uploads").join(TRIAL);
        files::write_whole(&path, b"longshore")?;
        files::remove(&path).map(drop)
    }

    fn repositories(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        find_repositories(&self.root.join("repositories"), "", &mut names)?;
        names.sort_unstable();
        Ok(names)
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
