//! What a connection is doing, and when it has been still for too long.
//!
//! Bodies of requests have bounds of their own; this is about everything else: a head that does
//! not come, a connection that is kept for nothing, an answer that is not read. One clock looks
//! at all three, below HTTP, so that it is the same for HTTP/1.1 and HTTP/2.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use crate::Limits;

/// What a connection is doing.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that came, in all.
    requests: u64,
    /// Requests without an answer yet.
    under_way: usize,
    /// Answers whose body is still being handed on.
    answers: usize,
    /// When it was accepted, or its last request was answered.
    rests_since: Instant,
    /// When the first byte came after that.
    head_since: Option<Instant>,
    /// When something was written last.
    wrote: Instant,
    /// HTTP/2, where bytes come also when no request does.
    multiplexed: bool,
}

/// How a connection has been still for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Still {
    /// No request came, or not all of its head.
    Head,
    /// No further request came.
    Idle,
    /// The client does not read its answer.
    Unread,
}

impl Activity {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            state: Mutex::new(State {
                requests: 0,
                under_way: 0,
                answers: 0,
                rests_since: now,
                head_since: None,
                wrote: now,
                multiplexed: false,
            }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came.
    pub(crate) fn read(&self) {
        let mut state = self.state();
        if state.under_way == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    /// Bytes left.
    pub(crate) fn wrote(&self) {
        self.state().wrote = Instant::now();
    }

    /// A request came.
    pub(crate) fn begins(&self, multiplexed: bool) {
        let mut state = self.state();
        state.requests += 1;
        state.under_way += 1;
        state.head_since = None;
        state.multiplexed = multiplexed;
    }

    /// A request has its answer.
    pub(crate) fn ends(&self) {
        let mut state = self.state();
        state.under_way -= 1;
        state.rests_since = Instant::now();
        state.head_since = None;
        self.changed.notify_one();
    }

    /// An answer's body begins to leave.
    pub(crate) fn answers(&self) {
        let mut state = self.state();
        state.answers += 1;
        state.wrote = Instant::now();
        self.changed.notify_one();
    }

    /// An answer's body has left, or is given up.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.answers -= 1;
        state.rests_since = Instant::now();
        self.changed.notify_one();
    }

    /// Comes back when the connection has been still for too long.
    pub(crate) async fn still(&self, limits: &Limits) -> Still {
        loop {
            let deadline = self.state().deadline(limits);
            match deadline {
                None => self.changed.notified().await,
                Some((at, still)) if at <= Instant::now() => return still,
                Some((at, _)) => {
                    let late = tokio::time::sleep_until(at.into());
                    tokio::select! { () = late => {}, () = self.changed.notified() => {} }
                }
            }
        }
    }
}

impl State {
    /// When it will have been still for too long, if nothing happens.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, Still)> {
        let (since, limit, still) = if self.answers > 0 {
            (self.wrote, limits.answer_idle, Still::Unread)
        } else if self.under_way > 0 {
            return None;
        } else if self.requests == 0 {
            (self.rests_since, limits.head_timeout, Still::Head)
        } else if let (Some(head), false) = (self.head_since, self.multiplexed) {
            (head, limits.head_timeout, Still::Head)
        } else {
            let since = self.rests_since.max(self.wrote);
            (since, limits.keep_alive, Still::Idle)
        };
        Some((since.checked_add(limit)?, still))
    }
}
