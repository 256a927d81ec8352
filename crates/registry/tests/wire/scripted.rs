//! A server that says exactly what a test tells it to, byte for byte.
//!
//! For answers no registry of ours would give, and for ends of connections.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use oci::{Registry, Repository};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};

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
            let (heads, bodies) = (heads.clone(), bodies.clone());
            let first_bytes = first_bytes.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let connection = Connection {
                        stream,
                        heads: heads.clone(),
                        bodies: bodies.clone(),
                        first_bytes: first_bytes.clone(),
                    };
                    tokio::spawn(connection.serve(script.clone()));
                }
            })
        };
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
        format!("http://{}", self.address)
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

struct Connection {
    stream: TcpStream,
    heads: Arc<Mutex<Vec<String>>>,
    bodies: Arc<Mutex<Vec<String>>>,
    first_bytes: Arc<Mutex<Vec<u8>>>,
}

impl Connection {
    async fn serve(mut self, script: Arc<impl Fn(&str) -> Reply>) {
        let mut pending = Vec::new();
        let mut first = true;
        loop {
            let end = loop {
                if let Some(end) = find(&pending, b"\r\n\r\n") {
                    break end + 4;
                }
                let mut buffer = vec![0; 64 * 1024];
                let Ok(read @ 1..) = self.stream.read(&mut buffer).await else {
                    return;
                };
                if std::mem::take(&mut first) {
                    self.first_bytes.lock().unwrap().push(buffer[0]);
                }
                pending.extend_from_slice(&buffer[..read]);
                if pending[0] == 0x16 {
                    return; // a TLS hello
                }
            };
            let head = String::from_utf8_lossy(&pending[..end]).into_owned();
            pending.drain(..end);
            self.heads.lock().unwrap().push(head.clone());
            let reply = script(&head);
            if !reply.slam && !reply.hold && !self.read_body(&head, &mut pending, &reply).await {
                return;
            }
            if self.stream.write_all(&reply.bytes).await.is_err() || reply.slam {
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
        while left > 0 {
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
        if !begun.is_empty() {
            let body = String::from_utf8_lossy(&begun).into_owned();
            self.bodies.lock().unwrap().push(body);
        }
        true
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|it| it == part)
}
