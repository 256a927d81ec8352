//! Credentials stay at home, wherever an answer leads.

use longshore_registry::{Client, CredentialStore, Credentials};
use oci::{Presence, PushTarget, TargetErrorKind};
use server::{Action, Answer, Auth, Bearer, Endpoint, Rule, Server};

use crate::{
    fixture::{Blobs, Double, blob, client, quick, registry, repository, start, upload},
    scripted::{Scripted, reply},
};

const PASSWORD: &str = "canary-password";

async fn basic() -> (Double, Client) {
    let auth = Auth::basic("alice", PASSWORD);
    let server = start(Server::builder().memory().auth(auth)).await;
    let store =
        CredentialStore::new().with(server.registry(), Credentials::password("alice", PASSWORD));
    (server, quick().credentials(store).build().unwrap())
}

#[tokio::test]
async fn n6_an_upload_on_another_host_gets_no_credentials() {
    let (server, client) = basic().await;
    let elsewhere = Scripted::start(|_| reply("201 Created", "")).await;
    let moved = Rule::on(Endpoint::UploadPost);
    server
        .faults()
        .add(moved.act(Action::MoveLocation(elsewhere.url())));
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 100_000);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(elsewhere.lines().len(), 1);
    let heads = elsewhere.heads().to_ascii_lowercase();
    assert!(heads.starts_with("put ") && heads.contains("content-length: 100000"));
    assert!(
        !heads.contains("authorization") && !heads.contains("canary"),
        "{heads}"
    );
    assert!(server.log().saw_secret(PASSWORD));
}

#[tokio::test]
async fn n6_a_redirect_to_another_host_gets_no_credentials() {
    let elsewhere = registry().await;
    let (server, client) = basic().await;
    let here = repository(&server, "app");
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let there = client.push_target(&repository(&elsewhere, "app"));
    there.upload_blob(upload(&layer, &source)).await.unwrap();
    elsewhere.log().clear();
    // From here on it is known what this registry wants, and every request to it has it.
    client.push_target(&here).has_blob(&layer).await.unwrap();
    assert!(server.log().saw_secret(PASSWORD));
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/v2/app/blobs/{}", elsewhere.url(), layer.digest);
        let answer = Action::Answer(Answer::redirect(status, to));
        server.faults().clear();
        server
            .faults()
            .add(Rule::on(Endpoint::BlobHead).act(answer));
        let held = client.push_target(&here).has_blob(&layer).await.unwrap();
        assert_eq!(held, Presence::Held(layer.digest.clone()), "{status}");
    }
    assert_eq!(elsewhere.log().requests(), 5);
    assert!(!elsewhere.log().saw_secret(PASSWORD));
    for entry in elsewhere.log().entries() {
        assert_eq!(entry.headers.authorization, server::Authorization::None);
    }
}

/// A host an answer leads to may ask for credentials as it likes: they are not its.
#[tokio::test]
async fn n6_a_challenge_from_another_host_is_not_answered() {
    let (server, client) = basic().await;
    let greedy = Scripted::start(|_| {
        reply(
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"mine\"",
            "",
        )
    })
    .await;
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let moved = Rule::on(Endpoint::UploadPost);
    server
        .faults()
        .add(moved.act(Action::MoveLocation(greedy.url())));
    let target = client.push_target(&repository(&server, "app"));
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);

    let to = format!("{}/blob", greedy.url());
    let answer = Action::Answer(Answer::redirect(307, to));
    server
        .faults()
        .add(Rule::on(Endpoint::BlobHead).act(answer));
    // Nor does its refusal say anything about the blob.
    assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Unknown);
    assert!(!greedy.heads().contains("canary"));
    assert!(
        !greedy
            .heads()
            .to_ascii_lowercase()
            .contains("authorization")
    );
}

#[tokio::test]
async fn a_head_that_is_redirected_and_refused_knows_nothing() {
    let server = registry().await;
    let signed = Scripted::start(|_| reply("403 Forbidden", "")).await;
    let answer = Answer::redirect(307, format!("{}/signed?sig=x", signed.url()));
    server
        .faults()
        .add(Rule::on(Endpoint::BlobHead).act(Action::Answer(answer)));
    let target = client().push_target(&repository(&server, "app"));
    assert_eq!(
        target.has_blob(&blob(1, 10).0).await.unwrap(),
        Presence::Unknown
    );
    assert_eq!(signed.lines(), ["HEAD /signed?sig=x"]);
}

#[tokio::test]
async fn n6_a_token_service_on_a_foreign_host_gets_no_credentials() {
    let service = Scripted::start(|_| reply("200 OK", r#"{"token": "t"}"#)).await;
    let realm = service.url().replace("127.0.0.1", "localhost") + "/token";
    let auth = Auth::Bearer(Bearer::new().realm(realm));
    let server = start(Server::builder().memory().auth(auth)).await;
    let here = repository(&server, "app");
    let store = || {
        let credentials = Credentials::password("alice", PASSWORD);
        CredentialStore::new().with(server.registry(), credentials)
    };
    let (layer, _) = blob(1, 10);

    let client = quick().credentials(store()).build().unwrap();
    let error = client
        .push_target(&here)
        .has_blob(&layer)
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsafe, "{error}");
    assert_eq!(service.lines(), Vec::<String>::new());

    // Trusted by configuration it gets them; the token it made up is refused by the registry.
    let client = quick()
        .credentials(store())
        .trust_token_service("localhost".parse().unwrap());
    let target = client.build().unwrap().push_target(&here);
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    assert_eq!(
        service.lines(),
        ["GET /token?service=longshore&scope=repository%3Aapp%3Apull%2Cpush"],
    );
    assert!(
        service
            .heads()
            .to_ascii_lowercase()
            .contains("authorization: basic")
    );
}

#[tokio::test]
async fn a_redirect_of_a_body_is_followed_with_the_body() {
    let server = registry().await;
    let target = client().push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 500_000);
    let source = Blobs::one(&layer, &content);
    let to = Scripted::start(|head| {
        assert!(head.starts_with("PUT /there?x=y "), "{head}");
        reply("201 Created", "")
    })
    .await;
    let answer = Answer::redirect(307, format!("{}/there?x=y", to.url()));
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::Answer(answer)));
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(to.lines(), ["PUT /there?x=y"]);
    assert_eq!(source.opened().len(), 2);

    // A redirect that would make a GET of it is not followed.
    server.faults().clear();
    let answer = Answer::redirect(302, format!("{}/there", to.url()));
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPut).act(Action::Answer(answer)));
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Protocol);
    assert_eq!(to.lines().len(), 1);
}

#[tokio::test]
async fn a_redirect_loop_ends_after_five_hops() {
    let server = registry().await;
    let (layer, _) = blob(1, 10);
    let answer = Answer::redirect(307, format!("/v2/app/blobs/{}", layer.digest));
    server
        .faults()
        .add(Rule::on(Endpoint::BlobHead).act(Action::Answer(answer)));
    let target = client().push_target(&repository(&server, "app"));
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsafe, "{error}");
    assert!(!error.retryable());
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("more than 5 redirects"), "{cause}");
    assert_eq!(server.log().requests(), 6);
}

/// What each request had of `Authorization`: its scheme, or nothing.
fn shown(host: &Scripted) -> Vec<(String, Option<String>)> {
    let heads = host.heads();
    let heads = heads.split("\r\n\r\n").filter(|it| !it.trim().is_empty());
    let shown = heads.map(|head| {
        let mut lines = head.trim_start().lines();
        let method = lines.next().unwrap().split(' ').next().unwrap().to_owned();
        let header = |it: &str| {
            let (name, value) = it.split_once(": ")?;
            let scheme = value.split(' ').next()?.to_owned();
            name.eq_ignore_ascii_case("authorization").then_some(scheme)
        };
        (method, lines.find_map(header))
    });
    shown.collect()
}

/// A host that wants to see credentials for everything.
fn asks(challenge: String, answer: &'static str) -> impl Fn(&str) -> crate::scripted::Reply {
    move |head| {
        if head.to_ascii_lowercase().contains("authorization:") {
            reply(answer, "")
        } else {
            let refusal = format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}");
            reply(&refusal, "")
        }
    }
}

fn trusting(server: &Double, hosts: &[&Scripted]) -> Client {
    let alice = Credentials::password("alice", PASSWORD);
    let mut builder = quick()
        .credentials(CredentialStore::new().with(server.registry(), alice))
        .header_for(&server.registry(), "x-of-the-registry", "canary-header");
    for host in hosts {
        let host = host.registry().to_string();
        builder = builder.trust_host(host.parse().unwrap());
    }
    builder.build().unwrap()
}

#[tokio::test]
async fn n6_an_upload_host_gets_credentials_if_it_is_trusted_and_asks() {
    let (server, _) = basic().await;
    let asking = Scripted::start(asks("Basic realm=\"mine\"".into(), "201 Created")).await;
    let quiet = Scripted::start(|_| reply("201 Created", "")).await;
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    for (host, expected) in [(&asking, true), (&quiet, false)] {
        server.faults().clear();
        let moved = Rule::on(Endpoint::UploadPost);
        server
            .faults()
            .add(moved.act(Action::MoveLocation(host.url())));
        let target = trusting(&server, &[&asking, &quiet]).push_target(&repository(&server, "app"));
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let shown = shown(host);
        // Nothing before it has asked.
        assert_eq!(shown[0], ("PUT".to_owned(), None), "{shown:?}");
        let last = shown.last().unwrap();
        assert_eq!(last.1.as_deref(), expected.then_some("Basic"), "{shown:?}");
        assert_eq!(shown.len() > 1, expected);
        assert!(!host.heads().contains("canary-header"));
    }
    // Another port of the same host is another host.
    let other = Scripted::start(asks("Basic realm=\"mine\"".into(), "201 Created")).await;
    server.faults().clear();
    let moved = Rule::on(Endpoint::UploadPost);
    server
        .faults()
        .add(moved.act(Action::MoveLocation(other.url())));
    let target = trusting(&server, &[&asking]).push_target(&repository(&server, "app"));
    let error = target.upload_blob(upload(&layer, &source)).await;
    assert_eq!(*error.unwrap_err().kind(), TargetErrorKind::Unauthorized);
    assert!(shown(&other).iter().all(|(_, it)| it.is_none()));
}

#[tokio::test]
async fn n6_a_trusted_store_of_blobs_gets_a_token_and_leads_no_credentials_on() {
    let (server, _) = basic().await;
    let tokens = Scripted::start(|_| reply("200 OK", r#"{"token": "canary-token"}"#)).await;
    let challenge = format!("Bearer realm=\"{}/token\",service=\"cdn\"", tokens.url());
    let beyond = Scripted::start(asks(challenge.clone(), "200 OK\r\nX-Y: z")).await;
    let onward = format!("307 Temporary Redirect\r\nLocation: {}/b", beyond.url());
    let onward: &'static str = Box::leak(onward.into_boxed_str());
    let store = Scripted::start(asks(challenge, onward)).await;
    let answer = Answer::redirect(307, format!("{}/a", store.url()));
    server
        .faults()
        .add(Rule::on(Endpoint::BlobHead).act(Action::Answer(answer)));
    let target = trusting(&server, &[&store]).push_target(&repository(&server, "app"));
    let held = target.has_blob(&blob(1, 10).0).await.unwrap();
    assert_eq!(held, Presence::Unknown);
    let said = |scheme: Option<&str>| ("HEAD".to_owned(), scheme.map(str::to_owned));
    assert_eq!(shown(&store), [said(None), said(Some("Bearer"))]);
    assert!(store.heads().contains("canary-token"));
    let basic = ("GET".to_owned(), Some("Basic".to_owned()));
    assert_eq!(shown(&tokens), [basic]);
    // Where it leads is not trusted: its challenge stays without an answer.
    assert_eq!(shown(&beyond), [said(None)]);
}

/// Trusted is the host, not every service of tokens that it names.
#[tokio::test]
async fn n6_a_trusted_host_names_no_foreign_token_service() {
    let (server, _) = basic().await;
    let tokens = Scripted::start(|_| reply("200 OK", r#"{"token": "t"}"#)).await;
    let realm = tokens.url().replace("127.0.0.1", "localhost");
    let challenge = format!("Bearer realm=\"{realm}/token\"");
    let store = Scripted::start(asks(challenge, "200 OK")).await;
    let answer = Answer::redirect(307, format!("{}/a", store.url()));
    server
        .faults()
        .add(Rule::on(Endpoint::BlobHead).act(Action::Answer(answer)));
    let target = trusting(&server, &[&store]).push_target(&repository(&server, "app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unsafe, "{error}");
    assert_eq!(tokens.lines(), Vec::<String>::new());
}
