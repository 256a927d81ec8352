//! Verifying all of a store.

use std::fs::File;

use oci::{Digest, Hasher};

use super::{
    Store, StoreError, StoreEvent,
    directory::{self, Entry},
    run,
};
use crate::source::FileRange;

/// What came of verifying a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many blobs and manifests were read.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not what their names say, and are removed.
    pub altered: Vec<Digest>,
    /// Those that could not be read, and are left.
    pub unreadable: Vec<Digest>,
}

impl Store {
    /// Reads all that is there. What was altered is removed, and images that are not whole any
    /// more are taken off the list. None of it counts as used by this.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        let it = self.clone();
        let read = |error| StoreError::io("read", it.path(), error);
        let listing = it.clone();
        let mut entries = run(move || listing.directory().entries())
            .await?
            .map_err(read)?;
        entries.sort_by(|a, b| a.digest.cmp(&b.digest));
        let mut verified = Verified::default();
        // One at a time, so that whoever stops waiting stops it.
        for entry in entries {
            let (it, digest) = (self.clone(), entry.digest.clone());
            match run(move || it.look_at(&entry)).await? {
                Look::Good(bytes) => verified.bytes += bytes,
                Look::Altered(bytes) => {
                    verified.bytes += bytes;
                    verified.altered.push(digest);
                }
                Look::Gone => continue,
                Look::Unreadable => verified.unreadable.push(digest),
            }
            verified.blobs += 1;
        }
        if !verified.altered.is_empty() {
            let it = self.clone();
            run(move || it.relist()).await??;
        }
        Ok(verified)
    }

    /// Blocks.
    fn look_at(&self, entry: &Entry) -> Look {
        let file = match self.directory().open(&entry.digest) {
            Ok(Some(file)) => file,
            Ok(None) => return Look::Gone,
            Err(_) => return Look::Unreadable,
        };
        let looked = check(&file, entry);
        directory::note_no_use(&file, entry);
        if matches!(looked, Look::Altered(_)) {
            let _ = std::fs::remove_file(&entry.path);
            self.tell(&StoreEvent::Altered {
                digest: entry.digest.clone(),
                place: entry.path.display().to_string(),
            });
        }
        looked
    }
}

enum Look {
    Good(u64),
    Altered(u64),
    Gone,
    Unreadable,
}

fn check(file: &File, entry: &Entry) -> Look {
    let place = entry.path.display().to_string();
    let range = file
        .try_clone()
        .and_then(|file| FileRange::whole(file, place));
    let Ok(range) = range else {
        return Look::Unreadable;
    };
    let mut hasher = Hasher::for_digest(&entry.digest);
    let read = range.for_each_piece(|piece| {
        hasher.update(piece);
        true
    });
    match read.map(|()| hasher.check(&entry.digest)) {
        Ok(Ok(())) => Look::Good(range.length()),
        Ok(Err(_)) => Look::Altered(range.length()),
        Err(_) => Look::Unreadable,
    }
}
