//! How fast bodies travel, where that is limited: in each direction, over all hosts together and
//! to single ones.
//!
//! ```text
//!   blob ─▶ small parts ─▶ meter of the host ─▶ meter of all ─▶ connection
//! ```
//!
//! Metered are the bytes of blobs, as they are handed to a connection or taken from one. Nothing
//! else is: neither questions nor manifests wait for a meter; and bodies that go slowly leave
//! one of a host's [permits](super::limit) to the questions.
//!
//! A meter is a clock that each part moves on by the time it is worth
//! ([GCRA](https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm)): parts go in the order they
//! came, and what was late by a little is made up for.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};

use super::location::Origin;

/// How much may go at once after a pause: what is worth so much time.
const BURST: Duration = Duration::from_millis(100);
/// Parts a second, as long as they are not too small or too large. Where limits meet, a few large ones
/// get each body its share.
const PARTS: u64 = 8;
/// The smallest part, in bytes; the last one of a body may be smaller.
const SMALLEST: u64 = 512;
/// The largest part, in bytes.
const LARGEST: u64 = 256 * 1024;

/// Bytes a second, for each direction: from 1 KiB to 1 TiB, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

/// Why a number is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate of {0} bytes a second is out of bounds: from 1024 (1KiB) to 1099511627776 (1TiB)")]
pub struct RateError(u64);

/// The limits of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// For all hosts together.
    pub(crate) all: Option<Rate>,
    /// By authority (`host:port`).
    pub(crate) hosts: HashMap<String, Rate>,
}

/// The limits at work.
#[derive(Debug)]
pub(crate) struct Throttle {
    all: Option<Limited>,
    hosts: HashMap<String, Limited>,
    /// Bodies to one host at the same time, while they are limited.
    at_once: usize,
    seats: Mutex<HashMap<Origin, Arc<Semaphore>>>,
}

/// A limit, for each direction.
#[derive(Debug)]
struct Limited {
    up: Arc<Meter>,
    down: Arc<Meter>,
}

/// One direction of one limit.
#[derive(Debug)]
struct Meter {
    rate: Rate,
    /// When everything that was let through so far has gone at this rate.
    busy_until: Mutex<Instant>,
}

/// What one body has to wait for.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    meters: Vec<Arc<Meter>>,
    waiting: Option<Pin<Box<Sleep>>>,
    _seat: Option<OwnedSemaphorePermit>,
}

// === impl Rate ===

impl Rate {
    /// So many bytes a second.
    pub fn per_second(bytes: u64) -> Result<Self, RateError> {
        let within = (1024..=1 << 40).contains(&bytes);
        let rate = NonZeroU64::new(bytes).filter(|_| within);
        rate.map(Self).ok_or(RateError(bytes))
    }

    /// Bytes a second.
    pub fn bytes(self) -> u64 {
        self.0.get()
    }

    /// How long so many bytes take.
    fn time(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.0.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn part(self) -> u64 {
        (self.0.get() / PARTS).clamp(SMALLEST, LARGEST)
    }
}

// === impl Meter ===

impl Meter {
    fn new(rate: Rate) -> Arc<Self> {
        Arc::new(Self {
            rate,
            busy_until: Mutex::new(Instant::now()),
        })
    }

    /// When so many bytes may go, which will go then.
    fn reserve(&self, bytes: u64) -> Instant {
        let now = Instant::now();
        let mut busy_until = self
            .busy_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let from = now.checked_sub(BURST).unwrap_or(now).max(*busy_until);
        *busy_until = from + self.rate.time(bytes);
        from
    }
}

// === impl Throttle ===

impl Throttle {
    /// The limits, where at most `in_flight` requests go to a host at the same time.
    pub(crate) fn new(rates: Rates, in_flight: usize) -> Self {
        let limited = |rate| Limited {
            up: Meter::new(rate),
            down: Meter::new(rate),
        };
        let hosts = rates.hosts.into_iter();
        Self {
            all: rates.all.map(limited),
            hosts: hosts.map(|(host, rate)| (host, limited(rate))).collect(),
            at_once: in_flight.saturating_sub(1).clamp(1, Semaphore::MAX_PERMITS),
            seats: Mutex::default(),
        }
    }

    /// How a body goes to a host. Waits until it may be one of the bodies that do.
    pub(crate) async fn up(&self, to: &Origin) -> Pace {
        let meters = self.meters(to, |limited| &limited.up);
        if meters.is_empty() {
            return Pace::default();
        }
        let seats = {
            let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
            seats.retain(|_, it| Arc::strong_count(it) > 1 || it.available_permits() == 0);
            let seats = seats.entry(to.clone());
            seats
                .or_insert_with(|| Arc::new(Semaphore::new(self.at_once)))
                .clone()
        };
        Pace {
            meters,
            waiting: None,
            _seat: seats.acquire_owned().await.ok(),
        }
    }

    /// How a body comes from a host.
    pub(crate) fn down(&self, from: &Origin) -> Pace {
        Pace {
            meters: self.meters(from, |limited| &limited.down),
            ..Pace::default()
        }
    }

    fn meters(&self, host: &Origin, of: impl Fn(&Limited) -> &Arc<Meter>) -> Vec<Arc<Meter>> {
        let own = self.hosts.get(&host.authority());
        own.into_iter().chain(&self.all).map(of).cloned().collect()
    }
}

// === impl Pace ===

impl Pace {
    /// How much of a piece of so many bytes goes at once, 1 or more.
    pub(crate) fn part_of(&self, length: usize) -> usize {
        let parts = self.meters.iter().map(|it| it.rate.part()).min();
        let part = parts.and_then(|it| usize::try_from(it).ok());
        part.unwrap_or(usize::MAX).min(length)
    }

    /// Waits until so many bytes may go, which must go then.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        if self.meters.is_empty() {
            return Poll::Ready(());
        }
        if self.waiting.is_none() {
            let reserve = |it: &Arc<Meter>| it.reserve(bytes as u64);
            let Some(from) = self.meters.iter().map(reserve).max() else {
                return Poll::Ready(());
            };
            if from <= Instant::now() {
                return Poll::Ready(());
            }
            self.waiting = Some(Box::pin(sleep_until(from)));
        }
        if let Some(waiting) = &mut self.waiting {
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        Poll::Ready(())
    }

    /// The same, to be awaited.
    pub(crate) async fn part(&mut self, bytes: usize) {
        std::future::poll_fn(|cx| self.poll_part(cx, bytes)).await;
    }
}

#[cfg(test)]
mod tests;
