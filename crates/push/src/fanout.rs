//! One image to several registries at once, each of its blobs read once.
//!
//! ```text
//!              ┌── Member ◀── push into A           the engine runs once for each destination,
//!   Source ─ Hub ── Member ◀── push into B          beside the others, and knows of none of them
//!              └── Member ◀── push into C
//!                    │
//!                  Group, one for a blob that is being read: a task reads, a window keeps what
//!                  not everybody has taken, seats say how far each of them is
//! ```
//!
//! - **Only who sends a blob joins.** A registry that holds or mounts it does not; where none sends
//!   it, it is not opened.
//! - **Memory is bounded** whatever the number of destinations: what is read stays until the last
//!   has taken it, and no more is read then than the window has room for.
//! - **Each byte is hashed once**, while it is read, for all who take it; each destination gets the
//!   last piece of a blob when all of it is known to be right. Who reads on alone takes along what
//!   the hash was at its place, so that what it sent and what it sends are verified as one.
//! - **Nobody holds the others up for long.** A destination that is late, or does not keep up, is
//!   waited for for a bounded time. Then it is on its own: it opens the source at its own place,
//!   for this blob and for those that come after, and the report counts how often.
//! - **Nobody fails for another.** Each destination has a result of its own.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::future::join_all;
use oci::{PushTarget, Registry, Source};

use crate::{
    engine::Engine,
    error::PushError,
    event::{Event, Observer},
    options::Destination,
    report::Report,
};

mod group;
mod hub;
mod member;
#[cfg(test)]
mod tests;

use hub::Hub;
use member::Member;

/// How many destinations one fan-out has at most.
pub const MAX_DESTINATIONS: usize = 64;

/// How a fan-out shares what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FanoutOptions {
    /// How much of one blob is kept for those that have not taken it yet, in bytes: another piece of
    /// the source (at most 1 MiB) is read as long as there is less. Default 2 MiB.
    pub window: NonZeroUsize,
    /// How much is kept of all blobs together, in bytes: when many are read at once, the window of
    /// each is smaller. Default 8 MiB.
    pub memory: NonZeroUsize,
    /// How long one destination may hold up the others: before a blob is begun, and while it is
    /// read. Default 3 s.
    pub patience: Duration,
}

/// One of the destinations.
#[derive(Clone, Copy)]
pub struct Branch<'a> {
    /// How it is pushed. Branches of one engine share its knowledge and its uploads.
    pub engine: &'a Engine,
    /// The repository pushed into.
    pub target: &'a dyn PushTarget,
    /// The tags there, and siblings.
    pub destination: &'a Destination,
    /// Who is told how this one gets on.
    pub observer: &'a dyn Observer,
}

/// What came of one destination.
#[derive(Debug)]
#[non_exhaustive]
pub struct Landing {
    /// The push's own result.
    pub result: Result<Report, PushError>,
    /// How often it opened a blob of the source for itself, because it was late or behind, or had
    /// to send again what the others had sent already.
    pub reopened: u64,
}

impl Default for FanoutOptions {
    fn default() -> Self {
        Self {
            window: NonZeroUsize::MIN.saturating_add(2 * 1024 * 1024 - 1),
            memory: NonZeroUsize::MIN.saturating_add(8 * 1024 * 1024 - 1),
            patience: Duration::from_secs(3),
        }
    }
}

/// Pushes the image of `source` to every one of `branches`, at the same time.
///
/// What came of each stands at its place. A failure of one is nobody else's; dropping the future
/// stops them all. Each may have as many blobs on their way as its engine's options say; those of
/// one registry and one engine share uploads.
///
/// Needs a tokio runtime. Of more than [`MAX_DESTINATIONS`] branches, those beyond read on their own.
pub async fn push_to_all(
    source: Arc<dyn Source>,
    branches: &[Branch<'_>],
    options: FanoutOptions,
) -> Vec<Landing> {
    let registries = branches.iter().map(|it| it.target.repository().registry());
    let registries: Vec<Registry> = registries.cloned().collect();
    let hub = Arc::new(Hub::new(source, options, &registries));
    let pushes = branches.iter().enumerate().map(|(at, branch)| {
        let (hub, engine) = (Arc::clone(&hub), branch.engine.beside());
        async move {
            let member = Member::new(Arc::clone(&hub), at);
            let watching = Watching {
                observer: branch.observer,
                hub: &hub,
                at,
            };
            let result = engine
                .push(&member, branch.target, branch.destination, &watching)
                .await;
            hub.over(at);
            Landing {
                result,
                reopened: hub.reopened(at),
            }
        }
    });
    join_all(pushes).await
}

/// Sees which blobs a destination will not ask for.
struct Watching<'a> {
    observer: &'a dyn Observer,
    hub: &'a Hub,
    at: usize,
}

impl Observer for Watching<'_> {
    fn event(&self, event: &Event) {
        if let Event::Done { digest, .. } = event {
            self.hub.decided(self.at, digest);
        }
        self.observer.event(event);
    }
}

impl fmt::Debug for Branch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch")
            .field("target", &self.target)
            .field("destination", &self.destination)
            .finish_non_exhaustive()
    }
}
