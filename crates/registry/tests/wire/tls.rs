//! TLS: lanes, trust, and no way back to plain HTTP.

use longshore_registry::{Client, ClientBuilder, CredentialStore, Credentials, RetryPolicy};
use oci::{Presence, PushTarget, TargetErrorKind};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use server::{Auth, Bearer, Endpoint, RunningServer, Server};

use crate::{
    fixture::{Blobs, blob, quick, repository, upload},
    scripted::{Scripted, reply},
};

/// A registry with TLS, and the certificate to trust it by.
pub(crate) async fn secure() -> (RunningServer, String) {
    secure_with(Auth::None).await
}

async fn secure_with(auth: Auth) -> (RunningServer, String) {
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let builder = Server::builder()
        .memory()
        .auth(auth)
        .tls(
            cert.pem().as_bytes(),
            signing_key.serialize_pem().as_bytes(),
        )
        .unwrap();
    (builder.start().await.unwrap(), cert.pem())
}

/// A certificate nobody vouches for keeps credentials from a token service as from a registry, also
/// where the registry's own is not checked.
#[tokio::test]
async fn r5_a_token_service_is_verified_as_a_registry_is() {
    let (service, trusted) = secure().await;
    let realm = format!("https://{}/token", service.addr());
    let bearer = Bearer::new().realm(realm).user("alice", "canary");
    let (registry, own) = secure_with(Auth::Bearer(bearer)).await;
    let client = || {
        let alice = Credentials::password("alice", "canary");
        quick()
            .https(registry.registry())
            .retry(RetryPolicy::never())
            .credentials(CredentialStore::new().with(registry.registry(), alice))
    };
    let ask = async |client: ClientBuilder| {
        let target = client
            .build()
            .unwrap()
            .push_target(&repository(&registry, "app"));
        target.has_blob(&blob(1, 10).0).await.unwrap_err()
    };
    for client in [
        client().extra_ca(own.as_bytes()),
        client().insecure_skip_verify(registry.registry()),
    ] {
        let error = ask(client).await;
        assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
        assert_eq!(service.log().requests(), 0);
    }
    // This one has no users: what it was asked is what counts.
    ask(client()
        .extra_ca(own.as_bytes())
        .extra_ca(trusted.as_bytes()))
    .await;
    assert_eq!(service.log().calls(Endpoint::Token), 1);
    assert!(service.log().saw_secret("canary"));
}

async fn push(client: &Client, server: &RunningServer) {
    let target = client.push_target(&repository(server, "app"));
    for seed in 1..=3 {
        let (layer, content) = blob(seed, 300_000);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        assert_eq!(
            target.has_blob(&layer).await.unwrap(),
            Presence::Held(layer.digest.clone()),
        );
    }
}

#[tokio::test]
async fn bodies_and_questions_have_connections_of_their_own() {
    let (server, certificate) = secure().await;
    let client = quick()
        .https(server.registry())
        .extra_ca(certificate.as_bytes())
        .build()
        .unwrap();
    push(&client, &server).await;
    let entries = server.log().entries();
    let over = |body: bool| -> Vec<u64> {
        let mut connections: Vec<_> = entries
            .iter()
            .filter(|it| (it.endpoint == Endpoint::UploadPut) == body)
            .map(|it| it.connection)
            .collect();
        connections.dedup();
        connections
    };
    assert_eq!(entries.len(), 9);
    let (questions, bodies) = (over(false), over(true));
    assert_eq!(
        (questions.len(), bodies.len()),
        (1, 1),
        "{questions:?} {bodies:?}"
    );
    assert_ne!(questions, bodies);
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_unless_the_registry_was_named() {
    let (server, _) = secure().await;
    let strict = quick().https(server.registry()).build().unwrap();
    let target = strict.push_target(&repository(&server, "app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
    assert_eq!(server.log().requests(), 0);
    assert_eq!(
        strict.traffic().total.retries,
        0,
        "it would be refused again"
    );

    let lax = quick()
        .https(server.registry())
        .insecure_skip_verify(server.registry())
        .build()
        .unwrap();
    push(&lax, &server).await;

    // Named for another port, it is another registry.
    let other = quick()
        .https(server.registry())
        .insecure_skip_verify("127.0.0.1:1".parse().unwrap())
        .build()
        .unwrap();
    let target = other.push_target(&repository(&server, "app"));
    assert!(target.has_blob(&blob(1, 10).0).await.is_err());
}

#[tokio::test]
async fn z17_a_loopback_registry_is_spoken_to_in_plain_http() {
    let server = Scripted::start(|_| reply("404 Not Found", "")).await;
    let target = quick()
        .build()
        .unwrap()
        .push_target(&server.repository("app"));
    assert_eq!(
        target.has_blob(&blob(1, 10).0).await.unwrap(),
        Presence::Absent
    );
    assert_eq!(server.lines().len(), 1);
    assert_eq!(server.first_bytes(), [b'H']);
}

/// Where TLS is spoken, a registry that does not speak it gets TLS hellos and nothing else.
#[tokio::test]
async fn z17_a_failure_of_https_is_never_followed_by_http() {
    let server = Scripted::start(|_| reply("404 Not Found", "")).await;
    let client = Client::builder()
        .https(server.registry())
        .retry(RetryPolicy::default().with_attempts(3))
        .build()
        .unwrap();
    let target = client.push_target(&server.repository("app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network);
    assert_eq!(server.lines(), Vec::<String>::new());
    assert_eq!(server.first_bytes(), [0x16]);
}

#[test]
fn what_is_no_certificate_is_no_client() {
    for pem in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----",
    ] {
        assert!(
            Client::builder().extra_ca(pem.as_bytes()).build().is_err(),
            "{pem}"
        );
    }
    assert!(Client::builder().user_agent("a\nb").build().is_err());
}
