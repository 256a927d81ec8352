//! How much at once, for each host: requests and connections.
//!
//! ```text
//!   request ──admit──▶ permit, held until the answer's body has been read
//!   connection ─slot─▶ slot,   held until the socket is closed
//! ```
//!
//! There are as many slots as permits, so a request that finds none has a
//! connection coming back to it. A connection that is opened [ahead](super::ahead) has a slot like any other. Downloads leave one permit to everything else:
//! what is read from a host may be on its way back to it, and would wait for itself.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    adaptive::{Adaptive, Load, Place},
    location::Origin,
    traffic::{Counters, Traffic},
    version::{Dialect, HttpVersions},
};

/// Hosts at a time; more are a registry's redirects running wild.
const MAX_HOSTS: usize = 1024;

/// How often a connection that is wanted looks whether it still is.
const MOMENT: Duration = Duration::from_millis(5);
/// How long a connection takes to come back, at the most, in the ordinary run of things.
const COMING_BACK: Duration = Duration::from_millis(100);

/// The hosts spoken to.
#[derive(Debug)]
pub(crate) struct Hosts {
    in_flight: usize,
    versions: Option<HttpVersions>,
    /// By authority (`host:port`), in the place of the one for all.
    versions_of: HashMap<String, HttpVersions>,
    known: Mutex<HashMap<Origin, Arc<Host>>>,
}

/// One host's limits and counters.
#[derive(Debug)]
pub(crate) struct Host {
    in_flight: usize,
    permits: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    slots: [Arc<Semaphore>; 2],
    /// Requests that have a permit and no connection yet.
    seeking: AtomicUsize,
    /// Requests that wait for something else before they are sent, each on a connection of its own.
    waiting: AtomicUsize,
    /// Whether there has been a connection.
    stood: watch::Sender<bool>,
    /// Whether it has blobs sent to another host.
    elsewhere: AtomicBool,
    /// What it bears: of questions, of bodies.
    bears: [Arc<Adaptive>; 2],
    pub(crate) dialect: Dialect,
    pub(crate) counters: Counters,
}

/// The right to have one request in flight.
#[derive(Debug)]
pub(crate) struct Permit {
    _request: Option<OwnedSemaphorePermit>,
    _download: Option<OwnedSemaphorePermit>,
    place: Option<Place>,
}

/// Kinds of requests, as far as a host may bear more of one than of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// All that is answered at once.
    Questions,
    /// Blobs on their way there.
    Bodies,
    /// Blobs on their way back: as slow as their readers, so they hold up nobody else.
    Downloads,
}

/// The right to have one connection open.
#[derive(Debug)]
pub(crate) struct Slot {
    _slot: Option<OwnedSemaphorePermit>,
}

/// A request that looks for a connection; no longer when dropped.
#[derive(Debug)]
pub(crate) struct Seeking(Arc<Host>);

/// A request that will need a connection of its own; counted until dropped.
#[derive(Debug)]
pub(crate) struct Waiting(Arc<Host>);

/// Which connections a request may use; [`Dialect`] has which request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// HTTP/1.1.
    Bodies,
    /// HTTP/2 where it is offered.
    Questions,
}

impl Hosts {
    /// At most `in_flight` requests to each host, 1 or more.
    pub(crate) fn new(in_flight: usize) -> Self {
        Self {
            in_flight: in_flight.max(1),
            versions: None,
            versions_of: HashMap::new(),
            known: Mutex::default(),
        }
    }

    /// How many requests may be in flight to each.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The same, spoken to so: all of them, and these by their authority.
    pub(crate) fn over(
        self,
        versions: Option<HttpVersions>,
        versions_of: HashMap<String, HttpVersions>,
    ) -> Self {
        Self {
            versions,
            versions_of,
            ..self
        }
    }

    pub(crate) fn of(&self, origin: &Origin) -> Arc<Host> {
        let mut hosts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_HOSTS && !hosts.contains_key(origin) {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        hosts
            .entry(origin.clone())
            .or_insert_with(|| {
                let own = self.versions_of.get(&origin.authority()).copied();
                Arc::new(Host::new(self.in_flight, own.or(self.versions)))
            })
            .clone()
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let hosts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut traffic = Traffic::default();
        for (origin, host) in hosts.iter() {
            traffic.add(origin.to_string(), &host.counters.snapshot());
        }
        traffic
    }
}

impl Host {
    fn new(in_flight: usize, versions: Option<HttpVersions>) -> Self {
        let semaphore =
            |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            in_flight: in_flight.min(Semaphore::MAX_PERMITS),
            permits: semaphore(in_flight),
            downloads: semaphore(in_flight.saturating_sub(1).max(1)),
            slots: [semaphore(in_flight), semaphore(in_flight)],
            seeking: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            stood: watch::Sender::new(false),
            elsewhere: AtomicBool::new(false),
            bears: [(); 2].map(|()| Arc::new(Adaptive::new(in_flight))),
            dialect: Dialect::new(versions),
            counters: Counters::default(),
        }
    }

    /// What it bears of a kind of requests; downloads have no limit of their own.
    pub(crate) fn bears(&self, work: Work) -> Option<&Arc<Adaptive>> {
        match work {
            Work::Questions => Some(&self.bears[0]),
            Work::Bodies => Some(&self.bears[1]),
            Work::Downloads => None,
        }
    }

    /// Waits until it bears one more.
    pub(crate) async fn place(&self, work: Work) -> Option<Place> {
        match self.bears(work) {
            Some(bears) => Some(bears.place().await),
            None => None,
        }
    }

    /// Waits until one more request may be in flight.
    pub(crate) async fn admit(&self) -> Permit {
        let request = self.permits.clone().acquire_owned().await.ok();
        Permit {
            _request: request,
            _download: None,
            place: None,
        }
    }

    /// The same for a request whose answer is read as slowly as its reader likes.
    pub(crate) async fn admit_download(&self) -> Permit {
        let download = self.downloads.clone().acquire_owned().await.ok();
        Permit {
            _download: download,
            ..self.admit().await
        }
    }

    pub(crate) fn seeking(self: &Arc<Self>) -> Seeking {
        self.seeking.fetch_add(1, Relaxed);
        Seeking(self.clone())
    }

    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(self.clone())
    }

    /// How many requests wait to be sent.
    pub(crate) fn waiting_now(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// A connection stands.
    pub(crate) fn stands(&self) {
        self.stood
            .send_if_modified(|stood| !std::mem::replace(stood, true));
    }

    /// Waits until a connection has stood.
    pub(crate) async fn stood(&self) {
        // The sender is here as long as this is.
        let _ = self.stood.subscribe().wait_for(|stood| *stood).await;
    }

    /// Notes whether it has a blob sent to another host.
    pub(crate) fn sends(&self, elsewhere: bool) {
        self.elsewhere.store(elsewhere, Relaxed);
    }

    /// Whether the last blob went to another host.
    pub(crate) fn sends_elsewhere(&self) -> bool {
        self.elsewhere.load(Relaxed)
    }

    /// A slot for a connection that nobody asks for yet, as long as fewer than this are open.
    pub(crate) fn slot_ahead(&self, lane: Lane, fewer_than: usize) -> Option<Slot> {
        let slots = self.slots(lane);
        let slot = slots.clone().try_acquire_owned().ok()?;
        // It is one of them itself.
        let open = self.in_flight.saturating_sub(slots.available_permits());
        (open <= fewer_than).then_some(Slot { _slot: Some(slot) })
    }

    fn slots(&self, lane: Lane) -> &Arc<Semaphore> {
        &self.slots[usize::from(lane == Lane::Questions)]
    }

    /// Waits until one more connection may be open; none if nobody wants one any more, because
    /// another came back meanwhile.
    ///
    /// A connection comes back a moment after its answer was read. Where there are enough for all
    /// requests, that moment is waited for. After `patience` there is a slot in any case: a
    /// connection too many is no harm.
    pub(crate) async fn slot(&self, lane: Lane, patience: Duration) -> Option<Slot> {
        let slots = self.slots(lane);
        let deadline = Instant::now() + patience;
        let back = Instant::now() + COMING_BACK;
        while self.has_enough(slots) && Instant::now() < back {
            sleep(MOMENT).await;
            if self.seeking.load(Relaxed) == 0 {
                return None;
            }
        }
        loop {
            if let Ok(slot) = timeout(MOMENT, slots.clone().acquire_owned()).await {
                return Some(Slot { _slot: slot.ok() });
            }
            if self.seeking.load(Relaxed) == 0 {
                return None;
            }
            if Instant::now() >= deadline {
                return Some(Slot { _slot: None });
            }
        }
    }

    /// Whether there are as many connections as requests in flight.
    fn has_enough(&self, slots: &Semaphore) -> bool {
        slots.available_permits() <= self.permits.available_permits()
    }
}

impl Permit {
    /// The same with a place among those of its kind.
    pub(crate) fn with(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// What came of the request it was for.
    pub(crate) fn judge(&mut self, load: Load) {
        if let Some(place) = &mut self.place {
            place.judge(load);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Drop for Seeking {
    fn drop(&mut self) {
        self.0.seeking.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use url::Url;

    fn host(in_flight: usize) -> Arc<Host> {
        let origin = Origin::of(&Url::parse("http://r.test").unwrap()).unwrap();
        Hosts::new(in_flight).of(&origin)
    }

    #[tokio::test(start_paused = true)]
    async fn downloads_leave_one_permit_to_the_rest() {
        let host = host(3);
        let _one = host.admit_download().await;
        let _two = host.admit_download().await;
        assert!(host.admit_download().now_or_never().is_none());
        let three = host.admit().now_or_never();
        assert!(three.is_some());
        assert!(host.admit().now_or_never().is_none());
        drop(three);
        assert!(host.admit().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn slots_ahead_are_given_up_to_what_is_expected() {
        let host = host(4);
        let _permit = host.admit().await;
        let _first = host.slot(Lane::Bodies, Duration::from_secs(1)).await;
        let ahead: Vec<Slot> = std::iter::from_fn(|| host.slot_ahead(Lane::Bodies, 3)).collect();
        assert_eq!(ahead.len(), 2, "with the first there are three");
        assert!(
            host.slot_ahead(Lane::Questions, 1).is_some(),
            "a lane of its own"
        );
        drop(ahead);
        let all: Vec<Slot> = std::iter::from_fn(|| host.slot_ahead(Lane::Bodies, 9)).collect();
        assert_eq!(all.len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_nobody_wants_any_more_is_not_opened() {
        let host = host(1);
        let permit = host.admit().await;
        let slot = host.slot(Lane::Bodies, Duration::from_secs(1)).await;
        assert!(slot.is_some());
        drop(permit);
        assert!(
            host.slot(Lane::Bodies, Duration::from_secs(1))
                .await
                .is_none()
        );

        assert!(
            host.slot_ahead(Lane::Bodies, 9).is_none(),
            "no more than may be open"
        );
        let _seeking = host.seeking();
        let late = host.slot(Lane::Bodies, Duration::from_secs(1)).await;
        assert!(late.is_some(), "a request that waits is served in the end");
    }
}
