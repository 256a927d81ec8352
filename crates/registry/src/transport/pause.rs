//! Hosts that want no requests for a while: one gate for all lanes of the process, and for
//! all processes that share a [board](PauseBoard).
//!
//! ```text
//!   answer 429 ──▶ begin ──▶ map of this process ──▶ board ──▶ other processes
//!   request ──▶ permit ──▶ left? ── none ──▶ sent
//!                  ▲         └─ some ──▶ permit back, wait ─┐
//!                  └────────────────────────────────────────┘
//! ```
//!
//! A pause is of a host *and* of whoever asked there ([`Account`]): registries count requests by
//! account. A pause that is longer than anybody wants to wait fails the request instead, unsent.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use oci::Digest;
use tokio::time::{Instant, timeout};

use super::location::Origin;
use crate::event::{ClientEvent, ClientObserver};

/// The longest pause that is heeded, whatever a registry asks for: the longest window that
/// public registries count requests in.
const LONGEST: Duration = Duration::from_hours(6);
/// How long a board may take to answer; one that is slower is gone on without.
const PATIENCE: Duration = Duration::from_secs(1);
/// A pause that ends within so much of the one before is the same, told again; one that is so
/// short is not worth a word.
const SAME: Duration = Duration::from_millis(500);
/// Pauses at a time; what is over goes first.
const MAX_PAUSES: usize = 256;

/// Where processes tell each other which hosts want no requests for a while, and whose turn it is.
///
/// A hint: a board that knows nothing costs requests that are refused, never correctness.
/// No method may fail or take long; the client goes on without an answer after a second.
#[async_trait]
pub trait PauseBoard: fmt::Debug + Send + Sync {
    /// Until when `whom` should be left alone; none if not at all. `whom` is a host by its URL
    /// without a path, and perhaps `#` and what stands for the account used there: at most 350
    /// bytes, never a secret.
    async fn until(&self, whom: &str) -> Option<SystemTime>;

    /// Has everybody leave `whom` alone until then. A longer pause is not made shorter.
    async fn pause(&self, whom: &str, until: SystemTime);

    /// Takes the next stretch of time of this length for the caller, in which nobody else sends a
    /// request to `whom`, a host by its URL without a path: from when on it is. Stretches follow one
    /// another, and none begins before it is asked for. None if the board cannot do that.
    async fn turns(&self, whom: &str, length: Duration) -> Option<SystemTime> {
        let _ = (whom, length);
        None
    }
}

/// Who asks a host: not a secret, and no name either. The same for all that use the same account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Account(Option<Arc<str>>);

/// The gate.
pub(crate) struct Pauses {
    board: Option<Arc<dyn PauseBoard>>,
    observer: Arc<dyn ClientObserver>,
    /// The longest time a request waits.
    patience: Duration,
    /// How long a host is left alone that does not say how long.
    unasked: Duration,
    ends: Mutex<HashMap<Whom, Instant>>,
}

/// A host, and who asks there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Whom {
    origin: Origin,
    account: Account,
}

// === impl Account ===

impl Account {
    /// The account of this name. Some put a token in its place, so it is kept as a hash.
    pub(crate) fn named(name: &str) -> Self {
        let digest = Digest::of(name.as_bytes()).to_string();
        let hash = digest.rsplit(':').next().unwrap_or_default();
        Self(hash.get(..16).map(Into::into))
    }

    /// Nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self(None)
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account.0 {
            Some(account) => write!(f, "{}#{account}", self.origin),
            None => self.origin.fmt(f),
        }
    }
}

// === impl Pauses ===

impl Pauses {
    /// A gate at which a request waits for `patience` at most.
    pub(crate) fn new(
        board: Option<Arc<dyn PauseBoard>>,
        observer: Arc<dyn ClientObserver>,
        patience: Duration,
        unasked: Duration,
    ) -> Self {
        Self {
            board,
            observer,
            patience,
            unasked,
            ends: Mutex::default(),
        }
    }

    /// Holds every new request of this account to the host back, for as long as the host `asked`.
    pub(crate) async fn begin(&self, origin: &Origin, account: &Account, asked: Option<Duration>) {
        let whom = Whom::of(origin, account);
        let wait = asked.unwrap_or(self.unasked).min(LONGEST);
        if !self.note(&whom, wait) {
            return;
        }
        if let (Some(board), Some(_)) = (&self.board, asked) {
            let until = SystemTime::now() + wait;
            let _ = timeout(PATIENCE, board.pause(&whom.to_string(), until)).await;
        }
    }

    /// How long the host still wants to be left alone by this account.
    ///
    /// An error where that is longer than a request is to wait.
    pub(crate) async fn left(
        &self,
        origin: &Origin,
        account: &Account,
    ) -> Result<Option<Duration>, Duration> {
        let whom = Whom::of(origin, account);
        if let Some(board) = &self.board {
            let shown = whom.to_string();
            let until = Box::pin(timeout(PATIENCE, board.until(&shown))).await;
            let left = until.ok().flatten().map(|until| {
                let left = until.duration_since(SystemTime::now());
                left.unwrap_or_default().min(LONGEST)
            });
            if let Some(left) = left.filter(|left| !left.is_zero()) {
                self.note(&whom, left);
            }
        }
        let end = self.ends().get(&whom).copied();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            Some(left) if left > self.patience => Err(left),
            left => Ok(left),
        }
    }

    /// The longest time a request waits.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// The hosts that want to be left alone now, and how long.
    pub(crate) fn now(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        let ends = self.ends();
        let going = ends.iter().filter(|(_, end)| **end > now);
        going
            .map(|(whom, end)| (whom.origin.to_string(), *end - now))
            .collect()
    }

    /// Whether that is longer than what was known.
    fn note(&self, whom: &Whom, wait: Duration) -> bool {
        let now = Instant::now();
        let end = now + wait;
        let before = {
            let mut ends = self.ends();
            if ends.len() >= MAX_PAUSES {
                ends.retain(|_, end| *end > now);
            }
            if ends.len() >= MAX_PAUSES {
                return false;
            }
            let known = ends.entry(whom.clone()).or_insert(now);
            let before = *known;
            *known = before.max(end);
            before
        };
        if end >= before.max(now) + SAME {
            let host = whom.origin.to_string();
            tracing::info!(%host, ?wait, "the host wants no requests for a while");
            self.observer.event(&ClientEvent::Paused { host, wait });
        }
        end > before
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<Whom, Instant>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pauses")
            .field("board", &self.board)
            .field("ends", &self.ends())
            .finish_non_exhaustive()
    }
}

impl Whom {
    fn of(origin: &Origin, account: &Account) -> Self {
        Self {
            origin: origin.clone(),
            account: account.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
