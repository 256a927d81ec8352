//! What every request may use: the store, the sessions, the log, and the settings.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    Faults, Limits, RequestLog,
    auth::Guard,
    health::Health,
    metrics::{Levels, Metrics},
    options::Options,
    sessions::Sessions,
    store::Store,
};

/// How many long manifests are received at a time: each may take its limit of memory.
const MANIFESTS_AT_ONCE: usize = 64;
/// How many manifests are read at a time: each may take its limit of memory.
const READ_AT_ONCE: usize = 16;
/// How many pages for people are made at a time.
const PAGES_AT_ONCE: usize = 4;

/// What is done for so many requests at a time only; others wait.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Long manifests that come in.
    pub(crate) manifests: Arc<Semaphore>,
    /// Manifests that are read to be sent.
    pub(crate) reading: Arc<Semaphore>,
    pub(crate) pages: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        Self {
            manifests: turns(MANIFESTS_AT_ONCE),
            reading: turns(READ_AT_ONCE),
            pages: turns(PAGES_AT_ONCE),
        }
    }
}

/// What every request may use.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sessions: Sessions,
    pub(crate) log: RequestLog,
    pub(crate) faults: Faults,
    pub(crate) guard: Guard,
    pub(crate) limits: Limits,
    pub(crate) options: Options,
    pub(crate) turns: Turns,
    pub(crate) address: SocketAddr,
    /// Everything that has to end before the server is gone.
    pub(crate) tasks: TaskTracker,
    pub(crate) secure: bool,
    /// How clients reach the server, if that was said.
    pub(crate) public_url: Option<String>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Health,
    pub(crate) started: Instant,
}

impl App {
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// What metrics are read off at the moment they are asked for.
    pub(crate) fn levels(&self) -> Levels {
        Levels {
            sessions: self.sessions.count(),
            tokens: self.guard.token_count(),
            uptime: self.started.elapsed().as_secs_f64(),
        }
    }
}
