//! Watches a request on its way: says when a limit has passed, and how its body gets on.

use hyper_util::client::legacy::connect::CaptureConnection;
use oci::UploadObserver;
use std::{future::pending, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

use super::{
    Kind,
    body::Flow,
    limit::Seeking,
    socket::Wire,
    timeouts::{Limit, Timeouts},
};

/// How often an observer is told, at the least.
const TELL_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Watch<'a> {
    pub(super) limits: &'a Timeouts,
    pub(super) kind: Kind,
    pub(super) flow: Option<(Arc<Flow>, &'a dyn UploadObserver)>,
    pub(super) captured: CaptureConnection,
    pub(super) seeking: Option<Seeking>,
}

impl Watch<'_> {
    /// Runs until a limit has passed; dropped when there is an answer.
    ///
    /// Until there is a connection, its own limit is the only one.
    pub(super) async fn run(mut self) -> Limit {
        let Some(wire) = self.connection().await else {
            // No connection will come; the request itself says why.
            return pending().await;
        };
        drop(self.seeking.take());
        if let Some((flow, _)) = &self.flow {
            flow.goes_over(&wire);
        }
        let since = Instant::now();
        let mut told = Told {
            observer: self.flow.as_ref().map(|(_, observer)| *observer),
            flow: self.flow.as_ref().map(|(flow, _)| flow.clone()),
            bytes: 0,
        };
        loop {
            let (deadline, limit) = self.deadline(&wire, since);
            if Instant::now() >= deadline {
                return limit;
            }
            let step = if self.flow.is_some() {
                TELL_EVERY
            } else {
                Duration::MAX
            };
            let next = Instant::now().checked_add(step);
            sleep_until(next.map_or(deadline, |next| next.min(deadline))).await;
            told.tell();
        }
    }

    async fn connection(&mut self) -> Option<Wire> {
        let connected = self.captured.wait_for_connection_metadata().await;
        let mut extensions = http::Extensions::new();
        connected.as_ref()?.get_extras(&mut extensions);
        extensions.remove::<Wire>()
    }

    fn deadline(&self, wire: &Wire, since: Instant) -> (Instant, Limit) {
        let Some((flow, _)) = &self.flow else {
            return match self.kind {
                Kind::Commit => (since + self.limits.commit, Limit::Commit),
                Kind::CommitOf(bytes) => (since + self.limits.commit_of(bytes), Limit::Commit),
                _ => (since + self.limits.idle, Limit::Idle),
            };
        };
        let moved = if wire.is_shared() {
            // What moves there may be others'.
            flow.changed().max(since)
        } else {
            wire.wrote().max(flow.changed()).max(since)
        };
        if flow.ended() {
            let commit = self.limits.commit_of(flow.length());
            (moved + commit, Limit::Commit)
        } else if flow.starved() {
            // The source has limits of its own; this one is for a source that hangs.
            (
                moved + self.limits.idle.max(self.limits.commit),
                Limit::Source,
            )
        } else {
            (moved + self.limits.idle, Limit::Idle)
        }
    }
}

/// Tells an observer how many bytes more were handed over; the rest when dropped.
struct Told<'a> {
    observer: Option<&'a dyn UploadObserver>,
    flow: Option<Arc<Flow>>,
    bytes: u64,
}

impl Told<'_> {
    fn tell(&mut self) {
        if let (Some(observer), Some(flow)) = (self.observer, &self.flow) {
            let handed = flow.handed();
            if handed > self.bytes {
                observer.sent(handed - self.bytes);
                self.bytes = handed;
            }
        }
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
