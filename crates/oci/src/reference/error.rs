//! Why a text is not a reference: one variant for each part that can be wrong.

use crate::DigestError;

/// Why a text is not a reference, or not the part of one it should be.
///
/// Texts are cut to 300 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// Nothing there.
    #[error("the reference is empty: expected registry/repository[:tag][@digest]")]
    Empty,
    /// The host or port is not one.
    #[error("registry {0:?} is malformed: expected host[:port]")]
    Registry(String),
    /// The repository's path is not one.
    #[error(
        "repository {0:?} is malformed: lower-case letters, digits and single separators . _ __ - only, parts divided by /"
    )]
    Repository(String),
    /// The repository's path has upper-case letters.
    #[error("repository {0:?} has upper-case letters: repositories are lower case")]
    UpperCase(String),
    /// Registry and repository are together over [`MAX_NAME_BYTES`](super::MAX_NAME_BYTES).
    #[error("name {0:?} is too long: registry and repository take at most 255 bytes")]
    TooLong(String),
    /// It is an image's ID, as `docker images` prints it, and no repository.
    #[error("{0} is an image's ID: expected registry/repository[:tag][@digest]")]
    ImageId(String),
    /// The tag is not one.
    #[error("tag {0:?} is malformed: up to 128 letters, digits, . _ and -, the first not . or -")]
    Tag(String),
    /// The digest is not one.
    #[error("the reference's digest is wrong")]
    Digest(#[source] DigestError),
    /// A scheme that no registry is spoken to with.
    #[error("scheme {0:?} is not supported: use https://, http:// or none")]
    Scheme(String),
}
