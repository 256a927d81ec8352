//! An artifact as a source.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Repository, Reread, Source, SourceError,
};

use super::files;
use crate::{
    compose::EMPTY,
    source::{blocking::blocking, range::FileRange},
};

/// An artifact of files, to push. Made by [`ArtifactBuilder`](super::ArtifactBuilder).
#[derive(Clone, Debug)]
pub struct Artifact {
    manifest: Document,
    /// Where each content is; what is nowhere is the empty `{}`.
    files: HashMap<Digest, PathBuf>,
}

impl Artifact {
    pub(super) fn new(manifest: Document, files: HashMap<Digest, PathBuf>) -> Self {
        Self { manifest, files }
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Document {
        &self.manifest
    }

    fn missing(&self, digest: &Digest) -> SourceError {
        SourceError::Missing {
            digest: digest.clone(),
            place: format!("the artifact {}", self.manifest.digest()),
        }
    }

    /// Opens the file with a content; none if that is the empty one.
    async fn range(&self, blob: &Descriptor) -> Result<Option<FileRange>, SourceError> {
        let digest = &blob.digest;
        let Some(path) = self.files.get(digest) else {
            let is_empty = digest.matches(EMPTY);
            return is_empty.then_some(None).ok_or_else(|| self.missing(digest));
        };
        let opening = path.clone();
        let opened = blocking(move || files::open(&opening)).await?;
        opened
            .map(Some)
            .map_err(|error| unreadable(digest, path, error))
    }
}

fn unreadable(digest: &Digest, path: &Path, error: io::Error) -> SourceError {
    let place = path.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing {
            digest: digest.clone(),
            place,
        },
        _ => SourceError::unreadable(place, error),
    }
}

fn check_size(blob: &Descriptor, actual: u64, place: String) -> Result<(), SourceError> {
    if actual == blob.size {
        return Ok(());
    }
    Err(SourceError::WrongSize {
        digest: blob.digest.clone(),
        place,
        expected: blob.size,
        actual,
    })
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Artifact {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.manifest.clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        if descriptor.digest != *self.manifest.digest() {
            return Err(self.missing(&descriptor.digest));
        }
        let bytes = self.manifest.bytes().clone();
        Document::verified(bytes, descriptor).map_err(|error| SourceError::Document {
            place: format!("the artifact {}", self.manifest.digest()),
            error,
        })
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        if let Some(range) = self.range(blob).await? {
            check_size(blob, range.length(), range.place().to_owned())?;
            return range.stream(offset);
        }
        let start = usize::try_from(offset).map_or(EMPTY.len(), |it| it.min(EMPTY.len()));
        let rest = Bytes::from_static(&EMPTY[start..]);
        let piece = (!rest.is_empty()).then_some(Ok(rest));
        Ok(stream::iter(piece).boxed())
    }

    fn verifies(&self) -> bool {
        false
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        match self.range(blob).await? {
            Some(range) => check_size(blob, range.length(), range.place().to_owned()),
            None => check_size(blob, EMPTY.len() as u64, self.place(blob)),
        }
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        let Some(range) = self.range(blob).await? else {
            return Ok(None);
        };
        let place = range.place().to_owned();
        let version = blocking(move || range.version()).await?;
        version.map_err(|error| SourceError::unreadable(place, error))
    }

    fn place(&self, blob: &Descriptor) -> String {
        match self.files.get(&blob.digest) {
            Some(path) => path.display().to_string(),
            None => "the empty content of an artifact".to_owned(),
        }
    }

    async fn read_elsewhere(&self, _blob: &Descriptor, _fault: &SourceError) -> Option<Reread> {
        None
    }

    async fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        Ok(Vec::new())
    }

    async fn digest_tags(&self, _subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        Ok(Vec::new())
    }

    fn leaves_out(&self, _child: &Descriptor) -> bool {
        false
    }

    fn origin(&self) -> Option<&Repository> {
        None
    }
}
