//! What garbage collection needs of a store in a directory.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use oci::Digest;

use super::{Directory, files, manifests};
use crate::{
    route::Name,
    store::{
        Rules, Tally,
        collection::{Collect, Held, Pass},
        watch::Watch,
    },
};

impl Directory {
    fn link(&self, name: &Name, kind: Held, digest: &Digest) -> PathBuf {
        match kind {
            Held::Blob => self.0.blob_link(name, digest),
            Held::Manifest => self.0.manifest_link(name, digest),
        }
    }

    fn holdings(&self, name: &Name, kind: Held) -> PathBuf {
        self.0.repository(name).join(match kind {
            Held::Blob => "_blobs",
            Held::Manifest => "_manifests",
        })
    }
}

/// The digests that files below a directory are named by.
fn digests(directory: &Path) -> io::Result<Vec<Digest>> {
    let mut found = Vec::new();
    for algorithm in files::ALGORITHMS {
        let names = files::names(&directory.join(algorithm))?;
        let digest = |it: &String| format!("{algorithm}:{it}").parse().ok();
        found.extend(names.iter().filter_map(digest));
    }
    Ok(found)
}

impl Collect for Directory {
    fn cutoff(&self) -> SystemTime {
        self.0.grace.cutoff()
    }

    fn watch(&self) -> Watch {
        self.0.watch()
    }

    fn held(&self, name: &Name, kind: Held) -> io::Result<Vec<Digest>> {
        digests(&self.holdings(name, kind))
    }

    fn relied_on(
        &self,
        name: &Name,
        kind: Held,
        digest: &Digest,
    ) -> io::Result<Option<SystemTime>> {
        files::modified(&self.link(name, kind, digest))
    }

    fn release(
        &self,
        name: &Name,
        kind: Held,
        batch: &[Digest],
        pass: &Pass,
    ) -> io::Result<Vec<Digest>> {
        let removing = self.0.removing();
        let mut gone = Vec::new();
        for digest in batch {
            let relied_on = self.relied_on(name, kind, digest)?;
            if !pass.may_go(digest, relied_on) {
                continue;
            }
            match kind {
                _ if pass.dry_run => {}
                Held::Blob => drop(self.0.files.remove(&self.link(name, kind, digest))?),
                // No tag leads to it: one that was moved meanwhile was seen by the watch.
                Held::Manifest => drop(manifests::unlink(&self.0, name, digest, &[])?),
            }
            gone.push(digest.clone());
        }
        drop(removing);
        if !gone.is_empty() && !pass.dry_run {
            // Before the content goes: a power loss must not bring back what is then not there.
            for algorithm in files::ALGORITHMS {
                let links = self.holdings(name, kind).join(algorithm);
                self.0.files.sync_directory(&links)?;
            }
        }
        Ok(gone)
    }

    fn contents(&self) -> io::Result<Vec<Digest>> {
        digests(&self.0.root.join("blobs"))
    }

    fn drop_contents(&self, batch: &[Digest], pass: &Pass) -> io::Result<Tally> {
        let mut dropped = Tally::default();
        let mut aside = Vec::new();
        {
            let _removing = self.0.removing();
            for digest in batch {
                let path = self.0.content(digest);
                let Some(bytes) = files::length(&path)? else {
                    continue;
                };
                if pass.watch.saw(digest) {
                    continue;
                }
                dropped.add(Tally::one(bytes));
                if !pass.dry_run {
                    aside.push(self.0.take_content(&path)?);
                }
            }
        }
        // Freeing a large file takes long: nobody waits for it.
        for path in aside {
            self.0.files.remove(&path)?;
        }
        Ok(dropped)
    }

    fn drop_leftovers(&self, rules: &Rules) -> io::Result<Tally> {
        let mut dropped = Tally::default();
        let now = self.0.grace.now();
        let uploads = self.0.root.join("uploads");
        for id in files::names(&uploads)? {
            let upload = uploads.join(&id);
            let data = upload.join("data");
            let modified = files::modified(&data)?.or(files::modified(&upload)?);
            let age = modified.and_then(|it| now.duration_since(it).ok());
            if self.0.is_live(&id) || age.is_none_or(|age| age <= rules.idle) {
                continue;
            }
            dropped.add(Tally::one(files::length(&data)?.unwrap_or(0)));
            if !rules.dry_run {
                self.0.files.remove_tree(&upload)?;
            }
        }
        Ok(dropped)
    }
}
