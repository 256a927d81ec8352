//! What came of a push: what was planned beside what was done.

use oci::{Descriptor, Digest, MediaType, Repository, Tag};
use serde::Serialize;

use crate::{
    error::PushError,
    event::Done,
    foreign::ForeignLayers,
    mount::{MountAnswer, MountStatus, Tried},
    plan::{Action, Bytes},
};

/// What came of a push.
///
/// As JSON: `{"digest", "repository", "tags", "verified", "bytes": {…}, "blobs": […],
/// "manifests": […]}`, and of an image with foreign layers `"foreign": {…}`.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The digest of the manifest or index that was pushed: of the bytes as they were sent.
    pub digest: Digest,
    /// Where it is now.
    pub repository: Repository,
    /// The tags that name it now.
    pub tags: Vec<Tag>,
    /// Whether the registry confirmed every manifest: by its answer to the put, or by
    /// holding it. A target that cannot read back leaves this false.
    pub verified: bool,
    /// Bytes of blobs.
    pub bytes: Bytes,
    /// Every blob, each once.
    pub blobs: Vec<Outcome>,
    /// Every manifest that was put or found, and every tag.
    pub manifests: Vec<ManifestOutcome>,
    /// The tags of lists of referrers that were added to, where the registry keeps no such lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub referrers_tags: Vec<Tag>,
    /// What became of the image's foreign layers, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<ForeignLayers>,
}

/// What came of one blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Outcome {
    /// The blob.
    pub blob: Descriptor,
    /// What a plan said, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<Action>,
    /// What was done.
    pub done: Done,
    /// What came of mounting it.
    pub mount: MountStatus,
    /// Why it was sent, where it was: what came of the last repository that was asked to mount
    /// it, or why none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<MountAnswer>,
    /// The repositories that were asked to mount it, in order, then those that are known and were
    /// not asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// Body bytes sent for it, all attempts together.
    pub sent: u64,
    /// Bytes from its start that the registry had from an interrupted push, and that were
    /// not sent again.
    #[serde(skip_serializing_if = "is_zero")]
    pub resumed: u64,
    /// The places it was read from first that gave other bytes than its own, in order: what was
    /// sent of those was thrown away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub altered: Vec<String>,
}

/// What came of one manifest or index, or of one tag for it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ManifestOutcome {
    /// It.
    pub digest: Digest,
    /// Its type.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub size: u64,
    /// Under which tag; none for its digest.
    pub tag: Option<Tag>,
    /// What was done.
    pub done: ManifestDone,
    /// Whether the registry confirmed it.
    pub verified: bool,
    /// Why the tag was refused, if it was.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "error_chain"
    )]
    pub error: Option<PushError>,
}

/// What was done with a manifest or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestDone {
    /// Nothing: the repository held it.
    Present,
    /// It was put.
    Put,
    /// The registry refused this tag; others were taken.
    Refused,
}

impl Report {
    /// The blobs that went otherwise than planned: a mount that was refused, one that was
    /// there after all, an upload that began anew.
    pub fn surprises(&self) -> impl Iterator<Item = &Outcome> {
        self.blobs.iter().filter(|it| it.is_surprise())
    }

    /// The tags the registry refused while it took others, and why.
    pub fn refused_tags(&self) -> impl Iterator<Item = (&Tag, &PushError)> {
        let refused = self.manifests.iter();
        refused.filter_map(|it| it.tag.as_ref().zip(it.error.as_ref()))
    }

    /// Body bytes sent for blobs, all attempts together.
    pub fn bytes_sent(&self) -> u64 {
        self.blobs.iter().map(|it| it.sent).sum()
    }
}

impl Outcome {
    /// Whether it went otherwise than planned; never, where nothing was planned.
    pub fn is_surprise(&self) -> bool {
        let expected = match &self.planned {
            None => return false,
            Some(Action::Skip) => Done::Present,
            Some(Action::Point) => Done::Foreign,
            Some(Action::Mount { .. }) => Done::Mounted,
            Some(Action::Resume { acknowledged }) if *acknowledged > self.resumed => return true,
            Some(Action::Resume { .. } | Action::Upload | Action::Put { .. }) => Done::Uploaded,
        };
        self.done != expected
    }
}

/// The sums over all blobs; `total` is not in them.
pub(crate) fn sum(blobs: &[Outcome]) -> Bytes {
    let mut bytes = Bytes::default();
    for it in blobs {
        let size = it.blob.size;
        bytes.unique += size;
        match it.done {
            Done::Present => bytes.present += size,
            Done::Mounted => bytes.mounted += size,
            Done::Uploaded => {
                let rest = size.saturating_sub(it.resumed);
                bytes.resumed += size - rest;
                bytes.uploaded += rest;
                bytes.resent += it.sent.saturating_sub(rest);
            }
            Done::Foreign => bytes.foreign += size,
        }
    }
    bytes
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn error_chain<S: serde::Serializer>(
    error: &Option<PushError>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut texts = Vec::new();
    let mut next = error.as_ref().map(|it| it as &dyn std::error::Error);
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    serializer.serialize_str(&texts.join(": "))
}
