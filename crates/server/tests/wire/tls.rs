//! TLS, and HTTP/2 with and without it.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_server::{Action, Endpoint, Rule, Server, ServerError};
use oci::Digest;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{TestReg, with_digest};

async fn secure() -> (TestReg, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let builder = Server::builder()
        .tls(made.cert.pem().as_bytes(), key.as_bytes())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (TestReg::with(builder).await, roots)
}

fn connector(roots: RootCertStore, protocol: &str) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

type Sender = hyper::client::conn::http2::SendRequest<Body>;

async fn http2(io: impl hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static) -> Sender {
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn push(sender: &mut Sender, base: &str, content: Vec<u8>) {
    let ask = |method: &str, target: String, body: Body| {
        let uri = format!("{base}{target}");
        Request::builder()
            .method(method)
            .uri(uri)
            .body(body)
            .unwrap()
    };
    let post = ask("POST", "/v2/app/blobs/uploads/".into(), Body::empty());
    let reply = sender.send_request(post).await.unwrap();
    assert_eq!(reply.status(), 202);
    let location = reply.headers()["location"].to_str().unwrap().to_owned();
    let digest = Digest::of(&content);
    let target = with_digest(&location, &digest);
    let put = ask("PUT", target, Body::from(content.clone()));
    assert_eq!(sender.send_request(put).await.unwrap().status(), 201);
    let get = ask("GET", format!("/v2/app/blobs/{digest}"), Body::empty());
    let got = sender.send_request(get).await.unwrap();
    let body = got.into_body().collect().await.unwrap().to_bytes();
    assert!(body == content);
}

#[tokio::test]
async fn http2_is_spoken_over_tls() {
    let (reg, roots) = secure().await;
    assert!(reg.server.url().starts_with("https://"));
    let stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector(roots, "h2").connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = http2(TokioIo::new(stream)).await;
    push(&mut sender, "https://localhost", vec![4; 3_000_000]).await;
    let entries = reg.server.log().entries();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0].headers.host.as_deref(), Some("localhost"));
    assert_eq!(reg.server.log().connections(), 1);
}

#[tokio::test]
async fn http1_is_spoken_over_tls() {
    let (reg, roots) = secure().await;
    let stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = connector(roots, "http/1.1");
    let stream = connector.connect(name, stream).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/v2/").header("host", "localhost");
    let request = request.body(Body::empty()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn plain_text_is_not_spoken_over_tls() {
    let (reg, _) = secure().await;
    assert!(reg.ask("GET", "/v2/").try_send().await.is_err());
    assert_eq!(reg.server.log().requests(), 0);
}

#[tokio::test]
async fn http2_is_spoken_without_tls_too() {
    let reg = TestReg::new().await;
    let stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let mut sender = http2(TokioIo::new(stream)).await;
    push(&mut sender, &reg.server.url(), vec![4; 300_000]).await;
}

/// HTTP/2 has no framing that would stop it, as that of HTTP/1.1 does.
#[tokio::test]
async fn an_answer_to_head_over_http2_has_no_body() {
    let reg = TestReg::new().await;
    reg.push_image("app", "v1").await;
    let stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let mut sender = http2(TokioIo::new(stream)).await;
    for (path, status) in [
        ("/v2/app/manifests/absent", 404),
        ("/v2/app/manifests/v1", 200),
        ("/v2/app/tags/list", 200),
    ] {
        let uri = format!("{}{path}", reg.server.url());
        let request = Request::head(uri).body(Body::empty()).unwrap();
        let reply = sender.send_request(request).await.unwrap();
        assert_eq!(reply.status(), status, "{path}");
        let length = reply.headers()["content-length"].to_str().unwrap();
        assert_ne!(length, "0", "{path}");
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "", "{path}");
    }
}

/// The stream ends with the answer; the connection goes on.
#[tokio::test]
async fn an_unwanted_body_over_http2_does_not_cost_the_connection() {
    let reg = TestReg::new().await;
    let rule = Rule::on(Endpoint::UploadPost).nth(1);
    let busy = longshore_server::Answer::new(503);
    reg.server.faults().add(rule.act(Action::Answer(busy)));
    let stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let mut sender = http2(TokioIo::new(stream)).await;
    let uri = format!("{}/v2/app/blobs/uploads/", reg.server.url());
    let body = Body::from(vec![0; 5_000_000]);
    let request = Request::post(uri).body(body).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 503);
    push(&mut sender, &reg.server.url(), vec![4; 300_000]).await;
    assert_eq!(reg.server.log().connections(), 1);
}

#[test]
fn a_certificate_that_is_none_is_an_error() {
    for (certificate, key) in [("", ""), ("nonsense", "nonsense")] {
        let built = Server::builder().tls(certificate.as_bytes(), key.as_bytes());
        assert!(matches!(built, Err(ServerError::Tls(_))));
    }
}
