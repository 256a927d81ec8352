//! Why a push could not be finished.

use oci::{
    Descriptor, Digest, Repository, SourceError, Tag, TagOrDigest, TargetError, wire::ErrorCode,
};

use serde::Serialize;

use crate::{
    event::Done,
    mount::{MountAnswer, MountStatus, Tried},
};

mod words;

use words::{described, listed, mount_hint, named, required, taken_tags};

/// Why a push could not be finished.
///
/// The text names what was being done and to what. It never repeats its source; whoever
/// prints the error walks the chain. Nothing has to be read out of a text: the fields
/// and [`target_error`](Self::target_error) say it all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// A blob cannot be read, is missing, or is not what its descriptor says. Found
    /// before the first request, or while its bytes went by.
    #[error("blob {digest} cannot be pushed from {place}")]
    LocalBlob {
        /// The blob.
        digest: Digest,
        /// Whether it is a foreign layer, which is often nowhere but at its `urls`.
        foreign: bool,
        /// Where it should be.
        place: String,
        /// When it was found.
        phase: Phase,
        /// What is wrong with it.
        #[source]
        cause: Box<SourceError>,
    },
    /// The source cannot give the manifest or index to push.
    #[error("the source's {} cannot be used", described(.descriptor.as_deref()))]
    Source {
        /// Which; none for the root.
        descriptor: Option<Box<Descriptor>>,
        /// What is wrong.
        #[source]
        error: Box<SourceError>,
    },
    /// The image is larger or deeper than what is accepted, or contradicts itself.
    #[error("the image cannot be pushed: {reason}, at {digest}")]
    Graph {
        /// The content that is too much, or in contradiction.
        digest: Digest,
        /// What is wrong with it.
        reason: GraphFault,
    },
    /// The target could not say whether it holds something.
    #[error("could not ask {repository} for {subject}")]
    Question {
        /// The repository pushed into.
        repository: Repository,
        /// What was asked for.
        subject: TagOrDigest,
        /// What the target said.
        #[source]
        error: Box<TargetError>,
    },
    /// The target could not take a blob.
    #[error("could not push blob {digest} to {repository}")]
    BlobUploadFailed {
        /// The blob.
        digest: Digest,
        /// The repository pushed into.
        repository: Repository,
        /// What was being done.
        phase: Phase,
        /// What the target said.
        #[source]
        error: Box<TargetError>,
    },
    /// The target could not take a manifest or index.
    #[error("could not put manifest {} into {repository}", named(.digest, .tag.as_ref()))]
    ManifestPutFailed {
        /// The manifest.
        digest: Digest,
        /// The repository pushed into.
        repository: Repository,
        /// The tag it was put under; none for its digest.
        tag: Option<Tag>,
        /// What the target said.
        #[source]
        error: Box<TargetError>,
    },
    /// The target does not take an index without all that it lists.
    #[error(
        "{repository} does not take index {} without the images it lists: {} missing there",
        named(.digest, .tag.as_ref()),
        listed(.missing)
    )]
    SparseRefused {
        /// The index.
        digest: Digest,
        /// The repository pushed into.
        repository: Repository,
        /// The tag it was put under; none for its digest.
        tag: Option<Tag>,
        /// The children that are missing there: those the target named, or all that were left out.
        missing: Vec<Digest>,
        /// What the target said.
        #[source]
        error: Box<TargetError>,
    },
    /// The target does not take a manifest with foreign layers: it wants none with `urls`, or it
    /// wants their bytes.
    #[error(
        "{repository} does not take manifest {} with its foreign layers: {} refused",
        named(.digest, .tag.as_ref()),
        listed(.layers)
    )]
    ForeignRefused {
        /// The manifest.
        digest: Digest,
        /// The repository pushed into.
        repository: Repository,
        /// The tag it was put under; none for its digest.
        tag: Option<Tag>,
        /// Its foreign layers: those the target named, or all of them.
        layers: Vec<Digest>,
        /// Whether their bytes were pushed all the same.
        included: bool,
        /// What the target said.
        #[source]
        error: Box<TargetError>,
    },
    /// Blobs that must not be sent, or cannot be, could not be mounted from anywhere. No byte of
    /// any blob was sent.
    #[error("{} into {repository}", required(.blobs))]
    MountRequired {
        /// The repository pushed into.
        repository: Repository,
        /// All of them, and what was tried; never empty.
        blobs: Vec<NotMounted>,
        /// The blobs that were there or could be mounted.
        settled: Vec<Settled>,
    },
    /// Blobs that must be mounted are none of the image's. Nothing was asked.
    #[error("{} none of the image's blobs, and cannot be required to be mounted", listed(.digests))]
    NotOfTheImage {
        /// All of them; never empty.
        digests: Vec<Digest>,
    },
    /// More would be sent than is allowed.
    #[error("{planned} bytes would be uploaded, over the limit of {limit} bytes")]
    Gate {
        /// What would be sent, in bytes.
        planned: u64,
        /// What may be sent, in bytes, inclusive.
        limit: u64,
    },
    /// Tags that must not be moved name another image. Nothing was written, unless somebody made them
    /// name it while the push was on its way.
    #[error("{}", taken_tags(.repository, .digest, .taken))]
    TagsTaken {
        /// The repository pushed into.
        repository: Repository,
        /// The digest they would name.
        digest: Digest,
        /// The tags, and the digests they name.
        taken: Vec<(Tag, Digest)>,
    },
    /// The target does not say whether there is a tag that must not be moved. Nothing was written.
    #[error("the registry does not say whether {repository} has the tag {tag} already")]
    TagUnknown {
        /// The repository pushed into.
        repository: Repository,
        /// The tag.
        tag: Tag,
    },
    /// What refers to a manifest could not be listed under it.
    #[error("could not list what refers to {subject} in {repository}")]
    AttachFailed {
        /// What they refer to.
        subject: Digest,
        /// The repository pushed into.
        repository: Repository,
        /// What the target said.
        #[source]
        error: Box<TargetError>,
    },
    /// A plan was made for another repository than the target's.
    #[error("the plan is for {planned}, not for {repository}")]
    OtherTarget {
        /// The repository it was made for.
        planned: Repository,
        /// The repository of the target it was given.
        repository: Repository,
    },
}

/// A blob that had to be mounted, and was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotMounted {
    /// The blob.
    pub digest: Digest,
    /// What came of mounting it: [`MountStatus::MountRequired`].
    pub mount: MountStatus,
    /// What came of the last repository that was asked, or why none was.
    pub reason: MountAnswer,
    /// The repositories asked, in order, and their answers; then those that were not asked.
    pub tried: Vec<Tried>,
}

/// A blob that a push which had to mount others need not send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// The blob.
    pub digest: Digest,
    /// What was done.
    pub done: Done,
    /// What came of mounting it.
    pub mount: MountStatus,
    /// The repositories asked, in order, and their answers; then those that were not asked.
    pub tried: Vec<Tried>,
}

/// What a push was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Looking at the source, before the first request.
    Preflight,
    /// Asking what the repository holds.
    Ask,
    /// Sending a blob.
    Upload,
    /// Putting a manifest.
    Manifest,
}

/// What is wrong with an image as a whole. All bounds are inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GraphFault {
    /// Manifests and indexes are nested, or about one another, more than this many deep.
    TooDeep(usize),
    /// There are more than this many manifests.
    TooManyManifests(usize),
    /// The manifests are more than this many bytes together.
    TooManyManifestBytes(u64),
    /// There are more than this many blobs.
    TooManyBlobs(usize),
    /// Two descriptors give one digest two sizes, in bytes.
    TwoSizes(u64, u64),
}

// === impl PushError ===

impl PushError {
    /// A source that cannot give its root.
    pub(crate) fn of_root(error: SourceError) -> Self {
        Self::Source {
            descriptor: None,
            error: Box::new(error),
        }
    }

    /// A source's fault with one blob.
    pub(crate) fn local_blob(blob: &Descriptor, phase: Phase, cause: SourceError) -> Self {
        let place = match &cause {
            SourceError::Missing { place, .. }
            | SourceError::WrongSize { place, .. }
            | SourceError::Altered { place, .. }
            | SourceError::Unreadable { place, .. }
            | SourceError::Document { place, .. }
            | SourceError::Invalid { place, .. } => place.clone(),
            _ => "the source".to_owned(),
        };
        Self::LocalBlob {
            digest: blob.digest.clone(),
            foreign: blob.is_foreign(),
            place,
            phase,
            cause: Box::new(cause),
        }
    }

    /// What the target said, if it was the target that failed.
    pub fn target_error(&self) -> Option<&TargetError> {
        match self {
            Self::Question { error, .. }
            | Self::BlobUploadFailed { error, .. }
            | Self::ManifestPutFailed { error, .. }
            | Self::AttachFailed { error, .. }
            | Self::ForeignRefused { error, .. }
            | Self::SparseRefused { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What the source said, if it was the source that failed.
    pub fn source_error(&self) -> Option<&SourceError> {
        match self {
            Self::LocalBlob { cause, .. } => Some(cause),
            Self::Source { error, .. } => Some(error),
            _ => self.target_error().and_then(TargetError::as_source_error),
        }
    }

    /// The content it is about, if it is about one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::LocalBlob { digest, .. }
            | Self::Graph { digest, .. }
            | Self::BlobUploadFailed { digest, .. }
            | Self::ManifestPutFailed { digest, .. }
            | Self::SparseRefused { digest, .. }
            | Self::ForeignRefused { digest, .. }
            | Self::TagsTaken { digest, .. }
            | Self::AttachFailed {
                subject: digest, ..
            }
            | Self::Question {
                subject: TagOrDigest::Digest(digest),
                ..
            } => Some(digest),
            Self::Source {
                descriptor: Some(descriptor),
                ..
            } => Some(&descriptor.digest),
            Self::MountRequired { blobs, .. } => blobs.first().map(|it| &it.digest),
            Self::NotOfTheImage { digests } => digests.first(),
            _ => None,
        }
    }

    /// The repository pushed into, once there was something to do with it.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Question { repository, .. }
            | Self::BlobUploadFailed { repository, .. }
            | Self::ManifestPutFailed { repository, .. }
            | Self::SparseRefused { repository, .. }
            | Self::ForeignRefused { repository, .. }
            | Self::MountRequired { repository, .. }
            | Self::TagsTaken { repository, .. }
            | Self::TagUnknown { repository, .. }
            | Self::AttachFailed { repository, .. }
            | Self::OtherTarget { repository, .. } => Some(repository),
            _ => None,
        }
    }

    /// What was being done.
    pub fn phase(&self) -> Phase {
        match self {
            Self::LocalBlob { phase, .. } | Self::BlobUploadFailed { phase, .. } => *phase,
            Self::Question { .. } | Self::TagsTaken { .. } | Self::TagUnknown { .. } => Phase::Ask,
            Self::ManifestPutFailed { .. }
            | Self::AttachFailed { .. }
            | Self::ForeignRefused { .. }
            | Self::SparseRefused { .. } => Phase::Manifest,
            Self::MountRequired { .. } | Self::Gate { .. } => Phase::Upload,
            _ => Phase::Preflight,
        }
    }

    /// The HTTP status of the answer that decided it, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.target_error()?.status()
    }

    /// The registry's error codes, in order.
    pub fn codes(&self) -> impl Iterator<Item = &ErrorCode> {
        self.target_error().into_iter().flat_map(TargetError::codes)
    }

    /// Whether the same push may succeed later without anything being changed.
    pub fn retryable(&self) -> bool {
        let of_source = || match self.source_error()? {
            SourceError::Unreadable { error, .. } => error.downcast_ref::<TargetError>(),
            _ => None,
        };
        let error = self.target_error().or_else(of_source);
        error.is_some_and(TargetError::retryable)
    }

    /// What the person at the terminal might do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::MountRequired { blobs, .. } => Some(mount_hint(blobs)),
            Self::NotOfTheImage { .. } => {
                Some("longshore plan shows the digests that the image has")
            }
            Self::SparseRefused { .. } => {
                Some("copy all platforms, or have the index rewritten: it gets another digest then")
            }
            Self::ForeignRefused { included, .. } => Some(if *included {
                "the registry wants no urls in manifests: allow theirs in its configuration (distribution: validation.manifests.urls.allow, '^https://mcr\\.microsoft\\.com/v2/' for Windows bases), or have the layers made ordinary ones, which gives the image another digest (--foreign=embed)"
            } else {
                "allow their urls in the registry's configuration (distribution: validation.manifests.urls.allow, '^https://mcr\\.microsoft\\.com/v2/' for Windows bases), or push the layers themselves: as they are (--foreign=include), or made ordinary ones, which gives the image another digest (--foreign=embed)"
            }),
            Self::Gate { .. } => {
                Some("raise --max-upload-bytes, or mount what another repository holds")
            }
            Self::TagsTaken { .. } => {
                Some("push under another tag, or without --no-overwrite to move it")
            }
            Self::TagUnknown { .. } => {
                Some("use an account that may read the repository, or push without --no-overwrite")
            }
            Self::LocalBlob { cause, foreign, .. } => match **cause {
                SourceError::Missing { .. } if *foreign => Some(
                    "its bytes are not there, as is usual for a foreign layer: leave it where it is with --foreign=keep, or have it fetched from its urls with --allow-foreign-fetch",
                ),
                SourceError::Missing { .. } => {
                    Some("the image is incomplete: fetch or build it again")
                }
                SourceError::WrongSize { .. } | SourceError::Altered { .. } => Some(
                    "the image is damaged or was changed while it was read: fetch or build it again",
                ),
                _ => None,
            },
            _ => None,
        }
    }
}

impl std::fmt::Display for GraphFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooDeep(most) => write!(f, "manifests are nested more than {most} deep"),
            Self::TooManyManifests(most) => write!(f, "there are more than {most} manifests"),
            Self::TooManyManifestBytes(most) => {
                write!(f, "the manifests are more than {most} bytes together")
            }
            Self::TooManyBlobs(most) => write!(f, "there are more than {most} blobs"),
            Self::TwoSizes(one, other) => {
                write!(f, "one digest is given two sizes, {one} and {other} bytes")
            }
        }
    }
}
