//! A target that pushes nowhere: it answers as told, remembers every call, and fails on cue.
//!
//! For tests, ours and anybody's. By default it behaves as a registry does: it holds what
//! was pushed into it, mounts what a sibling holds, and opens a session when it will not.
//! Bodies are read to their end and checked, never kept.
//!
//! ```
//! use longshore_push::{Destination, Engine, Options, compose::{ManifestBuilder, MemorySource}};
//! use longshore_push::recording::RecordingTarget;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (source, config) = MemorySource::new().with_blob("application/json", "{}");
//! let manifest = ManifestBuilder::new(config).build()?;
//! let source = source.with_root(manifest.clone());
//!
//! let target = RecordingTarget::new("registry.test/app".parse()?);
//! let destination = Destination::tagged(["1.0".parse()?]);
//! let report = Engine::new(Options::default()).push(&source, &target, &destination, &()).await?;
//!
//! assert_eq!(&report.digest, manifest.digest());
//! assert_eq!(target.calls().last().map(ToString::to_string), Some(format!(
//!     "put manifest 1.0 {}", manifest.bytes().len(),
//! )));
//! # Ok(())
//! # }
//! ```

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use oci::{
    Digest, Document, MediaType, Mounting, Repository, Tag, TagOrDigest, TargetError, Validation,
};

use crate::plan::Requests;

mod state;
mod target;

use state::{Fault, State, Tags};

/// A target that records what it is asked to do.
///
/// Clones and [`sibling`](Self::sibling)s share one registry and one record.
#[derive(Clone)]
pub struct RecordingTarget {
    repository: Repository,
    credential: CredentialKind,
    state: Arc<Mutex<State>>,
}

/// One call, in the order they began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The repository it was about.
    pub repository: Repository,
    /// What was asked for.
    pub operation: Operation,
    /// Which content, where it is about one.
    pub subject: Option<TagOrDigest>,
    /// How many bytes of a body went over, all attempts together; so far, if it still goes on.
    pub bytes: u64,
    /// The type of a body.
    pub content_type: Option<MediaType>,
    /// With which kind of credential.
    pub credential: CredentialKind,
}

/// What a target is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Whether it holds a blob.
    HasBlob,
    /// Whether it holds a manifest.
    HasManifest,
    /// To mount a blob.
    Mount {
        /// From there.
        from: Repository,
    },
    /// To take a blob.
    Upload {
        /// In this session, if in one that was open already.
        session: Option<String>,
    },
    /// To take a manifest.
    PutManifest,
    /// To take a manifest under several tags at once.
    PutManifestAs {
        /// Under these.
        tags: Vec<Tag>,
    },
    /// To take a manifest under a tag that is not there yet.
    PutNewTag,
    /// To list manifests under their subject.
    Attach {
        /// These.
        referrers: Vec<Digest>,
    },
    /// What it holds of an upload.
    SessionStatus {
        /// Of this session.
        session: String,
    },
    /// To forget an upload: asked for, or done by the target itself when a body failed.
    Cancel {
        /// Of this session.
        session: String,
    },
    /// To forget an upload, with nobody waiting: the push was dropped.
    Abandon {
        /// Of this session.
        session: String,
    },
}

/// What kind of credential a call was made with. The double has none: it notes what it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialKind {
    /// None.
    #[default]
    Anonymous,
    /// User name and password.
    Basic,
    /// A token.
    Bearer,
}

// === impl RecordingTarget ===

impl RecordingTarget {
    /// An empty repository of an empty registry.
    pub fn new(repository: Repository) -> Self {
        Self {
            repository,
            credential: CredentialKind::default(),
            state: Arc::default(),
        }
    }

    /// Another repository of the same registry, with the same record.
    #[must_use]
    pub fn sibling(&self, repository: Repository) -> Self {
        Self {
            repository,
            credential: self.credential,
            state: Arc::clone(&self.state),
        }
    }

    /// Notes this kind of credential with each call.
    #[must_use]
    pub fn with_credential(mut self, credential: CredentialKind) -> Self {
        self.credential = credential;
        self
    }

    /// Holds this blob.
    #[must_use]
    pub fn holding_blob(self, digest: &Digest) -> Self {
        self.state().hold_blob(&self.repository, digest);
        self
    }

    /// Says that it holds this blob, and does not.
    #[must_use]
    pub fn pretending_to_hold(self, digest: &Digest) -> Self {
        let key = (self.repository.clone(), digest.clone());
        self.state().pretended.insert(key);
        self
    }

    /// Holds this manifest, under these tags too; not what it refers to.
    #[must_use]
    pub fn holding_manifest(self, document: &Document, tags: &[Tag]) -> Self {
        {
            let mut state = self.state();
            state.hold_manifest(&self.repository, document, None);
            for tag in tags {
                state.hold_manifest(&self.repository, document, Some(tag));
            }
        }
        self
    }

    /// Refuses manifests that name what it does not hold, and names all of that.
    #[must_use]
    pub fn validating(self) -> Self {
        self.state().validates = true;
        self
    }

    /// Refuses them so, and names the first of it only.
    #[must_use]
    pub fn naming_the_first_only(self) -> Self {
        self.state().names_first = true;
        self
    }

    /// Is known to check manifests so, or not to.
    #[must_use]
    pub fn known_to_validate(self, validation: Validation) -> Self {
        self.state().validation = validation;
        self
    }

    /// Is not known to find a blob that is there by a mount from the repository itself; without
    /// this it is.
    #[must_use]
    pub fn not_known_to_find_by_mount(self) -> Self {
        self.state().unproven_mounts = true;
        self
    }

    /// Answers no question: everything is unknown, every mount refused without a session.
    #[must_use]
    pub fn knowing_nothing(self) -> Self {
        self.state().mute = true;
        self
    }

    /// Refuses every mount from another repository; the refusal opens a session.
    #[must_use]
    pub fn refusing_mounts(self) -> Self {
        self.state().refuses_mounts = true;
        self
    }

    /// Is known to refuse every mount, or was; without this it is asked.
    #[must_use]
    pub fn known_for(self, mounting: Mounting) -> Self {
        self.state().mounting = mounting;
        self
    }

    /// The blobs it was told to have refused to mount although they were where they were asked from, in
    /// order.
    pub fn refusals(&self) -> Vec<Digest> {
        self.state().refused.clone()
    }

    /// Opens no session when it refuses a mount.
    #[must_use]
    pub fn without_sessions(self) -> Self {
        self.state().no_sessions = true;
        self
    }

    /// Takes so many tags in one request, and makes all of them. By default it is asked for one at
    /// a time.
    #[must_use]
    pub fn taking_tags(self, at_once: usize) -> Self {
        self.state().tags = Tags::Taken(at_once);
        self
    }

    /// Is asked for so many tags in one request, and makes none of them; then it is known.
    #[must_use]
    pub fn ignoring_tags(self, at_once: usize) -> Self {
        self.state().tags = Tags::Ignored(at_once);
        self
    }

    /// Does not list manifests under their subjects by itself.
    #[must_use]
    pub fn without_referrers(self) -> Self {
        self.state().no_referrers = true;
        self
    }

    /// Breaks the next `times` uploads after `bytes` of the body, and reads them again from the start.
    #[must_use]
    pub fn breaking_uploads(self, times: usize, bytes: u64) -> Self {
        self.state().breaks = (times, bytes);
        self
    }

    /// Takes this long for each call.
    #[must_use]
    pub fn taking(self, time: Duration) -> Self {
        self.state().time = time;
        self
    }

    /// Fails the `nth` call, the first being 1.
    #[must_use]
    pub fn failing(self, nth: usize, error: TargetError) -> Self {
        self.state().faults.push(Fault::nth(nth, error));
        self
    }

    /// Fails the first `times` calls that `when` picks.
    #[must_use]
    pub fn failing_when(
        self,
        times: usize,
        when: impl Fn(&Call) -> bool + Send + 'static,
        error: impl Fn() -> TargetError + Send + 'static,
    ) -> Self {
        self.state().faults.push(Fault::when(times, when, error));
        self
    }

    /// The calls so far, in the order they began.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The calls so far as text, a line each.
    pub fn lines(&self) -> Vec<String> {
        self.state().calls.iter().map(ToString::to_string).collect()
    }

    /// Forgets the calls so far, not what they did.
    pub fn clear(&self) {
        self.state().calls.clear();
    }

    /// What the calls so far would have been as requests of the distribution protocol.
    pub fn requests(&self) -> Requests {
        let mut requests = Requests::default();
        for call in &self.state().calls {
            match call.operation {
                Operation::HasBlob | Operation::HasManifest | Operation::SessionStatus { .. } => {
                    requests.head += 1;
                }
                Operation::Mount { .. } => requests.post += 1,
                Operation::Upload { session: None } => {
                    requests.post += 1;
                    requests.put += 1;
                }
                Operation::Upload { session: Some(_) }
                | Operation::PutManifest
                | Operation::PutManifestAs { .. }
                | Operation::PutNewTag => requests.put += 1,
                // The list is read, put, and looked at again.
                Operation::Attach { .. } => {
                    requests.get += 2;
                    requests.put += 1;
                }
                Operation::Cancel { .. } | Operation::Abandon { .. } => requests.delete += 1,
            }
        }
        requests
    }

    /// Body bytes of blobs that went over so far.
    pub fn blob_bytes(&self) -> u64 {
        let state = self.state();
        let uploads = state.calls.iter();
        uploads
            .filter(|it| matches!(it.operation, Operation::Upload { .. }))
            .map(|it| it.bytes)
            .sum()
    }

    /// The manifest under this tag or digest of this repository, byte for byte.
    pub fn manifest(&self, at: &TagOrDigest) -> Option<Bytes> {
        self.state().manifest(&self.repository, at)
    }

    /// What is listed under `subject` because it was [attached](oci::PushTarget::attach_referrers).
    pub fn attached(&self, subject: &Digest) -> Vec<Digest> {
        self.state().attached(&self.repository, subject)
    }

    /// Whether this repository holds the blob.
    pub fn holds_blob(&self, digest: &Digest) -> bool {
        self.state().holds_blob(&self.repository, digest)
    }

    /// The sessions that were opened and neither used up nor given up.
    pub fn open_sessions(&self) -> Vec<String> {
        self.state().sessions.iter().cloned().collect()
    }

    /// The most calls that were going on at the same time.
    pub fn peak(&self) -> usize {
        self.state().peak
    }

    /// What it was told to expect mounts from.
    pub fn expected(&self) -> Vec<Repository> {
        self.state().expected.clone()
    }

    /// How many blobs it was told of beforehand, each time: to be asked for, to be sent; and after how many
    /// calls.
    pub fn expected_blobs(&self) -> Vec<(usize, usize, usize)> {
        self.state().expected_blobs.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RecordingTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingTarget")
            .field("repository", &self.repository)
            .finish_non_exhaustive()
    }
}

// === impl Call ===

impl fmt::Display for Call {
    /// Operation, subject, and what there is besides: `upload sha256:… 512 in session-1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.operation {
            Operation::HasBlob => "has blob",
            Operation::HasManifest => "has manifest",
            Operation::Mount { .. } => "mount",
            Operation::Upload { .. } => "upload",
            Operation::PutManifest | Operation::PutManifestAs { .. } => "put manifest",
            Operation::PutNewTag => "put new",
            Operation::Attach { .. } => "attach to",
            Operation::SessionStatus { .. } => "status of",
            Operation::Cancel { .. } => "cancel",
            Operation::Abandon { .. } => "abandon",
        };
        f.write_str(name)?;
        if let Some(subject) = &self.subject {
            write!(f, " {subject}")?;
        }
        match &self.operation {
            Operation::Mount { from } => write!(f, " from {}", from.path()),
            Operation::Upload { session: None } | Operation::PutManifest | Operation::PutNewTag => {
                write!(f, " {}", self.bytes)
            }
            Operation::PutManifestAs { tags } => {
                write!(f, " {} as", self.bytes)?;
                tags.iter().try_for_each(|tag| write!(f, " {tag}"))
            }
            Operation::Attach { referrers } => {
                referrers.iter().try_for_each(|it| write!(f, " {it}"))
            }
            Operation::Upload {
                session: Some(session),
            } => write!(f, " {} in {session}", self.bytes),
            Operation::SessionStatus { session }
            | Operation::Cancel { session }
            | Operation::Abandon { session } => write!(f, " {session}"),
            Operation::HasBlob | Operation::HasManifest => Ok(()),
        }
    }
}
