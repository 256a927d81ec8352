//! The files of an artifact: opened, hashed, read.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use oci::{Algorithm, Descriptor, Hasher, SourceError};

use super::{ArtifactError, ArtifactFile};
use crate::source::{
    blocking::blocking_until_dropped,
    range::{FileRange, ReadError},
};

/// Opens a regular file. Blocks, but not for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<FileRange> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory",
        ));
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    FileRange::whole(File::open(path)?, path.display().to_string())
}

/// The file's descriptor: the one time it is read before it is sent.
pub(super) async fn describe(file: ArtifactFile) -> Result<(Descriptor, PathBuf), ArtifactError> {
    let path = file.path.clone();
    let hashing = blocking_until_dropped(move |abandoned| {
        let range = open(&path)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let read = range.for_each_piece(|piece| {
            hasher.update(piece);
            !abandoned.load(Ordering::Relaxed)
        });
        match read {
            Ok(()) => Ok((hasher.finish(), range.length())),
            Err(ReadError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    let hashed = hashing
        .await
        .map_err(|error: SourceError| io::Error::other(error));
    let hashed = hashed.and_then(|it| it);
    let (digest, size) = hashed.map_err(|error| ArtifactError::File {
        path: file.path.clone(),
        error,
    })?;
    let mut descriptor = Descriptor::new(file.media_type, digest, size);
    descriptor.annotations = file.annotations;
    Ok((descriptor, file.path))
}
