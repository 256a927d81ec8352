//! Metrics: what the registry did, as numbers that a monitoring system reads from `/metrics`.
//!
//! [OpenMetrics 1.0](https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md).
//! Labels take values of small fixed sets only: methods, endpoints, statuses, causes. No name of
//! a repository, a user or an address is one, so that no client can make the numbers grow without bound.

mod labels;

use std::sync::atomic::AtomicU64;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use labels::{ByCause, ByEndpoint, ByHow, ByStatus, Status, method};
pub(crate) use labels::{Cause, How};

use crate::{
    allowance::Allowance,
    answer::{self, Refusal},
    log::{Entry, Outcome},
    store::Tally,
};

/// Upper ends of the buckets that requests' durations are counted in, in seconds.
const DURATIONS: [f64; 12] = [
    0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every number that is kept.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    durations: Family<ByEndpoint, Histogram>,
    received: Family<ByEndpoint, Counter>,
    sent: Family<ByEndpoint, Counter>,
    refused: Family<ByCause, Counter>,
    blobs: Family<ByHow, Counter>,
    accepted: Counter,
    unlogged: Counter,
    connections: Gauge,
    in_flight: Gauge,
    sessions: Gauge,
    tokens: Gauge,
    uptime: Gauge<f64, AtomicU64>,
    contents: Gauge,
    content_bytes: Gauge,
}

/// What is read off other parts when the numbers are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    pub(crate) sessions: usize,
    pub(crate) tokens: usize,
    pub(crate) stored: Tally,
    /// Seconds since the server started.
    pub(crate) uptime: f64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let durations: Family<ByEndpoint, Histogram> =
            Family::new_with_constructor(|| Histogram::new(DURATIONS));
        let mut metrics = Self {
            registry: Registry::with_prefix("longshore"),
            requests: Family::default(),
            durations,
            received: Family::default(),
            sent: Family::default(),
            refused: Family::default(),
            blobs: Family::default(),
            accepted: Counter::default(),
            unlogged: Counter::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            sessions: Gauge::default(),
            tokens: Gauge::default(),
            uptime: Gauge::default(),
            contents: Gauge::default(),
            content_bytes: Gauge::default(),
        };
        metrics.register_counters();
        metrics.register_levels();
        metrics
    }

    fn register_counters(&mut self) {
        let all = &mut self.registry;
        all.register(
            "build",
            "The version that runs",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        all.register("requests", "Requests that ended", self.requests.clone());
        all.register_with_unit(
            "request_duration",
            "From the arrival of a request's head to the last byte of its answer",
            Unit::Seconds,
            self.durations.clone(),
        );
        all.register_with_unit(
            "received_body",
            "Bodies of requests, as far as they were received and used",
            Unit::Bytes,
            self.received.clone(),
        );
        all.register_with_unit(
            "sent_body",
            "Bodies of answers, as far as they were handed on",
            Unit::Bytes,
            self.sent.clone(),
        );
        all.register(
            "refusals",
            "Requests and connections that were refused or cut off",
            self.refused.clone(),
        );
        all.register(
            "blobs",
            "Blobs that repositories came to hold",
            self.blobs.clone(),
        );
        all.register(
            "accepted_connections",
            "Connections that were accepted",
            self.accepted.clone(),
        );
        all.register(
            "access_log_dropped_lines",
            "Lines of the access log that were dropped because it was written too slowly",
            self.unlogged.clone(),
        );
    }

    fn register_levels(&mut self) {
        let all = &mut self.registry;
        all.register(
            "connections",
            "Connections that are open",
            self.connections.clone(),
        );
        all.register(
            "requests_in_flight",
            "Requests that are under way",
            self.in_flight.clone(),
        );
        all.register(
            "upload_sessions",
            "Upload sessions that are open",
            self.sessions.clone(),
        );
        all.register(
            "tokens",
            "Tokens of the own token service that are remembered",
            self.tokens.clone(),
        );
        all.register(
            "store_contents",
            "Blobs and manifests that are kept, each once",
            self.contents.clone(),
        );
        all.register_with_unit(
            "store_content",
            "Bytes of blobs and manifests that are kept, each once",
            Unit::Bytes,
            self.content_bytes.clone(),
        );
        all.register_with_unit(
            "uptime",
            "Since the server started",
            Unit::Seconds,
            self.uptime.clone(),
        );
    }

    /// Counts a request that has ended.
    pub(crate) fn ended(&self, entry: &Entry) {
        let endpoint = entry.endpoint.name();
        let status = match entry.outcome {
            Outcome::Answered(status) => Status::Code(status),
            Outcome::Reset => Status::Reset,
            Outcome::Gone | Outcome::Open => Status::Gone,
        };
        let by_status = ByStatus {
            method: method(&entry.method),
            endpoint,
            status,
        };
        self.requests.get_or_create(&by_status).inc();
        let by_endpoint = ByEndpoint { endpoint };
        if let Some(ended) = entry.ended {
            let took = ended.duration_since(entry.started).as_secs_f64();
            self.durations.get_or_create(&by_endpoint).observe(took);
        }
        let received = self.received.get_or_create(&by_endpoint);
        received.inc_by(entry.body_length);
        drop(received);
        self.sent
            .get_or_create(&by_endpoint)
            .inc_by(entry.answer_length);
        if let Some(cause) = entry.status().and_then(Cause::of) {
            self.refused(cause);
        }
    }

    /// Counts something that was refused or cut off.
    pub(crate) fn refused(&self, cause: Cause) {
        self.refused.get_or_create(&ByCause { cause }).inc();
    }

    /// Counts a blob that a repository came to hold.
    pub(crate) fn blob(&self, how: How) {
        self.blobs.get_or_create(&ByHow { how }).inc();
    }

    /// A connection that is open until the answer of this is dropped.
    pub(crate) fn connected(&self) -> Raised {
        self.accepted.inc();
        Raised::new(&self.connections)
    }

    /// A request that is under way until the answer of this is dropped.
    pub(crate) fn under_way(&self) -> Raised {
        Raised::new(&self.in_flight)
    }

    /// Counts a line that the access log has no room for.
    pub(crate) fn unlogged(&self) {
        self.unlogged.inc();
    }

    /// The answer to `GET /metrics`.
    pub(crate) fn answer(
        &self,
        levels: Levels,
        allowance: &Allowance,
    ) -> Result<Response, Refusal> {
        let level = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.sessions.set(level(levels.sessions as u64));
        self.tokens.set(level(levels.tokens as u64));
        self.contents.set(level(levels.stored.count));
        self.content_bytes.set(level(levels.stored.bytes));
        self.uptime.set(levels.uptime);
        let mut body = String::new();
        text::encode(&mut body, &self.registry).map_err(std::io::Error::other)?;
        let mut response = answer::with_long_body(allowance, StatusCode::OK, body)?;
        let kind = HeaderValue::from_static(CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        let fresh = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, fresh);
        Ok(response)
    }
}

/// One more on a gauge, as long as this lives.
#[derive(Debug)]
pub(crate) struct Raised(Gauge);

impl Raised {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.dec();
    }
}
