//! Connections opened ahead of the requests they are for.
//!
//! ```text
//!   requests wait for a challenge, a token, a manifest ─┐
//!   the first connection stands ────────────────────────┴─▶ opening ─▶ kept ─▶ the next that is wanted
//!                                                                      └ unused for a while: closed
//! ```
//!
//! A handshake takes a round trip, with TLS two. Where it is known that several requests will go at
//! once and each needs a connection of its own (HTTP/1.1), that time passes while they wait anyway.
//! Nothing is opened to a host before its first connection stands: one that cannot be reached is
//! not tried in vain more often than without.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{connect::ConnectError, location::Origin, socket::Socket};

/// How long a connection is kept that nobody has asked anything on: less than servers wait for the
/// first request.
pub(super) const KEPT: Duration = Duration::from_secs(5);

/// Those of one lane.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    early: Mutex<HashMap<Origin, Vec<Early>>>,
}

/// One that is being opened, or stands.
#[derive(Debug)]
struct Early {
    since: Instant,
    opening: JoinHandle<Result<Socket, ConnectError>>,
}

impl Ahead {
    /// Keeps one until it is wanted, for [`KEPT`] at the most.
    pub(super) fn keep(
        self: &Arc<Self>,
        origin: &Origin,
        opening: impl Future<Output = Result<Socket, ConnectError>> + Send + 'static,
    ) {
        let early = Early {
            since: Instant::now(),
            opening: tokio::spawn(opening),
        };
        self.early().entry(origin.clone()).or_default().push(early);
        let (ahead, origin) = (Arc::downgrade(self), origin.clone());
        tokio::spawn(async move {
            sleep(KEPT).await;
            if let Some(ahead) = ahead.upgrade() {
                ahead.drop_old(&origin);
            }
        });
    }

    /// The next to an origin, waited for if it is being opened; none if there is none.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Socket> {
        while let Some(mut early) = self.next(origin) {
            if let Ok(Ok(socket)) = (&mut early.opening).await
                && socket.is_open()
            {
                return Some(socket);
            }
        }
        None
    }

    /// What is kept longest of those that are not too old.
    fn next(&self, origin: &Origin) -> Option<Early> {
        self.drop_old(origin);
        let mut all = self.early();
        let early = all.get_mut(origin)?;
        (!early.is_empty()).then(|| early.remove(0))
    }

    fn drop_old(&self, origin: &Origin) {
        let mut all = self.early();
        if let Some(early) = all.get_mut(origin) {
            early.retain(|it| it.since.elapsed() < KEPT);
            if early.is_empty() {
                all.remove(origin);
            }
        }
    }

    fn early(&self) -> MutexGuard<'_, HashMap<Origin, Vec<Early>>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.opening.abort();
    }
}
