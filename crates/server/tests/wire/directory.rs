//! The store in a directory: what is there after a restart, and how it looks.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use longshore_server::{RunningServer, Server, ServerError};
use oci::{Algorithm, Digest};
use tempfile::TempDir;

use crate::client::{MANIFEST, TestReg, manifest};

async fn at(directory: &Path) -> TestReg {
    TestReg::with(Server::builder().directory(directory)).await
}

/// Every file below a directory, as `path`.
fn files(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                // Into what is listed elsewhere.
            } else if path.is_dir() {
                open.push(path);
            } else {
                let path = path.strip_prefix(directory).unwrap();
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let image = reg.push_image("team/app", "v1").await;
    reg.server.shutdown().await;

    let reg = at(dir.path()).await;
    let got = reg.get("/v2/team/app/manifests/v1").await;
    assert_eq!(got.body, image);
    assert_eq!(got.header("content-type"), MANIFEST);
    let layer = Digest::of(b"v1");
    let blob = reg.get(format!("/v2/team/app/blobs/{layer}")).await;
    assert_eq!(blob.body, b"v1");
}

#[tokio::test]
async fn the_layout_is_the_documented_one() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let image = reg.push_image("team/app", "v1").await;
    let layer = reg.push("team/other", b"v1").await;
    reg.server.shutdown().await;
    let (config, digest) = (Digest::of(b"{}"), Digest::of(&image));
    let (config, layer, digest) = (config.encoded(), layer.encoded(), digest.encoded());
    let repository = "repositories/team/app";
    assert_eq!(
        files(dir.path()),
        BTreeSet::from([
            "longshore-store.json".to_owned(),
            "lock".to_owned(),
            format!("blobs/sha256/{config}"),
            // Held by two, stored once.
            format!("blobs/sha256/{layer}"),
            format!("blobs/sha256/{digest}"),
            format!("{repository}/_blobs/sha256/{config}"),
            format!("{repository}/_blobs/sha256/{layer}"),
            format!("{repository}/_manifests/sha256/{digest}"),
            format!("{repository}/_tags/v1"),
            format!("{repository}/_layout/oci-layout"),
            format!("{repository}/_layout/index.json"),
            format!("repositories/team/other/_blobs/sha256/{layer}"),
        ])
    );
    let tag = fs::read_to_string(dir.path().join(repository).join("_tags/v1")).unwrap();
    assert_eq!(tag, format!("sha256:{digest}"));
}

#[tokio::test]
async fn n2_an_upload_goes_on_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let content: Vec<u8> = (0..800_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = Digest::of_with(Algorithm::Sha512, &content);
    let target = "/v2/app/blobs/uploads/?digest-algorithm=sha512";
    let opened = reg.ask("POST", target).send().await;
    let location = opened.header("location").to_owned();
    let patch = reg.ask("PATCH", &location).body(&content[..2_000_001]);
    assert_eq!(patch.send().await.status, 202);
    reg.server.shutdown().await;

    let reg = at(dir.path()).await;
    let status = reg.get(&location).await;
    assert_eq!((status.status, status.header("range")), (204, "0-2000000"));
    let reply = reg
        .put_blob(&location, &digest, &content[2_000_001..])
        .await;
    assert_eq!(reply.status, 201);
    let got = reg.get(format!("/v2/app/blobs/{digest}")).await;
    assert!(got.body == content);
    assert!(
        !files(dir.path())
            .iter()
            .any(|it| it.starts_with("uploads/"))
    );
}

#[tokio::test]
async fn an_upload_that_cannot_be_read_is_dropped() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let location = reg.open("app").await;
    reg.server.shutdown().await;
    let id = location.rsplit('/').next().unwrap();
    let upload = dir.path().join("uploads").join(id);
    fs::write(upload.join("session.json"), "{").unwrap();

    let reg = at(dir.path()).await;
    assert_eq!(reg.get(&location).await.status, 404);
    assert!(!upload.exists());
}

#[tokio::test]
async fn a_store_is_opened_once_at_a_time() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let second = Server::builder().directory(dir.path()).start().await;
    assert!(matches!(second, Err(ServerError::StoreInUse { .. })));
    reg.server.shutdown().await;
    at(dir.path()).await;
}

#[tokio::test]
async fn what_is_no_store_is_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("holiday.jpg"), "x").unwrap();
    let opened = Server::builder().directory(dir.path()).start().await;
    assert!(matches!(opened, Err(ServerError::NotAStore { .. })));
    assert_eq!(files(dir.path()).len(), 1);

    let dir = TempDir::new().unwrap();
    let marker = dir.path().join("longshore-store.json");
    for text in ["{\"version\":2}", "{"] {
        fs::write(&marker, text).unwrap();
        let opened = Server::builder().directory(dir.path()).start().await;
        assert!(matches!(opened, Err(ServerError::NotAStore { .. })));
    }
}

/// A moment after the answer: whether another one holds it takes a look at each repository.
#[tokio::test]
async fn content_goes_when_nobody_holds_it() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let digest = reg.push("one", b"content").await;
    reg.push("two", b"content").await;
    let stored = dir.path().join("blobs/sha256").join(digest.encoded());
    let other = reg.push("one", b"other content").await;
    let marker = dir.path().join("blobs/sha256").join(other.encoded());
    for target in [format!("one/blobs/{digest}"), format!("one/blobs/{other}")] {
        let delete = reg.delete(format!("/v2/{target}")).await;
        assert_eq!(delete.status, 202);
    }
    while marker.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(stored.exists(), "two holds it");
    assert_eq!(
        reg.delete(format!("/v2/two/blobs/{digest}")).await.status,
        202
    );
    reg.server.shutdown().await;
    assert!(
        !stored.exists(),
        "what is not removed yet goes before the end"
    );
}

/// A manifest and a blob may be the same bytes; each is deleted for itself.
#[tokio::test]
async fn a_manifest_that_is_also_a_blob_outlives_the_blob() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let config = reg.push("app", b"{}").await;
    let body = manifest(&config, 2, &[]);
    let put = reg
        .put_manifest("/v2/app/manifests/v1", MANIFEST, &body)
        .await;
    assert_eq!(put.status, 201);
    let digest = reg.push("app", &body).await;
    let delete = reg.ask("DELETE", format!("/v2/app/blobs/{digest}"));
    assert_eq!(delete.send().await.status, 202);
    assert_eq!(reg.get("/v2/app/manifests/v1").await.body, body);
}

/// The answer breaks off before its last piece; after that the blob is not there, so that
/// whoever pushes it again heals it.
#[tokio::test]
async fn damaged_content_never_looks_whole_and_is_healed_by_a_push() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let content: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    for bytes in [&content[..], b"small"] {
        let digest = reg.push("app", bytes).await;
        let stored = dir.path().join("blobs/sha256").join(digest.encoded());
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() / 2] ^= 1;
        fs::write(&stored, &damaged).unwrap();

        let target = format!("/v2/app/blobs/{digest}");
        assert_eq!(reg.head(&target).await.status, 200);
        let broken = reg.ask("GET", &target).try_send().await;
        assert!(broken.is_err(), "{} bytes: {broken:?}", bytes.len());
        assert_eq!(reg.head(&target).await.status, 404);
        assert_eq!(fs::read(&stored).unwrap(), damaged);

        reg.push("app", bytes).await;
        assert!(reg.get(&target).await.body == bytes);
    }
}

#[tokio::test]
async fn a_damaged_manifest_is_an_error_until_it_is_put_again() {
    let dir = TempDir::new().unwrap();
    let reg = at(dir.path()).await;
    let image = reg.push_image("app", "v1").await;
    let stored = dir.path().join("blobs/sha256");
    fs::write(stored.join(Digest::of(&image).encoded()), "{}").unwrap();
    let target = "/v2/app/manifests/v1";
    assert_eq!(reg.get(target).await.status, 500);
    assert_eq!(reg.put_manifest(target, MANIFEST, &image).await.status, 201);
    assert_eq!(reg.get(target).await.body, image);
}

#[tokio::test]
async fn a_repository_is_a_layout_while_the_server_runs_and_after() {
    let dir = TempDir::new().unwrap();
    let mut reg = at(dir.path()).await;
    let image = reg.push_image("team/app", "v1").await;
    let layout = dir.path().join("repositories/team/app/_layout");
    let names = || -> Vec<(String, String)> {
        let Ok(text) = fs::read(layout.join("index.json")) else {
            return Vec::new();
        };
        let index: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let entries = index["manifests"].as_array().unwrap().iter();
        let name = |it: &serde_json::Value| {
            let name = &it["annotations"]["org.opencontainers.image.ref.name"];
            name.as_str().unwrap_or_default().to_owned()
        };
        let digest = |it: &serde_json::Value| it["digest"].as_str().unwrap().to_owned();
        entries.map(|it| (name(it), digest(it))).collect()
    };
    let digest = Digest::of(&image).to_string();
    let before = [("v1".to_owned(), digest.clone())];
    // Nothing tells when the view was renewed: it comes by itself.
    let renewed = async {
        while names() != before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, renewed).await.unwrap();
    let stored = layout
        .join("blobs/sha256")
        .join(Digest::of(&image).encoded());
    assert_eq!(fs::read(stored).unwrap(), image);
    let marker = fs::read_to_string(layout.join("oci-layout")).unwrap();
    assert_eq!(marker, "{\"imageLayoutVersion\":\"1.0.0\"}");

    // The server ends without a moment for it; the next one sees that something is missing. Where
    // two changes take longer than that moment, it is done again.
    for number in 1..20 {
        let before = names();
        let next = format!("v{}", number + 1);
        let target = format!("/v2/team/app/manifests/{next}");
        let put = reg.put_manifest(target, MANIFEST, &image);
        assert_eq!(put.await.status, 201);
        let delete = reg.delete(format!("/v2/team/app/manifests/v{number}"));
        assert_eq!(delete.await.status, 202);
        drop(reg);
        let was_missing = names() == before;
        start_again(dir.path()).await.shutdown().await;
        assert_eq!(names(), [(next, digest.clone())]);
        if was_missing {
            return;
        }
        reg = at(dir.path()).await;
    }
    panic!("the view was never out of date");
}

/// A server over a store that what is left of another one may have in hand for a moment.
async fn start_again(store: &Path) -> RunningServer {
    loop {
        match Server::builder().directory(store).start().await {
            Ok(server) => return server,
            Err(ServerError::StoreInUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let reg = TestReg::new().await;
    let second = Server::builder().listen(reg.server.addr()).start().await;
    assert!(matches!(second, Err(ServerError::Listen { .. })));
}

/// Without looking through the store: what the numbers say is what there is, after whatever came
/// and went, and after a restart.
#[tokio::test]
async fn the_size_of_the_store_is_what_there_is() {
    let dir = TempDir::new().unwrap();
    let counted = async |reg: &TestReg| {
        let text = String::from_utf8(reg.get("/metrics").await.body).unwrap();
        let number = |name: &str| -> u64 {
            let line = text.lines().find_map(|it| it.strip_prefix(name));
            line.unwrap().trim().parse().unwrap()
        };
        (
            number("longshore_store_contents "),
            number("longshore_store_content_bytes "),
        )
    };
    let there = || {
        let files = fs::read_dir(dir.path().join("blobs/sha256")).unwrap();
        let lengths: Vec<u64> = files
            .map(|it| it.unwrap().metadata().unwrap().len())
            .collect();
        (lengths.len() as u64, lengths.iter().sum::<u64>())
    };
    let reg = at(dir.path()).await;
    assert_eq!(counted(&reg).await, (0, 0));
    let image = reg.push_image("app", "v1").await;
    assert_eq!(counted(&reg).await, (3, 4 + image.len() as u64));
    // The same again, elsewhere.
    reg.push_image("other", "v1").await;
    reg.push("third", b"v1").await;
    assert_eq!(counted(&reg).await.0, 3);
    assert_eq!(there(), (3, 4 + image.len() as u64));
    let extra = reg.push("app", &[7; 1000]).await;
    assert_eq!(counted(&reg).await, there());
    assert_eq!(
        reg.delete(format!("/v2/app/blobs/{extra}")).await.status,
        202
    );
    while there().0 > 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(counted(&reg).await, (3, 4 + image.len() as u64));
    reg.server.shutdown().await;
    let reg = at(dir.path()).await;
    assert_eq!(counted(&reg).await, there());
}
