//! A plan: every step of a push with none of them done, and why each is there.
//!
//! ```text
//!   graph ──▶ probe ──▶ decide ──▶ Step, Step, Step … ──▶ Plan ──▶ text, JSON, or a push
//!             asks       pure
//! ```
//!
//! A plan is a value: a dry run is a plan that is printed and dropped, and nothing in
//! this crate knows the word. It is a forecast, too: a registry may refuse a mount that
//! seemed possible, and the report then holds what was planned beside what was done.

use std::{ops::AddAssign, sync::Arc};

use oci::{Descriptor, Digest, Repository, Tag};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{embed::Embedding, foreign::ForeignLayers, graph::Graph, options::Destination};

mod bases;
mod cost;
mod decide;
mod explain;
mod mounts;
mod opening;
mod probe;
mod siblings;
mod signs;
mod steps;

pub use bases::Base;
pub(crate) use cost::{Counted, cost};
pub(crate) use decide::{Facts, Standing, decide};
pub(crate) use mounts::{Mounts, is_much};
pub(crate) use opening::{Opening, only_tag, opening};
pub(crate) use probe::{Asking, Findings, Recalled, Unseen, probe};
pub(crate) use siblings::Siblings;
pub(crate) use signs::Beginning;
pub(crate) use steps::{Choices, steps};

/// Everything a push will do.
///
/// Made by [`Engine::plan`](crate::Engine::plan), done by
/// [`Engine::execute`](crate::Engine::execute). Holds the manifests' bytes, so that what
/// was planned is what is put.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) graph: Arc<Graph>,
    pub(crate) destination: Destination,
    pub(crate) held_tags: Vec<Tag>,
    pub(crate) repository: Repository,
    pub(crate) steps: Vec<Step>,
    pub(crate) totals: Totals,
    pub(crate) foreign: Option<ForeignLayers>,
    /// What the image was made into, so that it can be pushed as planned.
    pub(crate) embedding: Option<Arc<Embedding>>,
}

/// One thing to do, or to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What it is about.
    pub node: Descriptor,
    /// What to do.
    pub action: Action,
    /// Why.
    pub because: Reason,
}

/// What to do with a blob, a manifest or an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// Nothing: the repository holds it.
    Skip,
    /// Nothing: it is foreign, and the manifest points at where it is.
    Point,
    /// Have the registry link the blob from another repository.
    Mount {
        /// The repositories to ask, in this order.
        from: Vec<Repository>,
        /// Whether the push fails if none of them links it; it is uploaded otherwise.
        required: bool,
    },
    /// Go on with an upload that was interrupted.
    Resume {
        /// How many bytes the registry holds already.
        acknowledged: u64,
    },
    /// Send the blob.
    Upload,
    /// Put the manifest or index.
    Put {
        /// Under this tag; none for its digest.
        tag: Option<Tag>,
    },
}

/// Why a step is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The repository said that it holds it.
    Held,
    /// The repository holds a manifest or index that it is part of.
    HeldByParent,
    /// The repository does not hold it, others of the registry are thought to.
    KnownIn {
        /// Which, the first to be asked first.
        repositories: Vec<Repository>,
    },
    /// The same, and the registry refuses mounts.
    MountsRefused {
        /// Which; the first is asked in the request that opens the upload.
        repositories: Vec<Repository>,
    },
    /// It must not be sent.
    MustMount,
    /// An upload of it was interrupted.
    Interrupted,
    /// The repository does not hold it, and nobody is known to.
    Absent,
    /// The repository holds the manifest, but not under this tag.
    Untagged,
    /// The target cannot say what the repository holds.
    Unknown,
    /// It is foreign.
    Foreign,
}

/// What a plan comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Bytes of blobs.
    pub bytes: Bytes,
    /// The requests a push will make at most, if the registry is as it was when asked, says by a
    /// mount that a blob is there, and one of the repositories asked for a mount gives it: its
    /// questions, and what it does. Requests for tokens, and a registry client's own retries and read-backs, are
    /// not in it.
    pub requests: Requests,
    /// The longest chain of these requests of which each waits for the answer before.
    pub depth: usize,
}

/// Bytes of blobs: configs and layers. Manifests are not counted.
///
/// `unique` is the sum of `present`, `mounted`, `uploaded`, `resumed` and `foreign`. What went over
/// the wire as bodies of blobs is `uploaded` and `resent` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Of all blobs, each as often as manifests list it.
    pub total: u64,
    /// Of all blobs, each once.
    pub unique: u64,
    /// Of those the repository held.
    pub present: u64,
    /// Of those the registry linked from another repository.
    pub mounted: u64,
    /// Of those that were sent, each once.
    pub uploaded: u64,
    /// Of the starts of blobs that an earlier push had sent before it was interrupted.
    pub resumed: u64,
    /// Sent more than once.
    pub resent: u64,
    /// Of foreign ones that stayed where they are.
    pub foreign: u64,
}

/// Numbers of requests by method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Questions.
    pub head: u64,
    /// Questions for how much of a blob is there, and for what refers to a manifest.
    pub get: u64,
    /// Uploads opened and mounts asked for.
    pub post: u64,
    /// Uploads gone on with.
    pub patch: u64,
    /// Uploads finished and manifests put.
    pub put: u64,
    /// Upload sessions given up: a refused mount opens one that nobody may need.
    pub delete: u64,
}

// === impl Plan ===

impl Plan {
    /// The manifest or index that is pushed.
    pub fn root(&self) -> &Descriptor {
        self.graph.root().document.descriptor()
    }

    /// The digest the push will end with.
    pub fn digest(&self) -> &Digest {
        &self.root().digest
    }

    /// Where to.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tags that will name it; empty for by digest only.
    pub fn tags(&self) -> &[Tag] {
        &self.destination.tags
    }

    /// Those of the tags that name it already.
    pub fn held_tags(&self) -> &[Tag] {
        &self.held_tags
    }

    /// The steps: blobs, then manifests in the order they are put.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What it comes to.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What becomes of the image's foreign layers, if it has any.
    pub fn foreign(&self) -> Option<&ForeignLayers> {
        self.foreign.as_ref()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|it| matches!(it.action, Action::Skip | Action::Point))
    }
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("Plan", 7)?;
        plan.serialize_field("root", self.root())?;
        plan.serialize_field("repository", &self.repository)?;
        plan.serialize_field("tags", self.tags())?;
        plan.serialize_field("held_tags", &self.held_tags)?;
        plan.serialize_field("steps", &self.steps)?;
        plan.serialize_field("totals", &self.totals)?;
        match &self.foreign {
            Some(foreign) => plan.serialize_field("foreign", foreign)?,
            None => plan.skip_field("foreign")?,
        }
        plan.end()
    }
}

// === impl Requests ===

impl Requests {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_method().into_iter().map(|(_, count)| count).sum()
    }

    /// Each method, and how many requests have it.
    pub fn by_method(&self) -> [(&'static str, u64); 6] {
        [
            ("HEAD", self.head),
            ("GET", self.get),
            ("POST", self.post),
            ("PATCH", self.patch),
            ("PUT", self.put),
            ("DELETE", self.delete),
        ]
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, more: Self) {
        self.head += more.head;
        self.get += more.get;
        self.post += more.post;
        self.patch += more.patch;
        self.put += more.put;
        self.delete += more.delete;
    }
}

impl Serialize for Requests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut requests = serializer.serialize_struct("Requests", 7)?;
        for (method, count) in self.by_method() {
            requests.serialize_field(method, &count)?;
        }
        requests.serialize_field("total", &self.total())?;
        requests.end()
    }
}
