//! TLS, and HTTP/2 with and without it.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use longshore_server::{
    Action, Auth, Bearer, Endpoint, Rule, SelfSigned, Server, ServerError, TlsFault, TlsFileError,
};
use oci::Digest;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{TestReg, with_digest};

async fn secure() -> (TestReg, RootCertStore) {
    let made = SelfSigned::generate([""; 0]).unwrap();
    let (certificate, key) = (made.certificate_pem().as_bytes(), made.key_pem());
    let builder = Server::builder().tls(certificate, key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
    roots.add(certificate).unwrap();
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

/// Files that cannot be used are named, with what is wrong and what to do.
#[test]
fn files_that_are_no_certificate_and_key_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (one, other) = (SelfSigned::generate([""; 0]), SelfSigned::generate([""; 0]));
    let (one, other) = (one.unwrap(), other.unwrap());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (name, content) in [
        ("cert", one.certificate_pem()),
        ("key", one.key_pem()),
        ("other", other.key_pem()),
        ("encrypted", encrypted),
        ("empty", ""),
    ] {
        std::fs::write(path(name), content).unwrap();
    }
    let built = |cert: &str, key: &str| Server::builder().tls_files(path(cert), path(key));
    assert!(built("cert", "key").is_ok());
    for (cert, key, fault) in [
        ("empty", "key", TlsFault::NoCertificate),
        ("key", "key", TlsFault::NoCertificate),
        ("cert", "empty", TlsFault::NoKey),
        ("cert", "cert", TlsFault::NoKey),
        ("cert", "encrypted", TlsFault::Encrypted),
        ("cert", "other", TlsFault::Mismatch),
    ] {
        let refused = built(cert, key).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains(path(cert).to_str().unwrap()), "{told}");
        assert!(told.contains(path(key).to_str().unwrap()), "{told}");
        let ServerError::TlsFiles(TlsFileError::Content { fault: found, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(found, fault);
    }
    let absent = built("cert", "absent").unwrap_err().to_string();
    assert!(
        absent.contains(path("absent").to_str().unwrap()),
        "{absent}"
    );
}

/// Passwords and tokens go over loopback, over TLS, or nowhere unless it is said.
#[tokio::test]
async fn credentials_are_not_taken_in_clear_text_where_others_may_listen() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let users = || Auth::basic("ann", "secret");
    for auth in [users(), Auth::Bearer(Bearer::new().user("ann", "secret"))] {
        let builder = Server::builder().listen(everywhere).auth(auth);
        let refused = builder.start().await.unwrap_err();
        assert!(
            matches!(refused, ServerError::ClearText { .. }),
            "{refused}"
        );
    }
    let started = Server::builder().auth(users()).start().await;
    assert!(started.is_ok());
    let one = SelfSigned::generate([""; 0]).unwrap();
    let (certificate, key) = (one.certificate_pem(), one.key_pem());
    // On loopback each, because tests listen nowhere else: what is asked is the rule alone.
    let builder = Server::builder().auth(users()).allow_clear_text(true);
    assert!(builder.start().await.is_ok());
    let secure = Server::builder()
        .auth(users())
        .tls(certificate.as_bytes(), key.as_bytes());
    assert!(secure.unwrap().start().await.is_ok());
}

#[tokio::test]
async fn a_server_behind_a_proxy_says_where_clients_reach_it() {
    let url = "https://registry.example.com:8443";
    let builder = Server::builder().auth(Auth::Bearer(Bearer::new().user("ann", "secret")));
    let reg = TestReg::with(builder.public_url(&format!("{url}/")).unwrap()).await;
    let challenge = reg.get("/v2/").await.header("www-authenticate").to_owned();
    assert!(
        challenge.contains(&format!("realm=\"{url}/token\"")),
        "{challenge}"
    );
    for wrong in [
        "",
        "https://",
        "registry.example.com",
        "ftp://x",
        "https://x/path",
        "https://u:p@x",
        "https://x\"y",
        "https://a:b:c",
        "https://x:99999",
        "https://x?y",
        "https://x#y",
    ] {
        let refused = Server::builder().public_url(wrong);
        assert!(matches!(refused, Err(ServerError::PublicUrl { text }) if text == wrong));
    }
}
