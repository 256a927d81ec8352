//! A server that runs: accepting connections, and stopping.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use oci::Registry;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AccessLog, Faults, Limits, RequestLog, ServerBuilder, ServerError,
    activity::Still,
    app::{App, Bounded, Turns},
    auth::Guard,
    builder::Storage,
    clients::Clients,
    health::Health,
    log::Observer,
    metrics::{Cause, Metrics},
    service,
    sessions::Sessions,
    socket::{Connection, Socket},
    store::{self, Clock, Grace, Leftover, Memory, Store},
    upkeep,
    watch::Watch,
};

/// How long requests that are under way may go on when the server shuts down, unless it is said.
const GRACE: Duration = Duration::from_secs(10);
/// How much HTTP/2 lets a client send ahead, per stream and per connection: with less,
/// the round trip bounds an upload's speed.
const H2_WINDOW: u32 = 8 * 1024 * 1024;
/// How long a connection that was still for too long gets to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the access log gets to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);
/// The most that is read from a connection at once.
const READ_BYTES: usize = 128 * 1024;
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
    let watch: Arc<dyn Observer> = Arc::new(Watch {
        metrics: Arc::clone(&metrics),
        access_log: builder.access_log.clone(),
    });
    let app = Arc::new(App {
        sessions: Sessions::new(&builder.limits, leftovers, &tasks),
        store,
        log: RequestLog::new(builder.log_entries, keeps, Some(watch)),
        faults: builder.faults,
        guard: Guard::new(builder.auth, builder.rules).map_err(ServerError::Random)?,
        turns: Turns::default(),
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
        let connection = Connection::new(PIPED, None, self.app.limits.streams);
        speak(Arc::clone(&self.app), stream, &connection, &self.stopping).await;
        connection.close();
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
        if let Err(error) = upkeep::renew_once(&self.app.store).await {
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

/// The loop that takes connections.
struct Accepting {
    app: Arc<App>,
    listener: TcpListener,
    clients: Clients,
    tls: Option<TlsAcceptor>,
    stopping: Stopping,
}

impl Accepting {
    async fn run(self) {
        let places = Arc::new(Semaphore::new(self.app.limits.connections));
        let mut number = 0;
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = self.stopping.gently.cancelled() => return,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: others may end soon.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let limits = &self.app.limits;
            let Some(seat) = self
                .clients
                .seat(client.ip(), limits.connections_per_client)
            else {
                self.app.metrics.refused(Cause::ConnectionsOfClient);
                continue;
            };
            let connection = Connection::new(number, Some(client), limits.streams);
            number += 1;
            let counted = self.app.metrics.connected();
            let serving = self.serve(stream, connection.clone());
            self.app.tasks.spawn(async move {
                serving.await;
                connection.close();
                drop((place, seat, counted));
            });
        }
    }

    /// Serves one connection to its end.
    fn serve(
        &self,
        stream: TcpStream,
        connection: Connection,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (app, tls, stopping) = (
            Arc::clone(&self.app),
            self.tls.clone(),
            self.stopping.clone(),
        );
        async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "connection without TCP_NODELAY");
            }
            let socket = Socket::new(stream, connection.clone());
            let Some(tls) = tls else {
                return speak(app, socket, &connection, &stopping).await;
            };
            let handshake = tokio::time::timeout(app.limits.head_timeout, tls.accept(socket));
            let handshake = tokio::select! {
                handshake = handshake => handshake,
                () = stopping.gently.cancelled() => return,
            };
            match handshake {
                Ok(Ok(socket)) => speak(app, socket, &connection, &stopping).await,
                Ok(Err(error)) => {
                    app.metrics.refused(Cause::Handshake);
                    tracing::debug!(%error, "TLS handshake failed");
                }
                Err(_) => {
                    app.metrics.refused(Cause::HeadTooSlow);
                    tracing::debug!("TLS handshake took too long");
                }
            }
        }
    }
}

/// Speaks HTTP/1.1 or HTTP/2, whichever the client begins with, until the connection ends,
/// is broken, has been still for too long, or the server stops.
async fn speak(
    app: Arc<App>,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: &Connection,
    stopping: &Stopping,
) {
    let router: Router = Router::new()
        .fallback(service::serve)
        .layer(axum::Extension(connection.clone()))
        .with_state(Arc::clone(&app));
    let http = protocol(&app.limits);
    let service = TowerToHyperService::new(router);
    let serving = http.serve_connection(TokioIo::new(socket), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection.broken() => return,
        still = connection.still(&app.limits) => {
            match still {
                Still::Idle => {}
                Still::Head => app.metrics.refused(Cause::HeadTooSlow),
                Still::Unread => return app.metrics.refused(Cause::AnswerUnread),
            }
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GOODBYE, serving).await;
            return;
        }
        () = stopping.gently.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = connection.broken() => return,
                _ = connection.still(&app.limits) => return,
                () = stopping.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
        if let Some(cause) = unspeakable(&*error) {
            app.metrics.refused(cause);
        }
    }
}

/// How HTTP is spoken, and within which bounds.
fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // How long a head may take is looked at below HTTP, for both versions alike.
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(READ_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(H2_WINDOW)
        .initial_connection_window_size(2 * H2_WINDOW)
        .max_concurrent_streams(limits.streams)
        .max_frame_size(256 * 1024)
        .max_header_list_size(128 * 1024);
    http
}

/// Why what a client said was not a request, if that is what ended its connection.
fn unspeakable(error: &(dyn Error + Send + Sync + 'static)) -> Option<Cause> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        return Some(Cause::HeadTooLarge);
    }
    error.is_parse().then_some(Cause::NotHttp)
}
