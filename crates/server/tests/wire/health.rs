//! `/healthz`: when it is well, when it is not, and why.

use longshore_server::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Reply, TestReg};

#[tokio::test]
async fn a_server_that_takes_writes_is_healthy() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Server::builder().directory(directory.path().join("store"));
    for reg in [TestReg::new().await, TestReg::with(builder).await] {
        let reply = reg.get("/healthz").await;
        assert_eq!((reply.status, &*reply.body), (200, &b"ok\n"[..]));
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reg.head("/healthz").await.status, 200);
        assert_eq!(reg.ask("PUT", "/healthz").send().await.status, 405);
    }
    // Nothing is left of the trial.
    let left = std::fs::read_dir(directory.path().join("store/uploads")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn a_store_that_takes_no_writes_is_told_of_without_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let reg = TestReg::with(Server::builder().directory(&store)).await;
    std::fs::remove_dir(store.join("uploads")).unwrap();
    std::fs::write(store.join("uploads"), "in the way").unwrap();
    let reply = reg.get("/healthz").await;
    let text = String::from_utf8(reply.body).unwrap();
    assert_eq!(reply.status, 503, "{text}");
    assert!(text.starts_with("the store takes no writes: "), "{text}");
    assert!(!text.contains(store.to_str().unwrap()));
}

/// A request that was already arriving when the server was asked to stop.
#[tokio::test]
async fn a_server_that_stops_says_so() {
    let reg = TestReg::new().await;
    let mut stream = tokio::net::TcpStream::connect(reg.server.addr())
        .await
        .unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    // The connection is served once another one after it was.
    assert_eq!(reg.get("/healthz").await.status, 200);
    let mut stopping = Box::pin(reg.server.shutdown());
    assert!(futures_util::poll!(stopping.as_mut()).is_pending());
    stream.write_all(b"\r\n").await.unwrap();
    let mut raw = Vec::new();
    let ((), read) = tokio::join!(stopping, stream.read_to_end(&mut raw));
    read.unwrap();
    let reply = Reply::parse(&raw, false).unwrap();
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body, b"the server is shutting down\n");
}
