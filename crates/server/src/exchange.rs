//! A request that is being handled: what its handler sees of it.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};

use crate::{
    answer::Refusal,
    app::App,
    auth::Principal,
    body::Intake,
    endpoint::Endpoint,
    faults::Plan,
    log::Record,
    route::{Name, Query},
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
    /// The repository it is about, if it is about one.
    pub(crate) about: Option<Name>,
    /// It is one of the specification's, under `/v2/`.
    pub(crate) is_api: bool,
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

    /// Refuses whatever writes where nothing can be written, before any of its body is read.
    pub(crate) fn check_writes(&self, endpoint: Endpoint) -> Result<(), Refusal> {
        if !(endpoint.writes() && self.app.store.is_read_only()) {
            return Ok(());
        }
        Err(Refusal::not_allowed(
            "GET, HEAD",
            "this registry serves files and is read-only: nothing can be pushed, mounted or deleted",
        ))
    }

    /// `scheme://host:port` as the client knows this server.
    pub(crate) fn origin(&self) -> String {
        if let Some(url) = &self.app.public_url {
            return url.clone();
        }
        let host = self.record.host();
        let host = host.unwrap_or_else(|| self.app.address.to_string());
        format!("{}://{host}", self.app.scheme())
    }
}

/// The same headers in memory of their own: as they come they are parts of a connection's
/// buffer, and hold on to all of it.
pub(crate) fn detached(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            own.append(name, value);
        }
    }
    own
}

/// Whatever prints headers from here on leaves out what these hold.
pub(crate) fn mark_secrets(headers: &mut HeaderMap) {
    for name in [
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
    ] {
        if let header::Entry::Occupied(mut values) = headers.entry(name) {
            values.iter_mut().for_each(|it| it.set_sensitive(true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_hold_secrets_do_not_print() {
        let mut headers = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::COOKIE] {
            headers.append(&name, "one-canary".parse().unwrap());
            headers.append(&name, "two-canary".parse().unwrap());
        }
        mark_secrets(&mut headers);
        let printed = format!("{headers:?}");
        assert!(printed.contains("authorization"), "{printed}");
        assert!(!printed.contains("canary"), "{printed}");
    }
}
