//! A server that says exactly what a test tells it to, byte for byte.
//!
//! For answers no registry of ours would give, and for ends of connections.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use oci::{Registry, Repository};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::set_up::{self, SET_UP};

mod over_http2;

/// What a request is answered with.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    /// The request's body is not read before the answer, and the connection closed at once.
    slam: bool,
    /// Nothing is read or written after the answer, and the connection stays.
    hold: bool,
    /// Goes on writing this for ever.
    endless: Option<&'static [u8]>,
    /// Reads a body this slowly: so many bytes, then a pause.
    slowly: Option<(usize, Duration)>,
    /// Reads a body no further than all others that are read so.
    in_turn: Option<Arc<Turnstile>>,
    /// What is done when the body has been read.
    then: Option<Box<dyn FnOnce() + Send + Sync>>,
    /// How long it takes to find an answer.
    after: Duration,
}

pub(crate) struct Scripted {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<String>>>,
    first_bytes: Arc<Mutex<Vec<u8>>>,
    accepting: JoinHandle<()>,
}

/// Nothing but a status line, headers and a body.
pub(crate) fn reply(head: &str, body: &str) -> Reply {
    let mut bytes = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    bytes.push_str(body);
    Reply::raw(bytes)
}

impl Reply {
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            slam: false,
            hold: false,
            endless: None,
            slowly: None,
            in_turn: None,
            then: None,
            after: Duration::ZERO,
        }
    }

    pub(crate) fn slam(self) -> Self {
        Self { slam: true, ..self }
    }

    pub(crate) fn hold(self) -> Self {
        Self { hold: true, ..self }
    }

    pub(crate) fn endless(self, more: &'static [u8]) -> Self {
        Self {
            endless: Some(more),
            ..self
        }
    }

    pub(crate) fn reading_in_turn(self, turnstile: &Arc<Turnstile>) -> Self {
        Self {
            in_turn: Some(turnstile.clone()),
            ..self
        }
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn then(self, then: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self {
            then: Some(Box::new(then)),
            ..self
        }
    }

    pub(crate) fn reading_slowly(self, bytes: usize, pause: Duration) -> Self {
        Self {
            slowly: Some((bytes, pause)),
            ..self
        }
    }
}

impl Scripted {
    /// Answers each request as `script` says: a request's head in, a reply out.
    #[expect(
        clippy::unused_async,
        reason = "listening wants a runtime, so only who can await may start one"
    )]
    pub(crate) async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        // Little is taken before it is read, so that a client goes on in many small steps and
        // not in a few long ones.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(128 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let first_bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let script = Arc::new(script);
        let accepting = {
            let seen = Log {
                heads: heads.clone(),
                bodies: bodies.clone(),
                first_bytes: first_bytes.clone(),
            };
            let tls = set_up::tls();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    stream.set_nodelay(true).unwrap();
                    tokio::spawn(accept(stream, tls.clone(), seen.clone(), script.clone()));
                }
            })
        };
        set_up::remember(address.to_string().parse().unwrap());
        Self {
            address,
            heads,
            bodies,
            first_bytes,
            accepting,
        }
    }

    pub(crate) fn registry(&self) -> Registry {
        self.address.to_string().parse().unwrap()
    }

    pub(crate) fn repository(&self, path: &str) -> Repository {
        self.registry().repository(path).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", SET_UP.scheme(), self.address)
    }

    /// The request lines so far, without the version.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |head: &String| {
            let line = head.lines().next().unwrap_or_default();
            line.trim_end_matches(" HTTP/1.1").to_owned()
        };
        self.heads.lock().unwrap().iter().map(line).collect()
    }

    /// Every head there was, as it came.
    pub(crate) fn heads(&self) -> String {
        self.heads.lock().unwrap().concat()
    }

    /// The beginning of every body there was, at least 4 KiB of it, without the empty ones.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }

    /// The first byte of every connection.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.first_bytes.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Lets each body be read as far as every other that is open, and a few steps further: if one of
/// them idles, all of them stop.
#[derive(Default)]
pub(crate) struct Turnstile {
    /// How many steps each has made.
    steps: Mutex<HashMap<usize, u64>>,
    changed: Notify,
    entered: AtomicUsize,
}

struct Turn {
    turnstile: Arc<Turnstile>,
    number: usize,
}

impl Turnstile {
    fn enter(self: &Arc<Self>) -> Turn {
        let mut steps = self.steps.lock().unwrap();
        let number = self.entered.fetch_add(1, Relaxed);
        let last = steps.values().min().copied().unwrap_or(0);
        steps.insert(number, last);
        Turn {
            turnstile: self.clone(),
            number,
        }
    }

    /// The most that were open at once have to be enough for a test to mean something.
    pub(crate) fn entered(&self) -> usize {
        self.entered.load(Relaxed)
    }
}

impl Turn {
    /// Waits until nobody is more than two steps behind, and makes one.
    async fn wait(&self) {
        loop {
            let changed = self.turnstile.changed.notified();
            {
                let mut steps = self.turnstile.steps.lock().unwrap();
                let last = steps.values().min().copied().unwrap_or(0);
                let own = steps.get_mut(&self.number).unwrap();
                if *own <= last + 2 {
                    *own += 1;
                    self.turnstile.changed.notify_waiters();
                    return;
                }
            }
            changed.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turnstile.steps.lock().unwrap().remove(&self.number);
        self.turnstile.changed.notify_waiters();
    }
}

/// What came to a server.
#[derive(Clone)]
struct Log {
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<String>>>,
    first_bytes: Arc<Mutex<Vec<u8>>>,
}

impl Log {
    fn head(&self, head: &str) {
        self.heads.lock().unwrap().push(head.to_owned());
    }

    fn body(&self, begun: &[u8]) {
        if !begun.is_empty() {
            let body = String::from_utf8_lossy(begun).into_owned();
            self.bodies.lock().unwrap().push(body);
        }
    }
}

/// Finds out what a connection speaks.
async fn accept<S>(stream: TcpStream, tls: Option<TlsAcceptor>, seen: Log, script: Arc<S>)
where
    S: Fn(&str) -> Reply + Send + Sync + 'static,
{
    let mut first = [0];
    if let Ok(1) = stream.peek(&mut first).await {
        seen.first_bytes.lock().unwrap().push(first[0]);
    }
    let Some(tls) = tls else {
        return Connection { stream, seen }.serve(script).await;
    };
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        over_http2::serve(stream, seen, script).await;
    } else {
        Connection { stream, seen }.serve(script).await;
    }
}

struct Connection<S> {
    stream: S,
    seen: Log,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn serve(mut self, script: Arc<impl Fn(&str) -> Reply>) {
        let mut pending = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = find(&pending, b"\r\n\r\n") {
                    break end + 4;
                }
                let mut buffer = vec![0; 64 * 1024];
                let Ok(read @ 1..) = self.stream.read(&mut buffer).await else {
                    return;
                };
                pending.extend_from_slice(&buffer[..read]);
                if pending[0] == 0x16 {
                    return; // a TLS hello
                }
            };
            let head = String::from_utf8_lossy(&pending[..end]).into_owned();
            pending.drain(..end);
            self.seen.head(&head);
            let mut reply = script(&head);
            if !reply.slam && !reply.hold && !self.read_body(&head, &mut pending, &reply).await {
                return;
            }
            if !reply.after.is_zero() {
                tokio::time::sleep(reply.after).await;
            }
            if let Some(then) = reply.then.take() {
                then();
            }
            if self.stream.write_all(&reply.bytes).await.is_err() || reply.slam {
                return;
            }
            // TLS keeps back what is not flushed.
            if self.stream.flush().await.is_err() {
                return;
            }
            if reply.hold {
                std::future::pending::<()>().await;
            }
            while let Some(more) = reply.endless {
                if self.stream.write_all(more).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn read_body(&mut self, head: &str, pending: &mut Vec<u8>, reply: &Reply) -> bool {
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0_usize);
        let mut left = length.saturating_sub(pending.len());
        let mut begun: Vec<u8> = pending.drain(..length.min(pending.len())).collect();
        let (step, pause) = reply.slowly.unwrap_or((64 * 1024, Duration::ZERO));
        let mut buffer = vec![0; step];
        let turn = reply.in_turn.as_ref().map(Turnstile::enter);
        while left > 0 {
            if let Some(turn) = &turn {
                turn.wait().await;
            }
            let want = left.min(step);
            match self.stream.read(&mut buffer[..want]).await {
                Ok(read @ 1..) => {
                    left -= read;
                    if begun.len() < 4096 {
                        begun.extend_from_slice(&buffer[..read]);
                    }
                }
                _ => return false,
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        self.seen.body(&begun);
        true
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|it| it == part)
}
