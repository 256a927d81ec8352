//! Fixtures: a registry, a client that does not wait long, blobs out of memory.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use longshore_registry::{Client, ClientBuilder, RetryPolicy};
use oci::{
    BlobStream, BlobUpload, Descriptor, Digest, Document, MediaType, Registry, Repository, Source,
    SourceError, UploadObserver, UploadSession,
};
use server::{Endpoint, RunningServer, Server, ServerBuilder};
use tokio::io::{DuplexStream, duplex};

use crate::set_up::{self, SET_UP};

pub(crate) const MIB: usize = 1024 * 1024;

/// How long something may take that ends by itself: only so that a test that hangs ends as well.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A server of ours as a double: what it is asked comes over the version the set-up has.
#[derive(Debug)]
pub(crate) struct Double(Arc<RunningServer>);

impl Deref for Double {
    type Target = RunningServer;

    fn deref(&self) -> &RunningServer {
        &self.0
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let entries = self.log().entries();
        // Without an address it was spoken by hand.
        for entry in entries.iter().filter(|it| it.client.is_some()) {
            let body = match entry.endpoint {
                Endpoint::BlobGet => true,
                Endpoint::UploadPut | Endpoint::UploadPatch | Endpoint::UploadSingle => {
                    // Without bytes it is a question, unless that is the blob.
                    let query = entry.query.as_deref().unwrap_or_default();
                    entry.headers.content_length != Some(0)
                        || query.contains(Digest::of(b"").encoded())
                }
                _ => false,
            };
            assert_eq!(entry.version, SET_UP.version(body), "{entry:#?}");
        }
    }
}

/// A registry, that speaks TLS where the set-up has it.
pub(crate) async fn start(mut builder: ServerBuilder) -> Double {
    if let Some((certificate, key)) = set_up::identity() {
        builder = builder.tls(certificate.as_bytes(), key.as_bytes()).unwrap();
    }
    let double = start_behind(builder).await;
    set_up::remember(double.registry());
    double
}

/// A registry without TLS, or with its own: something else is in front of it.
pub(crate) async fn start_behind(builder: ServerBuilder) -> Double {
    Double(Arc::new(builder.start().await.unwrap()))
}

/// A connection for who speaks HTTP/1.1 by hand, whatever the set-up.
pub(crate) fn aside(double: &Double) -> DuplexStream {
    let (near, far) = duplex(64 * 1024);
    let server = double.0.clone();
    tokio::spawn(async move { server.serve_connection(far).await });
    near
}

/// A host as its profile is kept by.
pub(crate) fn host(registry: &Registry) -> String {
    if SET_UP.is_plain() {
        format!("http://{registry}")
    } else {
        registry.to_string()
    }
}

/// A registry in memory, open to everybody.
pub(crate) async fn registry() -> Double {
    start(Server::builder().memory()).await
}

/// A client whose waits between attempts are short, and the same in every run.
pub(crate) fn quick() -> ClientBuilder {
    let policy = RetryPolicy::default()
        .with_backoff(Duration::from_millis(2), Duration::from_millis(20))
        .with_seed(1);
    set_up::speaking(Client::builder().retry(policy))
}

pub(crate) fn client() -> Client {
    quick().build().unwrap()
}

pub(crate) fn repository(server: &RunningServer, path: &str) -> Repository {
    server.registry().repository(path).unwrap()
}

pub(crate) fn at_most(requests: usize) -> NonZeroUsize {
    NonZeroUsize::new(requests).unwrap()
}

/// A blob of `length` bytes, another one for every `seed`.
pub(crate) fn blob(seed: u64, length: usize) -> (Descriptor, Bytes) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect();
    let content = Bytes::from(content);
    (Descriptor::of(MediaType::OCI_LAYER, &content), content)
}

/// A manifest with these layers and an empty config, which is a blob too.
pub(crate) fn manifest(layers: &[Descriptor]) -> Document {
    let config = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    let json = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": config,
        "layers": layers,
    });
    Document::new(json.to_string().into(), None).unwrap()
}

/// Blobs in memory, given out in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blobs {
    contents: HashMap<Digest, Bytes>,
    /// After so many bytes the stream fails as altered content does, or hangs.
    ends: Option<(u64, End)>,
    opened: Arc<Mutex<Vec<(Digest, u64)>>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Altered,
    Hangs,
    Short,
    Long,
}

impl Blobs {
    pub(crate) fn of(blobs: impl IntoIterator<Item = (Descriptor, Bytes)>) -> Self {
        let contents = blobs.into_iter().map(|(it, content)| (it.digest, content));
        Self {
            contents: contents.collect(),
            ..Self::default()
        }
    }

    pub(crate) fn one(blob: &Descriptor, content: &Bytes) -> Self {
        Self::of([(blob.clone(), content.clone())])
    }

    pub(crate) fn ending(mut self, after: u64, end: End) -> Self {
        self.ends = Some((after, end));
        self
    }

    /// What was opened, and from where.
    pub(crate) fn opened(&self) -> Vec<(Digest, u64)> {
        self.opened.lock().unwrap().clone()
    }
}

#[async_trait]
impl Source for Blobs {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("memory", "it has no manifest"))
    }

    async fn document(&self, _: &Descriptor) -> Result<Document, SourceError> {
        self.root().await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let digest = &blob.digest;
        let opened = (digest.clone(), offset);
        self.opened.lock().unwrap().push(opened);
        let Some(content) = self.contents.get(digest) else {
            return Err(SourceError::Missing {
                digest: digest.clone(),
                place: "memory".to_owned(),
            });
        };
        let content = content.slice(usize::try_from(offset).unwrap()..);
        let pieces: Vec<Bytes> = (0..content.len())
            .step_by(256 * 1024)
            .map(|at| content.slice(at..content.len().min(at + 256 * 1024)))
            .collect();
        let pieces = stream::iter(pieces).map(Ok);
        let Some((after, end)) = self.ends else {
            return Ok(pieces.boxed());
        };
        let whole = usize::try_from(after).unwrap() / (256 * 1024);
        let error = SourceError::Altered {
            expected: digest.clone(),
            actual: Digest::of(b"something else"),
            place: "memory".to_owned(),
        };
        let cut = pieces.take(whole);
        Ok(match end {
            End::Altered => cut.chain(stream::once(async { Err(error) })).boxed(),
            End::Hangs => cut.chain(stream::pending()).boxed(),
            End::Short => cut.boxed(),
            End::Long => cut.chain(stream::iter([Ok(content)])).boxed(),
        })
    }
}

/// Remembers what an upload said of itself.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<(u64, Vec<u64>)>);

impl Seen {
    pub(crate) fn sent(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    pub(crate) fn rewound(&self) -> Vec<u64> {
        self.0.lock().unwrap().1.clone()
    }
}

impl UploadObserver for Seen {
    fn sent(&self, bytes: u64) {
        self.0.lock().unwrap().0 += bytes;
    }

    fn rewound(&self, offset: u64) {
        self.0.lock().unwrap().1.push(offset);
    }

    fn acknowledged(&self, _: &UploadSession) {}
}

/// An upload without a session and without an observer.
pub(crate) fn upload<'a>(blob: &'a Descriptor, source: &'a dyn Source) -> BlobUpload<'a> {
    BlobUpload::new(blob, source)
}

/// The conversation when nothing of it is under way any more: a registry notices a moment
/// later that a client has gone.
pub(crate) async fn settled(server: &RunningServer) -> Vec<String> {
    let all_ended = async {
        loop {
            let lines = server.log().lines();
            if !lines.iter().any(|it| it.ends_with("→ …")) {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, all_ended).await;
    ended.expect("a request does not end")
}

/// Lines in the order of their text: of requests made at the same time.
pub(crate) fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}
