//! What comes of putting a manifest under tags, and of having it listed under its subject.

use crate::{Digest, Tag};

use super::ManifestReceipt;

/// What came of putting a manifest under several tags in one request.
///
/// A registry that does not know such requests takes the manifest and is silent about the tags: what it
/// did not confirm it did not create
/// ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagsReceipt {
    /// The tags that the registry said it made name the manifest.
    pub tags: Vec<Tag>,
    /// What it said of the manifest.
    pub manifest: ManifestReceipt,
}

/// What came of putting a manifest under a tag that must not be there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewTag {
    /// It was put, or the tag named this manifest already.
    Put(ManifestReceipt),
    /// The tag names something else, and still does.
    Taken(Digest),
    /// The target knows no conditions; nothing was sent.
    Unsupported,
}

/// Whether manifests are listed under their subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// They are, and nothing had to be sent for it.
    Listed,
    /// They are: the list that is kept under this tag has been added to.
    Added(Tag),
    /// Nobody can say.
    Unknown,
}

impl TagsReceipt {
    /// A receipt for these tags.
    pub fn new(tags: Vec<Tag>, manifest: ManifestReceipt) -> Self {
        Self { tags, manifest }
    }
}
