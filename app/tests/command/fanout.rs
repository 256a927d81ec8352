//! One image to three registries: one of them slow, one failing in the middle of a body.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::stage::{Stage, small};
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

async fn push(engine: &Engine, source: &Arc<Counting>, servers: &[&RunningServer]) -> Vec<Landing> {
    let client = Client::builder().build().unwrap();
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
            engine,
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
    let engine = Engine::new(Options::default());
    let landings = push(&engine, &source, &[fast, slow, failing]).await;
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
    let landings = push(&engine, &source, &[fast, slow, failing]).await;
    assert!(landings.iter().all(|it| it.result.is_ok()), "{landings:?}");
    for held in [fast, slow] {
        assert_eq!(held.log().lines(), ["HEAD /v2/team/app/manifests/1 → 200"]);
    }
    assert!(failing.log().blob_bytes() > 0);
}

/// Through the command: what one refuses, the others have; the next run touches that one only.
#[tokio::test(flavor = "multi_thread")]
async fn n8_a_push_to_several_registries_has_a_result_for_each_and_the_next_does_the_rest() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let refusing = Server::builder().memory().start().await.unwrap();
    let third = Server::builder().memory().start().await.unwrap();
    let denied = Answer::error(403, "DENIED", "not today");
    refusing
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::Answer(denied)));
    let named = |server: &RunningServer| format!("{}/team/app:1", server.registry());
    let (one, two, three) = (named(&stage.server), named(&refusing), named(&third));
    for command in ["push", "copy"] {
        let repository = |it: &str| it.replace("team", command);
        let to = [repository(&one), repository(&two), repository(&three)];
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        // What one command learned of who holds what is not to spare the other its uploads.
        let args = [&[command, image.path(), "--no-state"], &to[..], &["--json"]].concat();
        let run = stage.longshore(&args).await;
        assert_eq!(run.code, Some(10), "{run:#?}");
        let json = run.json();
        assert_eq!(json["cause"], "partly", "{json}");
        let ends = json["destinations"].as_array().unwrap();
        assert_eq!(ends.len(), 3);
        for held in [&ends[0], &ends[2]] {
            assert_eq!(held["digest"], image.digest().to_string());
            assert_eq!(held["bytes"]["uploaded"], image.blob_bytes());
            assert_eq!(held["reopened"], 0);
        }
        assert_eq!(ends[1]["error"]["cause"], "credentials", "{json}");
        assert!(run.stderr.contains(to[1]), "{run:#?}");

        refusing.faults().clear();
        third.log().clear();
        let text = stage.longshore(&args[..6]).await.succeeded();
        for end in &to {
            assert!(text.stdout.contains(&format!("{end}@")), "{text:#?}");
        }
        let asked = format!("HEAD /v2/{command}/app/manifests/1 → 200");
        assert_eq!(stage.server.log().lines(), [asked.as_str()]);
        assert_eq!(third.log().lines(), [asked.as_str()]);
        let denied = Answer::error(403, "DENIED", "not today");
        refusing
            .faults()
            .add(Rule::on(Endpoint::UploadPut).act(Action::Answer(denied)));
    }
}
