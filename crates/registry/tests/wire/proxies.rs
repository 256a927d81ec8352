//! Registries behind proxies: what a proxy is told, and what it never learns.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use longshore_registry::{ClientBuilder, CredentialStore, Credentials, HostTls, Proxies, Resolver};
use oci::{Presence, PushTarget, Registry, TargetError, TargetErrorKind};
use server::{Action, Answer, Auth, Rule, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    fixture::{Blobs, Double, blob, quick, start_behind, upload},
    front::{Authority, Front, Wants},
    set_up::SET_UP,
};

const PROXY_PASSWORD: &str = "proxy-secret";
/// `user:proxy-secret`.
const SHOWN: &str = "Basic dXNlcjpwcm94eS1zZWNyZXQ=";

/// A proxy that knows one address, and keeps everything that it can read.
struct Proxy {
    address: SocketAddr,
    read: Arc<Mutex<Vec<String>>>,
}

/// What a proxy makes of a request.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Open,
    /// Only with the password.
    Closed,
    /// No, with this status line.
    Says(&'static str),
}

impl Proxy {
    async fn start(backend: SocketAddr, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let read = Arc::new(Mutex::new(Vec::new()));
        let log = read.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let log = log.clone();
                tokio::spawn(async move { serve(tcp, backend, mood, &log).await });
            }
        });
        Self { address, read }
    }

    /// The heads of what it was asked.
    fn heads(&self) -> Vec<String> {
        self.read.lock().unwrap().clone()
    }

    /// Their first lines.
    fn lines(&self) -> Vec<String> {
        let heads = self.heads();
        let first = heads.iter().map(|it| it.lines().next().unwrap_or_default());
        first.map(str::to_owned).collect()
    }

    fn url(&self) -> String {
        format!("http://user:{PROXY_PASSWORD}@{}", self.address)
    }
}

async fn serve(mut tcp: TcpStream, backend: SocketAddr, mood: Mood, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match tcp.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let text = String::from_utf8(head.clone()).unwrap();
    log.lock().unwrap().push(text.clone());
    let shown = text.to_ascii_lowercase().contains(&format!(
        "proxy-authorization: {}\r\n",
        SHOWN.to_ascii_lowercase()
    ));
    let refusal = match mood {
        Mood::Says(line) => Some(line),
        Mood::Closed if !shown => Some("407 Proxy Authentication Required"),
        _ => None,
    };
    if let Some(line) = refusal {
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nno");
        let _ = tcp.write_all(answer.as_bytes()).await;
        return;
    }
    let mut onward = TcpStream::connect(backend).await.unwrap();
    if text.starts_with("CONNECT ") {
        let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
        tcp.write_all(answer).await.unwrap();
    } else {
        onward.write_all(&head).await.unwrap();
    }
    let _ = copy_bidirectional(&mut tcp, &mut onward).await;
}

/// Nobody is looked up.
#[derive(Debug, Default, Clone)]
pub(crate) struct NoNames(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Resolver for NoNames {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.0.lock().unwrap().push(host.to_owned());
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A registry that only a proxy can find, with TLS.
struct Hidden {
    server: Double,
    front: Front,
    trusted: HostTls,
}

impl Hidden {
    async fn start() -> Self {
        let server = Server::builder().memory();
        let server = start_behind(server.auth(Auth::basic("alice", "canary"))).await;
        let authority = Authority::new("authority");
        let pair = authority.sign(&["registry.test"], |_| {});
        let front = Front::start(&pair, &authority, Wants::Nothing, server.addr()).await;
        Self {
            server,
            front,
            trusted: authority.trusted(),
        }
    }

    fn client(&self, proxies: Proxies) -> ClientBuilder {
        let alice = Credentials::password("alice", "canary");
        quick()
            .host_tls(&name(), self.trusted.clone())
            .credentials(CredentialStore::new().with(name(), alice))
            .proxies(proxies)
            .resolver(NoNames::default())
    }
}

pub(crate) fn name() -> Registry {
    "registry.test".parse().unwrap()
}

pub(crate) async fn presence(
    client: ClientBuilder,
    registry: &Registry,
) -> Result<Presence, TargetError> {
    let target = client.build().unwrap();
    let target = target.push_target(&registry.repository("app").unwrap());
    target.has_blob(&blob(1, 10).0).await
}

/// The error and its causes, in one text.
pub(crate) fn told(error: &TargetError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn a_registry_is_pushed_to_through_a_tunnel_and_the_proxy_learns_its_name_alone() {
    let hidden = Hidden::start().await;
    let proxy = Proxy::start(hidden.front.address, Mood::Closed).await;
    let names = NoNames::default();
    let client = hidden
        .client(Proxies::none().for_https(&proxy.url()).unwrap())
        .resolver(names.clone())
        .build()
        .unwrap();
    let target = client.push_target(&name().repository("app").unwrap());
    let (layer, content) = blob(1, 300_000);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let expected = format!(
        "CONNECT registry.test:443 HTTP/1.1\r\nHost: registry.test:443\r\n\
         Proxy-Authorization: {SHOWN}\r\n\r\n"
    );
    assert_eq!(proxy.heads(), vec![expected; SET_UP.lanes()]);
    assert_eq!(names.0.lock().unwrap().clone(), Vec::<String>::new());
    assert!(hidden.server.log().saw_secret("canary"));
    assert!(!hidden.server.log().saw_secret(PROXY_PASSWORD));
}

#[tokio::test]
async fn a_proxy_is_spoken_to_over_tls_and_the_registry_within() {
    let hidden = Hidden::start().await;
    let plain = Proxy::start(hidden.front.address, Mood::Closed).await;
    let authority = Authority::new("of proxies");
    let pair = authority.loopback();
    let secure = Front::start(&pair, &authority, Wants::Nothing, plain.address).await;
    let url = format!("https://user:{PROXY_PASSWORD}@{}", secure.address);
    let proxies = || Proxies::none().for_https(&url).unwrap();
    let error = presence(hidden.client(proxies()), &name()).await;
    let text = told(&error.unwrap_err());
    assert!(
        text.contains(&format!("no TLS with {}", secure.address)),
        "{text}"
    );
    assert_eq!(plain.lines(), [] as [&str; 0]);

    let client = hidden
        .client(proxies())
        .host_tls(&secure.registry(), authority.trusted());
    assert_eq!(presence(client, &name()).await.unwrap(), Presence::Absent);
    assert_eq!(plain.lines(), ["CONNECT registry.test:443 HTTP/1.1"]);
}

#[tokio::test]
async fn a_registry_without_tls_is_asked_for_by_its_whole_url() {
    let server = start_behind(Server::builder().memory()).await;
    let proxy = Proxy::start(server.addr(), Mood::Closed).await;
    let registry: Registry = "plain.test:5000".parse().unwrap();
    let proxies = Proxies::none().for_http(&proxy.url()).unwrap();
    let client = quick()
        .plain_http(registry.clone())
        .proxies(proxies)
        .resolver(NoNames::default());
    let absent = presence(client, &registry).await.unwrap();
    assert_eq!(absent, Presence::Absent);
    let digest = blob(1, 10).0.digest;
    assert_eq!(
        proxy.lines(),
        [format!(
            "HEAD http://plain.test:5000/v2/app/blobs/{digest} HTTP/1.1"
        )]
    );
    assert_eq!(server.log().requests(), 1);
}

#[tokio::test]
async fn a_proxy_that_wants_a_password_or_refuses_is_told_of_and_not_asked_again() {
    let server = start_behind(Server::builder().memory()).await;
    let plain: Registry = "plain.test:5000".parse().unwrap();
    for (mood, reason) in [
        (Mood::Closed, "wants a user name and a password (407)"),
        (
            Mood::Says("403 Forbidden"),
            "does not connect to registry.test:443: 403 Forbidden",
        ),
        (Mood::Says("nonsense"), "is not HTTP: is it a proxy?"),
    ] {
        let proxy = Proxy::start(server.addr(), mood).await;
        let url = proxy.address.to_string();
        let proxies = Proxies::none().for_https(&url).unwrap();
        let client = quick().proxies(proxies);
        let error = presence(client, &name()).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Network);
        let text = told(&error);
        assert!(text.contains(&format!("http://{url}")), "{text}");
        assert!(text.contains(reason), "{text}");
        assert_eq!(proxy.lines().len(), 1);
    }
    let proxy = Proxy::start(server.addr(), Mood::Closed).await;
    let proxies = Proxies::none().for_http(&proxy.address.to_string());
    let client = quick().plain_http(plain.clone()).proxies(proxies.unwrap());
    let text = told(&presence(client, &plain).await.unwrap_err());
    assert!(
        text.contains("wants a user name and a password (407)"),
        "{text}"
    );
    assert_eq!(proxy.lines().len(), 1);
    assert_eq!(server.log().requests(), 0);
}

#[tokio::test]
async fn a_proxy_that_cannot_reach_the_registry_just_now_is_asked_again() {
    let hidden = Hidden::start().await;
    let proxy = Proxy::start(hidden.front.address, Mood::Says("503 Busy")).await;
    let proxies = Proxies::none().for_https(&proxy.url()).unwrap();
    let error = presence(hidden.client(proxies), &name()).await.unwrap_err();
    assert!(told(&error).contains("503"), "{}", told(&error));
    assert!(proxy.lines().len() > 1, "{:?}", proxy.lines());
}

#[tokio::test]
async fn this_machine_and_what_is_excepted_are_spoken_to_without_a_proxy() {
    let server = start_behind(Server::builder().memory()).await;
    let proxy = Proxy::start(server.addr(), Mood::Open).await;
    let proxies = Proxies::none().for_http(&proxy.url()).unwrap();
    let here = presence(quick().proxies(proxies.clone()), &server.registry()).await;
    assert_eq!(here.unwrap(), Presence::Absent);
    let names = NoNames::default();
    let excepted: Registry = "a.plain.test:5000".parse().unwrap();
    let client = quick()
        .plain_http(excepted.clone())
        .proxies(proxies.except("plain.test"))
        .resolver(names.clone());
    presence(client, &excepted).await.unwrap_err();
    assert_eq!(proxy.lines(), [] as [&str; 0]);
    assert!(!names.0.lock().unwrap().is_empty(), "it was looked up here");
}

/// What is behind a proxy counts as public: it leads to no private address.
#[tokio::test]
async fn a_registry_behind_a_proxy_leads_to_no_private_address() {
    let authority = Authority::new("authority");
    let pair = authority.sign(&["registry.test"], |_| {});
    for realm in ["https://10.0.0.1/token", "https://127.0.0.1:1/token"] {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
        let server = start_behind(Server::builder().memory()).await;
        let asks = Answer::new(401).header("www-authenticate", challenge);
        server.faults().add(Rule::any().act(Action::Answer(asks)));
        let backend = server.addr();
        let front = Front::start(&pair, &authority, Wants::Nothing, backend).await;
        let proxy = Proxy::start(front.address, Mood::Open).await;
        let client = quick()
            .host_tls(&name(), authority.trusted())
            .proxies(Proxies::none().for_https(&proxy.url()).unwrap())
            .resolver(NoNames::default());
        let error = presence(client, &name()).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Unsafe, "{}", told(&error));
        assert_eq!(proxy.lines(), ["CONNECT registry.test:443 HTTP/1.1"]);
    }
}
