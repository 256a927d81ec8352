//! The request log: what a client asked, in the order it asked.
//!
//! Tests compare whole conversations, so an entry is complete *before* the last
//! byte of its answer leaves: whoever holds the answer finds the entry finished.
//! The log keeps a bounded number of entries; the totals count on regardless.

mod entry;
mod lines;

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::http::{HeaderMap, Method, Request};

pub use entry::{Authorization, Entry, LoggedHeaders, Outcome};
pub(crate) use entry::{Observer, Record};

use crate::{endpoint::Endpoint, secret::Secret};

/// How many entries are kept unless the builder says otherwise.
pub(crate) const DEFAULT_ENTRIES: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// How many bytes of raw headers are kept for [`RequestLog::saw_secret`], in all.
const MAX_RAW_BYTES: usize = 64 * 1024 * 1024;

/// What a server was asked; a handle that is cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: NonZeroUsize,
    keeps_raw: bool,
    observer: Option<Arc<dyn Observer>>,
    kept: Mutex<Kept>,
    body_bytes: Arc<AtomicU64>,
    blob_bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    requests: u64,
    by_method: BTreeMap<String, u64>,
    entries: VecDeque<Arc<Record>>,
    /// Credentials are in them, so they do not print.
    raw: VecDeque<Secret>,
    raw_bytes: usize,
    raw_was_dropped: bool,
}

impl RequestLog {
    /// A log that keeps so many entries; the observer, if there is one, is told of all of them.
    pub(crate) fn new(
        capacity: NonZeroUsize,
        keeps_raw: bool,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        Self(Arc::new(Shared {
            capacity,
            keeps_raw,
            observer,
            kept: Mutex::default(),
            body_bytes: Arc::default(),
            blob_bytes: Arc::default(),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that a request arrived.
    pub(crate) fn begin<B>(
        &self,
        request: &Request<B>,
        endpoint: Endpoint,
        connection: u64,
    ) -> Arc<Record> {
        let mut kept = self.kept();
        let record = Arc::new(Record::new(
            Entry::begin(kept.next, request, endpoint, connection),
            self.0.observer.clone(),
            Arc::clone(&self.0.body_bytes),
            Arc::clone(&self.0.blob_bytes),
        ));
        kept.next += 1;
        kept.requests += 1;
        *kept
            .by_method
            .entry(request.method().to_string())
            .or_default() += 1;
        kept.entries.push_back(Arc::clone(&record));
        if kept.entries.len() > self.0.capacity.get() {
            kept.entries.pop_front();
        }
        if self.0.keeps_raw {
            kept.keep_raw(entry::raw(request));
        } else {
            kept.raw_was_dropped = true;
        }
        record
    }

    /// The entries, in order of arrival; unfinished ones too. At most as many as
    /// the log keeps: the newest.
    pub fn entries(&self) -> Vec<Entry> {
        self.kept().entries.iter().map(|it| it.entry()).collect()
    }

    /// Forgets all entries and sets the totals to zero.
    ///
    /// A request that is under way stays out of the log; what more it sends still counts.
    pub fn clear(&self) {
        let mut kept = self.kept();
        let next = kept.next;
        *kept = Kept {
            next,
            ..Kept::default()
        };
        self.0.body_bytes.store(0, Ordering::Relaxed);
        self.0.blob_bytes.store(0, Ordering::Relaxed);
    }

    /// How many requests arrived.
    pub fn requests(&self) -> u64 {
        self.kept().requests
    }

    /// How many requests arrived, by method.
    pub fn by_method(&self) -> BTreeMap<String, u64> {
        self.kept().by_method.clone()
    }

    /// How many requests of one method arrived.
    pub fn count(&self, method: &Method) -> u64 {
        let kept = self.kept();
        kept.by_method.get(method.as_str()).copied().unwrap_or(0)
    }

    /// How many of the entries called this endpoint: token requests, say.
    pub fn calls(&self, endpoint: Endpoint) -> usize {
        let kept = self.kept();
        kept.entries
            .iter()
            .filter(|it| it.endpoint() == endpoint)
            .count()
    }

    /// Bytes of request bodies that were received and used, manifests included.
    pub fn body_bytes(&self) -> u64 {
        self.0.body_bytes.load(Ordering::Relaxed)
    }

    /// Bytes that upload sessions received, whatever became of them.
    pub fn blob_bytes(&self) -> u64 {
        self.0.blob_bytes.load(Ordering::Relaxed)
    }

    /// The longest chain of requests in which each one arrived after the answer
    /// to the one before: round trips that could not have been at the same time.
    pub fn depth(&self) -> usize {
        lines::depth(&self.entries())
    }

    /// The most requests that were under way at one moment.
    pub fn peak_in_flight(&self) -> usize {
        lines::peak_in_flight(&self.entries())
    }

    /// How many connections the entries came over.
    pub fn connections(&self) -> usize {
        let entries = self.entries();
        let all: std::collections::BTreeSet<u64> = entries.iter().map(|it| it.connection).collect();
        all.len()
    }

    /// The conversation as lines: `HEAD /v2/team/app/manifests/1.2 → 404`.
    ///
    /// Queries are shown percent-decoded. Upload session ids are `<1>`, `<2>`, … in the
    /// order they were first seen, and tokens of their state are left out, so that two
    /// runs give equal lines. What follows the arrow is the status, `reset` where
    /// a fault broke the connection, `gone` where the client did, `…` where there is
    /// no answer yet.
    pub fn lines(&self) -> Vec<String> {
        lines::lines(&self.entries())
    }

    /// Whether `secret` stood in any request's line or headers, plainly or inside Basic
    /// credentials.
    ///
    /// Also true if the headers of some request are no longer kept (64 MiB of them are,
    /// on servers in memory; none on others unless the builder says so): a canary test
    /// must not pass for want of evidence.
    pub fn saw_secret(&self, secret: &str) -> bool {
        let kept = self.kept();
        kept.raw_was_dropped || kept.raw.iter().any(|it| it.expose().contains(secret))
    }
}

impl Kept {
    fn keep_raw(&mut self, raw: String) {
        self.raw_bytes += raw.len();
        self.raw.push_back(raw.into());
        while self.raw_bytes > MAX_RAW_BYTES {
            let Some(oldest) = self.raw.pop_front() else {
                return;
            };
            self.raw_bytes -= oldest.expose().len();
            self.raw_was_dropped = true;
        }
    }
}

/// A header's text, if it has one.
pub(crate) fn text(
    headers: &HeaderMap,
    name: impl axum::http::header::AsHeaderName,
) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
