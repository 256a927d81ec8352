//! Taking a file of this machine into a store.
//!
//! It is cloned where the disk can share its blocks, and copied elsewhere; never linked: who has
//! the right to write to a file, read-only or not, could alter the store by it.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::Path,
};

use oci::{Descriptor, Hasher, SourceError};

use super::{
    Store, StoreError,
    directory::{Directory, Draft},
    run,
};

/// How much is copied at once, in bytes.
const PIECE: usize = 256 * 1024;

/// How a file came into a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ingested {
    /// It was there already.
    Present,
    /// Its blocks are shared until either is changed.
    Cloned,
    /// Its bytes were copied.
    Copied,
}

impl Store {
    /// Takes the file at `path` in as `blob`.
    ///
    /// Length and digest are those of what is in the store afterwards, read once it was there or
    /// while it was written: changing the file later, or meanwhile, alters nothing. Fails with
    /// [`StoreError::Content`] if it is not what `blob` says.
    pub async fn ingest(&self, path: &Path, blob: &Descriptor) -> Result<Ingested, StoreError> {
        let (it, path, blob) = (self.clone(), path.to_owned(), blob.clone());
        run(move || {
            if it.verified(&blob.digest, Some(blob.size)).is_some() {
                return Ok(Ingested::Present);
            }
            let (draft, ingested) = take_in(it.directory(), &path, &blob)?;
            let kept = draft.keep(it.directory(), &blob.digest);
            kept.map_err(|error| StoreError::io("write", it.path(), error))?;
            it.kept(blob.size);
            Ok(ingested)
        })
        .await?
    }
}

fn take_in(
    directory: &Directory,
    path: &Path,
    blob: &Descriptor,
) -> Result<(Draft, Ingested), StoreError> {
    let place = path.display().to_string();
    let unreadable = |error| StoreError::Content(SourceError::unreadable(&place, error));
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a regular file")));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let draft = directory
        .draft()
        .map_err(|error| StoreError::io("write", directory.path(), error))?;
    let cloned = clone_blocks(&file, draft.file()).is_ok();
    let mut hasher = Hasher::for_digest(&blob.digest);
    if cloned {
        let mut own = draft
            .reader()
            .map_err(|error| StoreError::io("read", directory.path(), error))?;
        hash(&mut own, &mut hasher, blob.size, |_| Ok(()))?;
    } else {
        hash(&mut file, &mut hasher, blob.size, |piece| {
            let written = draft.file().write_all(piece);
            written.map_err(|error| StoreError::io("write", directory.path(), error))
        })?;
    }
    let actual = hasher.bytes();
    if actual != blob.size {
        return Err(StoreError::Content(SourceError::WrongSize {
            digest: blob.digest.clone(),
            place,
            expected: blob.size,
            actual,
        }));
    }
    hasher.check(&blob.digest).map_err(|actual| {
        StoreError::Content(SourceError::Altered {
            expected: blob.digest.clone(),
            actual,
            place,
        })
    })?;
    let how = if cloned {
        Ingested::Cloned
    } else {
        Ingested::Copied
    };
    Ok((draft, how))
}

/// Reads to the end, or to the first byte too many, and gives each piece out.
fn hash(
    file: &mut File,
    hasher: &mut Hasher,
    size: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::Content(SourceError::unreadable("the file", error));
    let mut buffer = vec![0; PIECE];
    while hasher.bytes() <= size {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        hasher.update(&buffer[..read]);
        each(&buffer[..read])?;
    }
    Ok(())
}

/// Lets `to` share the blocks of `from`, where the disk can do that.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn clone_blocks(from: &File, to: &File) -> io::Result<()> {
    rustix::fs::ioctl_ficlone(to, from).map_err(io::Error::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn clone_blocks(_from: &File, _to: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
