//! Who may: as few challenges and tokens as there can be, and none twice.

use std::time::Duration;

use futures_util::future::join_all;
use longshore_registry::{Client, CredentialStore, Credentials, DockerConfig};
use oci::{Presence, PushTarget, TargetErrorKind, wire::Action as May};
use server::{Action, Answer, Auth, Authorization, Bearer, Endpoint, Rule, Server, Users};

use crate::fixture::{
    Blobs, Double, MIB, PATIENCE, Seen, at_most, blob, manifest, quick, registry, repository,
    sorted, start, upload,
};

const USER: &str = "alice";
const PASSWORD: &str = "canary-password";

async fn token_registry(bearer: Bearer) -> Double {
    let auth = Auth::Bearer(bearer.user(USER, PASSWORD));
    start(Server::builder().memory().auth(auth)).await
}

fn known(server: &Double, credentials: Credentials) -> Client {
    let store = CredentialStore::new().with(server.registry(), credentials);
    quick().credentials(store).build().unwrap()
}

fn alice(server: &Double) -> Client {
    known(server, Credentials::password(USER, PASSWORD))
}

/// Eight blobs at once, with their config, and the manifest after them.
async fn push(client: &Client, server: &Double, path: &str) {
    let target = client.push_target(&repository(server, path));
    let mut blobs: Vec<_> = (0..8).map(|seed| blob(seed, 10_000)).collect();
    let layers: Vec<_> = blobs.iter().map(|(layer, _)| layer.clone()).collect();
    let document = manifest(&layers);
    let config = document.as_manifest().unwrap().config.clone();
    blobs.push((config, bytes::Bytes::from_static(b"{}")));
    let source = Blobs::of(blobs.clone());
    let uploads = blobs
        .iter()
        .map(|(blob, _)| target.upload_blob(upload(blob, &source)));
    for receipt in join_all(uploads).await {
        receipt.unwrap();
    }
    target.put_manifest(&document, None).await.unwrap();
}

#[tokio::test]
async fn z12_a_push_to_a_token_registry_takes_one_challenge_and_one_token() {
    let server = token_registry(Bearer::new()).await;
    let client = alice(&server);
    push(&client, &server, "team/app").await;

    let log = server.log();
    let lines = log.lines();
    // Which of them goes first is anybody's guess.
    assert!(lines[0].starts_with("POST /v2/team/app/blobs/uploads/"));
    assert!(lines[0].ends_with("→ 401"), "{lines:#?}");
    assert_eq!(
        lines[1],
        "GET /token?service=longshore&scope=repository:team/app:pull,push → 200",
    );
    assert_eq!(log.calls(Endpoint::Token), 1);
    let refused = |it: &&String| it.ends_with("→ 401");
    assert_eq!(lines.iter().filter(refused).count(), 1, "{lines:#?}");
    // Eight layers with a POST and a PUT each, the config in one request, the manifest, the
    // challenge, the token.
    assert_eq!(log.requests(), 8 * 2 + 1 + 1 + 2, "{lines:#?}");
    for entry in &log.entries()[2..] {
        assert_eq!(entry.headers.authorization, Authorization::Bearer);
    }
    assert_eq!(log.entries()[1].headers.authorization, Authorization::Basic);
    assert_eq!(client.traffic().total.token_requests, 1);
}

#[tokio::test]
async fn z12_every_expiry_costs_one_token_more() {
    let bearer = Bearer::new().valid_for(Duration::from_hours(1));
    let server = token_registry(bearer.announcing(Some(Duration::from_mins(2)))).await;
    let client = alice(&server);
    push(&client, &server, "app").await;
    assert_eq!(server.log().calls(Endpoint::Token), 1);
    let refused = server
        .log()
        .lines()
        .iter()
        .filter(|it| it.ends_with("401"))
        .count();

    for tokens in 2..=3 {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(121)).await;
        tokio::time::resume();
        push(&client, &server, "app").await;
        assert_eq!(server.log().calls(Endpoint::Token), tokens);
    }
    // It ended by the client's clock: the registry had to refuse nothing.
    let after = server
        .log()
        .lines()
        .iter()
        .filter(|it| it.ends_with("401"))
        .count();
    assert_eq!(after, refused);
}

/// Giving a session up is one request with the token at hand, or none: never one for a token.
#[tokio::test]
async fn a_session_is_given_up_with_the_token_at_hand_and_no_other_is_fetched() {
    let bearer = Bearer::new().valid_for(Duration::from_hours(1));
    let server = token_registry(bearer.announcing(Some(Duration::from_mins(2)))).await;
    let here = repository(&server, "app");
    let target = alice(&server).push_target(&here);
    let (layer, _) = blob(1, 10);
    let open = async || match target.mount_blob(&layer, &here).await.unwrap() {
        oci::MountOutcome::Refused(Some(session)) => session,
        other => panic!("{other:?}"),
    };
    let (first, second) = (open().await, open().await);
    let calls = |endpoint| server.log().calls(endpoint);
    target.cancel_session(first).await.unwrap();
    assert_eq!((calls(Endpoint::Token), server.open_sessions()), (1, 1));

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(121)).await;
    tokio::time::resume();
    let before = server.log().requests();
    let error = target.cancel_session(second.clone()).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized, "{error}");
    assert_eq!(server.log().requests(), before);

    // A process that has asked for nothing yet has no token: it is told so, and asks for none.
    let fresh = alice(&server).push_target(&here);
    let error = fresh.cancel_session(second).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized, "{error}");
    assert_eq!(calls(Endpoint::Token), 1);
    assert_eq!(server.log().requests(), before + 1);
}

/// What was sent is not lost to a token that ends before it is committed.
#[tokio::test]
async fn z12_a_token_with_little_time_left_is_renewed_before_a_body_and_before_a_commit() {
    let bearer = Bearer::new().valid_for(Duration::from_hours(1));
    let server = token_registry(bearer.announcing(Some(Duration::from_mins(5)))).await;
    let target = alice(&server).push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let tokens = || server.log().calls(Endpoint::Token);
    let pass = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    target.has_blob(&layer).await.unwrap();
    assert_eq!(tokens(), 1);
    // 300 s, of which the last 30 are not used: 50 are left.
    pass(220).await;
    target.has_blob(&layer).await.unwrap();
    assert_eq!(tokens(), 1);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(tokens(), 2);
    // 10 are left.
    pass(260).await;
    target.has_blob(&layer).await.unwrap();
    assert_eq!(tokens(), 2);
    target.put_manifest(&manifest(&[]), None).await.unwrap_err();
    assert_eq!(tokens(), 3);
}

#[tokio::test]
async fn z12_two_repositories_have_a_token_each() {
    let server = token_registry(Bearer::new()).await;
    let client = alice(&server);
    push(&client, &server, "one").await;
    server.log().clear();
    push(&client, &server, "two").await;
    let lines = server.log().lines();
    assert_eq!(
        lines[0],
        "GET /token?service=longshore&scope=repository:two:pull,push → 200",
    );
    assert_eq!(server.log().calls(Endpoint::Token), 1);
    assert!(!lines.iter().any(|it| it.ends_with("401")), "{lines:#?}");
}

#[tokio::test]
async fn z12_a_basic_registry_is_challenged_once_and_has_no_tokens() {
    let auth = Auth::Basic(Users::new().with(USER, PASSWORD));
    let server = start(Server::builder().memory().auth(auth)).await;
    push(&alice(&server), &server, "app").await;
    let lines = server.log().lines();
    assert!(lines[0].starts_with("POST /v2/app/blobs/uploads/"));
    assert!(lines[0].ends_with("→ 401"), "{lines:#?}");
    assert_eq!(lines.len(), 1 + 8 * 2 + 1 + 1, "{lines:#?}");
    for entry in &server.log().entries()[1..] {
        assert_eq!(entry.headers.authorization, Authorization::Basic);
    }
}

#[tokio::test]
async fn z12_a_token_registry_serves_anonymous_clients_what_it_lets_them() {
    let bearer = Bearer::new().anonymous(May::Pull);
    let server = token_registry(bearer).await;
    push(&alice(&server), &server, "app").await;
    server.log().clear();

    let anonymous = quick().build().unwrap();
    let (layer, _) = blob(0, 10_000);
    let target = anonymous.repository(&repository(&server, "app"));
    let held = target.has_blob(&layer).await.unwrap();
    assert_eq!(held, Presence::Held(layer.digest.clone()));
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            format!("HEAD /v2/app/blobs/{digest} → 401"),
            "GET /token?service=longshore&scope=repository:app:pull → 200".to_owned(),
            format!("HEAD /v2/app/blobs/{digest} → 200"),
        ],
    );
    assert_eq!(
        server.log().entries()[1].headers.authorization,
        Authorization::None
    );
}

#[tokio::test]
async fn z12_an_open_registry_is_asked_for_nothing() {
    let server = registry().await;
    push(&alice(&server), &server, "app").await;
    assert_eq!(server.log().requests(), 8 * 2 + 1 + 1);
    for entry in server.log().entries() {
        assert_eq!(entry.headers.authorization, Authorization::None);
    }
    assert!(!server.log().saw_secret(PASSWORD));
}

/// A token may end while a body is on its way: one new token, and the body goes again into the
/// session that is open already.
#[tokio::test]
async fn z12_a_401_in_the_middle_of_a_push_renews_the_token_once() {
    let server = token_registry(Bearer::new()).await;
    let here = repository(&server, "app");
    let target = alice(&server).push_target(&here);
    let (layer, content) = blob(1, 8 * MIB);
    let source = Blobs::one(&layer, &content);
    let refused = target.mount_blob(&layer, &here).await.unwrap();
    let oci::MountOutcome::Refused(Some(session)) = refused else {
        panic!("{refused:?}");
    };
    server.log().clear();
    server.revoke_tokens();

    let seen = Seen::default();
    let upload = upload(&layer, &source)
        .in_session(Some(session))
        .observed(&seen);
    let receipt = target.upload_blob(upload).await.unwrap();

    assert!(
        receipt.sent >= layer.size && receipt.sent < 2 * layer.size,
        "{}",
        receipt.sent
    );
    assert_eq!(seen.sent(), receipt.sent);
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 401"),
            "GET /token?service=longshore&scope=repository:app:pull,push → 200".to_owned(),
            "GET /v2/app/blobs/uploads/<1> → 204".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 201"),
        ],
    );
}

#[tokio::test]
async fn z12_many_requests_with_a_revoked_token_renew_it_once() {
    let server = token_registry(Bearer::new()).await;
    let client = alice(&server);
    push(&client, &server, "app").await;
    server.log().clear();
    server.revoke_tokens();
    let target = client.push_target(&repository(&server, "app"));
    let blobs: Vec<_> = (0..8).map(|seed| blob(seed, 10_000).0).collect();
    for held in join_all(blobs.iter().map(|it| target.has_blob(it))).await {
        assert!(matches!(held.unwrap(), Presence::Held(_)));
    }
    assert_eq!(server.log().calls(Endpoint::Token), 1);
}

#[tokio::test]
async fn wrong_credentials_are_unauthorized_and_not_tried_again() {
    let server = token_registry(Bearer::new()).await;
    let client = known(&server, Credentials::password(USER, "wrong"));
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let error = target
        .upload_blob(upload(&layer, &Blobs::one(&layer, &content)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&TargetErrorKind::Unauthorized, Some(401))
    );
    assert!(!error.retryable());
    assert_eq!(
        server.log().lines(),
        [
            "POST /v2/app/blobs/uploads/ → 401",
            "GET /token?service=longshore&scope=repository:app:pull,push → 401",
        ],
    );

    let auth = Auth::basic(USER, PASSWORD);
    let server = start(Server::builder().memory().auth(auth)).await;
    let client = known(&server, Credentials::password(USER, "wrong"));
    let target = client.push_target(&repository(&server, "app"));
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    assert_eq!(server.log().requests(), 2);
}

#[tokio::test]
async fn no_credentials_are_unauthorized_without_a_second_try() {
    let server = start(Server::builder().memory().auth(Auth::basic(USER, PASSWORD))).await;
    let target = quick()
        .build()
        .unwrap()
        .push_target(&repository(&server, "app"));
    let (layer, _) = blob(1, 1000);
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    assert_eq!(server.log().requests(), 1);
}

/// A service grants less than was asked for without a word. What the token does not allow, no
/// other token will.
#[tokio::test]
async fn what_a_fresh_token_does_not_allow_is_unauthorized() {
    let server = token_registry(Bearer::new().deny(May::Push)).await;
    let client = alice(&server);
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let uploads = (0..4).map(|_| target.upload_blob(upload(&layer, &source)));
    for error in join_all(uploads).await {
        assert_eq!(*error.unwrap_err().kind(), TargetErrorKind::Unauthorized);
    }
    assert_eq!(server.log().calls(Endpoint::Token), 1);
    // The challenge, the token, and each upload once.
    assert_eq!(server.log().requests(), 2 + 4);
}

#[tokio::test]
async fn m10_one_token_is_asked_for_all_expected_mounts_the_destination_first() {
    let server = token_registry(Bearer::new()).await;
    let client = alice(&server);
    push(&client, &server, "team/base").await;
    server.log().clear();
    let target = client.push_target(&repository(&server, "app"));
    let siblings = ["team/base", "team/other"].map(|path| repository(&server, path));
    target.expect_mounts(&siblings);
    let blobs: Vec<_> = (0..8).map(|seed| blob(seed, 10_000).0).collect();
    let mounts = blobs.iter().map(|it| target.mount_blob(it, &siblings[0]));
    for outcome in join_all(mounts).await {
        assert_eq!(outcome.unwrap(), oci::MountOutcome::Mounted);
    }
    assert_eq!(
        server.log().lines()[0],
        "GET /token?service=longshore&scope=repository:app:pull,push\
         &scope=repository:team/base:pull&scope=repository:team/other:pull → 200",
    );
    assert_eq!(server.log().requests(), 1 + 8);
}

/// Some services refuse the whole request for a source they do not know.
#[tokio::test]
async fn m10_a_source_that_spoils_the_token_is_left_out_of_it() {
    let server = token_registry(Bearer::new()).await;
    let client = alice(&server);
    let target = client.push_target(&repository(&server, "app"));
    let sibling = repository(&server, "foreign/base");
    target.expect_mounts(std::slice::from_ref(&sibling));
    let refuse = Rule::on(Endpoint::Token).query_contains("foreign/base");
    server
        .faults()
        .add(refuse.act(Action::Answer(Answer::new(403))));
    // As registries do that have no answer but this for a source that may not be read.
    let challenge = format!(
        "Bearer realm=\"{}/token\",service=\"longshore\",error=\"insufficient_scope\",\
         scope=\"repository:app:pull,push repository:foreign/base:pull\"",
        server.url(),
    );
    let unauthorized = Answer::new(401).header("www-authenticate", challenge);
    let again = Rule::on(Endpoint::Mount).nth(2);
    server.faults().add(again.act(Action::Answer(unauthorized)));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let denied = target.mount_blob(&layer, &sibling).await.unwrap_err();
    assert_eq!(*denied.kind(), TargetErrorKind::Unauthorized);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let digest = &layer.digest;
    assert_eq!(
        server.log().lines(),
        [
            format!("POST /v2/app/blobs/uploads/?mount={digest}&from=foreign/base → 401"),
            "GET /token?service=longshore&scope=repository:app:pull,push\
             &scope=repository:foreign/base:pull → 403"
                .to_owned(),
            "GET /token?service=longshore&scope=repository:app:pull,push → 200".to_owned(),
            format!("POST /v2/app/blobs/uploads/?mount={digest}&from=foreign/base → 401"),
            "POST /v2/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/app/blobs/uploads/<1>?digest={digest} → 201"),
        ],
    );
}

/// The second gets its 401 while the first is about to fetch a token: there is one permit, and
/// whoever reads an answer has it.
#[tokio::test]
async fn two_whose_token_ends_at_once_do_not_wait_for_each_other() {
    let server = token_registry(Bearer::new()).await;
    let here = repository(&server, "app");
    let credentials = Credentials::password(USER, PASSWORD);
    let store = CredentialStore::new().with(server.registry(), credentials);
    let one_at_a_time = quick().credentials(store).max_in_flight(at_most(1));
    let client = one_at_a_time.build().unwrap();
    let target = client.push_target(&here);
    let ((one, _), (other, _)) = (blob(1, 1000), blob(2, 1000));
    target.has_blob(&one).await.unwrap();
    server.revoke_tokens();
    server.log().clear();
    let both = futures_util::future::join(target.has_blob(&one), target.has_blob(&other));
    let both = tokio::time::timeout(PATIENCE, both).await;
    let (one, other) = both.expect("they wait for each other");
    assert_eq!(one.unwrap(), Presence::Absent);
    assert_eq!(other.unwrap(), Presence::Absent);
    assert_eq!(server.log().calls(Endpoint::Token), 1);
}

#[tokio::test]
async fn r8_a_token_that_breaks_off_is_asked_for_again_within_the_budget() {
    let server = token_registry(Bearer::new()).await;
    let (layer, _) = blob(1, 1000);
    let target = alice(&server).push_target(&repository(&server, "app"));
    let cut = Rule::on(Endpoint::Token).first(2);
    server.faults().add(cut.act(Action::TruncateAnswer(30)));
    assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Absent);
    assert_eq!(server.log().calls(Endpoint::Token), 3);

    let cut = Rule::on(Endpoint::Token).act(Action::TruncateAnswer(30));
    server.faults().add(cut);
    server.log().clear();
    let target = alice(&server).push_target(&repository(&server, "app"));
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Network, "{error}");
    assert_eq!(server.log().calls(Endpoint::Token), 5);
    assert_eq!(server.log().requests(), 6);
}

#[tokio::test]
async fn a_token_service_that_fails_is_asked_again_and_an_odd_answer_is_none() {
    let server = token_registry(Bearer::new()).await;
    let (layer, _) = blob(1, 1000);
    let client = alice(&server);
    let target = client.push_target(&repository(&server, "app"));
    let busy = Rule::on(Endpoint::Token).first(2);
    server
        .faults()
        .add(busy.act(Action::Answer(Answer::new(503))));
    assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Absent);
    assert_eq!(server.log().calls(Endpoint::Token), 3);

    let large = format!(r#"{{"token": "{}"}}"#, "x".repeat(70_000));
    let odd = [
        Action::Answer(Answer::new(200).body("{}")),
        Action::Answer(Answer::html()),
        Action::Answer(Answer::new(200).body(large)),
        Action::EndlessBody,
        Action::Answer(Answer::new(200).body(r#"{"token": "a\nb"}"#)),
    ];
    for action in odd {
        server.faults().clear();
        server.faults().add(Rule::on(Endpoint::Token).act(action));
        server.log().clear();
        let target = alice(&server).push_target(&repository(&server, "app"));
        let error = target.has_blob(&layer).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Protocol, "{error}");
        assert_eq!(server.log().calls(Endpoint::Token), 1);
        assert_eq!(server.log().requests(), 2);
    }
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is() {
    let server = token_registry(Bearer::new()).await;
    let client = known(&server, Credentials::bearer("canary-token"));
    let target = client.push_target(&repository(&server, "app"));
    let (layer, _) = blob(1, 10);
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    assert!(server.log().saw_secret("canary-token"));
    assert_eq!(server.log().calls(Endpoint::Token), 0);
    assert_eq!(server.log().requests(), 2);
}

#[tokio::test]
async fn a_docker_configuration_authenticates() {
    let server = token_registry(Bearer::new()).await;
    let registry = server.registry();
    let config = format!(
        r#"{{"auths": {{"{registry}": {{"username": "{USER}", "password": "{PASSWORD}"}}}}}}"#
    );
    let config = DockerConfig::from_slice(config.as_bytes()).unwrap();
    let store = CredentialStore::new().with_docker_config(config);
    let client = quick().credentials(store).build().unwrap();
    push(&client, &server, "app").await;

    let helper = format!(r#"{{"credHelpers": {{"{registry}": "pass"}}}}"#);
    let config = DockerConfig::from_slice(helper.as_bytes()).unwrap();
    let store = CredentialStore::new().with_docker_config(config);
    let client = quick().credentials(store).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("\"pass\""), "{cause}");
}

#[tokio::test]
async fn an_error_shows_no_secret() {
    let server = token_registry(Bearer::new().deny(May::Push)).await;
    let client = alice(&server);
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    let shown = format!(
        "{error} {error:?} {client:?} {target:?} {:?}",
        client.traffic()
    );
    assert!(!shown.contains(PASSWORD));
    assert!(sorted(server.log().lines()).len() > 1);
}
