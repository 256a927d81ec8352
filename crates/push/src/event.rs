//! What a listener may know while a push runs.
//!
//! The engine tells and goes on: an [`Observer`] is never waited for. A listener that
//! may be slow or gone gets its events through a [`channel`], which drops and counts
//! what it has no room for.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use oci::{Descriptor, Digest, Presence, Repository, Tag};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::mount::{MountStatus, Tried};

mod progress;

pub(crate) use progress::Progress;

/// Something that happened in a push.
///
/// For each blob, in this order: `Queued`, then any of `Checked`, `MountTried`,
/// `Resuming`, `Bytes` and `Altered`, then `Done`; or nothing more if the push fails first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// All is known about what is pushed; nothing was asked or sent yet.
    Started {
        /// Where to.
        repository: Repository,
        /// The root's digest.
        digest: Digest,
        /// How many blobs there are, each counted once.
        blobs: usize,
        /// Their bytes, each counted once.
        bytes: u64,
    },
    /// A blob will be dealt with.
    Queued {
        /// The blob.
        blob: Descriptor,
    },
    /// It is known whether the repository holds the blob.
    Checked {
        /// The blob.
        digest: Digest,
        /// Whether it does.
        held: Held,
    },
    /// A repository was asked for a blob.
    MountTried {
        /// The blob.
        digest: Digest,
        /// Who was asked, and the answer.
        #[serde(flatten)]
        tried: Tried,
    },
    /// The upload of a blob goes on that an earlier push left. A registry that has forgotten
    /// it takes the blob from the start.
    Resuming {
        /// The blob.
        digest: Digest,
        /// How many bytes it had acknowledged, as far as was kept.
        acknowledged: u64,
    },
    /// Bytes of a blob went out. Not told for every piece.
    Bytes {
        /// The blob.
        digest: Digest,
        /// How far into the blob the body is now, in bytes. It can go back: what a
        /// registry lost is sent again.
        position: u64,
        /// The blob's size in bytes.
        size: u64,
    },
    /// A place gave other bytes than a blob's. What was sent of them was thrown away: the blob is
    /// sent anew, from another place.
    Altered {
        /// The blob.
        digest: Digest,
        /// The place, which is not read again.
        place: String,
        /// Where the blob is read from next.
        next: String,
    },
    /// A blob is where it should be.
    Done {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// What was done.
        done: Done,
        /// What came of mounting it.
        mount: MountStatus,
        /// Body bytes sent for it.
        sent: u64,
    },
    /// A manifest or index was put.
    ManifestPut {
        /// It.
        digest: Digest,
        /// Under which tag; none for its digest.
        tag: Option<Tag>,
        /// Whether the registry confirmed the digest.
        verified: bool,
    },
    /// The list that is kept under a tag, of what refers to a manifest, has been added to.
    ReferrersListed {
        /// What they refer to.
        subject: Digest,
        /// The tag.
        tag: Tag,
    },
    /// Something a person may want to know that does not stop the push.
    Warning {
        /// What, as a fragment.
        message: String,
    },
}

/// What happened to a blob's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// None moved: the repository holds it.
    Present,
    /// None moved: the registry linked it from another repository.
    Mounted,
    /// They were sent.
    Uploaded,
    /// None moved: it is foreign, and stays where its `urls` say.
    Foreign,
}

/// Whether a repository holds something, for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The target cannot say.
    Unknown,
}

/// Told what happens. Never waited for: must not block, and need not answer.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Tells nobody.
impl Observer for () {
    fn event(&self, _event: &Event) {}
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn event(&self, event: &Event) {
        (**self).event(event);
    }
}

/// Hands events to a [`channel`]; what does not fit is dropped and counted.
#[derive(Clone, Debug)]
pub struct ChannelObserver {
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

/// An observer and the other end of its channel, with room for `capacity` events (at least 1).
///
/// A listener that is slow loses events, one that is gone loses all of them, and the
/// push notices neither.
pub fn channel(capacity: usize) -> (ChannelObserver, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let observer = ChannelObserver {
        sender,
        dropped: Arc::default(),
    };
    (observer, receiver)
}

impl ChannelObserver {
    /// How many events found no room, or nobody listening.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Observer for ChannelObserver {
    fn event(&self, event: &Event) {
        if self.sender.try_send(event.clone()).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl From<&Presence> for Held {
    fn from(presence: &Presence) -> Self {
        match presence {
            Presence::Held(_) => Self::Yes,
            Presence::Absent => Self::No,
            Presence::Unknown => Self::Unknown,
        }
    }
}
