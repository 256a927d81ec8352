//! Layers in files.

use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{BlobStream, Descriptor, Digest, SourceError};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};

use super::PIECE;

/// A file that is being read.
struct Reading {
    file: File,
    path: PathBuf,
    digest: Digest,
    size: u64,
    /// Bytes still to come.
    rest: u64,
}

/// Whether the file can be opened and has the blob's size.
pub(super) async fn check(path: &Path, blob: &Descriptor) -> Result<(), SourceError> {
    open_file(path, blob).await.map(drop)
}

/// The file's bytes from `offset` on.
pub(super) async fn open(
    path: &Path,
    blob: &Descriptor,
    offset: u64,
) -> Result<BlobStream, SourceError> {
    let mut file = open_file(path, blob).await?;
    let offset = offset.min(blob.size);
    if offset > 0 {
        let sought = file.seek(SeekFrom::Start(offset)).await;
        sought.map_err(|error| failed(path, blob, error))?;
    }
    file.set_max_buf_size(PIECE);
    let reading = Reading {
        file,
        path: path.to_owned(),
        digest: blob.digest.clone(),
        size: blob.size,
        rest: blob.size - offset,
    };
    Ok(stream::try_unfold(reading, Reading::next)
        .into_stream()
        .boxed())
}

impl Reading {
    async fn next(mut self) -> Result<Option<(bytes::Bytes, Self)>, SourceError> {
        if self.rest == 0 {
            return Ok(None);
        }
        let length = usize::try_from(self.rest).unwrap_or(PIECE).min(PIECE);
        let mut piece = BytesMut::with_capacity(length);
        let mut limited = (&mut self.file).take(length as u64);
        let read = limited.read_buf(&mut piece).await;
        match read {
            Ok(0) => Err(SourceError::WrongSize {
                place: self.path.display().to_string(),
                expected: self.size,
                actual: self.size - self.rest,
                digest: self.digest,
            }),
            Ok(read) => {
                self.rest -= read as u64;
                Ok(Some((piece.freeze(), self)))
            }
            Err(error) => Err(SourceError::unreadable(self.path.display(), error)),
        }
    }
}

/// The file, open, if it is one and has the blob's size. What is no file is not
/// opened: a pipe would wait for its writer.
async fn open_file(path: &Path, blob: &Descriptor) -> Result<File, SourceError> {
    let failed = |error| failed(path, blob, error);
    let found = tokio::fs::metadata(path).await.map_err(failed)?;
    if !found.is_file() {
        let kind = io::Error::new(io::ErrorKind::InvalidInput, "it is not a file");
        return Err(SourceError::unreadable(path.display(), kind));
    }
    let file = File::open(path).await.map_err(failed)?;
    let actual = file.metadata().await.map_err(failed)?.len();
    if actual != blob.size {
        return Err(SourceError::WrongSize {
            digest: blob.digest.clone(),
            place: path.display().to_string(),
            expected: blob.size,
            actual,
        });
    }
    Ok(file)
}

fn failed(path: &Path, blob: &Descriptor, error: io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound {
        return SourceError::Missing {
            digest: blob.digest.clone(),
            place: path.display().to_string(),
        };
    }
    SourceError::unreadable(path.display(), error)
}
