//! Hosts of their own kind: private authorities, client certificates.

use std::error::Error;

use longshore_registry::{ClientBuilder, CredentialStore, Credentials, HostTls};
use oci::{Presence, PushTarget, Repository, TargetError, TargetErrorKind};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use server::{Auth, Bearer, Endpoint, Server};

use crate::{
    fixture::{Blobs, blob, quick, start_behind, upload},
    front::{Authority, Front, Wants},
    set_up::SET_UP,
};

async fn presence(client: ClientBuilder, repository: &Repository) -> Result<Presence, TargetError> {
    let target = client.build().unwrap().push_target(repository);
    target.has_blob(&blob(1, 10).0).await
}

/// The error and its causes, in one text.
fn told(error: &TargetError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn for_clients(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

#[tokio::test]
async fn r5_mutual_tls_works_and_the_certificate_is_shown_to_its_own_host_only() {
    let server = start_behind(Server::builder().memory()).await;
    let authority = Authority::new("authority");
    let pair = authority.loopback();
    let front = |wants| Front::start(&pair, &authority, wants, server.addr());
    let own = front(Wants::Required).await;
    let other = front(Wants::Certificate).await;
    let alice = authority.sign(&["alice"], for_clients);
    let client = quick()
        .host_tls(&own.registry(), alice.shown_by(authority.trusted()))
        .host_tls(&other.registry(), authority.trusted())
        .build()
        .unwrap();

    let (layer, content) = blob(1, 300_000);
    let source = Blobs::one(&layer, &content);
    let target = client.push_target(&own.repository("app"));
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let lanes = SET_UP.lanes();
    assert_eq!(own.shown(), vec![true; lanes], "a connection for each lane");

    let target = client.push_target(&other.repository("app"));
    let presence = target.has_blob(&layer).await.unwrap();
    assert_eq!(presence, Presence::Held(layer.digest.clone()));
    assert_eq!(other.shown(), [false], "it was asked for, and not shown");
}

#[tokio::test]
async fn r5_a_client_certificate_that_is_missing_is_told_and_not_tried_again() {
    let server = start_behind(Server::builder().memory()).await;
    let authority = Authority::new("authority");
    let front = Front::start(
        &authority.loopback(),
        &authority,
        Wants::Required,
        server.addr(),
    )
    .await;
    let client = quick().host_tls(&front.registry(), authority.trusted());
    let client = client.build().unwrap();
    let target = client.push_target(&front.repository("app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network);
    let text = told(&error);
    assert!(
        text.contains(&format!("no TLS with {}", front.address)),
        "{text}"
    );
    assert!(
        text.contains("no client but one with a certificate"),
        "{text}"
    );
    assert_eq!(client.traffic().total.retries, 0);
    assert_eq!(server.log().requests(), 0);
}

#[tokio::test]
async fn r5_what_vouches_for_one_host_vouches_for_no_other() {
    let server = start_behind(Server::builder().memory()).await;
    let authority = Authority::new("authority");
    let pair = authority.loopback();
    let front = || Front::start(&pair, &authority, Wants::Nothing, server.addr());
    let (own, other) = (front().await, front().await);
    let client = || {
        quick()
            .host_tls(&own.registry(), authority.trusted())
            .https(other.registry())
    };
    let presence_at = async |it: &Front| presence(client(), &it.repository("app")).await;
    assert_eq!(presence_at(&own).await.unwrap(), Presence::Absent);
    let text = told(&presence_at(&other).await.unwrap_err());
    assert!(text.contains("of an issuer that is not trusted"), "{text}");
    assert_eq!(server.log().requests(), 1);
}

/// Reliability class 34: each is refused by its name, and nothing is tried without TLS.
#[tokio::test]
async fn r5_a_certificate_that_is_expired_or_for_other_names_is_refused_by_its_name() {
    let server = start_behind(Server::builder().memory()).await;
    let authority = Authority::new("authority");
    let expired = authority.sign(&["127.0.0.1"], |it| {
        it.not_before = date_time_ymd(2001, 1, 1);
        it.not_after = date_time_ymd(2002, 1, 1);
    });
    let future = authority.sign(&["127.0.0.1"], |it| {
        it.not_before = date_time_ymd(3000, 1, 1);
        it.not_after = date_time_ymd(3001, 1, 1);
    });
    let foreign = authority.sign(&["registry.test"], |_| {});
    for (pair, reason) in [
        (expired, "its certificate has expired"),
        (future, "its certificate is not valid yet"),
        (foreign, "its certificate is for other names"),
    ] {
        let front = Front::start(&pair, &authority, Wants::Nothing, server.addr()).await;
        let client = quick().host_tls(&front.registry(), authority.trusted());
        let error = presence(client, &front.repository("app"))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Network);
        let expected = format!("no TLS with {}: {reason}", front.address);
        assert!(told(&error).contains(&expected), "{}", told(&error));
        assert_eq!(front.shown(), [] as [bool; 0]);
    }
    assert_eq!(server.log().requests(), 0);
}

/// The token service is trusted as the registry is, and is shown no certificate of the registry's.
#[tokio::test]
async fn r5_a_token_service_is_trusted_by_its_registrys_authority_and_sees_no_certificate_of_it() {
    let authority = Authority::new("authority");
    let pair = authority.loopback();
    let service = start_behind(Server::builder().memory()).await;
    let tokens = Front::start(&pair, &authority, Wants::Certificate, service.addr()).await;
    let bearer = Bearer::new()
        .realm(format!("https://{}/token", tokens.address))
        .user("alice", "canary");
    let server = start_behind(Server::builder().memory().auth(Auth::Bearer(bearer))).await;
    let front = Front::start(&pair, &authority, Wants::Required, server.addr()).await;
    let alice = authority.sign(&["alice"], for_clients);
    let login = Credentials::password("alice", "canary");
    let client = || {
        let login = CredentialStore::new().with(front.registry(), login.clone());
        quick()
            .host_tls(&front.registry(), alice.shown_by(authority.trusted()))
            .credentials(login)
    };
    presence(client(), &front.repository("app"))
        .await
        .unwrap_err();
    // It has no users: what counts is that it was asked.
    assert_eq!(service.log().requests(), 1);
    assert!(service.log().saw_secret("canary"));
    assert_eq!(tokens.shown(), [false]);

    // One of its own is shown.
    let own = alice.shown_by(HostTls::new());
    presence(
        client().host_tls(&tokens.registry(), own),
        &front.repository("app"),
    )
    .await
    .unwrap_err();
    assert_eq!(tokens.shown(), [false, true]);
    assert_eq!(server.log().calls(Endpoint::Token), 0);
}

#[tokio::test]
async fn r5_certificates_for_a_registry_on_loopback_mean_tls_unless_plain_http_was_said() {
    let server = start_behind(Server::builder().memory()).await;
    let authority = Authority::new("authority");
    let pair = authority.loopback();
    let front = Front::start(&pair, &authority, Wants::Nothing, server.addr()).await;
    let client = quick().host_tls(&front.registry(), authority.trusted());
    let absent = presence(client, &front.repository("app")).await;
    assert_eq!(absent.unwrap(), Presence::Absent);
    let client = quick()
        .host_tls(&server.registry(), authority.trusted())
        .plain_http(server.registry());
    let here = server.registry().repository("app").unwrap();
    assert_eq!(presence(client, &here).await.unwrap(), Presence::Absent);
    assert_eq!(front.shown().len(), 1);
}

#[test]
fn r5_a_pair_that_does_not_fit_is_refused_before_anything_is_sent() {
    let authority = Authority::new("authority");
    let (one, other) = (authority.loopback(), authority.loopback());
    let pair = |certificate: &str, key: &str| {
        HostTls::new()
            .with_identity(certificate.as_bytes(), key.as_bytes())
            .map_err(|error| error.to_string())
    };
    assert!(pair(&one.pem, &one.key()).is_ok());
    for (certificate, key, told) in [
        (&one.pem, &other.key(), "cannot be used together"),
        (&one.key(), &one.key(), "certificates in PEM"),
        (&one.pem, &one.pem, "private key in PEM"),
    ] {
        let error = pair(certificate, key).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    let shown = format!("{:?}", one.shown_by(authority.trusted()));
    assert_eq!(
        shown,
        "HostTls { roots: 1, identities: 1, unchecked: false }"
    );
}
