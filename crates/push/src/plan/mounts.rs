//! What a registry is known to do with mounts, and what is asked of one that refuses them. Pure.
//!
//! A refusal is worth a question: the blob may be in the repository already. Where every mount is
//! refused that question is all there is to learn, and it is asked plainly and first, of what was seen there and of what
//! would be much to send for nothing; the rest is sent as a blob is that nobody is known to hold.

use oci::{Mounting, PushTarget};

use crate::options::AskFirst;

/// What a registry is known to do with mounts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mounts {
    pub(crate) mounting: Mounting,
    /// Whether it finds by a mount from the repository itself what is there.
    pub(crate) finds: bool,
}

impl Mounts {
    pub(crate) async fn of(target: &dyn PushTarget) -> Self {
        Self {
            mounting: target.mounting().await,
            finds: target.finds_by_mount().await,
        }
    }

    /// Whether all are refused, as far as is known; where that is in doubt, all but one.
    pub(crate) fn are_refused(self) -> bool {
        self.mounting != Mounting::Tried
    }
}

/// Whether a blob of so many bytes is asked for before it is sent to a registry that refuses to
/// mount it: a question costs less than sending more than [`AskFirst::STAKE`] for nothing.
pub(crate) fn is_much(size: u64) -> bool {
    size > AskFirst::STAKE
}
