//! Refusals: at once, and seen by a client that is still sending.

use std::time::Duration;

use longshore_server::{Auth, Limits, Server, UploadOptions};
use oci::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Reply, TestReg};

/// The client writes all of a large body before it reads: many do. The answer is
/// there all the same, and nothing of the body was taken.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_sends_first_and_reads_then() {
    let reg = TestReg::with(Server::builder().auth(Auth::basic("ann", "secret"))).await;
    let body = vec![0; 20_000_000];
    for _ in 0..5 {
        let ask = reg.ask("POST", "/v2/app/blobs/uploads/").body(&body);
        let mut stream = ask.begin(body.len()).await;
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).await.unwrap();
        let reply = Reply::parse(&raw, false).unwrap();
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("connection"), "close");
    }
    assert_eq!(reg.server.log().body_bytes(), 0);
}

/// The answer does not wait for the body: a client that listens can stop sending.
#[tokio::test]
async fn a_refusal_comes_before_the_body_does() {
    let options = UploadOptions {
        max_body_length: Some(1000),
        ..UploadOptions::default()
    };
    let reg = TestReg::with(Server::builder().uploads(options)).await;
    let location = reg.open("app").await;
    let body = vec![0; 1_000_000];
    let mut stream = reg.ask("PATCH", &location).body(&body).begin(10).await;
    let mut raw = vec![0; 4096];
    let read = stream.read(&mut raw).await.unwrap();
    let reply = Reply::parse(&raw[..read], false).unwrap();
    assert_eq!(reply.status, 413);
    assert_eq!(reply.codes(), ["SIZE_INVALID"]);
    // And the connection still takes bytes, for a while.
    stream.write_all(&body[10..]).await.unwrap();
}

#[tokio::test]
async fn a_body_of_unknown_length_is_stopped_at_the_limit() {
    let options = UploadOptions {
        max_body_length: Some(1000),
        ..UploadOptions::default()
    };
    let reg = TestReg::with(Server::builder().uploads(options)).await;
    let location = reg.open("app").await;
    let ask = reg
        .ask("PATCH", &location)
        .chunked()
        .body(&vec![0; 100_000]);
    assert_eq!(ask.send().await.status, 413);
    let ask = reg.ask("PATCH", &location).chunked().body(&vec![0; 1000]);
    assert_eq!(ask.send().await.status, 202);
}

/// Who asks first whether the body is wanted is told no, and never invited to send it.
#[tokio::test]
async fn an_expectation_is_refused_without_a_100() {
    let reg = TestReg::with(Server::builder().auth(Auth::basic("ann", "secret"))).await;
    let ask = reg
        .ask("POST", "/v2/app/blobs/uploads/")
        .header("expect", "100-continue")
        .body(&vec![0; 100_000]);
    let mut stream = ask.begin(0).await;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    assert!(raw.starts_with(b"HTTP/1.1 401"), "{raw:?}");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let reg = TestReg::new().await;
    let ask = reg.ask("GET", "/v2/").header("x", "y".repeat(65 * 1024));
    assert_eq!(ask.send().await.status, 431);
}

#[tokio::test]
async fn a_silent_body_is_given_up_and_its_prefix_kept() {
    let limits = Limits {
        body_idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let location = reg.open("app").await;
    let ask = reg.ask("PATCH", &location).body(&[b'x'; 100]);
    let mut stream = ask.begin(60).await;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    assert_eq!(Reply::parse(&raw, false).unwrap().status, 408);
    assert_eq!(reg.get(&location).await.header("range"), "0-59");
}

#[tokio::test]
async fn a_server_that_is_shut_down_ends_what_is_under_way_first() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    let content = vec![5; 100_000];
    let digest = Digest::of(&content);
    let target = crate::client::with_digest(&location, &digest);
    let mut stream = reg.ask("PUT", target).body(&content).begin(50_000).await;
    while reg.server.log().body_bytes() < 50_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let log = reg.server.log();
    let stopping = tokio::spawn(reg.server.shutdown());
    stream.write_all(&content[50_000..]).await.unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    assert_eq!(Reply::parse(&raw, false).unwrap().status, 201);
    stopping.await.unwrap();
    assert_eq!(log.blob_bytes(), 100_000);
}

#[tokio::test]
async fn a_server_that_is_dropped_stops() {
    let reg = TestReg::new().await;
    let address = reg.server.addr();
    drop(reg);
    for _ in 0..6000 {
        if tokio::net::TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still takes connections");
}

/// Whatever arrives, the next client is served.
#[tokio::test]
async fn nonsense_on_the_wire_harms_nobody_else() {
    let reg = TestReg::new().await;
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff",
        b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"PUT /v2/a/manifests/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v2/%ff%fe/tags/list HTTP/1.1\r\nhost: \xff\r\n\r\n",
        b"\0\0\0\0",
    ] {
        let mut stream = tokio::net::TcpStream::connect(reg.server.addr())
            .await
            .unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut raw = Vec::new();
        // An error, a refusal or silence: all that matters is that it ends.
        let _ = stream.read_to_end(&mut raw).await;
        assert!(!raw.starts_with(b"HTTP/1.1 2"), "{nonsense:?}");
    }
    assert_eq!(reg.get("/v2/").await.status, 200);
    assert_eq!(reg.server.open_sessions(), 0);
}

/// A proxy may go by the other one.
#[tokio::test]
async fn a_request_names_its_host_once() {
    let reg = TestReg::new().await;
    for (hosts, status) in [
        ("", 400),
        ("host: a\r\nhost: b\r\n", 400),
        ("host: a\r\n", 200),
    ] {
        let mut stream = tokio::net::TcpStream::connect(reg.server.addr())
            .await
            .unwrap();
        let ask = format!("GET /v2/ HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        stream.read_to_end(&mut raw).await.unwrap();
        let reply = Reply::parse(&raw, false).unwrap();
        assert_eq!(reply.status, status, "{hosts:?}");
    }
}
