//! What every request may use: the store, the sessions, the log, and the settings.

use std::{io, net::SocketAddr, sync::Arc, time::Instant};

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::{
    Faults, Limits, RequestLog,
    allowance::Allowance,
    auth::Guard,
    clients,
    health::Health,
    metrics::{Levels, Metrics},
    options::Options,
    sessions::Sessions,
    solo::Solo,
    store::Store,
};

/// How long the manifests may be together that are parsed and stored at the same time, in bytes;
/// long ones are parsed one after the other.
const PARSED_AT_ONCE: usize = 1024 * 1024;
/// How many manifests that come slowly are written to files at a time.
const WRITTEN_AT_ONCE: usize = 8;
/// How many manifests are read at a time.
const READ_AT_ONCE: usize = 16;
/// How many pages for people are made at a time.
const PAGES_AT_ONCE: usize = 4;

/// What is done for so many requests at a time only; others wait.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Bytes of manifests that came and are parsed.
    pub(crate) parsing: Arc<Semaphore>,
    /// Manifests that came for so long that they are in files.
    pub(crate) writing: Arc<Semaphore>,
    /// Manifests that are read to be sent.
    pub(crate) reading: Arc<Semaphore>,
    pub(crate) pages: Arc<Semaphore>,
    /// Requests of all connections, their answers included until they have left.
    pub(crate) requests: Arc<Semaphore>,
}

impl Turns {
    /// For a server with so many connections at once.
    pub(crate) fn new(connections: usize) -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        Self {
            parsing: turns(PARSED_AT_ONCE),
            writing: turns(WRITTEN_AT_ONCE),
            reading: turns(READ_AT_ONCE),
            pages: turns(PAGES_AT_ONCE),
            requests: clients::places(connections),
        }
    }
}

/// What keeps what takes much memory within a bound.
#[derive(Debug)]
pub(crate) struct Bounded {
    /// What all may have that takes more than a little.
    pub(crate) allowance: Allowance,
    /// Where long manifests are parsed.
    pub(crate) parser: Solo,
    /// Where lists are made: each may read as many manifests as a page has.
    pub(crate) lister: Solo,
    /// Where what other programs read of the store is brought up to date.
    pub(crate) viewer: Solo,
    /// Where garbage is looked for.
    pub(crate) collector: Solo,
}

impl Bounded {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            allowance: Allowance::default(),
            parser: Solo::new("parser")?,
            lister: Solo::new("lister")?,
            viewer: Solo::new("viewer")?,
            collector: Solo::new("collector")?,
        })
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
    pub(crate) memory: Bounded,
    /// Asks a connection that is idle to go, one for each time it is told.
    pub(crate) crowd: Notify,
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
            stored: self.store.size(),
            tokens: self.guard.token_count(),
            uptime: self.started.elapsed().as_secs_f64(),
        }
    }
}
