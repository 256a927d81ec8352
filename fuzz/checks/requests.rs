//! Whole requests through the registry: a conversation over an in-memory connection.
//!
//! The input is a script: requests separated by a line `%%`, each a line `METHOD target`,
//! header lines, an empty line and a body. `$` at a target's start stands for the last
//! `Location`. Length and end of the body are set here, so that what is tried is the
//! registry's reading of a request and not the HTTP library's.
//!
//! Every request is answered, never with a 5xx; refusals carry the specification's error
//! body; what was answered 201 is there, byte for byte.

use std::{cell::RefCell, collections::BTreeMap, num::NonZeroUsize, time::Duration};

use oci::Digest;
use server::{Limits, RunningServer, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// After so many scripts the registry begins anew, so that what one left behind
/// stays within bounds.
const SCRIPTS_PER_SERVER: usize = 200;
/// The most requests tried of one script.
const MAX_REQUESTS: usize = 12;
/// An answer takes microseconds; one that takes this long will not come.
const PATIENCE: Duration = Duration::from_secs(10);

struct Registry {
    runtime: tokio::runtime::Runtime,
    server: Option<RunningServer>,
    scripts: usize,
}

struct Request<'a> {
    method: &'a str,
    target: String,
    headers: Vec<&'a str>,
    body: &'a [u8],
    chunked: bool,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

thread_local! {
    static REGISTRY: RefCell<Option<Registry>> = const { RefCell::new(None) };
}

pub(crate) fn check(data: &[u8]) {
    REGISTRY.with_borrow_mut(|registry| {
        registry.get_or_insert_with(Registry::new).run(data);
    });
}

impl Registry {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            runtime: runtime.expect("a runtime"),
            server: None,
            scripts: 0,
        }
    }

    fn run(&mut self, data: &[u8]) {
        if self.scripts.is_multiple_of(SCRIPTS_PER_SERVER)
            && let Some(server) = self.server.take()
        {
            self.runtime.block_on(server.shutdown());
        }
        self.scripts += 1;
        let server = self.server.get_or_insert_with(|| {
            let builder = Server::builder()
                .memory()
                .limits(Limits::default())
                .log_entries(NonZeroUsize::MIN)
                .keep_headers(false);
            let started = self.runtime.block_on(builder.start());
            started.expect("a registry")
        });
        self.runtime.block_on(converse(server, data));
    }
}

async fn converse(server: &RunningServer, data: &[u8]) {
    let mut location = "/v2/".to_owned();
    for text in split(data, b"\n%%\n").into_iter().take(MAX_REQUESTS) {
        let Some(request) = Request::parse(text, &location) else {
            continue;
        };
        let Some(reply) = exchange(server, &request).await else {
            continue;
        };
        holds(server, &request, &reply).await;
        if let Some(it) = reply.headers.get("location") {
            it.clone_into(&mut location);
        }
    }
}

/// What has to be true of any answer.
async fn holds(server: &RunningServer, request: &Request<'_>, reply: &Reply) {
    assert!(reply.status < 500, "{reply:?}");
    let kind = reply.headers.get("content-type").map(String::as_str);
    if reply.status >= 400 && kind == Some("application/json") && request.method != "HEAD" {
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        let errors = body["errors"].as_array().expect("errors");
        let coded = |it: &serde_json::Value| it["code"].as_str().is_some_and(|it| !it.is_empty());
        assert!(!errors.is_empty() && errors.iter().all(coded), "{body}");
    }
    if reply.status == 206 {
        let range = reply.headers["content-range"].parse::<oci::wire::ContentRange>();
        let range = range.ok().and_then(|it| it.range).expect("a range");
        assert_eq!(range.length(), reply.body.len() as u64);
    }
    if reply.status == 201 {
        let digest: Digest = reply.headers["docker-content-digest"].parse().expect("one");
        let target = reply.headers["location"].clone();
        let get = Request {
            method: "GET",
            target,
            headers: Vec::new(),
            body: b"",
            chunked: false,
        };
        let got = exchange(server, &get).await.expect("an answer");
        assert_eq!(got.status, 200, "{got:?}");
        assert!(digest.matches(&got.body));
    }
}

async fn exchange(server: &RunningServer, request: &Request<'_>) -> Option<Reply> {
    let (mut client, connection) = tokio::io::duplex(64 * 1024);
    let raw = request.encode();
    let talk = async {
        let mut answer = Vec::new();
        // A refusal may come before all was sent, and end the connection.
        let _ = client.write_all(&raw).await;
        let _ = client.read_to_end(&mut answer).await;
        answer
    };
    let both = async { tokio::join!(talk, server.serve_connection(connection)).0 };
    let answer = tokio::time::timeout(PATIENCE, both).await;
    let answer = answer.unwrap_or_else(|_| panic!("no answer to {:?}", raw.escape_ascii()));
    // The HTTP library hangs up on what is no HTTP at all.
    Reply::parse(&answer)
}

// === impl Request ===

impl<'a> Request<'a> {
    fn parse(text: &'a [u8], location: &str) -> Option<Self> {
        let (head, body) = match split_once(text, b"\n\n") {
            Some((head, body)) => (head, body),
            None => (text, &b""[..]),
        };
        let mut lines = std::str::from_utf8(head).ok()?.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let target = match target.strip_prefix('$') {
            Some(rest) => format!("{location}{rest}"),
            None => target.to_owned(),
        };
        let framing = [
            "content-length",
            "transfer-encoding",
            "connection",
            "expect",
            "upgrade",
            "te",
        ];
        let name = |line: &str| {
            line.split(':')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let (ours, headers): (Vec<&str>, Vec<&str>) =
            lines.partition(|line| framing.contains(&name(line).trim()));
        Some(Self {
            method,
            target,
            headers,
            body,
            chunked: ours.iter().any(|line| line.contains("chunked")),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        head += "connection: close\r\n";
        let names_host = |line: &&str| {
            let start = line.get(..5);
            start.is_some_and(|it| it.eq_ignore_ascii_case("host:"))
        };
        if !self.headers.iter().any(names_host) {
            head += "host: registry.example\r\n";
        }
        for line in &self.headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        let mut raw;
        if self.chunked {
            raw = (head + "transfer-encoding: chunked\r\n\r\n").into_bytes();
            for chunk in self.body.chunks(7) {
                raw.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                raw.extend(chunk);
                raw.extend(b"\r\n");
            }
            raw.extend(b"0\r\n\r\n");
        } else {
            raw = format!("{head}content-length: {}\r\n\r\n", self.body.len()).into_bytes();
            raw.extend(self.body);
        }
        raw
    }
}

// === impl Reply ===

impl Reply {
    fn parse(raw: &[u8]) -> Option<Self> {
        let (head, body) = split_once(raw, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Self {
            status,
            headers,
            body: body.to_vec(),
        })
    }
}

// === bytes ===

fn split_once<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|it| it == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

fn split<'a>(mut bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some((part, rest)) = split_once(bytes, mark) {
        parts.push(part);
        bytes = rest;
    }
    parts.push(bytes);
    parts
}
