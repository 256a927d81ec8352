//! A request that is being handled: what its handler sees of it.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, Version};

use crate::{
    answer::Refusal, app::App, auth::Principal, body::Intake, faults::Plan, log::Record,
    route::Query,
};

/// A request that is being handled.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) app: Arc<App>,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) intake: Intake,
    pub(crate) record: Arc<Record>,
    /// The length of its target: path and query.
    pub(crate) uri_bytes: usize,
    pub(crate) principal: Principal,
    pub(crate) faults: Plan,
}

impl Exchange {
    /// Refuses a deletion where the server does none, and says what it does there.
    pub(crate) fn check_deletes(&self, instead: &'static str) -> Result<(), Refusal> {
        if self.app.options.deletes {
            return Ok(());
        }
        Err(Refusal::not_allowed(
            instead,
            "this registry deletes nothing",
        ))
    }

    /// `scheme://host:port` as the client knows this server.
    pub(crate) fn origin(&self) -> String {
        let host = self.record.host();
        let host = host.unwrap_or_else(|| self.app.address.to_string());
        format!("{}://{host}", self.app.scheme())
    }
}
