//! `/healthz`: whether the server does what it is there for.
//!
//! It does while its store takes writes and it is not asked to stop. The store is tried by
//! writing a small file; what came of that holds for a few seconds, so that nobody keeps the
//! disk busy by asking.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    answer,
    store::{self, Store},
};

/// How long an outcome holds.
const FRESH: Duration = Duration::from_secs(5);
/// How long the store may take to be written to.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the server is.
#[derive(Debug)]
pub(crate) struct Health {
    /// Set when the server is asked to stop.
    stopping: CancellationToken,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Health {
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        Self {
            stopping,
            last: Mutex::default(),
        }
    }

    /// The answer to `GET /healthz`: 200, or 503 and why.
    pub(crate) async fn answer(&self, store: &Arc<dyn Store>) -> Response {
        match self.check(store).await {
            Ok(()) => said(StatusCode::OK, "ok"),
            Err(reason) => said(StatusCode::SERVICE_UNAVAILABLE, &reason),
        }
    }

    async fn check(&self, store: &Arc<dyn Store>) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("the server is shutting down".to_owned());
        }
        // Held while the store is tried: who asks meanwhile waits for the same outcome.
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = &*last
            && at.elapsed() < FRESH
        {
            return outcome.clone();
        }
        let store = Arc::clone(store);
        let trying = store::blocking(move || store.try_write());
        let outcome = match tokio::time::timeout(PATIENCE, trying).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store takes no writes");
                // The kind, not the text: whoever asks need not know the store's place.
                Err(format!("the store takes no writes: {}", error.kind()))
            }
            Err(_) => Err("the store takes too long to write".to_owned()),
        };
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

fn said(status: StatusCode, text: &str) -> Response {
    let mut response = answer::with_body(status, format!("{text}\n"));
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
