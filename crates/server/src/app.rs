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
    pub(crate) manifest_turns: Arc<Semaphore>,
    pub(crate) page_turns: Arc<Semaphore>,
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
