//! What a connection is doing, and when it has been still for too long.
//!
//! Bodies of requests have bounds of their own; this is about everything else: a head that does
//! not come, a connection that is kept for nothing, an answer that is not read. One clock looks
//! at all three, below HTTP, so that it is the same for HTTP/1.1 and HTTP/2.
//!
//! On HTTP/1.1 an answer is not read if the system takes none of it. HTTP/2 has windows of its
//! own, for each stream: there an answer is looked at by itself too, so that a client that reads
//! some of its streams cannot leave others alone for ever.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use crate::Limits;

/// A stream's answer may take so many times as long for its next piece as a connection for its
/// next byte: a piece has up to 128 KiB, which makes it 16 KiB in a minute by default.
const PIECE_SHARE: u32 = 8;

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
    /// Answers that are still leaving, by a number of their own.
    answers: HashMap<u64, Answer>,
    /// The number of the next one.
    next_answer: u64,
    /// When it was accepted, or its last request was answered.
    rests_since: Instant,
    /// When the first byte came after that.
    head_since: Option<Instant>,
    /// When something was written last.
    wrote: Instant,
    /// Since when the system takes nothing, if it does not.
    blocked: Option<Instant>,
    /// HTTP/2, where bytes come also when no request does.
    multiplexed: bool,
    /// Bytes that came since the last request began or ended.
    coming: usize,
}

/// An answer that is leaving.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// When its last piece was handed on.
    since: Instant,
    /// Whether it is the client that is waited for, not the registry.
    waits: bool,
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
                answers: HashMap::new(),
                next_answer: 0,
                rests_since: now,
                head_since: None,
                wrote: now,
                blocked: None,
                multiplexed: false,
                coming: 0,
            }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes came; how many since the last request began or ended.
    pub(crate) fn read(&self, bytes: usize) -> usize {
        let mut state = self.state();
        state.coming = state.coming.saturating_add(bytes);
        if state.under_way == 0 && state.head_since.is_none() {
            state.head_since = Some(Instant::now());
            self.changed.notify_one();
        }
        state.coming
    }

    /// Bytes left.
    pub(crate) fn wrote(&self) {
        let mut state = self.state();
        state.wrote = Instant::now();
        state.blocked = None;
    }

    /// Bytes were to leave, and the system took none.
    pub(crate) fn blocks(&self) {
        let mut state = self.state();
        if state.blocked.is_none() {
            state.blocked = Some(Instant::now());
            self.changed.notify_one();
        }
    }

    /// A request came.
    pub(crate) fn begins(&self, multiplexed: bool) {
        let mut state = self.state();
        state.requests += 1;
        state.under_way += 1;
        state.coming = 0;
        state.head_since = None;
        state.multiplexed = multiplexed;
    }

    /// A request has its answer.
    pub(crate) fn ends(&self) {
        let mut state = self.state();
        state.under_way -= 1;
        state.coming = 0;
        state.rests_since = Instant::now();
        state.head_since = None;
        self.changed.notify_one();
    }

    /// An answer's body begins to leave; the answer's number.
    pub(crate) fn answers(&self) -> u64 {
        let mut state = self.state();
        let number = state.next_answer;
        state.next_answer += 1;
        let since = Instant::now();
        let waits = true;
        state.answers.insert(number, Answer { since, waits });
        state.wrote = since;
        self.changed.notify_one();
        number
    }

    /// An answer's next piece was asked for: there is one that `waits` for the client, or the
    /// client waits for it.
    pub(crate) fn hands_on(&self, number: u64, waits: bool) {
        let mut state = self.state();
        if let Some(answer) = state.answers.get_mut(&number) {
            let begins = waits && !answer.waits;
            *answer = Answer {
                since: Instant::now(),
                waits,
            };
            if begins {
                self.changed.notify_one();
            }
        }
    }

    /// All of an answer's body has left, or is given up.
    pub(crate) fn answered(&self, number: u64) {
        let mut state = self.state();
        state.answers.remove(&number);
        state.rests_since = Instant::now();
        self.changed.notify_one();
    }

    /// Comes back when the connection has been still for too long; or is idle, when the
    /// `crowd` of others asks one of those to go.
    pub(crate) async fn still(&self, limits: &Limits, crowd: &Notify) -> Still {
        loop {
            let (deadline, is_idle) = {
                let state = self.state();
                (state.deadline(limits), state.is_idle())
            };
            match deadline {
                Some((at, still)) if is_idle && at > Instant::now() => {
                    let late = tokio::time::sleep_until(at.into());
                    tokio::select! {
                        () = late => {}
                        () = self.changed.notified() => {}
                        () = crowd.notified() => return still,
                    }
                }
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
    /// It had a request, and nothing came since that was answered.
    fn is_idle(&self) -> bool {
        let is_busy = self.under_way > 0 || !self.answers.is_empty();
        self.requests > 0 && !is_busy && (self.head_since.is_none() || self.multiplexed)
    }

    /// When it will have been still for too long, if nothing happens.
    fn deadline(&self, limits: &Limits) -> Option<(Instant, Still)> {
        let unread = self.unread(limits).map(|at| (at, Still::Unread));
        if unread.is_some() || self.under_way > 0 || !self.answers.is_empty() {
            return unread;
        }
        let (since, limit, still) = if self.requests == 0 {
            (self.rests_since, limits.head_timeout, Still::Head)
        } else if let (Some(head), false) = (self.head_since, self.multiplexed) {
            (head, limits.head_timeout, Still::Head)
        } else {
            let since = self.rests_since.max(self.wrote);
            (since, limits.keep_alive, Still::Idle)
        };
        Some((since.checked_add(limit)?, still))
    }

    /// When what waits to be read will have waited for too long.
    fn unread(&self, limits: &Limits) -> Option<Instant> {
        let blocked = self.blocked.map(|since| since.max(self.wrote));
        let blocked = blocked.and_then(|it| it.checked_add(limits.answer_idle));
        if !self.multiplexed {
            return blocked;
        }
        let waiting = self.answers.values().filter(|it| it.waits);
        let oldest = waiting.map(|it| it.since).min();
        let share = limits.answer_idle.saturating_mul(PIECE_SHARE);
        let piece = oldest.and_then(|it| it.checked_add(share));
        let all = oldest.and_then(|it| it.max(self.wrote).checked_add(limits.answer_idle));
        [blocked, piece, all].into_iter().flatten().min()
    }
}
