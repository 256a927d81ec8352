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
    sync::{Notify, Semaphore},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConnection};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AccessLog, Faults, Limits, RequestLog, Rules, ServerBuilder, ServerError, Users,
    activity::Still,
    allowance::Taken,
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
/// How much of what it sends TLS has in memory until the client takes it, in bytes.
const TLS_BYTES: usize = 32 * 1024;
/// How long a connection that was still for too long gets to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the access log gets to write its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);
/// The most that is read from a connection at once: the longest target and head, and some.
const READ_BYTES: usize = 96 * 1024;
/// How many streams of a connection a client may have reset before the registry came to look at
/// them; one more ends the connection
/// ([CVE-2023-44487](https://nvd.nist.gov/vuln/detail/CVE-2023-44487)).
const RESET_STREAMS: usize = 20;
/// How many streams of a connection the registry resets because a client breaks the protocol on
/// them; one more ends the connection
/// ([CVE-2025-8671](https://nvd.nist.gov/vuln/detail/CVE-2025-8671)).
const FAULTY_STREAMS: usize = 64;
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
                if places.available_permits() == 0 {
                    self.app.crowd.notify_one();
                }
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
            let connection = Connection::new(
                number,
                Some((client, seat.requests())),
                limits.streams,
                &self.app.memory.allowance,
            );
            number += 1;
            let counted = self.app.metrics.connected();
            let serving = self.serve(stream, connection);
            self.app.tasks.spawn(async move {
                serving.await;
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
            let Some(tls) = tls else {
                let window = tokio::select! {
                    is_http2 = begins_http2(&stream) => Window::for_http2(is_http2, &app),
                    _ = connection.still(&app.limits, &app.crowd) => {
                        return app.metrics.refused(Cause::HeadTooSlow);
                    }
                    () = stopping.gently.cancelled() => return,
                };
                let socket = Socket::new(stream, connection.clone());
                let speaking = speak(app, socket, &connection, &stopping, window);
                return Box::pin(speaking).await;
            };
            let socket = Socket::new(stream, connection.clone());
            let bounded = |it: &mut ServerConnection| it.set_buffer_limit(Some(TLS_BYTES));
            let handshake = tls.accept_with(socket, bounded);
            let handshake = tokio::time::timeout(app.limits.head_timeout, handshake);
            let handshake = tokio::select! {
                handshake = handshake => handshake,
                () = stopping.gently.cancelled() => return,
            };
            match handshake {
                Ok(Ok(socket)) => {
                    let is_http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
                    let window = Window::for_http2(is_http2, &app);
                    Box::pin(speak(app, socket, &connection, &stopping, window)).await;
                }
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
    window: Window,
) {
    let router: Router = Router::new()
        .fallback(service::serve)
        .layer(axum::Extension(connection.clone()))
        .with_state(Arc::clone(&app));
    let http = protocol(&app.limits, &window);
    let service = TowerToHyperService::new(router);
    let mut serving = Box::pin(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection.broken() => return,
        still = connection.still(&app.limits, &app.crowd) => {
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
                _ = connection.still(&app.limits, &app.crowd) => return,
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

/// How much a client may send ahead on HTTP/2: with little, the round trip bounds an upload's
/// speed; and what a registry lets be sent it has to have room for.
#[derive(Debug)]
struct Window {
    /// Of a stream, and of all streams of a connection together.
    bytes: u32,
    /// Of one frame: the part that comes is in memory until all of it has.
    frame_bytes: u32,
    /// Of a request's head.
    head_bytes: u32,
    _taken: Option<Taken>,
}

impl Window {
    /// Windows that there may be, in bytes, and what each has to leave to others.
    const WIDE: [(u32, usize); 3] = [
        (4 * 1024 * 1024, 7 * 1024 * 1024),
        (1024 * 1024, 6 * 1024 * 1024),
        (256 * 1024, 5 * 1024 * 1024),
    ];
    /// Frames where there is a wide window, in bytes.
    const WIDE_FRAME: u32 = 128 * 1024;

    /// The least that the protocol knows
    /// ([RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-6.9.2)).
    fn narrow() -> Self {
        Self {
            bytes: 65_535,
            frame_bytes: 16_384,
            head_bytes: 32 * 1024,
            _taken: None,
        }
    }

    /// One as wide as there is room for, if HTTP/2 is spoken at all.
    fn for_http2(is_http2: bool, app: &App) -> Self {
        let wide = Self::WIDE.iter().filter(|_| is_http2);
        let taken = wide.filter_map(|&(bytes, left)| {
            let all = usize::try_from(bytes + Self::WIDE_FRAME).ok()?;
            Some((bytes, app.memory.allowance.take_leaving(all, left)?))
        });
        taken
            .into_iter()
            .next()
            .map_or_else(Self::narrow, |(bytes, taken)| Self {
                bytes,
                frame_bytes: Self::WIDE_FRAME,
                head_bytes: 128 * 1024,
                _taken: Some(taken),
            })
    }
}

/// Whether a client begins with HTTP/2, without taking any of what it sends.
async fn begins_http2(stream: &TcpStream) -> bool {
    let mut start = [0; 4];
    match stream.peek(&mut start).await {
        Ok(length) => length > 0 && b"PRI ".starts_with(&start[..length]),
        Err(_) => false,
    }
}

/// How HTTP is spoken, and within which bounds.
fn protocol(limits: &Limits, window: &Window) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // How long a head may take is looked at below HTTP, for both versions alike.
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(READ_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(window.bytes)
        .initial_connection_window_size(window.bytes)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(Some(RESET_STREAMS))
        .max_local_error_reset_streams(Some(FAULTY_STREAMS))
        .max_frame_size(window.frame_bytes)
        .max_header_list_size(window.head_bytes);
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
