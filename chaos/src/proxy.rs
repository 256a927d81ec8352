//! The proxy: between the client and the registry, byte for byte, until it is told otherwise.
//!
//! ```text
//!   client ──▶ Link ──▶ registry        one Link a connection, one exchange at a time
//!                │
//!             Shared    which request this is · what to do to it · bytes so far · what was seen
//! ```
//!
//! Requests are numbered as they arrive, over all connections, and bytes are counted
//! likewise; with one request at a time, both are the same in every run, so a fault can be
//! aimed at a request, or at a byte. Nothing is changed that no fault is aimed at.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use server::RunningServer;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    fault::{Change, Cut, Direction, Ending, Fault, Oddity},
    message::Message,
    scenario::Scenario,
};

mod answers;
mod link;

use link::Link;

/// A fault and what it is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The number of the request it begins with, from 0.
    pub request: usize,
    /// What happens to it.
    pub fault: Fault,
    /// To how many requests with the same purpose it happens, the first included.
    pub times: u32,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// `HEAD …/blobs/<digest>`.
    HeadBlob,
    /// `POST …/blobs/uploads/`.
    PostUpload,
    /// `PATCH …/blobs/uploads/<id>`.
    Patch,
    /// `PUT …/blobs/uploads/<id>`.
    PutBlob,
    /// `GET …/blobs/uploads/<id>`.
    GetSession,
    /// `DELETE …/blobs/uploads/<id>`.
    DeleteSession,
    /// `HEAD …/manifests/<reference>`.
    HeadManifest,
    /// `GET …/manifests/<reference>`.
    GetManifest,
    /// `PUT …/manifests/<reference>`.
    PutManifest,
    /// `GET …/token`.
    Token,
    /// Something else.
    Other,
}

/// A request that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it was for.
    pub purpose: Purpose,
    /// How long its body is by its head, in bytes.
    pub body: u64,
    /// The status of the registry's answer; 0 where there was none.
    pub status: u16,
    /// Whether that had a `Location`, a `Range`, a digest.
    pub has: Headers,
    /// The length of the answer's body, in bytes.
    pub answer_body: u64,
    /// Whether it came while the registry had asked to be left alone.
    pub too_early: bool,
}

/// Which headers an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `Location`.
    pub location: bool,
    /// `Range`.
    pub range: bool,
    /// `Docker-Content-Digest`.
    pub digest: bool,
}

/// What passed so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The requests in the order they came.
    pub seen: Vec<Seen>,
    /// Bytes from the client to the registry.
    pub up: u64,
    /// Bytes from the registry to the client.
    pub down: u64,
    /// How many requests had something done to them.
    pub injected: u64,
}

/// A proxy that runs; it stops when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

/// What all connections of one proxy share.
#[derive(Debug)]
pub(crate) struct Shared {
    scenario: Scenario,
    registry: Arc<RunningServer>,
    own: SocketAddr,
    elsewhere: SocketAddr,
    /// How long a client waits for an answer.
    patience: std::time::Duration,
    orders: Mutex<Orders>,
    up: AtomicU64,
    down: AtomicU64,
    cut: Mutex<Option<Cut>>,
}

#[derive(Debug, Default)]
struct Orders {
    armed: Vec<Armed>,
    record: Record,
    quiet_until: Option<Instant>,
}

#[derive(Debug)]
struct Armed {
    injection: Injection,
    /// What the first request was for, and how many more it happens to.
    begun: Option<(Purpose, u32)>,
}

/// How a proxy is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Between whom it is.
    pub scenario: Scenario,
    /// What goes wrong with requests.
    pub injections: &'a [Injection],
    /// Where the conversation is cut.
    pub cut: Option<Cut>,
    /// Another host, to lead to.
    pub elsewhere: SocketAddr,
    /// How long the client waits for an answer.
    pub patience: std::time::Duration,
}

// === impl Proxy ===

impl Proxy {
    /// Begins to listen, in front of a registry.
    pub fn start(
        listener: TcpListener,
        registry: Arc<RunningServer>,
        setup: Setup<'_>,
    ) -> std::io::Result<Self> {
        let armed = setup.injections.iter().map(|injection| Armed {
            injection: *injection,
            begun: None,
        });
        let shared = Arc::new(Shared {
            scenario: setup.scenario,
            own: listener.local_addr()?,
            registry,
            elsewhere: setup.elsewhere,
            patience: setup.patience,
            orders: Mutex::new(Orders {
                armed: armed.collect(),
                ..Orders::default()
            }),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            cut: Mutex::new(setup.cut),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            _accepting: accepting,
        })
    }

    /// What passed so far.
    pub fn record(&self) -> Record {
        let mut record = self.shared.orders().record.clone();
        record.up = self.shared.up.load(Relaxed);
        record.down = self.shared.down.load(Relaxed);
        record
    }

    /// From now on nothing goes wrong any more.
    pub fn relent(&self) {
        let mut orders = self.shared.orders();
        orders.armed.clear();
        orders.quiet_until = None;
        drop(orders);
        *self.shared.cut() = None;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut links = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        links.spawn(Link::new(client, Arc::clone(&shared)).run());
        while links.try_join_next().is_some() {}
    }
}

// === impl Shared ===

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) -> MutexGuard<'_, Option<Cut>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has arrived: its number, and what is to be done to it.
    fn arrived(&self, request: &Message) -> (usize, Purpose, Option<Fault>) {
        let purpose = Purpose::of(request);
        let mut orders = self.orders();
        let number = orders.record.seen.len();
        let too_early = orders.quiet_until.is_some_and(|it| Instant::now() < it);
        orders.record.seen.push(Seen {
            purpose,
            body: request.length(),
            status: 0,
            has: Headers::default(),
            answer_body: 0,
            too_early,
        });
        let fault = orders
            .armed
            .iter_mut()
            .find_map(|it| it.hits(number, purpose, self.scenario));
        if fault.is_some() {
            orders.record.injected += 1;
        }
        (number, purpose, fault)
    }

    fn answered(&self, number: usize, answer: &Message) {
        if let Some(seen) = self.orders().record.seen.get_mut(number) {
            seen.status = answer.status();
            seen.answer_body = answer.seen();
            seen.has = Headers {
                location: answer.header("location").is_some(),
                range: answer.header("range").is_some(),
                digest: answer.header("docker-content-digest").is_some(),
            };
        }
    }

    fn be_quiet(&self, until: Instant) {
        self.orders().quiet_until = Some(until);
    }

    /// How many of so many bytes pass, and how the connection ends after them, if it does.
    fn pass(&self, direction: Direction, bytes: usize) -> (usize, Option<Ending>) {
        let counter = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        let mut cut = self.cut();
        let before = counter.load(Relaxed);
        let due = cut.filter(|it| it.direction == direction && before + bytes as u64 > it.after);
        let passing = due.map_or(bytes, |it| {
            usize::try_from(it.after.saturating_sub(before)).unwrap_or(bytes)
        });
        counter.store(before + passing as u64, Relaxed);
        if due.is_some() {
            *cut = None;
            drop(cut);
            self.orders().record.injected += 1;
        }
        (passing, due.map(|it| it.how))
    }
}

impl Armed {
    fn hits(&mut self, number: usize, purpose: Purpose, scenario: Scenario) -> Option<Fault> {
        let left = match self.begun {
            None if number == self.injection.request => self.injection.times,
            Some((begun, left)) if begun == purpose => left,
            _ => return None,
        };
        if !applies(self.injection.fault, purpose, scenario) {
            return None;
        }
        let left = left.checked_sub(1)?;
        self.begun = Some((purpose, left));
        Some(self.injection.fault)
    }
}

/// Whether a fault makes sense there. Nobody can find out a registry that lies about manifests,
/// or one that takes anything and lies about blobs.
pub fn applies(fault: Fault, purpose: Purpose, scenario: Scenario) -> bool {
    match fault {
        Fault::Odd(Oddity::Granted) => {
            scenario != Scenario::Trusting
                && matches!(
                    purpose,
                    Purpose::HeadBlob
                        | Purpose::PostUpload
                        | Purpose::Patch
                        | Purpose::PutBlob
                        | Purpose::GetSession
                )
        }
        Fault::Odd(Oddity::RedirectElsewhere) | Fault::Header(Change::LocationElsewhere) => {
            scenario != Scenario::Trusting && purpose != Purpose::PutManifest
        }
        _ => true,
    }
}

// === impl Purpose ===

impl Purpose {
    fn of(request: &Message) -> Self {
        let (method, target) = request.first_line();
        let path = target.split('?').next().unwrap_or("");
        let session = path.contains("/blobs/uploads/");
        match method {
            "POST" if session => Self::PostUpload,
            "PATCH" if session => Self::Patch,
            "PUT" if session => Self::PutBlob,
            "GET" if session => Self::GetSession,
            "DELETE" if session => Self::DeleteSession,
            "HEAD" if path.contains("/blobs/") => Self::HeadBlob,
            "HEAD" if path.contains("/manifests/") => Self::HeadManifest,
            "GET" if path.contains("/manifests/") => Self::GetManifest,
            "PUT" if path.contains("/manifests/") => Self::PutManifest,
            _ if path == "/token" => Self::Token,
            _ => Self::Other,
        }
    }

    /// A name in words with hyphens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeadBlob => "head-blob",
            Self::PostUpload => "post-upload",
            Self::Patch => "patch",
            Self::PutBlob => "put-blob",
            Self::GetSession => "get-session",
            Self::DeleteSession => "delete-session",
            Self::HeadManifest => "head-manifest",
            Self::GetManifest => "get-manifest",
            Self::PutManifest => "put-manifest",
            Self::Token => "token",
            Self::Other => "other",
        }
    }
}
