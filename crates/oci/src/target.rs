//! The port for a repository that content is pushed into.

use std::fmt;

use async_trait::async_trait;

use crate::{Descriptor, Digest, Document, Repository, Source, Tag, TagOrDigest};

mod error;
mod keeper;
mod session;
mod tagging;

pub use error::{TargetError, TargetErrorKind};
pub use keeper::SessionKeeper;
pub use session::UploadSession;
pub use tagging::{Attachment, NewTag, TagsReceipt};

/// A repository that content can be pushed into.
///
/// This is a contract between the push engine and whatever stands behind a
/// repository: a registry client, a recording double, a test's own fake. Two
/// methods do the work and must be written, beside the name. The rest save work:
/// their defaults claim nothing, so a target that keeps them is slower, never wrong.
///
/// A wrapper writes them all, under `#[deny(clippy::missing_trait_methods)]`:
/// a default it forgot would silently switch off what it wraps.
///
/// # Order
///
/// Callers push what a manifest refers to before the manifest. Implementations
/// need not check, but a registry may refuse the manifest if it was not done.
///
/// # Cancelling
///
/// Dropping a future of this trait stops its work. A session that is handed to
/// [`upload_blob`](Self::upload_blob) belongs to the target from then on: if the
/// upload fails or is dropped, the target gives it up as well as it can, unless its
/// [keeper](SessionKeeper::lasts) wants it for later. A session that was never handed
/// over is given up by whoever holds it.
///
/// # Example
///
/// A target that counts, and can be pushed to like any other:
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use futures_util::StreamExt;
/// use longshore_oci::{
///     BlobUpload, Document, ManifestReceipt, PushTarget, Repository, Tag, TargetError,
///     UploadReceipt,
/// };
///
/// #[derive(Debug)]
/// struct Counting {
///     repository: Repository,
///     bytes: AtomicU64,
/// }
///
/// #[async_trait::async_trait]
/// impl PushTarget for Counting {
///     fn repository(&self) -> &Repository {
///         &self.repository
///     }
///
///     async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
///         let read_error = |error| TargetError::from_source(error, "upload a blob");
///         let mut body = upload.source.open(upload.blob, 0).await.map_err(read_error)?;
///         let mut sent = 0;
///         while let Some(piece) = body.next().await {
///             sent += piece.map_err(read_error)?.len() as u64;
///         }
///         self.bytes.fetch_add(sent, Ordering::Relaxed);
///         Ok(UploadReceipt::new(sent))
///     }
///
///     async fn put_manifest(
///         &self,
///         _document: &Document,
///         _tag: Option<&Tag>,
///     ) -> Result<ManifestReceipt, TargetError> {
///         Ok(ManifestReceipt::default())
///     }
/// }
///
/// let target: Box<dyn PushTarget> = Box::new(Counting {
///     repository: "localhost/app".parse()?,
///     bytes: AtomicU64::new(0),
/// });
/// assert_eq!(target.repository().path(), "app");
/// # Ok::<(), longshore_oci::ReferenceError>(())
/// ```
#[async_trait]
pub trait PushTarget: fmt::Debug + Send + Sync {
    /// The repository pushed into.
    fn repository(&self) -> &Repository;

    /// Uploads a blob, from the start or into a session that is open already.
    ///
    /// `Ok` means that the registry has committed the blob under its digest.
    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError>;

    /// Puts a manifest, byte for byte and with its own media type, under its tag,
    /// or under its digest if there is none.
    async fn put_manifest(
        &self,
        document: &Document,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError>;

    /// How many tags [`put_manifest_as`](Self::put_manifest_as) takes at once, as far as is known
    /// now; at least 1, and 1 if it is of no use.
    fn tags_at_once(&self) -> usize {
        1
    }

    /// Puts a manifest under its digest and, by the same request, under `tags`, which are not more
    /// than [`tags_at_once`](Self::tags_at_once).
    ///
    /// A tag that the receipt does not name was not made: it is to be put by itself. The default
    /// sends nothing and makes none.
    async fn put_manifest_as(
        &self,
        _document: &Document,
        _tags: &[Tag],
    ) -> Result<TagsReceipt, TargetError> {
        Ok(TagsReceipt::default())
    }

    /// Puts a manifest under a tag unless that names another one by then.
    ///
    /// How sure that is depends on the registry: not all of them look at conditions.
    async fn put_new_tag(&self, _document: &Document, _tag: &Tag) -> Result<NewTag, TargetError> {
        Ok(NewTag::Unsupported)
    }

    /// Has the repository list `referrers`, which it holds, under their `subject`, if the registry
    /// does not do so by itself ([`ManifestReceipt::subject`]).
    ///
    /// What others list there at the same time is not lost by it.
    async fn attach_referrers(
        &self,
        _subject: &Digest,
        _referrers: &[Document],
    ) -> Result<Attachment, TargetError> {
        Ok(Attachment::Unknown)
    }

    /// Whether the repository holds the blob.
    async fn has_blob(&self, _blob: &Descriptor) -> Result<Presence, TargetError> {
        Ok(Presence::Unknown)
    }

    /// Whether the repository holds a manifest, and under which digest.
    async fn has_manifest(&self, _at: &TagOrDigest) -> Result<Presence, TargetError> {
        Ok(Presence::Unknown)
    }

    /// Asks the registry to link a blob from a repository of the same registry.
    ///
    /// `from` may be the target's own repository: then it is a question whether the
    /// blob is there, in the one request that also opens the session for its upload
    /// if it is not. Refusal is an answer, not an error.
    async fn mount_blob(
        &self,
        _blob: &Descriptor,
        _from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        Ok(MountOutcome::Refused(None))
    }

    /// Says what a push consists of, before the first of it comes: every blob that may be sent and
    /// every manifest, each once. A target that lays everything out beforehand needs it; the
    /// default does nothing.
    async fn expect_contents(&self, _contents: &[Descriptor]) -> Result<(), TargetError> {
        Ok(())
    }

    /// Asks the registry to link a blob from whatever repository of it holds it, without naming one.
    ///
    /// Only where the registry is known to do so, or this blob is the one to find out; nothing is
    /// sent otherwise. A way that is
    /// [optional](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#mounting-a-blob-from-another-repository).
    async fn mount_from_anywhere(&self, _blob: &Descriptor) -> Result<Anywhere, TargetError> {
        Ok(Anywhere::NotAsked)
    }

    /// Says from which repositories mounts will be asked, before the first request:
    /// a token for all of them can then be fetched at once. Only a hint.
    fn expect_mounts(&self, _from: &[Repository]) {}

    /// Says that before long about `asked` blobs will be asked for at once, and about `sent` of them
    /// sent: connections for them can be opened while something else is waited for. Only a hint.
    fn expect_blobs(&self, _asked: usize, _sent: usize) {}

    /// Whether the repository is known to find a blob that is in it by a mount from itself
    /// ([`mount_blob`](Self::mount_blob)): it has done so lately. Where it is not, a refusal does
    /// not say that the blob is not there. Sends nothing.
    async fn finds_by_mount(&self) -> bool {
        false
    }

    /// Whether mounts are worth asking for here, as far as the registry has shown. Sends nothing.
    async fn mounting(&self) -> Mounting {
        Mounting::Tried
    }

    /// Notes that a mount of `blob` was refused, with a session, although the repository it was
    /// asked from is known to hold it: several of them make [`Mounting::Refused`]. Sends nothing.
    fn refused_to_mount(&self, _blob: &Descriptor) {}

    /// Whether questions cost next to nothing here: then all of them are worth asking.
    fn is_near(&self) -> bool {
        false
    }

    /// The largest blob, in bytes and inclusive, that is known to go up in a single request; 0 if
    /// none is known to. Sends nothing.
    async fn at_once_limit(&self) -> u64 {
        0
    }

    /// Whether [`upload_blob`](Self::upload_blob) would send this blob in the request that asks
    /// for it, so that a question beforehand would be a request more. To be asked right before
    /// the upload of a blob that is not known to be there: a target may be finding out whether
    /// it can, and says yes for one blob then.
    async fn takes_at_once(&self, _blob: &Descriptor) -> bool {
        false
    }

    /// Whether the registry is known to refuse a manifest of this document's kind when something
    /// that it is made of is missing. Sends nothing.
    async fn validation(&self, _document: &Document) -> Validation {
        Validation::Unknown
    }

    /// Says that the registry took this document although something it is made of was missing.
    fn took_incomplete(&self, _document: &Document) {}

    /// What the registry still holds of an upload that was left unfinished.
    async fn session_status(&self, _session: &UploadSession) -> Result<SessionStatus, TargetError> {
        Ok(SessionStatus::Gone)
    }

    /// Gives an unfinished upload up, so that the registry may forget it.
    async fn cancel_session(&self, _session: UploadSession) -> Result<(), TargetError> {
        Ok(())
    }

    /// Gives an unfinished upload up without waiting for it: for a caller that is being
    /// dropped. Must not block. The default leaves the session to its own end.
    fn abandon_session(&self, _session: UploadSession) {}
}

/// A blob to upload.
#[derive(Clone)]
#[non_exhaustive]
pub struct BlobUpload<'a> {
    /// The blob: digest and size in bytes.
    pub blob: &'a Descriptor,
    /// Where its bytes are, from any offset, any number of times.
    pub source: &'a dyn Source,
    /// A session that is open already, to be used instead of opening one.
    pub session: Option<UploadSession>,
    /// Whether an earlier upload left that session behind: then nobody knows what it holds
    /// until the registry is asked. What is not there any more is begun anew.
    pub interrupted: bool,
    /// Who is told how it goes.
    pub observer: &'a dyn UploadObserver,
    /// Who keeps the session for a later process.
    pub keeper: &'a dyn SessionKeeper,
}

/// Told how an upload goes. Never waited for; must not block.
pub trait UploadObserver: Send + Sync {
    /// `bytes` more of the body were handed to the transport.
    fn sent(&self, _bytes: u64) {}

    /// The body goes on from `offset` (bytes into the blob), whatever was sent before.
    fn rewound(&self, _offset: u64) {}

    /// The registry holds `session.acknowledged()` bytes.
    fn acknowledged(&self, _session: &UploadSession) {}
}

/// Tells nobody.
impl UploadObserver for () {}

/// What came of an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadReceipt {
    /// Body bytes sent for this blob in all attempts together. What is over the blob's size was sent again.
    pub sent: u64,
}

/// What came of putting a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestReceipt {
    /// Whether the registry confirmed the digest: by its answer, or when asked afterwards.
    pub verified: bool,
    /// Whether the registry says that it lists the manifest under its subject (`OCI-Subject`).
    pub subject: bool,
}

/// Whether something is in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is, under this digest.
    Held(Digest),
    /// It is not.
    Absent,
    /// Nobody can say. Treated as absent, never reported as held.
    Unknown,
}

/// Whether a registry refuses a manifest that lacks something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validation {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It has done so lately: a manifest it takes is complete.
    Proven,
    /// It has done so a while ago: what it refuses is worth reading, what it takes proves nothing.
    Dated,
    /// It takes manifests that lack something.
    Lacking,
}

/// What came of asking for a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountOutcome {
    /// The blob is in the repository now.
    Mounted,
    /// It is not. Often the refusal opens a session that an upload can use.
    Refused(Option<UploadSession>),
}

/// What a registry has shown of mounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounting {
    /// It mounts blobs, or nobody knows.
    #[default]
    Tried,
    /// It refuses every mount: it has refused several of blobs that were where they were asked from,
    /// and given none.
    Refused,
    /// It did, so long ago that one blob should find out whether it still does.
    Doubted,
}

/// What came of asking for a mount from wherever a blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anywhere {
    /// Nobody was asked: the registry does not do so, or nobody knows and another blob finds out.
    NotAsked,
    /// The blob is in the repository now. Perhaps it was before.
    Mounted,
    /// It was there before.
    Present,
    /// It is nowhere that the registry would link it from, and not in the repository either.
    /// Often the refusal opens a session that an upload can use.
    Refused(Option<UploadSession>),
}

/// What a registry holds of an unfinished upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// This much, and the session to go on in.
    Open(UploadSession),
    /// Nothing: the session is not known, or not any more.
    Gone,
}

impl<'a> BlobUpload<'a> {
    /// An upload from the start, observed by nobody.
    pub fn new(blob: &'a Descriptor, source: &'a dyn Source) -> Self {
        Self {
            blob,
            source,
            session: None,
            interrupted: false,
            observer: &(),
            keeper: &(),
        }
    }

    /// The same in a session that is open already.
    #[must_use]
    pub fn in_session(mut self, session: Option<UploadSession>) -> Self {
        self.session = session;
        self.interrupted = false;
        self
    }

    /// The same in a session that an earlier upload left behind.
    #[must_use]
    pub fn resuming(mut self, session: UploadSession) -> Self {
        self.session = Some(session);
        self.interrupted = true;
        self
    }

    /// The same with somebody who keeps the session.
    #[must_use]
    pub fn kept_by(mut self, keeper: &'a dyn SessionKeeper) -> Self {
        self.keeper = keeper;
        self
    }

    /// The same, observed.
    #[must_use]
    pub fn observed(mut self, observer: &'a dyn UploadObserver) -> Self {
        self.observer = observer;
        self
    }
}

impl fmt::Debug for BlobUpload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobUpload")
            .field("blob", &self.blob.digest)
            .field("source", &self.source)
            .field("session", &self.session)
            .field("interrupted", &self.interrupted)
            .finish_non_exhaustive()
    }
}

impl UploadReceipt {
    /// A receipt for `sent` body bytes.
    pub fn new(sent: u64) -> Self {
        Self { sent }
    }
}

impl ManifestReceipt {
    /// A receipt for a manifest whose digest the registry confirmed.
    pub fn verified() -> Self {
        Self {
            verified: true,
            subject: false,
        }
    }

    /// The same with whether the subject was acknowledged.
    #[must_use]
    pub fn with_subject(mut self, acknowledged: bool) -> Self {
        self.subject = acknowledged;
        self
    }
}

#[cfg(test)]
mod tests;
