//! A small HTTP client, and the content that tests push.

use std::{collections::BTreeMap, net::SocketAddr};

use longshore_server::{RunningServer, Server, ServerBuilder};
use oci::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An image manifest's media type.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index's media type.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A server with a client that opens a connection per request.
pub(crate) struct TestReg {
    pub(crate) server: RunningServer,
    /// Where it keeps things, if not in memory; removed after the test.
    _directory: Option<TempDir>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, Vec<String>>,
    pub(crate) body: Vec<u8>,
}

/// A request that is being put together.
pub(crate) struct Ask<'a> {
    address: SocketAddr,
    method: &'a str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl TestReg {
    pub(crate) async fn new() -> Self {
        Self::with(Server::builder()).await
    }

    pub(crate) async fn with(builder: ServerBuilder) -> Self {
        Self {
            server: builder.start().await.unwrap(),
            _directory: None,
        }
    }

    /// A server over a directory of its own.
    async fn kept(builder: ServerBuilder) -> Self {
        let directory = TempDir::new().unwrap();
        let builder = builder.directory(directory.path());
        Self {
            server: builder.start().await.unwrap(),
            _directory: Some(directory),
        }
    }

    /// One over each kind of store.
    pub(crate) async fn each() -> [Self; 2] {
        Self::each_with(Server::builder()).await
    }

    /// The same server over each kind of store.
    pub(crate) async fn each_with(builder: ServerBuilder) -> [Self; 2] {
        [
            Self::with(builder.clone().memory()).await,
            Self::kept(builder).await,
        ]
    }

    pub(crate) fn ask<'a>(&self, method: &'a str, target: impl Into<String>) -> Ask<'a> {
        Ask {
            address: self.server.addr(),
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    pub(crate) async fn get(&self, target: impl Into<String>) -> Reply {
        self.ask("GET", target).send().await
    }

    pub(crate) async fn head(&self, target: impl Into<String>) -> Reply {
        self.ask("HEAD", target).send().await
    }

    pub(crate) async fn delete(&self, target: impl Into<String>) -> Reply {
        self.ask("DELETE", target).send().await
    }

    /// Opens an upload session and says where.
    pub(crate) async fn open(&self, name: &str) -> String {
        let target = format!("/v2/{name}/blobs/uploads/");
        let reply = self.ask("POST", target).send().await;
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.header("location").to_owned()
    }

    /// Pushes a blob by POST and PUT.
    pub(crate) async fn push(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let location = self.open(name).await;
        let reply = self.put_blob(&location, &digest, content).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    pub(crate) async fn put_blob(&self, location: &str, digest: &Digest, content: &[u8]) -> Reply {
        self.ask("PUT", with_digest(location, digest))
            .body(content)
            .send()
            .await
    }

    pub(crate) async fn put_manifest(
        &self,
        target: impl Into<String>,
        kind: &str,
        body: &[u8],
    ) -> Reply {
        self.ask("PUT", target)
            .header("content-type", kind)
            .body(body)
            .send()
            .await
    }

    /// Pushes a config and one layer, and a manifest of both; its bytes.
    pub(crate) async fn push_image(&self, name: &str, tag: &str) -> Vec<u8> {
        let config = self.push(name, b"{}").await;
        let layer = self.push(name, tag.as_bytes()).await;
        let manifest = manifest(&config, 2, &[(&layer, tag.len())]);
        let target = format!("/v2/{name}/manifests/{tag}");
        let reply = self.put_manifest(target, MANIFEST, &manifest).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        manifest
    }

    /// The conversation so far, as lines; forgets it.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.server.log().lines();
        self.server.log().clear();
        lines
    }
}

/// A `Location` with the parameter that closes an upload.
pub(crate) fn with_digest(location: &str, digest: &Digest) -> String {
    let mark = if location.contains('?') { '&' } else { '?' };
    format!("{location}{mark}digest={digest}")
}

/// An image manifest.
pub(crate) fn manifest(
    config: &Digest,
    config_size: usize,
    layers: &[(&Digest, usize)],
) -> Vec<u8> {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(digest, size)| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest.to_string(),
                "size": size,
            })
        })
        .collect();
    let config = json!({
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": config.to_string(),
        "size": config_size,
    });
    json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
        .to_string()
        .into_bytes()
}

// === impl Ask ===

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// Sends the body in chunks, without its length.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The head, ended by an empty line.
    fn head(&self) -> String {
        let mut head = vec![
            format!("{} {} HTTP/1.1", self.method, self.target),
            "connection: close".to_owned(),
        ];
        if self.headers.iter().all(|(name, _)| name != "host") {
            head.push(format!("host: {}", self.address));
        }
        for (name, value) in &self.headers {
            head.push(format!("{name}: {value}"));
        }
        if self.chunked {
            head.push("transfer-encoding: chunked".to_owned());
        } else if !matches!(self.method, "GET" | "HEAD" | "DELETE") {
            head.push(format!("content-length: {}", self.body.len()));
        }
        head.join("\r\n") + "\r\n\r\n"
    }

    /// Sends the request and reads the answer; nothing less will do.
    pub(crate) async fn send(self) -> Reply {
        self.try_send().await.expect("an answer")
    }

    /// Sends the request and reads the answer, if there is one.
    pub(crate) async fn try_send(self) -> std::io::Result<Reply> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(self.head().as_bytes()).await?;
        // A body that is refused may break off; what counts is the answer.
        let sent = if self.chunked {
            send_chunks(&mut stream, &self.body).await
        } else {
            stream.write_all(&self.body).await
        };
        let mut raw = Vec::new();
        let read = stream.read_to_end(&mut raw).await;
        match Reply::parse(&raw, self.method == "HEAD") {
            Some(reply) => Ok(reply),
            None => Err(sent
                .and(read.map(drop))
                .err()
                .unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Sends the head and the first bytes of the body, and leaves the rest to the caller.
    pub(crate) async fn begin(self, bytes: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(self.head().as_bytes()).await.unwrap();
        stream.write_all(&self.body[..bytes]).await.unwrap();
        stream
    }
}

async fn send_chunks(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    for chunk in body.chunks(1000) {
        let size = format!("{:x}\r\n", chunk.len());
        stream.write_all(size.as_bytes()).await?;
        stream.write_all(chunk).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

// === impl Reply ===

impl Reply {
    /// An answer that is complete: all of its head, and as much body as the head says.
    pub(crate) fn parse(raw: &[u8], is_head: bool) -> Option<Self> {
        let end = raw.windows(4).position(|it| it == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&raw[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in lines.filter_map(|it| it.split_once(": ")) {
            headers.entry(name.into()).or_default().push(value.into());
        }
        let body = raw[end + 4..].to_vec();
        if status == 100 {
            return Self::parse(&body, is_head);
        }
        let reply = Self {
            status,
            headers,
            body,
        };
        match reply.find("content-length") {
            Some(length) if !is_head && length.parse() != Ok(reply.body.len()) => None,
            _ => Some(reply),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON in {self:?}"))
    }

    /// The error codes of the body, in order.
    pub(crate) fn codes(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().expect("errors");
        errors
            .iter()
            .map(|it| it["code"].as_str().unwrap().to_owned())
            .collect()
    }
}
