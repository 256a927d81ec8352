//! One image to three registries: one of them slow, one failing in the middle of a body.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use longshore::{
    oci::{BlobStream, Descriptor, Digest, Document, MediaType, Repository, Source, SourceError},
    push::{
        Destination, Engine, Options,
        compose::{ManifestBuilder, MemorySource},
        fanout::{Branch, FanoutOptions, Landing, push_to_all},
    },
    registry::Client,
};
use server::{Action, Answer, Endpoint, Rule, RunningServer, Server};

/// Notes each opening, and counts the bytes.
#[derive(Debug)]
struct Counting {
    source: MemorySource,
    opened: Mutex<Vec<Digest>>,
    read: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Counting {
    async fn root(&self) -> Result<Document, SourceError> {
        self.source.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.opened.lock().unwrap().push(blob.digest.clone());
        let read = Arc::clone(&self.read);
        let body = self.source.open(blob, offset).await?;
        let counted = body.inspect(move |piece| {
            if let Ok(piece) = piece {
                read.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        });
        Ok(counted.boxed())
    }
}

fn image() -> (Arc<Counting>, Document) {
    let mut source = MemorySource::new();
    let mut manifest = None;
    for (number, size) in [3_000_000_usize, 900_000, 17].into_iter().enumerate() {
        let content: Vec<u8> = (0..size)
            .map(|at| u8::try_from((at / 253 + at + number) % 256).unwrap())
            .collect();
        let media_type = match number {
            0 | 1 => MediaType::OCI_LAYER_GZIP,
            _ => MediaType::OCI_CONFIG,
        };
        let (next, blob) = source.with_blob(media_type, content);
        source = next;
        manifest.get_or_insert_with(Vec::new).push(blob);
    }
    let blobs = manifest.unwrap();
    let builder = ManifestBuilder::new(blobs[2].clone());
    let root = builder
        .layer(blobs[0].clone())
        .layer(blobs[1].clone())
        .build()
        .unwrap();
    let counting = Counting {
        source: source.with_root(root.clone()),
        opened: Mutex::default(),
        read: Arc::default(),
    };
    (Arc::new(counting), root)
}

async fn push(source: &Arc<Counting>, servers: &[&RunningServer]) -> Vec<Landing> {
    let client = Client::builder().build().unwrap();
    let engine = Engine::new(Options::default());
    let destination = Destination::tagged(["1".parse().unwrap()]);
    let targets: Vec<_> = servers
        .iter()
        .map(|it| {
            let here: Repository = format!("{}/team/app", it.registry()).parse().unwrap();
            client.push_target(&here)
        })
        .collect();
    let branches: Vec<Branch<'_>> = targets
        .iter()
        .map(|target| Branch {
            engine: &engine,
            target,
            destination: &destination,
            observer: &(),
        })
        .collect();
    for server in servers {
        server.log().clear();
    }
    let source: Arc<dyn Source> = source.clone();
    push_to_all(source, &branches, FanoutOptions::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn p4_three_registries_one_slow_and_one_failing_mid_body_read_each_blob_once() {
    let servers = [
        Server::builder().memory().start().await.unwrap(),
        Server::builder().memory().start().await.unwrap(),
        Server::builder().memory().start().await.unwrap(),
    ];
    let [fast, slow, failing] = &servers;
    let latency = Action::Delay(Duration::from_millis(100));
    for endpoint in [Endpoint::UploadPost, Endpoint::UploadPut] {
        slow.faults().add(Rule::on(endpoint).act(latency.clone()));
    }
    let denied = Answer::error(403, "DENIED", "not any more");
    failing
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::AnswerAtByte(500_000, denied)));

    let (source, root) = image();
    let landings = push(&source, &[fast, slow, failing]).await;
    for landing in &landings[..2] {
        assert_eq!(landing.result.as_ref().unwrap().digest, *root.digest());
        assert_eq!(landing.reopened, 0);
    }
    assert!(landings[2].result.is_err());
    assert_eq!(failing.log().calls(Endpoint::ManifestPut), 0);
    let mut opened = source.opened.lock().unwrap().clone();
    opened.sort();
    let mut blobs: Vec<&Descriptor> = root.children().collect();
    blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
    let wanted: Vec<Digest> = blobs.iter().map(|it| it.digest.clone()).collect();
    assert_eq!(opened, wanted, "each opened once");
    let bytes: u64 = blobs.iter().map(|it| it.size).sum();
    assert_eq!(source.read.load(Ordering::Relaxed), bytes, "and read once");
    assert_eq!(fast.log().blob_bytes(), bytes);
    assert_eq!(slow.log().blob_bytes(), bytes);

    failing.faults().clear();
    let landings = push(&source, &[fast, slow, failing]).await;
    assert!(landings.iter().all(|it| it.result.is_ok()), "{landings:?}");
    for held in [fast, slow] {
        assert_eq!(held.log().lines(), ["HEAD /v2/team/app/manifests/1 → 200"]);
    }
    assert!(failing.log().blob_bytes() > 0);
}
