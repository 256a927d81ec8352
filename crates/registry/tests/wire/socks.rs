//! Registries behind a SOCKS5 proxy.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use longshore_registry::{CredentialStore, Credentials, Proxies};
use oci::{Presence, PushTarget, Registry, TargetErrorKind};
use server::{Auth, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    fixture::{Blobs, blob, quick, start_behind, upload},
    front::{Authority, Front, Wants},
    proxies::{NoNames, name, presence, told},
    set_up::SET_UP,
};

/// A proxy that knows one address, and keeps what it is told.
struct Socks {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Open,
    /// Only with `user` and `proxy-secret`.
    Closed,
    /// Replies with this code.
    Refuses(u8),
    /// Speaks of something else.
    Nonsense,
}

impl Socks {
    async fn start(backend: SocketAddr, mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let log = told.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let log = log.clone();
                tokio::spawn(async move { serve(tcp, backend, mood, &log).await });
            }
        });
        Self { address, told }
    }

    /// What it was asked to connect to, as it was said.
    fn asked(&self) -> Vec<Vec<u8>> {
        self.told.lock().unwrap().clone()
    }
}

/// None once the other side has gone.
async fn serve(
    mut tcp: TcpStream,
    backend: SocketAddr,
    mood: Mood,
    log: &Mutex<Vec<Vec<u8>>>,
) -> Option<()> {
    if matches!(mood, Mood::Nonsense) {
        return tcp
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .ok();
    }
    let [version, count] = read(&mut tcp).await?;
    assert_eq!(version, 5);
    let mut methods = vec![0; usize::from(count)];
    tcp.read_exact(&mut methods).await.ok()?;
    match mood {
        Mood::Closed if methods.contains(&2) => {
            tcp.write_all(&[5, 2]).await.ok()?;
            let [_, length] = read(&mut tcp).await?;
            let username = text(&mut tcp, length).await?;
            let [length] = read(&mut tcp).await?;
            let password = text(&mut tcp, length).await?;
            let fits = username == b"user" && password == b"proxy-secret";
            tcp.write_all(&[1, u8::from(!fits)]).await.ok()?;
        }
        Mood::Closed => return tcp.write_all(&[5, 0xff]).await.ok(),
        _ => tcp.write_all(&[5, 0]).await.ok()?,
    }
    let [_, _, _, kind] = read(&mut tcp).await?;
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => read::<1>(&mut tcp).await?[0],
    };
    let mut asked = text(&mut tcp, length).await?;
    asked.extend(read::<2>(&mut tcp).await?);
    log.lock().unwrap().push(asked);
    if let Mood::Refuses(code) = mood {
        return tcp.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok();
    }
    // It says where it connects from as a name: what follows is the registry's.
    tcp.write_all(b"\x05\x00\x00\x03\x04here\x00\x00")
        .await
        .ok()?;
    let mut onward = TcpStream::connect(backend).await.ok()?;
    copy_bidirectional(&mut tcp, &mut onward).await.ok()?;
    Some(())
}

async fn read<const LENGTH: usize>(tcp: &mut TcpStream) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    tcp.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn text(tcp: &mut TcpStream, length: u8) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::from(length)];
    tcp.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

#[tokio::test]
async fn a_registry_is_pushed_to_through_socks_by_its_name_and_the_proxy_learns_no_more() {
    let server = Server::builder().memory();
    let server = start_behind(server.auth(Auth::basic("alice", "canary"))).await;
    let authority = Authority::new("authority");
    let pair = authority.sign(&["registry.test"], |_| {});
    let front = Front::start(&pair, &authority, Wants::Nothing, server.addr()).await;
    let proxy = Socks::start(front.address, Mood::Closed).await;
    let url = format!("socks5h://user:proxy%2Dsecret@{}", proxy.address);
    let proxies = Proxies::none().for_https(&url).unwrap();
    let shown = format!("{proxies:?} {}", proxies.shown(&name(), true).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
    assert!(
        shown.ends_with(&format!("socks5://{}", proxy.address)),
        "{shown}"
    );
    let alice = Credentials::password("alice", "canary");
    let client = quick()
        .host_tls(&name(), authority.trusted())
        .credentials(CredentialStore::new().with(name(), alice))
        .proxies(proxies)
        .resolver(NoNames::default())
        .build()
        .unwrap();
    let target = client.push_target(&name().repository("app").unwrap());
    let (layer, content) = blob(1, 300_000);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let expected = b"registry.test\x01\xbb".to_vec();
    assert_eq!(proxy.asked(), vec![expected; SET_UP.lanes()]);
    assert!(server.log().saw_secret("canary"));
    assert!(!server.log().saw_secret("proxy-secret"));
}

#[tokio::test]
async fn a_registry_without_tls_is_asked_through_socks_as_if_there_were_none() {
    let server = start_behind(Server::builder().memory()).await;
    for (host, told) in [
        ("plain.test:5000", b"plain.test".to_vec()),
        ("192.0.2.1:5000", vec![192, 0, 2, 1]),
        (
            "[2001:db8::1]:5000",
            [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1]].concat(),
        ),
    ] {
        let proxy = Socks::start(server.addr(), Mood::Open).await;
        let registry: Registry = host.parse().unwrap();
        let proxies = Proxies::none().for_http(&format!("socks5://{}", proxy.address));
        let client = quick()
            .plain_http(registry.clone())
            .proxies(proxies.unwrap())
            .resolver(NoNames::default());
        server.log().clear();
        let absent = presence(client, &registry).await.unwrap();
        assert_eq!(absent, Presence::Absent);
        assert_eq!(
            proxy.asked(),
            [[told, 5000_u16.to_be_bytes().to_vec()].concat()]
        );
        let digest = blob(1, 10).0.digest;
        assert_eq!(
            server.log().lines(),
            [format!("HEAD /v2/app/blobs/{digest} → 404")]
        );
    }
}

#[tokio::test]
async fn a_socks_proxy_that_refuses_is_told_of_with_its_reason() {
    let server = start_behind(Server::builder().memory()).await;
    for (mood, login, reason, asked) in [
        (Mood::Closed, "", "wants a user name and a password", 0),
        (
            Mood::Closed,
            "user:wrong@",
            "wants a user name and a password",
            0,
        ),
        (
            Mood::Refuses(2),
            "",
            "registry.test:443: its rules do not allow it",
            1,
        ),
        (Mood::Refuses(99), "", "it does not say why", 1),
        (Mood::Nonsense, "", "does not speak SOCKS5", 0),
    ] {
        let proxy = Socks::start(server.addr(), mood).await;
        let url = format!("socks5://{login}{}", proxy.address);
        let client = quick().proxies(Proxies::none().for_https(&url).unwrap());
        let error = presence(client, &name()).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Network);
        let text = told(&error);
        assert!(
            text.contains(&format!("socks5://{}", proxy.address)),
            "{text}"
        );
        assert!(text.contains(reason) && !text.contains("wrong"), "{text}");
        assert_eq!(proxy.asked().len(), asked);
    }
    // A host that is out of reach just now is asked for again.
    let proxy = Socks::start(server.addr(), Mood::Refuses(4)).await;
    let proxies = Proxies::none().for_https(&format!("socks5://{}", proxy.address));
    let error = presence(quick().proxies(proxies.unwrap()), &name())
        .await
        .unwrap_err();
    assert!(
        told(&error).contains("the host cannot be reached"),
        "{}",
        told(&error)
    );
    assert!(proxy.asked().len() > 1);
    assert_eq!(server.log().requests(), 0);
}
