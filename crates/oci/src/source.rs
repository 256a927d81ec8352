//! The port for bytes that can be pushed.

use std::{error::Error, fmt};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{Descriptor, Digest, Document, DocumentError, Repository, Tag};

/// The bytes of a blob from some offset to its end, in pieces of the source's choosing.
///
/// A piece is at most 1 MiB, so that what is in flight stays bounded.
pub type BlobStream = BoxStream<'static, Result<Bytes, SourceError>>;

/// Where an image's bytes come from: a layout, an archive, a registry, a build.
///
/// [`open`](Self::open) is the only way to a blob's bytes. A source need not
/// verify them: who reads to push does, unless the source [says](Self::verifies) that it
/// has. A document is verified where it is read, because [`Document`] cannot be made otherwise.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// The manifest or index to push.
    async fn root(&self) -> Result<Document, SourceError>;

    /// The manifest or index that `descriptor` describes.
    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError>;

    /// The bytes of `blob` from `offset` (in bytes, at most its size) to its end.
    ///
    /// May be called any number of times, at the same time too. A source that
    /// cannot seek reads and drops.
    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError>;

    /// Whether what [`open`](Self::open) gives is verified, so that nobody has to hash it again: from
    /// whatever offset a blob is opened, its last piece is given out only when the whole blob is
    /// known to have its length and its digest, and there is an error in the place of that piece
    /// otherwise. The default claims nothing.
    fn verifies(&self) -> bool {
        false
    }

    /// Whether `blob` can be opened and has its size, as far as can be told
    /// without reading it. The default claims nothing and finds no fault.
    async fn check_blob(&self, _blob: &Descriptor) -> Result<(), SourceError> {
        Ok(())
    }

    /// A mark for the state that `blob`'s bytes are in: the same for as long as they stand
    /// still, as far as can be told without reading them (a file's identity, length and time
    /// of modification), so that who has verified them once need not do so again.
    /// None, the default: it cannot be told.
    async fn version(&self, _blob: &Descriptor) -> Result<Option<String>, SourceError> {
        Ok(None)
    }

    /// Where `blob` is, for a person who reads an error: a path, an archive's entry.
    fn place(&self, _blob: &Descriptor) -> String {
        "the source".to_owned()
    }

    /// Told that what was read of `blob` is not it, as `fault` says. A source that knows several
    /// places to read it from leaves the one that gave those bytes for good: opened again, the
    /// blob comes from another. None, the default: opened again, it would be no other.
    async fn read_elsewhere(&self, _blob: &Descriptor, _fault: &SourceError) -> Option<Reread> {
        None
    }

    /// The manifests in this source that are about `subject`: signatures, attestations.
    /// The default knows of none.
    async fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        Ok(Vec::new())
    }

    /// The manifests in this source whose tags say that they are about one of `subjects`
    /// ([`Digest::digest_tags`]). The default knows of none.
    async fn digest_tags(&self, _subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        Ok(Vec::new())
    }

    /// Whether `child`, which an index of this source lists, is left behind: it is neither read nor
    /// pushed, and the index goes without it. The default leaves nothing behind.
    fn leaves_out(&self, _child: &Descriptor) -> bool {
        false
    }

    /// The repository it was read from, if it was one: blobs can be mounted from there.
    fn origin(&self) -> Option<&Repository> {
        None
    }
}

/// What a source does about a place that gave other bytes than a blob's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reread {
    /// The place that gave them, and is not read again: for a person, as in [`SourceError`].
    pub left: String,
    /// Where the blob is read from next.
    pub next: String,
}

/// A manifest that is about another one, which it does not name itself: its tag does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DigestTagged {
    /// The digest of what it is about.
    pub subject: Digest,
    /// The tag, one of the subject's [`Digest::digest_tags`].
    pub tag: Tag,
    /// The manifest.
    pub document: Document,
}

/// Why a source could not give what it should hold.
///
/// `place` is where it looked, for a person: a path, an archive's entry, a URL without secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such image: a tag or digest nobody knows, a platform it was not made for.
    #[error("there is no image at {place}")]
    NotFound {
        /// Where it was looked for, and what is there instead.
        place: String,
    },
    /// It is not there.
    #[error("{digest} is missing: nothing at {place}")]
    Missing {
        /// The content's digest.
        digest: Digest,
        /// Where it was looked for.
        place: String,
    },
    /// It has another length.
    #[error("{digest} at {place} is {actual} bytes long, expected {expected}")]
    WrongSize {
        /// The content's digest.
        digest: Digest,
        /// Where it was read.
        place: String,
        /// Its size by its descriptor, in bytes.
        expected: u64,
        /// The size found, in bytes.
        actual: u64,
    },
    /// It has other content.
    #[error("{expected} at {place} is altered: its content has digest {actual}")]
    Altered {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
        /// Where it was read.
        place: String,
    },
    /// It is there and cannot be read.
    #[error("could not read {place}")]
    Unreadable {
        /// Where it was read.
        place: String,
        /// Why not.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
    /// A manifest or index is not one, or not the right one.
    #[error("the manifest at {place} is not usable")]
    Document {
        /// Where it was read.
        place: String,
        /// What is wrong with it.
        #[source]
        error: DocumentError,
    },
    /// The source as a whole is not what it should be: a broken archive, a layout without its marker.
    #[error("{place} is not usable: {reason}")]
    Invalid {
        /// The source.
        place: String,
        /// What is wrong, and what to do about it.
        reason: String,
    },
}

impl DigestTagged {
    /// What is under `tag`, about `subject`.
    pub fn new(subject: Digest, tag: Tag, document: Document) -> Self {
        Self {
            subject,
            tag,
            document,
        }
    }
}

impl Reread {
    /// From `next`, no longer from `left`.
    pub fn new(left: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            left: left.into(),
            next: next.into(),
        }
    }
}

impl SourceError {
    /// A read that failed.
    pub fn unreadable(
        place: impl fmt::Display,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unreadable {
            place: place.to_string(),
            error: error.into(),
        }
    }

    /// A source that is not what it should be.
    pub fn invalid(place: impl fmt::Display, reason: impl Into<String>) -> Self {
        Self::Invalid {
            place: place.to_string(),
            reason: reason.into(),
        }
    }

    /// The content it is about, if it is about one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Missing { digest, .. } | Self::WrongSize { digest, .. } => Some(digest),
            Self::Altered { expected, .. } => Some(expected),
            _ => None,
        }
    }
}
