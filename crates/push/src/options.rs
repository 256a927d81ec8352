//! What a caller may choose: for the engine as a whole, and for one push.

use std::{collections::BTreeSet, num::NonZeroUsize};

use oci::{Descriptor, Digest, Repository, Tag};
use serde::Serialize;

/// How many blobs are in flight at once unless told otherwise.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// How many repositories are asked for one blob, at most, unless told otherwise.
const CANDIDATES: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The smallest blob whose session is kept, unless told otherwise.
const JOURNAL_FROM: u64 = 8 * 1024 * 1024;

/// How an [`Engine`](crate::Engine) pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub struct Options {
    /// How many blobs, of all pushes of the engine together, are asked about or sent
    /// at the same time; the same limit holds for manifests. Default 32.
    pub concurrency: NonZeroUsize,
    /// What becomes of foreign layers.
    pub foreign: Foreign,
    /// Whether manifests about the ones pushed (signatures, attestations) go along: those that name
    /// them as their subject, and those whose tag does ([`oci::Digest::digest_tags`]).
    pub referrers: bool,
    /// Whether a tag that names another image stops the push before anything is written.
    pub no_overwrite: bool,
    /// The most blob bytes one push may send; what would send more is stopped before the
    /// first byte over it. `None` for no limit.
    pub max_upload_bytes: Option<u64>,
    /// Which blobs must not be sent: they are there, are mounted, or fail the push.
    pub must_mount: MustMount,
    /// How many repositories are asked to mount one blob from, at most. Default 4.
    pub mount_candidates: NonZeroUsize,
    /// Whether a blob that nobody is known to hold is asked for without saying where from
    /// ([`PushTarget::mount_from_anywhere`](oci::PushTarget::mount_from_anywhere)). Default no:
    /// registries that do it are few, and may link what others have put there.
    pub mount_from_anywhere: bool,
    /// The smallest blob, in bytes, whose upload session is kept in the journal. Each kept
    /// session costs some commits to the disk; for smaller blobs that is more than sending
    /// them again. Default 8 MiB.
    pub journal_from: u64,
    /// What becomes of the sessions of a push that fails or is stopped.
    pub sessions: Sessions,
    /// When a push asks for its manifests before it does anything else.
    pub ask_first: AskFirst,
    /// Whether the source gives its origin's manifests as they are there, none of them made or
    /// altered on the way. Into the origin itself they are then asked for first, whatever was seen
    /// before, and a new tag costs no look at what they list. Default no.
    pub verbatim: bool,
}

/// When a push asks whether its manifests are there already, before anything else.
///
/// The question is worth its request and its round trip where the answer is yes. Without it an
/// image that is there is found out blob by blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskFirst {
    /// Where they were seen in that repository before ([`Sightings`](crate::Sightings)), under the
    /// name they had; and, by their digest, where to leave the question out could send more than
    /// [`STAKE`](Self::STAKE) again of an image that is there already. That is what its blobs come to
    /// of which nobody knows where they are, on a registry that might not find them
    /// ([`PushTarget::finds_by_mount`](oci::PushTarget::finds_by_mount)).
    #[default]
    Auto,
    /// Always, by tag and by digest.
    Always,
    /// Where they were seen in that repository before, and nowhere else: for images that are
    /// new. Where the registry does not find by a mount what is there, it is sent once more.
    Never,
}

/// What becomes of upload sessions in the journal when their push fails or is stopped. One that
/// is not in the journal is given up in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sessions {
    /// They stay, for a later push to go on in.
    #[default]
    Keep,
    /// They are given up, so that the registry may forget them.
    Cancel,
}

/// What becomes of foreign layers: those of a media type that says they are to be had
/// from their `urls` ([`oci::MediaType::is_foreign`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreign {
    /// They stay where they are: no request names them.
    #[default]
    Keep,
    /// They are pushed like any other layer, the manifest as it is; the source must hold them.
    Include,
    /// They are pushed as ordinary layers: the manifest gives them the distributable type
    /// ([`oci::MediaType::distributable`]) and no `urls`. So it gets another digest, and what is
    /// about the image (signatures, attestations) stays behind. The source must hold them.
    Embed,
}

/// Which blobs must not be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MustMount {
    /// None.
    #[default]
    Nothing,
    /// All of them.
    Everything,
    /// These.
    These(BTreeSet<Digest>),
}

/// Where one push goes, beside the repository its target stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// The tags that will name the image; none to push it by digest only. A tag that
    /// stands twice counts once.
    pub tags: Vec<Tag>,
    /// Repositories that may hold blobs of the image already, the likeliest first.
    /// Those of another registry are known about and not asked.
    pub mount_from: Vec<Repository>,
}

impl AskFirst {
    /// So many bytes of blobs, inclusive, are put at stake to spare the question: 1 MiB.
    ///
    /// The question costs every first push a round trip; leaving it out costs these bytes, once, a push
    /// of an image that another machine has pushed. 50 ms, a usual distance, are as long as 1 MiB takes at
    /// 160 Mbit/s: with less at stake the question costs more than it could save.
    pub const STAKE: u64 = 1024 * 1024;
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: CONCURRENCY,
            foreign: Foreign::default(),
            referrers: false,
            no_overwrite: false,
            max_upload_bytes: None,
            must_mount: MustMount::default(),
            mount_candidates: CANDIDATES,
            mount_from_anywhere: false,
            journal_from: JOURNAL_FROM,
            sessions: Sessions::default(),
            ask_first: AskFirst::default(),
            verbatim: false,
        }
    }
}

impl Foreign {
    /// Whether `blob` stays where it is.
    pub fn keeps(self, blob: &Descriptor) -> bool {
        self == Self::Keep && blob.is_foreign()
    }
}

impl MustMount {
    /// Whether the blob must not be sent.
    pub fn contains(&self, digest: &Digest) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::These(digests) => digests.contains(digest),
        }
    }
}

impl Destination {
    /// A destination with these tags and nothing known about siblings.
    pub fn tagged(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self {
            tags: tags.into_iter().collect(),
            mount_from: Vec::new(),
        }
    }

    /// The same with a repository that may hold blobs of the image.
    #[must_use]
    pub fn mounting_from(mut self, repository: Repository) -> Self {
        self.mount_from.push(repository);
        self
    }

    /// The tags, each once, in order.
    pub(crate) fn unique_tags(&self) -> Vec<Tag> {
        let mut tags: Vec<Tag> = Vec::with_capacity(self.tags.len());
        for tag in &self.tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }
}
