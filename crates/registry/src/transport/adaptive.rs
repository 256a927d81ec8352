//! How much at once a host bears: found out by asking for a little more, and for half after too much.
//!
//! ```text
//!   as many as may be ──too much at n──▶ n/2 ──a window without trouble──▶ +1 … n-1
//!                                         ▲                                    │ many windows
//!                                         └──────────── too much ◀──────── +1 ─┘
//! ```
//!
//! Additive increase and multiplicative decrease, as TCP has it
//! ([Chiu and Jain](https://doi.org/10.1016/0169-7552(89)90019-6)). Nobody begins slowly: most
//! registries bear what is asked of them, and one that does not says so at once. Of requests that
//! set out together the first to fail halves, the others are of the same news. Up to where there was
//! trouble last, each window adds one; beyond it only after many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Windows without trouble before there is one more than where there was trouble last.
const PROBE: usize = 8;

/// The limit of one kind of request to one host.
#[derive(Debug)]
pub(crate) struct Adaptive {
    places: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// The limit, as long as there was a window at it without trouble.
    proven: usize,
    in_use: usize,
    /// Places that go with whoever leaves next, because the limit went down under them.
    owed: usize,
    /// Ended well since the limit changed, at a time when there was no room for more.
    credit: usize,
    /// The most there was no trouble with, where there was some.
    ceiling: Option<usize>,
    /// How often the limit was halved.
    halved: u64,
    /// Whether the limit is worth telling: the host has shown what it bears, once.
    shown: bool,
}

/// A request under way. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Adaptive>,
    permit: Option<OwnedSemaphorePermit>,
    /// How often the limit was halved before it set out.
    halved: u64,
    /// Whether it has a result yet.
    judged: bool,
}

/// What a request's end says of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// It bears so much.
    Borne,
    /// It may be too much for it.
    TooMuch,
    /// Nothing.
    Unknown,
}

impl Adaptive {
    /// At most this many, 1 or more.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            state: Mutex::new(State {
                limit: most,
                proven: most,
                in_use: 0,
                owed: 0,
                credit: 0,
                ceiling: None,
                halved: 0,
                shown: false,
            }),
        }
    }

    /// Waits until there is room for one more.
    pub(crate) async fn place(self: &Arc<Self>) -> Place {
        // The semaphore is never closed.
        let permit = self.places.clone().acquire_owned().await.ok();
        let mut state = self.state();
        state.in_use += 1;
        Place {
            of: self.clone(),
            permit,
            halved: state.halved,
            judged: false,
        }
    }

    /// Begins with what the host bore yesterday.
    pub(crate) fn begin_at(&self, limit: usize) {
        let mut state = self.state();
        if state.shown || limit >= self.most {
            return;
        }
        state.shown = true;
        state.ceiling = Some(limit.max(1));
        self.lower(&mut state, limit.max(1));
    }

    /// What the host bears, if it has shown it; never more than is asked of it.
    pub(crate) fn shown(&self) -> Option<usize> {
        let state = self.state();
        state.shown.then_some(state.proven)
    }

    /// How often it was too much.
    pub(crate) fn halved(&self) -> u64 {
        self.state().halved
    }

    fn judge(&self, load: Load, since: u64) {
        let mut state = self.state();
        match load {
            // Alone it was not too many.
            Load::TooMuch if state.in_use > 1 && since == state.halved => {
                let flight = state.in_use.min(state.limit);
                state.ceiling = Some(flight.saturating_sub(1).max(1));
                state.halved += 1;
                state.shown = true;
                self.lower(&mut state, (flight / 2).max(1));
            }
            Load::Borne if state.in_use >= state.limit && since == state.halved => {
                state.credit += 1;
                if state.credit >= state.limit {
                    state.proven = state.limit;
                }
                let beyond = state.ceiling.is_some_and(|it| state.limit >= it);
                let windows = if beyond { PROBE } else { 1 };
                if state.limit < self.most && state.credit >= state.limit.saturating_mul(windows) {
                    self.raise(&mut state, beyond);
                }
            }
            Load::TooMuch | Load::Borne | Load::Unknown => {}
        }
    }

    fn lower(&self, state: &mut State, limit: usize) {
        let fewer = state.limit.saturating_sub(limit);
        state.limit = limit;
        state.proven = limit;
        state.credit = 0;
        // What is not free now goes when it is.
        state.owed += fewer - self.places.forget_permits(fewer);
    }

    fn raise(&self, state: &mut State, beyond: bool) {
        state.limit += 1;
        state.credit = 0;
        if beyond {
            state.ceiling = None;
        }
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.places.add_permits(1);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What came of the request. Only the first result counts.
    pub(crate) fn judge(&mut self, load: Load) {
        if !std::mem::replace(&mut self.judged, true) {
            self.of.judge(load, self.halved);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.in_use -= 1;
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests;
