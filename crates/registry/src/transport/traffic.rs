//! What travelled, counted: for reports, metrics and tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use http::Method;
use serde::Serialize;

/// What a client has sent since it was made, to all hosts together and to each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// To all hosts together.
    pub total: HostTraffic,
    /// To each host, by its URL without a path.
    pub hosts: BTreeMap<String, HostTraffic>,
}

/// What was sent to one host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HostTraffic {
    /// Requests by method, each attempt and each hop of a redirect counted; token requests apart.
    pub requests: BTreeMap<String, u64>,
    /// Requests to a token service.
    pub token_requests: u64,
    /// Requests that were made again after a failure.
    pub retries: u64,
    /// Bytes of blob bodies handed to the transport, whether or not they arrived.
    pub body_bytes: u64,
    /// Connections opened.
    pub connections: u64,
}

/// The counters of one host.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<HostTraffic>);

impl Traffic {
    /// Requests of all methods, without those for tokens.
    pub fn requests(&self) -> u64 {
        self.total.requests.values().sum()
    }

    pub(crate) fn add(&mut self, host: String, traffic: &HostTraffic) {
        self.total.merge(traffic);
        self.hosts.entry(host).or_default().merge(traffic);
    }
}

impl HostTraffic {
    fn merge(&mut self, other: &Self) {
        for (method, count) in &other.requests {
            *self.requests.entry(method.clone()).or_default() += count;
        }
        self.token_requests += other.token_requests;
        self.retries += other.retries;
        self.body_bytes += other.body_bytes;
        self.connections += other.connections;
    }
}

impl Counters {
    fn change(&self, change: impl FnOnce(&mut HostTraffic)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn request(&self, method: &Method, for_token: bool) {
        self.change(|it| {
            if for_token {
                it.token_requests += 1;
            } else if let Some(count) = it.requests.get_mut(method.as_str()) {
                *count += 1;
            } else {
                it.requests.insert(method.to_string(), 1);
            }
        });
    }

    pub(crate) fn retry(&self) {
        self.change(|it| it.retries += 1);
    }

    pub(crate) fn body(&self, bytes: u64) {
        self.change(|it| it.body_bytes += bytes);
    }

    pub(crate) fn connection(&self) {
        self.change(|it| it.connections += 1);
    }

    pub(crate) fn snapshot(&self) -> HostTraffic {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
