//! Content comes and goes: how much there is, and what no repository holds any more.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{MutexGuard, PoisonError},
};

use oci::Digest;

use super::{Shared, files};
use crate::store::Tally;

/// The most contents that are remembered as released; what is beyond goes with the garbage.
const MAX_RELEASED: usize = 10_000;

impl Shared {
    /// Finds out how much content there is.
    pub(super) fn measure(&self) -> io::Result<()> {
        let mut size = self.size.held();
        for algorithm in files::ALGORITHMS {
            let directory = self.root.join("blobs").join(algorithm);
            for name in files::names(&directory)? {
                let length = files::length(&directory.join(name))?;
                size.add(length.map_or_else(Tally::default, Tally::one));
            }
        }
        Ok(())
    }

    /// Has content of a length come to its place, and counts it.
    pub(super) fn place_content(
        &self,
        at: &Path,
        length: u64,
        place: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut size = self.size.held();
        let before = files::length(at)?;
        place()?;
        size.subtract(before.map_or_else(Tally::default, Tally::one));
        size.add(Tally::one(length));
        Ok(())
    }

    /// Takes content from its place, and counts that; where it is until it is removed.
    pub(super) fn take_content(&self, at: &Path) -> io::Result<PathBuf> {
        let mut size = self.size.held();
        let length = files::length(at)?;
        let aside = self.files.set_aside(at)?;
        size.subtract(length.map_or_else(Tally::default, Tally::one));
        Ok(aside)
    }

    /// Notes that a repository no longer holds something. Whether another one does takes a look at
    /// each of them, which is done once for many, and not while a client waits.
    pub(super) fn release(&self, digest: &Digest) {
        let mut released = self.released();
        if released.len() < MAX_RELEASED {
            released.insert(digest.clone());
        }
        drop(released);
        self.views.notify.notify_one();
    }

    fn released(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what was released and no repository holds any more. What fails is left to
    /// garbage collection.
    pub(super) fn drop_unheld(&self) -> io::Result<()> {
        let mut unheld = std::mem::take(&mut *self.released());
        if unheld.is_empty() {
            return Ok(());
        }
        let watch = self.watch();
        for name in self.names.all() {
            let mut held = Vec::new();
            for digest in &unheld {
                if self.blob_link(&name, digest).try_exists()?
                    || self.has_manifest(&name, digest)?
                {
                    held.push(digest.clone());
                }
            }
            unheld.retain(|it| !held.contains(it));
        }
        for digest in unheld {
            let content = self.content(&digest);
            let aside = {
                let _removing = self.removing();
                if watch.saw(&digest) || files::length(&content)?.is_none() {
                    continue;
                }
                self.take_content(&content)?
            };
            self.files.remove(&aside)?;
        }
        Ok(())
    }
}
