//! A server that runs: accepting connections, and stopping.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use oci::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AccessLog, Faults, RequestLog, Rules, ServerBuilder, ServerError, Users,
    app::{App, Bounded, Turns},
    auth::Guard,
    builder::Storage,
    clients::Clients,
    health::Health,
    log::Observer,
    metrics::Metrics,
    sessions::Sessions,
    socket::Connection,
    store::{self, Clock, Grace, Leftover, Memory, Store},
    upkeep,
    watch::Watch,
};
use accepting::Accepting;
use http::{Window, speak};

mod accepting;
mod http;

/// How long requests that are under way may go on when the server shuts down, unless it is said.
const GRACE: Duration = Duration::from_secs(10);
/// How long the access log gets to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);
/// What connections are numbered that were not accepted from the listener.
const PIPED: u64 = u64::MAX;

/// A server that runs. It stops when this is dropped.
#[derive(Debug)]
pub struct RunningServer {
    app: Arc<App>,
    registry: Registry,
    stopping: Stopping,
    access_log: Option<AccessLog>,
}

/// Asked to stop: in two steps, the second without patience.
#[derive(Clone, Debug, Default)]
struct Stopping {
    gently: CancellationToken,
    now: CancellationToken,
}

impl ServerBuilder {
    /// Starts the server: when this comes back, it listens.
    pub async fn start(self) -> Result<RunningServer, ServerError> {
        start(self).await
    }
}

async fn start(builder: ServerBuilder) -> Result<RunningServer, ServerError> {
    let keeps = matches!(builder.storage, Storage::Memory);
    let keeps = builder.keep_headers.unwrap_or(keeps);
    let store = open(&builder).await?;
    let leftovers = leftovers(&builder, &store).await?;
    let listen = |error| ServerError::Listen {
        address: builder.address,
        error,
    };
    check_secrecy(&builder)?;
    let listener = match &builder.listener {
        Some(listener) => taken(listener).map_err(listen)?,
        None => TcpListener::bind(builder.address).await.map_err(listen)?,
    };
    let address = listener.local_addr().map_err(listen)?;
    let registry = address
        .to_string()
        .parse()
        .map_err(|error| listen(io::Error::other(error)))?;
    let (stopping, tasks) = (Stopping::default(), TaskTracker::new());
    let metrics = Arc::new(Metrics::new());
    let watch = watch(&builder, &metrics);
    let app = Arc::new(App {
        sessions: Sessions::new(&builder.limits, leftovers, &tasks),
        turns: Turns::new(builder.limits.connections),
        crowd: Notify::new(),
        store,
        log: RequestLog::new(builder.log_entries, keeps, Some(watch)),
        faults: builder.faults,
        guard: Guard::new(builder.auth, builder.rules).map_err(ServerError::Random)?,
        memory: Bounded::new().map_err(ServerError::Threads)?,
        limits: builder.limits,
        options: builder.options,
        address,
        tasks,
        secure: builder.tls.is_some(),
        public_url: builder.public_url,
        metrics,
        health: Health::new(stopping.gently.clone()),
        started: Instant::now(),
    });
    let accepting = Accepting {
        app: Arc::clone(&app),
        listener,
        clients: Clients::default(),
        tls: builder.tls.map(|it| TlsAcceptor::from(it.0)),
        stopping: stopping.clone(),
    };
    app.tasks.spawn(accepting.run());
    upkeep::begin(&app, builder.collection, &stopping.gently);
    app.tasks.close();
    Ok(RunningServer {
        app,
        registry,
        stopping,
        access_log: builder.access_log,
    })
}

/// Who is told of every request.
fn watch(builder: &ServerBuilder, metrics: &Arc<Metrics>) -> Arc<dyn Observer> {
    Arc::new(Watch {
        metrics: Arc::clone(metrics),
        access_log: builder.access_log.clone(),
    })
}

/// Refuses to take secrets where others may hear them, unless that was allowed.
fn check_secrecy(builder: &ServerBuilder) -> Result<(), ServerError> {
    let handed = builder
        .listener
        .as_ref()
        .and_then(|it| it.local_addr().ok());
    let address = handed.unwrap_or(builder.address);
    let is_private = builder.tls.is_some() || address.ip().to_canonical().is_loopback();
    if is_private || builder.allow_clear_text || !builder.auth.takes_secrets() {
        return Ok(());
    }
    Err(ServerError::ClearText { address })
}

/// A socket that somebody else opened.
fn taken(listener: &std::net::TcpListener) -> io::Result<TcpListener> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The upload sessions that an earlier process left open.
async fn leftovers(
    builder: &ServerBuilder,
    store: &Arc<dyn Store>,
) -> Result<Vec<Leftover>, ServerError> {
    let (store, idle) = (Arc::clone(store), builder.limits.session_idle);
    store::blocking(move || store.leftovers(idle))
        .await
        .map_err(|error| ServerError::Store {
            path: path_of(builder),
            error,
        })
}

/// Opens the store.
pub(crate) async fn open(builder: &ServerBuilder) -> Result<Arc<dyn Store>, ServerError> {
    let grace = Grace::new(builder.collection.grace, Clock::system());
    match &builder.storage {
        Storage::Memory => Ok(Arc::new(Memory::new(builder.limits.memory_bytes, grace))),
        Storage::ReadOnly(images) => match store::Served::new(images.clone()) {
            Ok(store) => Ok(Arc::new(store)),
            Err(error) => Err(ServerError::Threads(error)),
        },
        Storage::Directory(path) => {
            let path = path.clone();
            let opened =
                tokio::task::spawn_blocking(move || store::Directory::open(&path, grace)).await;
            match opened {
                Ok(opened) => Ok(Arc::new(opened?)),
                Err(error) => Err(ServerError::Store {
                    path: path_of(builder),
                    error: io::Error::other(error),
                }),
            }
        }
    }
}

pub(crate) fn path_of(builder: &ServerBuilder) -> std::path::PathBuf {
    match &builder.storage {
        Storage::Directory(path) => path.clone(),
        Storage::Memory | Storage::ReadOnly(_) => std::path::PathBuf::new(),
    }
}

// === impl RunningServer ===

impl RunningServer {
    /// The address it listens on, with the port it got.
    pub fn addr(&self) -> SocketAddr {
        self.app.address
    }

    /// The same as a registry's name, for references.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// `http://127.0.0.1:…` or `https://…`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.app.scheme(), self.app.address)
    }

    /// What it was asked so far, and is asked from now on.
    pub fn log(&self) -> RequestLog {
        self.app.log.clone()
    }

    /// Its faults, to add to and take from.
    pub fn faults(&self) -> Faults {
        self.app.faults.clone()
    }

    /// How many upload sessions are open.
    pub fn open_sessions(&self) -> usize {
        self.app.sessions.count()
    }

    /// Forgets every open upload session, as a registry does that lost its memory.
    pub async fn lose_sessions(&self) {
        self.app.sessions.lose_all().await;
    }

    /// Knows these users from now on, and no others. Upload sessions stay; tokens of users who are
    /// gone or have another password do not. False if this server asks nobody who they are.
    ///
    /// Fails where the system has no random numbers; the users are then those of before.
    pub fn replace_users(&self, users: Users) -> Result<bool, ServerError> {
        let replaced = self.app.guard.replace_users(users);
        replaced.map_err(ServerError::Random)
    }

    /// Goes by these rules from now on, and no others. Requests under way end by the rules they
    /// began with, and tokens grant what they did until they end.
    pub fn replace_rules(&self, rules: Rules) {
        self.app.guard.replace_rules(rules);
    }

    /// Makes every token worthless that was issued so far, refresh tokens too.
    pub fn revoke_tokens(&self) {
        self.app.guard.revoke(None);
    }

    /// Makes every token worthless that one user was issued so far, refresh tokens too.
    pub fn revoke_tokens_of(&self, user: &str) {
        self.app.guard.revoke(Some(user));
    }

    /// Serves one connection that did not come in over TCP, to its end: an in-memory
    /// pipe, a Unix socket. Without TLS, and beyond [`Limits::connections`](crate::Limits::connections).
    ///
    /// Faults that break a connection drop it; only TCP has resets.
    pub async fn serve_connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let connection = Connection::new(
            PIPED,
            None,
            self.app.limits.streams,
            &self.app.memory.allowance,
        );
        let window = Window::narrow();
        speak(
            Arc::clone(&self.app),
            stream,
            &connection,
            &self.stopping,
            window,
        )
        .await;
    }

    /// Stops: takes no more connections, lets requests that are under way end for at most
    /// ten seconds, and comes back when nothing of it is left, so that its store can be opened again.
    pub async fn shutdown(self) {
        self.shutdown_within(GRACE, std::future::pending()).await;
    }

    /// The same with another limit, which ends early when `hurry` comes back.
    ///
    /// Requests that are not through by then are cut off. What an upload session has received
    /// stays, and a store in a directory still has it after the next start.
    pub async fn shutdown_within(self, limit: Duration, hurry: impl Future<Output = ()>) {
        self.stopping.gently.cancel();
        tokio::select! {
            () = self.app.tasks.wait() => {}
            () = tokio::time::sleep(limit) => {}
            () = hurry => {}
        }
        self.stopping.now.cancel();
        self.app.tasks.wait().await;
        if let Some(log) = self.access_log.clone() {
            let closing = tokio::task::spawn_blocking(move || log.close(LAST_LINES));
            // Lines that are not written by then are lost, and nothing else.
            let _ = closing.await;
        }
        if let Err(error) = upkeep::renew_once(&self.app).await {
            tracing::warn!(%error, "could not renew a repository's layout; the next start does");
        }
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stopping.gently.cancel();
        self.stopping.now.cancel();
    }
}

impl fmt::Display for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}
