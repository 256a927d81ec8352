//! How many requests a second, where that is limited: one after the other, evenly, for all lanes of
//! the process and for all processes that share a [board](PauseBoard).
//!
//! ```text
//!   request ─▶ permit ─▶ pause? ─▶ turn: its own moment, or wait for it ─▶ sent
//!                                   ▲
//!                 board ── a stretch of turns, 50 ms or one turn ──┘
//! ```
//!
//! A registry counts in windows that nobody else knows the beginning of. So there are no bursts:
//! turns lie as far apart as the rate says and a twentieth more, for what the network delays one
//! request and not the next; and a turn is used in its own time or not at all. Whatever second is
//! looked at, it has no more requests than the rate allows.
//!
//! Every request has a turn, whatever it is for and in whose name, also one that is made again.
//! Turns are of an origin: a token service or a store of blobs elsewhere has its own.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use tokio::{
    sync::Mutex as AsyncMutex,
    time::{Instant, sleep_until, timeout},
};

use super::{allowance, location::Origin, pause::PauseBoard};

/// How long a board may take to answer; one that is slower is gone on without.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much time is asked of a board at once, where turns are shorter. What is not used of it is
/// lost to everybody.
const STRETCH: Duration = Duration::from_millis(50);
/// How often a turn is taken that turns out to be over when its time has come.
const MISSED: usize = 16;
/// Origins at a time; those whose turns are long over go first.
const MAX_ORIGINS: usize = 1024;
/// The longest time between two requests.
const SLOWEST: Duration = Duration::from_hours(1);

/// Requests in a time, evenly: from one an hour to 10,000 a second, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRate {
    every: Duration,
}

/// Why numbers are no rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of bounds: from one request an hour to 10,000 a second")]
pub struct RequestRateError;

/// The limits of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    /// For each host.
    pub(crate) each: Option<RequestRate>,
    /// By authority (`host:port`), in the place of the one for each.
    pub(crate) hosts: HashMap<String, RequestRate>,
}

/// Who is next.
#[derive(Debug)]
pub(crate) struct Turns {
    quotas: Quotas,
    board: Option<Arc<dyn PauseBoard>>,
    /// What registries have said of themselves.
    stated: Mutex<HashMap<Origin, RequestRate>>,
    queues: Mutex<HashMap<Origin, Arc<AsyncMutex<Queue>>>>,
}

/// The turns of one origin that this process has, none of them given out.
#[derive(Debug)]
struct Queue {
    next: Instant,
    until: Instant,
}

// === impl RequestRate ===

impl RequestRate {
    /// So many requests in this time.
    pub fn new(requests: u32, per: Duration) -> Result<Self, RequestRateError> {
        let every = per.checked_div(requests).ok_or(RequestRateError)?;
        let within = (Duration::from_micros(100)..=SLOWEST).contains(&every);
        within.then_some(Self { every }).ok_or(RequestRateError)
    }

    /// The time from one request to the next.
    pub fn every(self) -> Duration {
        self.every
    }

    /// The time that a turn takes.
    fn turn(self) -> Duration {
        self.every + self.every / 20
    }

    /// The time of as many turns as are asked of a board at once.
    fn stretch(self) -> Duration {
        let turn = self.turn();
        let turns = STRETCH.as_nanos().div_ceil(turn.as_nanos().max(1));
        turn * u32::try_from(turns).unwrap_or(1)
    }
}

// === impl Queue ===

impl Queue {
    /// The next turn that is not over yet, if there is one.
    fn take(&mut self, turn: Duration, now: Instant) -> Option<Instant> {
        while self.next < self.until {
            let next = self.next;
            self.next += turn;
            if now < self.next {
                return Some(next);
            }
        }
        None
    }

    fn refill(&mut self, from: Instant, length: Duration) {
        // What a board gives out twice is used once.
        self.next = self.until.max(from);
        self.until = self.next + length;
    }
}

// === impl Turns ===

impl Turns {
    pub(crate) fn new(quotas: Quotas, board: Option<Arc<dyn PauseBoard>>) -> Self {
        Self {
            quotas,
            board,
            stated: Mutex::default(),
            queues: Mutex::default(),
        }
    }

    /// Waits for a turn at an origin, where requests to it are limited; whether that took time.
    ///
    /// An error where the next turn is further away than anybody waits (`patience`).
    pub(crate) async fn wait(&self, at: &Origin, patience: Duration) -> Result<bool, Duration> {
        let Some(rate) = self.rate(at) else {
            return Ok(false);
        };
        let turn = rate.turn();
        let begun = Instant::now();
        for _ in 0..MISSED {
            let from = self.next(at, rate).await;
            let wait = from.saturating_duration_since(Instant::now());
            if wait > patience {
                return Err(wait);
            }
            sleep_until(from).await;
            if from.elapsed() < turn {
                break;
            }
        }
        Ok(begun.elapsed() >= Duration::from_millis(1))
    }

    /// A registry may say how many requests a second it takes.
    pub(crate) fn heed(&self, from: &Origin, headers: &HeaderMap) {
        let said = allowance::a_second(headers);
        let rate = said.and_then(|it| RequestRate::new(it, Duration::from_secs(1)).ok());
        let Some(rate) = rate else {
            return;
        };
        let mut stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        if stated.len() < MAX_ORIGINS || stated.contains_key(from) {
            stated.insert(from.clone(), rate);
        }
    }

    /// What the user says, or the registry if that is less.
    fn rate(&self, at: &Origin) -> Option<RequestRate> {
        let own = self.quotas.hosts.get(&at.authority()).copied();
        let set = own.or(self.quotas.each);
        let stated = self.stated.lock().unwrap_or_else(PoisonError::into_inner);
        let stated = stated.get(at).copied();
        set.into_iter().chain(stated).max_by_key(|it| it.every)
    }

    /// When the next turn begins, which is the caller's then.
    async fn next(&self, at: &Origin, rate: RequestRate) -> Instant {
        let queue = self.queue(at);
        let mut queue = queue.lock().await;
        if let Some(next) = queue.take(rate.turn(), Instant::now()) {
            return next;
        }
        let asked = match &self.board {
            Some(board) => {
                let length = rate.stretch();
                let answer = timeout(PATIENCE, board.turns(&at.to_string(), length)).await;
                answer.ok().flatten().map(|from| (from, length))
            }
            None => None,
        };
        let now = Instant::now();
        match asked {
            Some((from, length)) => {
                let wait = from.duration_since(SystemTime::now()).unwrap_or_default();
                queue.refill(now + wait.min(SLOWEST), length);
            }
            None => queue.refill(now, rate.turn()),
        }
        queue.take(rate.turn(), now).unwrap_or(now)
    }

    fn queue(&self, of: &Origin) -> Arc<AsyncMutex<Queue>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= MAX_ORIGINS && !queues.contains_key(of) {
            queues.retain(|_, it| Arc::strong_count(it) > 1);
        }
        let queue = || {
            let now = Instant::now();
            let (next, until) = (now, now);
            Arc::new(AsyncMutex::new(Queue { next, until }))
        };
        queues.entry(of.clone()).or_insert_with(queue).clone()
    }
}

#[cfg(test)]
mod tests;
