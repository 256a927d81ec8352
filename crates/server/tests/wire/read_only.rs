//! Images that are served out of a source: read, verified, never written.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all, stream};
use longshore_server::{Image, ImageError, ReadOnly, Server};
use oci::{BlobStream, Descriptor, Digest, Document, MediaType, Source, SourceError};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::client::{INDEX, MANIFEST, TestReg, manifest};

/// A source whose bytes a test can change, and that counts what is read of it.
#[derive(Debug, Default)]
struct Shelf {
    contents: Mutex<HashMap<Digest, Bytes>>,
    version: Mutex<Option<String>>,
    opened_at: Mutex<Vec<u64>>,
    open: AtomicUsize,
}

/// How long the streams' pieces are.
const PIECE: usize = 1000;

impl Shelf {
    fn keep(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        self.replace(&digest, content);
        digest
    }

    fn replace(&self, digest: &Digest, content: &[u8]) {
        let content = Bytes::copy_from_slice(content);
        self.contents
            .lock()
            .unwrap()
            .insert(digest.clone(), content);
    }

    fn lose(&self, digest: &Digest) {
        self.contents.lock().unwrap().remove(digest);
    }

    /// The offsets that were opened since.
    fn opened_at(&self) -> Vec<u64> {
        std::mem::take(&mut self.opened_at.lock().unwrap())
    }

    fn found(&self, wanted: &Descriptor) -> Result<Bytes, SourceError> {
        let found = self.contents.lock().unwrap().get(&wanted.digest).cloned();
        let content = found.ok_or_else(|| SourceError::Missing {
            digest: wanted.digest.clone(),
            place: "the shelf".to_owned(),
        })?;
        if content.len() as u64 == wanted.size {
            return Ok(content);
        }
        Err(SourceError::WrongSize {
            digest: wanted.digest.clone(),
            place: "the shelf".to_owned(),
            expected: wanted.size,
            actual: content.len() as u64,
        })
    }

    /// An image of one layer, as its manifest's descriptor.
    fn image(&self, layer: &[u8]) -> Descriptor {
        let config = self.keep(b"{}");
        let kept = self.keep(layer);
        let bytes = manifest(&config, 2, &[(&kept, layer.len())]);
        self.keep(&bytes);
        Descriptor::of(MediaType::OCI_MANIFEST, &bytes)
    }

    fn index(&self, children: &[&Descriptor]) -> Descriptor {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        let bytes = index.to_string().into_bytes();
        self.keep(&bytes);
        Descriptor::of(MediaType::OCI_INDEX, &bytes)
    }
}

#[async_trait]
impl Source for Shelf {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("the shelf", "it has no root"))
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let bytes = self.found(descriptor)?;
        Document::verified(bytes, descriptor).map_err(|error| SourceError::Document {
            place: "the shelf".to_owned(),
            error,
        })
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened_at.lock().unwrap().push(offset);
        let mut rest = self.found(blob)?.slice(usize::try_from(offset).unwrap()..);
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE));
            (!piece.is_empty()).then_some(piece)
        });
        // A source reads its files on threads that may block, as this one does.
        let reading = stream::iter(pieces).then(|piece| async {
            let read = tokio::task::spawn_blocking(move || piece).await;
            read.map_err(|error| SourceError::unreadable("the shelf", error))
        });
        Ok(reading.boxed())
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.found(blob).map(drop)
    }

    async fn version(&self, _blob: &Descriptor) -> Result<Option<String>, SourceError> {
        Ok(self.version.lock().unwrap().clone())
    }
}

fn named(shelf: &Arc<Shelf>, root: &Descriptor, name: &str, tags: &[&str]) -> Image {
    let tags = tags.iter().map(|it| it.parse().unwrap());
    Image::new(Arc::<Shelf>::clone(shelf), root.clone()).named(name, tags)
}

async fn serve(images: ReadOnly) -> TestReg {
    TestReg::with(Server::builder().read_only(images)).await
}

/// A registry of one image, `app:v1`, of one layer.
async fn of_layer(shelf: &Arc<Shelf>, layer: &[u8]) -> (TestReg, String) {
    let root = shelf.image(layer);
    let mut images = ReadOnly::new();
    let flaws = images
        .add(named(shelf, &root, "app", &["v1"]))
        .await
        .unwrap();
    assert!(flaws.is_empty(), "{flaws:?}");
    let reg = serve(images).await;
    (reg, format!("/v2/app/blobs/{}", Digest::of(layer)))
}

fn pattern(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

#[tokio::test]
async fn an_index_is_served_with_all_it_leads_to_at_every_name() {
    let shelf = Arc::new(Shelf::default());
    let (one, two) = (shelf.image(b"one"), shelf.image(b"two"));
    let inner = shelf.index(&[&two]);
    let root = shelf.index(&[&one, &inner]);
    let mut images = ReadOnly::new();
    let image = named(&shelf, &root, "team/app", &["1.2", "latest"]).named("app", []);
    assert!(images.add(image).await.unwrap().is_empty());
    let tags: Vec<String> = images.tags().map(|(it, _)| it).collect();
    assert_eq!(tags, ["team/app:1.2", "team/app:latest"]);
    let reg = serve(images).await;

    let catalog = reg.get("/v2/_catalog").await.json();
    assert_eq!(catalog, json!({"repositories": ["app", "team/app"]}));
    let page = reg.get("/v2/team/app/tags/list?n=1").await;
    assert_eq!(page.json(), json!({"name": "team/app", "tags": ["1.2"]}));
    let next = page.header("link");
    assert!(next.starts_with("</v2/team/app/tags/list?"), "{next}");
    let none = reg.get("/v2/app/tags/list").await.json();
    assert_eq!(none, json!({"name": "app", "tags": []}));

    let tagged = reg.get("/v2/team/app/manifests/1.2").await;
    assert_eq!(
        tagged.header("docker-content-digest"),
        root.digest.to_string()
    );
    assert_eq!(tagged.header("content-type"), INDEX);
    assert_eq!(Digest::of(&tagged.body), root.digest);
    for name in ["team/app", "app"] {
        for it in [&one, &two, &inner, &root] {
            let target = format!("/v2/{name}/manifests/{}", it.digest);
            let got = reg.get(&target).await;
            assert_eq!(
                (got.status, Digest::of(&got.body)),
                (200, it.digest.clone())
            );
            let etag = got.header("etag").to_owned();
            let again = reg.ask("GET", &target).header("if-none-match", etag);
            assert_eq!(again.send().await.status, 304);
            assert_eq!(
                reg.head(&target).await.header("content-length"),
                it.size.to_string()
            );
        }
        for content in [&b"one"[..], b"two", b"{}"] {
            let got = reg
                .get(format!("/v2/{name}/blobs/{}", Digest::of(content)))
                .await;
            assert_eq!((got.status, &got.body[..]), (200, content));
        }
    }
    assert_eq!(reg.get("/v2/app/manifests/1.2").await.status, 404);
    assert_eq!(
        reg.get("/v2/other/tags/list").await.codes(),
        ["NAME_UNKNOWN"]
    );
}

#[tokio::test]
async fn a_repository_shows_its_own_images_only() {
    let shelf = Arc::new(Shelf::default());
    let (one, two) = (shelf.image(b"one"), shelf.image(b"two"));
    let mut images = ReadOnly::new();
    images
        .add(named(&shelf, &one, "one", &["v"]))
        .await
        .unwrap();
    images
        .add(named(&shelf, &two, "two", &["v"]))
        .await
        .unwrap();
    let reg = serve(images).await;
    let (blob, other) = (Digest::of(b"one"), &one.digest);
    assert_eq!(reg.get(format!("/v2/one/blobs/{blob}")).await.status, 200);
    assert_eq!(
        reg.get(format!("/v2/two/blobs/{blob}")).await.codes(),
        ["BLOB_UNKNOWN"]
    );
    let manifest = reg.get(format!("/v2/two/manifests/{other}")).await;
    assert_eq!(manifest.codes(), ["MANIFEST_UNKNOWN"]);
}

#[tokio::test]
async fn every_write_is_refused_and_no_body_is_waited_for() {
    let shelf = Arc::new(Shelf::default());
    let (reg, blob) = of_layer(&shelf, b"content").await;
    let digest = Digest::of(b"content");
    let writes = [
        ("POST", "/v2/app/blobs/uploads/".to_owned()),
        ("POST", format!("/v2/app/blobs/uploads/?digest={digest}")),
        (
            "POST",
            format!("/v2/new/blobs/uploads/?mount={digest}&from=app"),
        ),
        ("PATCH", "/v2/app/blobs/uploads/any".to_owned()),
        ("PUT", format!("/v2/app/blobs/uploads/any?digest={digest}")),
        ("DELETE", "/v2/app/blobs/uploads/any".to_owned()),
        ("PUT", "/v2/app/manifests/v2".to_owned()),
        ("DELETE", "/v2/app/manifests/v1".to_owned()),
        ("DELETE", blob.clone()),
    ];
    for (method, target) in writes {
        // The body announced is never sent: an answer that waited for it would not come.
        let body = vec![0; 100_000];
        let sent = if method == "DELETE" { 0 } else { 10 };
        let ask = reg.ask(method, &target).body(&body);
        let mut connection = ask.begin(sent).await;
        let mut answer = vec![0; 4096];
        let read = connection.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 405 "),
            "{method} {target}: {answer}"
        );
        assert!(answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
        assert!(answer.contains("\"UNSUPPORTED\""), "{answer}");
        assert!(answer.contains("read-only"), "{answer}");
    }
    assert_eq!(reg.server.open_sessions(), 0);
    assert_eq!(reg.get(&blob).await.body, b"content");
    assert_eq!(
        reg.get("/v2/app/tags/list").await.json()["tags"],
        json!(["v1"])
    );
}

#[tokio::test]
async fn what_a_partial_layout_leaves_out_is_told_of_and_absent() {
    let shelf = Arc::new(Shelf::default());
    let (here, gone) = (shelf.image(b"here"), shelf.image(b"gone"));
    let root = shelf.index(&[&here, &gone]);
    shelf.lose(&gone.digest);
    shelf.lose(&Digest::of(b"here"));
    let mut images = ReadOnly::new();
    let flaws = images
        .add(named(&shelf, &root, "app", &["v1"]))
        .await
        .unwrap();
    let mut absent: Vec<&Digest> = flaws.iter().filter_map(SourceError::digest).collect();
    let blob = Digest::of(b"here");
    let mut expected = [&gone.digest, &blob];
    absent.sort();
    expected.sort();
    assert_eq!(absent, expected);
    let reg = serve(images).await;
    assert_eq!(reg.get("/v2/app/manifests/v1").await.status, 200);
    let child = format!("/v2/app/manifests/{}", here.digest);
    assert_eq!(reg.get(child).await.status, 200);
    let child = reg.get(format!("/v2/app/manifests/{}", gone.digest)).await;
    assert_eq!(child.codes(), ["MANIFEST_UNKNOWN"]);
    let target = format!("/v2/app/blobs/{blob}");
    assert_eq!(reg.get(&target).await.codes(), ["BLOB_UNKNOWN"]);
    assert_eq!(reg.head(&target).await.status, 404);
    // What comes later is there.
    shelf.keep(b"here");
    assert_eq!(reg.get(&target).await.body, b"here");
}

#[tokio::test]
async fn an_image_that_cannot_be_served_is_refused_at_once() {
    let shelf = Arc::new(Shelf::default());
    let (one, two) = (shelf.image(b"one"), shelf.image(b"two"));
    let mut images = ReadOnly::new();
    images
        .add(named(&shelf, &one, "app", &["v1"]))
        .await
        .unwrap();
    let taken = images.add(named(&shelf, &two, "app", &["v1"])).await;
    assert!(
        matches!(&taken, Err(ImageError::TagTaken { held, wanted, .. })
            if *held == one.digest && *wanted == two.digest),
        "{taken:?}"
    );
    let name = images.add(named(&shelf, &two, "App", &[])).await;
    assert!(matches!(name, Err(ImageError::Name { .. })), "{name:?}");
    shelf.lose(&two.digest);
    let gone = images.add(named(&shelf, &two, "app", &["v2"])).await;
    assert!(matches!(gone, Err(ImageError::Source { .. })), "{gone:?}");
    images
        .add(named(&shelf, &one, "app", &["v1"]))
        .await
        .unwrap();
    let tags: Vec<String> = images.tags().map(|(it, _)| it).collect();
    assert_eq!(tags, ["app:v1"]);
}

#[tokio::test]
async fn a_child_that_stands_many_times_is_looked_at_once() {
    // Digests make a true circle impossible; the same child over and over is not.
    let shelf = Arc::new(Shelf::default());
    let mut it = shelf.image(b"one");
    for _ in 0..30 {
        it = shelf.index(&[&it, &it, &it]);
    }
    let mut images = ReadOnly::new();
    images
        .add(named(&shelf, &it, "app", &["v1"]))
        .await
        .unwrap();
    let reg = serve(images).await;
    assert_eq!(reg.get("/v2/app/manifests/v1").await.status, 200);
}

#[tokio::test]
async fn referrers_are_listed() {
    let shelf = Arc::new(Shelf::default());
    let root = shelf.image(b"one");
    let config = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
    let signature = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x.sig",
        "config": config, "layers": [], "subject": root,
    });
    let signature = signature.to_string().into_bytes();
    shelf.keep(&signature);
    let signature = Descriptor::of(MediaType::OCI_MANIFEST, &signature);
    let mut images = ReadOnly::new();
    images
        .add(named(&shelf, &root, "app", &["v1"]))
        .await
        .unwrap();
    images
        .add(named(&shelf, &signature, "app", &[]))
        .await
        .unwrap();
    let reg = serve(images).await;
    let listed = reg
        .get(format!("/v2/app/referrers/{}", root.digest))
        .await
        .json();
    let listed = &listed["manifests"];
    assert_eq!(listed[0]["digest"], signature.digest.to_string());
    assert_eq!(listed[0]["artifactType"], "application/x.sig");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_damaged_blob_never_looks_whole() {
    for at in [0, 5_000, 9_999] {
        let shelf = Arc::new(Shelf::default());
        let content = pattern(10_000);
        let (reg, blob) = of_layer(&shelf, &content).await;
        let mut damaged = content.clone();
        damaged[at] ^= 1;
        shelf.replace(&Digest::of(&content), &damaged);
        for range in [
            None,
            Some("bytes=0-99"),
            Some("bytes=9990-"),
            Some("bytes=0-9999"),
        ] {
            let mut ask = reg.ask("GET", &blob);
            if let Some(range) = range {
                ask = ask.header("range", range);
            }
            let got = ask.try_send().await;
            assert!(got.is_err(), "{at} {range:?}: {got:?}");
        }
        // Put right again, it is served again.
        shelf.replace(&Digest::of(&content), &content);
        assert!(reg.get(&blob).await.body == content);
    }
}

#[tokio::test]
async fn a_blob_of_another_length_is_an_error_and_not_absent() {
    let shelf = Arc::new(Shelf::default());
    let (reg, blob) = of_layer(&shelf, b"content").await;
    shelf.replace(&Digest::of(b"content"), b"contents");
    assert_eq!(reg.head(&blob).await.status, 500);
    assert_eq!(reg.get(&blob).await.codes(), ["UNKNOWN"]);
}

#[tokio::test]
async fn an_altered_manifest_is_an_error() {
    let shelf = Arc::new(Shelf::default());
    let (reg, _) = of_layer(&shelf, b"content").await;
    let digest = shelf.image(b"content").digest;
    let mut bytes = reg.get("/v2/app/manifests/v1").await.body;
    let end = bytes.len() - 1;
    bytes[end] = b' ';
    shelf.replace(&digest, &bytes);
    assert_eq!(reg.get("/v2/app/manifests/v1").await.status, 500);
}

#[tokio::test]
async fn parts_are_read_alone_only_while_the_whole_is_known_to_be_right() {
    let shelf = Arc::new(Shelf::default());
    let content = pattern(10_000);
    let (reg, blob) = of_layer(&shelf, &content).await;
    let part = async || {
        let ask = reg.ask("GET", &blob).header("range", "bytes=4000-6499");
        let got = ask.send().await;
        assert_eq!(
            (got.status, got.header("content-range")),
            (206, "bytes 4000-6499/10000")
        );
        assert!(got.body == content[4000..6500]);
        shelf.opened_at()
    };
    // Without a mark nothing is remembered.
    assert_eq!(part().await, [0]);
    assert_eq!(part().await, [0]);
    // With one the first part is read with the whole, the next ones alone.
    *shelf.version.lock().unwrap() = Some("one".to_owned());
    assert_eq!(part().await, [0]);
    assert_eq!(part().await, [4000]);
    assert_eq!(part().await, [4000]);
    // Another mark, another look.
    *shelf.version.lock().unwrap() = Some("two".to_owned());
    assert_eq!(part().await, [4000, 0]);
    assert_eq!(part().await, [4000]);
    // The whole is looked at every time.
    assert!(reg.get(&blob).await.body == content);
    assert_eq!(shelf.opened_at(), [0]);
}

/// Readers that wait must not take the threads that what they wait for is read on.
#[test]
fn more_readers_than_threads_read_one_blob_at_a_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(many_readers());
}

async fn many_readers() {
    const READERS: usize = 64;
    let shelf = Arc::new(Shelf::default());
    let content = pattern(200_000);
    let (reg, blob) = of_layer(&shelf, &content).await;
    let readers = (0..READERS).map(|at| {
        let range = (at % 2 == 1).then(|| format!("bytes={}-", at * 1000));
        let start = range.as_ref().map_or(0, |_| at * 1000);
        let ask = reg.ask("GET", &blob);
        let ask = match range {
            Some(range) => ask.header("range", range),
            None => ask,
        };
        let (reader, content) = (ask.send(), &content);
        async move { reader.await.body == content[start..] }
    });
    assert!(join_all(readers).await.into_iter().all(|it| it));
    assert_eq!(shelf.open.load(Ordering::Relaxed), READERS);
}

#[tokio::test]
async fn empty_content_is_verified_too() {
    let shelf = Arc::new(Shelf::default());
    let (reg, blob) = of_layer(&shelf, b"").await;
    let got = reg.get(&blob).await;
    assert_eq!((got.status, got.body.len()), (200, 0));

    let shelf = Arc::new(Shelf::default());
    let wrong = Digest::of(b"something");
    let config = shelf.keep(b"{}");
    shelf.replace(&wrong, b"");
    let bytes = manifest(&config, 2, &[(&wrong, 0)]);
    shelf.keep(&bytes);
    let root = Descriptor::of(MediaType::OCI_MANIFEST, &bytes);
    let mut images = ReadOnly::new();
    images
        .add(named(&shelf, &root, "app", &["v1"]))
        .await
        .unwrap();
    let reg = serve(images).await;
    assert_eq!(reg.get(format!("/v2/app/blobs/{wrong}")).await.status, 500);
}
