//! Blobs: reading, in parts too, and deleting.

use longshore_server::Server;
use oci::Digest;

use crate::client::TestReg;

#[tokio::test]
async fn head_says_what_get_would() {
    let reg = TestReg::new().await;
    let digest = reg.push("app", b"content").await;
    let path = format!("/v2/app/blobs/{digest}");
    let (mut head, mut got) = (reg.head(&path).await, reg.get(&path).await);
    assert_eq!(head.body, b"");
    assert_eq!(got.body, b"content");
    head.headers.remove("date");
    got.headers.remove("date");
    assert_eq!(head.headers, got.headers);
    assert_eq!(got.header("content-length"), "7");
    assert_eq!(got.header("accept-ranges"), "bytes");
}

#[tokio::test]
async fn a_blob_is_read_in_parts() {
    let reg = TestReg::new().await;
    let digest = reg.push("app", b"0123456789").await;
    let read = async |range: &str| {
        let ask = reg.ask("GET", format!("/v2/app/blobs/{digest}"));
        let reply = ask.header("range", range).send().await;
        let place = reply.find("content-range").unwrap_or("").to_owned();
        (reply.status, place, String::from_utf8(reply.body).unwrap())
    };
    let part = |place: &str, body: &str| (206, place.to_owned(), body.to_owned());
    assert_eq!(read("bytes=2-4").await, part("bytes 2-4/10", "234"));
    assert_eq!(read("bytes=7-").await, part("bytes 7-9/10", "789"));
    assert_eq!(read("bytes=-3").await, part("bytes 7-9/10", "789"));
    assert_eq!(read("bytes=8-99").await, part("bytes 8-9/10", "89"));
    assert_eq!(read("bytes=0-0").await, part("bytes 0-0/10", "0"));
    for beyond in ["bytes=10-", "bytes=10-12", "bytes=5-2", "bytes=-0"] {
        let (status, place, _) = read(beyond).await;
        assert_eq!((status, place.as_str()), (416, "bytes */10"), "{beyond}");
    }
    // Several ranges, other units: the whole, as HTTP allows.
    for other in ["bytes=0-1,4-5", "lines=1-2", "bytes=a-b"] {
        let (status, _, body) = read(other).await;
        assert_eq!((status, body.as_str()), (200, "0123456789"), "{other}");
    }
}

#[tokio::test]
async fn a_large_blob_is_read_from_any_offset() {
    let reg = TestReg::new().await;
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let digest = reg.push("app", &content).await;
    let reply = reg
        .ask("GET", format!("/v2/app/blobs/{digest}"))
        .header("range", "bytes=1048573-")
        .send()
        .await;
    assert_eq!(reply.status, 206);
    assert!(reply.body == content[1_048_573..]);
}

#[tokio::test]
async fn a_repository_shows_only_what_it_holds() {
    let reg = TestReg::new().await;
    let digest = reg.push("mine", b"content").await;
    let reply = reg.get(format!("/v2/yours/blobs/{digest}")).await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.codes(), ["BLOB_UNKNOWN"]);
    assert_eq!(reply.json()["errors"][0]["detail"], digest.to_string());
}

#[tokio::test]
async fn a_deleted_blob_is_gone_from_its_repository_alone() {
    let reg = TestReg::new().await;
    let digest = reg.push("one", b"content").await;
    reg.push("two", b"content").await;
    let path = format!("/v2/one/blobs/{digest}");
    assert_eq!(reg.ask("DELETE", &path).send().await.status, 202);
    assert_eq!(reg.head(&path).await.status, 404);
    assert_eq!(reg.ask("DELETE", &path).send().await.status, 404);
    let kept = reg.get(format!("/v2/two/blobs/{digest}")).await;
    assert_eq!(kept.body, b"content");
}

#[tokio::test]
async fn a_server_that_deletes_nothing_says_so() {
    let reg = TestReg::with(Server::builder().deletes(false)).await;
    let digest = reg.push("app", b"content").await;
    reg.push_image("app", "v1").await;
    for target in [
        format!("/v2/app/blobs/{digest}"),
        "/v2/app/manifests/v1".to_owned(),
    ] {
        let reply = reg.ask("DELETE", &target).send().await;
        assert_eq!(reply.status, 405);
        assert_eq!(reply.codes(), ["UNSUPPORTED"]);
        assert_eq!(reg.head(&target).await.status, 200);
    }
}

#[tokio::test]
async fn nonsense_is_answered_in_kind() {
    let reg = TestReg::new().await;
    let digest = Digest::of(b"x");
    for (method, target, status) in [
        ("GET", "/v1/".to_owned(), 404),
        ("GET", "/v2/app".to_owned(), 404),
        ("GET", "/v2/app/blobs/sha256:x".to_owned(), 400),
        ("GET", format!("/v2/App/blobs/{digest}"), 400),
        ("GET", format!("/v2/../blobs/{digest}"), 400),
        ("PUT", format!("/v2/app/blobs/{digest}"), 405),
        ("GET", "/v2/app/blobs/uploads/".to_owned(), 405),
        ("GET", "/v2/app/manifests/-tag".to_owned(), 400),
        ("POST", "/v2/".to_owned(), 405),
    ] {
        let reply = reg.ask(method, &target).send().await;
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.codes().len(), 1, "{method} {target}");
    }
}
