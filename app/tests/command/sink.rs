//! A registry that keeps nothing: takes uploads of any size, counts and drops them.
//!
//! Blobs of gigabytes can be pushed to it without a disk. It says yes to
//! everything, and can be told to call back when the manifest arrives, while
//! the client is still waiting for the answer.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

type OnManifest = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A registry that keeps nothing.
pub(crate) struct Sink {
    address: SocketAddr,
    body_bytes: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<(String, u64)>>>,
    on_manifest: OnManifest,
}

impl Sink {
    /// Listens on loopback, until the test's process ends.
    pub(crate) fn start() -> Self {
        Self::pausing(Duration::ZERO)
    }

    /// The same, and after every MiB of a body it reads nothing for `pause`.
    pub(crate) fn pausing(pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            body_bytes: Arc::default(),
            requests: Arc::default(),
            on_manifest: Arc::default(),
        };
        let (bytes, on_manifest) = (sink.body_bytes.clone(), sink.on_manifest.clone());
        let requests = sink.requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (bytes, on_manifest) = (bytes.clone(), on_manifest.clone());
                let requests = requests.clone();
                thread::spawn(move || answer(stream, pause, &bytes, &requests, &on_manifest));
            }
        });
        sink
    }

    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Bytes of all request bodies.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes.load(Ordering::SeqCst)
    }

    /// The requests about this digest, in order: method and body length in bytes.
    pub(crate) fn requests_about(&self, digest: &oci::Digest) -> Vec<(String, u64)> {
        let hex = digest.encoded();
        let requests = self.requests.lock().unwrap();
        let about = requests.iter().filter(|(line, _)| line.contains(hex));
        about
            .map(|(line, length)| (line.split(' ').next().unwrap().to_owned(), *length))
            .collect()
    }

    /// Calls `this` when a manifest has arrived, before it is answered.
    pub(crate) fn on_manifest(&self, this: impl FnOnce() + Send + 'static) {
        *self.on_manifest.lock().unwrap() = Some(Box::new(this));
    }
}

fn answer(
    stream: TcpStream,
    pause: Duration,
    bytes: &AtomicU64,
    about: &Mutex<Vec<(String, u64)>>,
    on_manifest: &OnManifest,
) {
    let mut answers = stream.try_clone().unwrap();
    let mut requests = BufReader::with_capacity(256 * 1024, stream);
    while let Some((method, path, length)) = head(&mut requests) {
        about
            .lock()
            .unwrap()
            .push((format!("{method} {path}"), length));
        let mut body = (&mut requests).take(length);
        let mut manifest = Vec::new();
        let is_manifest = path.contains("/manifests/");
        if is_manifest && method == "PUT" {
            body.read_to_end(&mut manifest).unwrap();
        } else {
            drop_slowly(body, pause);
        }
        bytes.fetch_add(length, Ordering::SeqCst);
        let text = match (method.as_str(), is_manifest) {
            ("POST", _) => "202 Accepted\r\nlocation: /v2/app/blobs/uploads/1\r\n".to_owned(),
            ("PUT", true) => {
                if let Some(call) = on_manifest.lock().unwrap().take() {
                    call();
                }
                let digest = oci::Digest::of(&manifest);
                format!("201 Created\r\ndocker-content-digest: {digest}\r\n")
            }
            ("PUT", false) => "201 Created\r\nlocation: /v2/app/blobs/1\r\n".to_owned(),
            _ => "404 Not Found\r\n".to_owned(),
        };
        let text = format!("HTTP/1.1 {text}content-length: 0\r\n\r\n");
        if answers.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads to the end, with a pause after every MiB.
fn drop_slowly(mut body: impl Read, pause: Duration) {
    while std::io::copy(&mut body.by_ref().take(1 << 20), &mut std::io::sink()).unwrap() > 0 {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

/// Method, path and body length of the next request.
fn head(requests: &mut BufReader<TcpStream>) -> Option<(String, String, u64)> {
    let mut line = String::new();
    requests
        .read_line(&mut line)
        .ok()
        .filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut length = 0;
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            return Some((method, path, length));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
}
