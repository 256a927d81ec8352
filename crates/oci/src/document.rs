//! Documents: a manifest or index as raw bytes, with what they are.
//!
//! The only form in which a manifest travels. It is made from bytes, it yields
//! the same bytes; what is read out of it is a view without a way back.

use std::{cmp::Ordering, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, de::Error as _};

use crate::{Descriptor, Digest, Index, Manifest, MediaType, nullable::Key};

/// The largest manifest read, accepted or sent: 4 MiB, inclusive, the practical limit
/// everywhere ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// A manifest or index: its bytes, verbatim, and the descriptor they have.
///
/// Cheap to clone.
///
/// ```
/// use longshore_oci::{Document, MediaType};
/// let bytes = br#"{ "schemaVersion": 2,"manifests":[] }"#;
/// let index = Document::new(bytes.as_slice().into(), None)?;
/// assert_eq!(index.media_type(), &MediaType::OCI_INDEX);
/// assert_eq!(index.bytes().as_ref(), bytes);
/// # Ok::<(), longshore_oci::DocumentError>(())
/// ```
#[derive(Clone)]
pub struct Document {
    bytes: Bytes,
    descriptor: Descriptor,
    view: View,
}

/// A document, read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum View {
    /// An image manifest or an artifact's.
    Manifest(Arc<Manifest>),
    /// An image index or manifest list.
    Index(Arc<Index>),
}

/// Why some bytes are not a document, or not the one that was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Over [`MAX_MANIFEST_BYTES`].
    #[error("manifest of {0} bytes is too large: at most 4194304 bytes (4 MiB) are accepted")]
    TooLarge(u64),
    /// Not JSON, or not the JSON of a manifest.
    #[error("manifest is malformed")]
    Malformed(#[source] serde_json::Error),
    /// Neither an image manifest nor an index, or both at once.
    ///
    /// A document that can be read two ways is refused
    /// ([GHSA-77vh-xpmg-72qh](https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh)).
    #[error("manifest is {0}")]
    Ambiguous(&'static str),
    /// The type it was given out as is not the type it says it has.
    #[error("manifest says it is {found}, but was declared as {declared}")]
    Contradiction {
        /// What was declared: a caller's type, a descriptor's, a header's.
        declared: MediaType,
        /// The document's own `mediaType`.
        found: MediaType,
    },
    /// A media type that is no manifest's.
    #[error("media type {0} is not a manifest's or an index's")]
    NotAManifest(MediaType),
    /// The bytes have another digest.
    #[error("manifest has digest {actual}, expected {expected}")]
    DigestMismatch {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// The bytes have another length.
    #[error("manifest is {actual} bytes long, expected {expected}")]
    SizeMismatch {
        /// The length it should have, in bytes.
        expected: u64,
        /// The length it has, in bytes.
        actual: u64,
    },
}

/// What tells the kinds of manifests apart. A key that stands twice is an error,
/// because readers disagree about which one counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default, deserialize_with = "crate::nullable::or_empty")]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Key,
    #[serde(default)]
    layers: Key,
    #[serde(default)]
    config: Key,
    #[serde(default)]
    fs_layers: Key,
}

impl Document {
    /// A document from its bytes, addressed by SHA-256.
    ///
    /// Its type is its own `mediaType`; where it has none, the `declared` one;
    /// where there is none either, OCI's, by shape. A declared type that
    /// contradicts the document's own is an error.
    pub fn new(bytes: Bytes, declared: Option<&MediaType>) -> Result<Self, DocumentError> {
        check_length(bytes.len())?;
        let digest = Digest::of(&bytes);
        Self::assemble(bytes, declared, digest)
    }

    /// The document that `descriptor` describes: its length, digest and type are
    /// checked. Keeps the descriptor's platform and annotations.
    pub fn verified(bytes: Bytes, descriptor: &Descriptor) -> Result<Self, DocumentError> {
        check_length(bytes.len())?;
        if bytes.len() as u64 != descriptor.size {
            return Err(DocumentError::SizeMismatch {
                expected: descriptor.size,
                actual: bytes.len() as u64,
            });
        }
        let mut it = Self::with_digest(bytes, Some(&descriptor.media_type), &descriptor.digest)?;
        it.descriptor = Descriptor {
            media_type: it.descriptor.media_type,
            ..descriptor.clone()
        };
        Ok(it)
    }

    /// A document that should have `digest`, of whatever length.
    pub fn with_digest(
        bytes: Bytes,
        declared: Option<&MediaType>,
        digest: &Digest,
    ) -> Result<Self, DocumentError> {
        check_length(bytes.len())?;
        let actual = Digest::of_with(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(DocumentError::DigestMismatch {
                expected: digest.clone(),
                actual,
            });
        }
        Self::assemble(bytes, declared, actual)
    }

    fn assemble(
        bytes: Bytes,
        declared: Option<&MediaType>,
        digest: Digest,
    ) -> Result<Self, DocumentError> {
        check_object(&bytes)?;
        let probe: Probe = serde_json::from_slice(&bytes).map_err(DocumentError::Malformed)?;
        let media_type = probe.media_type(declared)?;
        let view = if media_type.is_index() {
            View::Index(
                serde_json::from_slice::<Index>(&bytes)
                    .map(Into::into)
                    .map_err(DocumentError::Malformed)?,
            )
        } else {
            View::Manifest(
                serde_json::from_slice::<Manifest>(&bytes)
                    .map(Into::into)
                    .map_err(DocumentError::Malformed)?,
            )
        };
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Self {
            bytes,
            descriptor,
            view,
        })
    }

    /// The bytes, as they came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Type, digest and length; platform and annotations where it was found by them.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// The type to send it with.
    pub fn media_type(&self) -> &MediaType {
        &self.descriptor.media_type
    }

    /// The document, read.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The image manifest, if it is one.
    pub fn as_manifest(&self) -> Option<&Manifest> {
        match &self.view {
            View::Manifest(manifest) => Some(manifest),
            View::Index(_) => None,
        }
    }

    /// The index, if it is one.
    pub fn as_index(&self) -> Option<&Index> {
        match &self.view {
            View::Index(index) => Some(index),
            View::Manifest(_) => None,
        }
    }

    /// The artifact type that a list of referrers has of it: its own, or the media type of its
    /// config if an image manifest has none
    /// ([listing referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).
    pub fn artifact_type(&self) -> Option<&str> {
        match &self.view {
            View::Manifest(it) => {
                let config = it.config.media_type.as_str();
                Some(it.artifact_type.as_deref().unwrap_or(config))
            }
            View::Index(it) => it.artifact_type.as_deref(),
        }
    }

    /// What it is about, for a signature or another referrer.
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.view {
            View::Manifest(manifest) => manifest.subject.as_ref(),
            View::Index(index) => index.subject.as_ref(),
        }
    }

    /// What it is made of: config and layers of a manifest, in that order;
    /// children of an index. The subject is not among them.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match &self.view {
            View::Manifest(manifest) => (Some(&manifest.config), &manifest.layers),
            View::Index(index) => (None, &index.manifests),
        };
        config.into_iter().chain(rest)
    }
}

impl PartialEq for Document {
    /// The same bytes, described the same.
    fn eq(&self, other: &Self) -> bool {
        self.descriptor == other.descriptor && self.bytes == other.bytes
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    /// The descriptor, and neither bytes nor view: they are up to 4 MiB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.descriptor).finish()
    }
}

impl Probe {
    fn media_type(self, declared: Option<&MediaType>) -> Result<MediaType, DocumentError> {
        let by_shape = self.shape()?;
        let media_type = match (self.media_type.map(MediaType::new), declared) {
            (Some(found), Some(declared)) if found != *declared => {
                return Err(DocumentError::Contradiction {
                    declared: declared.clone(),
                    found,
                });
            }
            (Some(found), _) => found,
            (None, Some(declared)) => declared.clone(),
            (None, None) => by_shape.clone(),
        };
        if !media_type.is_index() && !media_type.is_manifest() {
            return Err(DocumentError::NotAManifest(media_type));
        }
        if media_type.is_index() != by_shape.is_index() {
            return Err(DocumentError::Ambiguous(
                "of one type by name and of another by content",
            ));
        }
        Ok(media_type)
    }

    fn shape(&self) -> Result<MediaType, DocumentError> {
        if self.fs_layers == Key::Present {
            return Err(DocumentError::Ambiguous(
                "of Docker schema 1, which is not supported: rebuild the image or convert it",
            ));
        }
        // A value outweighs a `null`, and a `null` a key that is not there.
        let image = self.config.max(self.layers);
        match image.cmp(&self.manifests) {
            Ordering::Greater => Ok(MediaType::OCI_MANIFEST),
            Ordering::Less => Ok(MediaType::OCI_INDEX),
            Ordering::Equal if image == Key::Present => {
                Err(DocumentError::Ambiguous("both an image and an index"))
            }
            Ordering::Equal => Err(DocumentError::Ambiguous("neither an image nor an index")),
        }
    }
}

fn check_length(bytes: usize) -> Result<(), DocumentError> {
    if bytes > MAX_MANIFEST_BYTES {
        return Err(DocumentError::TooLarge(bytes as u64));
    }
    Ok(())
}

/// A list of a structure's fields would be read as that structure.
fn check_object(bytes: &[u8]) -> Result<(), DocumentError> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        let error = serde_json::Error::custom("expected an object, found a list");
        return Err(DocumentError::Malformed(error));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
