//! Refresh tokens, and what is known of a registry before it is asked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use longshore_registry::{
    Client, CredentialStore, Credentials, DockerConfig, Fact, KnownChallenge, MemoryProfiles,
    Profile, ProfileStore,
};
use oci::{Presence, PushTarget, TargetErrorKind, wire::Action as May};
use server::{Auth, Bearer, Server};

use crate::{
    fixture::{PATIENCE, blob, host, quick, repository, start},
    scripted::{Reply, Scripted, reply},
    set_up::SET_UP,
};

const REFRESH: &str = "canary-refresh";

/// A registry that is its own token service: `service` answers POST and GET of `/token`.
async fn registry(service: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |head| {
        if head.contains(" /token") {
            return service(head);
        }
        if head.to_ascii_lowercase().contains("authorization: bearer good") {
            return reply("404 Not Found", "");
        }
        let host = head.to_ascii_lowercase();
        let host = host.split("host: ").nth(1).unwrap().lines().next().unwrap();
        let challenge = format!(
            "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{}://{host}/token\",service=\"reg\"",
            SET_UP.scheme()
        );
        reply(&challenge, "")
    })
    .await
}

fn client(registry: &Scripted) -> Client {
    let identity = Credentials::identity(REFRESH);
    let store = CredentialStore::new().with(registry.registry(), identity);
    quick().credentials(store).build().unwrap()
}

fn form(scope: &str, refresh: &str) -> String {
    format!(
        "grant_type=refresh_token&service=reg&client_id=longshore&scope={scope}&refresh_token={refresh}"
    )
}

/// Asks for blobs of three repositories, one after the other.
async fn ask(client: &Client, registry: &Scripted) {
    for path in ["a", "b", "c"] {
        let target = client.push_target(&registry.repository(path));
        let held = target.has_blob(&blob(1, 10).0).await.unwrap();
        assert_eq!(held, Presence::Absent);
    }
}

#[tokio::test]
async fn z12_a_refresh_token_is_exchanged_by_post_and_a_rotated_one_used_from_then_on() {
    let issued = Arc::new(AtomicUsize::new(0));
    let registry = {
        let issued = issued.clone();
        registry(move |_| {
            let number = issued.fetch_add(1, Relaxed) + 1;
            let body =
                format!(r#"{{"access_token": "good-{number}", "refresh_token": "next-{number}"}}"#);
            reply("200 OK", &body)
        })
        .await
    };
    ask(&client(&registry), &registry).await;
    let digest = blob(1, 10).0.digest;
    assert_eq!(
        registry.lines(),
        [
            format!("HEAD /v2/a/blobs/{digest}"),
            "POST /token".to_owned(),
            format!("HEAD /v2/a/blobs/{digest}"),
            "POST /token".to_owned(),
            format!("HEAD /v2/b/blobs/{digest}"),
            "POST /token".to_owned(),
            format!("HEAD /v2/c/blobs/{digest}"),
        ],
    );
    assert_eq!(
        registry.bodies(),
        [
            form("repository%3Aa%3Apull%2Cpush", REFRESH),
            form("repository%3Ab%3Apull%2Cpush", "next-1"),
            form("repository%3Ac%3Apull%2Cpush", "next-2"),
        ],
    );
    // A refresh token never stands in a URL or a header.
    assert!(!registry.heads().contains("canary") && !registry.heads().contains("next-"));
}

/// A refresh token that is replaced is worthless to whoever still holds the old one.
#[tokio::test]
async fn z12_a_refresh_token_is_used_by_one_at_a_time() {
    let issued = AtomicUsize::new(0);
    let registry = registry(move |_| {
        let number = issued.fetch_add(1, Relaxed) + 1;
        reply(
            "200 OK",
            &format!(r#"{{"token": "good", "refresh_token": "next-{number}"}}"#),
        )
    })
    .await;
    let client = client(&registry);
    ask(&client, &registry).await;
    let more = (0..8).map(|at| {
        let target = client.push_target(&registry.repository(&format!("more/{at}")));
        async move { target.has_blob(&blob(1, 10).0).await }
    });
    for held in join_all(more).await {
        assert_eq!(held.unwrap(), Presence::Absent);
    }
    let sent = registry.bodies();
    assert_eq!(sent.len(), 3 + 8);
    for (at, body) in sent.iter().enumerate().skip(1) {
        assert!(
            body.ends_with(&format!("refresh_token=next-{at}")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn z12_a_service_without_an_exchange_is_asked_by_get_from_then_on() {
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "404 Not Found",
        "405 Method Not Allowed",
    ] {
        let registry = registry(move |head| {
            if head.starts_with("POST") {
                return reply(status, "");
            }
            assert!(
                head.contains("authorization: Basic PHRva2VuPjpjYW5hcnktcmVmcmVzaA=="),
                "{head}"
            );
            reply("200 OK", r#"{"token": "good"}"#)
        })
        .await;
        ask(&client(&registry), &registry).await;
        let asked: Vec<_> = registry
            .lines()
            .into_iter()
            .filter(|it| it.contains("/token"))
            .collect();
        assert_eq!(
            asked,
            [
                "POST /token",
                "GET /token?service=reg&scope=repository%3Aa%3Apull%2Cpush",
                "GET /token?service=reg&scope=repository%3Ab%3Apull%2Cpush",
                "GET /token?service=reg&scope=repository%3Ac%3Apull%2Cpush",
            ],
            "{status}"
        );
    }
}

#[tokio::test]
async fn z12_a_refresh_token_that_is_refused_both_ways_is_unauthorized() {
    let registry = registry(|head| {
        let code = if head.starts_with("POST") {
            "POSTED"
        } else {
            "GOT"
        };
        let body = format!(r#"{{"errors": [{{"code": "{code}"}}]}}"#);
        reply("401 Unauthorized", &body)
    })
    .await;
    let target = client(&registry).push_target(&registry.repository("a"));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    // What the exchange said is what is wrong.
    assert!(format!("{:?}", error.answer()).contains("POSTED"));
    assert!(!format!("{error:?} {error}").contains("canary"));
    assert_eq!(registry.lines().len(), 3);
}

#[tokio::test]
async fn a_refusal_says_what_was_asked_for_and_what_was_granted() {
    let claims = r#"{"access":[{"type":"repository","name":"a","actions":["pull"]}]}"#;
    let token = format!("good.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims));
    for (body, expected) in [
        (
            format!(r#"{{"token": "{token}"}}"#),
            "a token was asked for repository:a:pull,push, and repository:a:pull was granted",
        ),
        (
            r#"{"token": "other"}"#.to_owned(),
            "a token was asked for repository:a:pull,push, and does not say what of it was granted",
        ),
    ] {
        let registry = Scripted::start(move |head| {
            if head.contains(" /token") {
                return reply("200 OK", &body);
            }
            let host = head.split("host: ").nth(1).unwrap().lines().next().unwrap();
            let challenge = format!(
                "401 Unauthorized\r\nWWW-Authenticate: Negotiate dG9rZW4=\r\n\
                 WWW-Authenticate: Bearer realm={}://{host}/token,scope=\"repository:a:pull,push\",error=\"insufficient_scope\"",
                SET_UP.scheme()
            );
            reply(&challenge, "")
        })
        .await;
        let target = client(&registry).push_target(&registry.repository("a"));
        let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, expected);
        // The challenge, the token, the refusal; and no loop.
        assert_eq!(registry.lines().len(), 3);
    }
}

#[tokio::test]
async fn what_is_known_of_a_registry_saves_the_challenge() {
    let auth = Auth::Bearer(Bearer::new().user("alice", "canary").anonymous(May::Pull));
    let server = start(Server::builder().memory().auth(auth)).await;
    let builder = || {
        let alice = Credentials::password("alice", "canary");
        quick().credentials(CredentialStore::new().with(server.registry(), alice))
    };
    let ask = |client: Client| {
        let target = client.push_target(&repository(&server, "app"));
        async move { target.has_blob(&blob(1, 10).0).await }
    };
    let profiles = MemoryProfiles::default();
    let builder = || builder().profiles(profiles.clone());
    let client = builder().build().unwrap();
    ask(client.clone()).await.unwrap();
    assert_eq!(server.log().requests(), 3);
    client.close(PATIENCE).await;
    let host = host(&server.registry());
    let kept = profiles.load(&host).await;
    let kept: Vec<_> = kept.iter().filter(|it| it.key == "challenge").collect();
    let realm = format!("{}/token", server.url());
    let expected = format!(r#"{{"scheme":"bearer","realm":"{realm}","service":"longshore"}}"#);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].value, expected);
    let seen = kept[0].seen;

    server.log().clear();
    let client = builder().build().unwrap();
    ask(client.clone()).await.unwrap();
    let digest = blob(1, 10).0.digest;
    assert_eq!(
        server.log().lines(),
        [
            "GET /token?service=longshore&scope=repository:app:pull,push → 200".to_owned(),
            format!("HEAD /v2/app/blobs/{digest} → 404"),
        ],
    );
    client.close(PATIENCE).await;
    let again = profiles.load(&host).await;
    let again = again.iter().find(|it| it.key == "challenge").unwrap();
    assert_eq!((&again.value, again.seen), (&expected, seen));
}

#[tokio::test]
async fn what_is_no_longer_true_of_a_registry_costs_a_request_and_no_more() {
    let auth = Auth::Bearer(Bearer::new().user("alice", "canary"));
    let server = start(Server::builder().memory().auth(auth)).await;
    let bearer = |realm: String| KnownChallenge::Bearer {
        realm,
        service: None,
    };
    for known in [
        KnownChallenge::Open,
        KnownChallenge::Basic,
        // Nobody is there; it is somebody else's; it is no URL.
        bearer(format!("{}/gone", server.url())),
        bearer("https://elsewhere.example/token".to_owned()),
        bearer("nonsense".to_owned()),
    ] {
        server.log().clear();
        let alice = Credentials::password("alice", "canary");
        let profiles = MemoryProfiles::default();
        let host = host(&server.registry());
        let value = serde_json::to_string(&known).unwrap();
        profiles
            .keep(&host, vec![("challenge".to_owned(), value)])
            .await;
        let client = quick()
            .credentials(CredentialStore::new().with(server.registry(), alice))
            .profiles(profiles.clone())
            .build()
            .unwrap();
        let target = client.push_target(&repository(&server, "app"));
        let held = target.has_blob(&blob(1, 10).0).await.unwrap();
        assert_eq!(held, Presence::Absent);
        let lines = server.log().lines();
        assert!((3..=4).contains(&lines.len()), "{known:?}: {lines:#?}");
        client.close(PATIENCE).await;
        let profile = Profile::read(&profiles.load(&host).await);
        let bearer = |it: &Fact| matches!(it, Fact::Challenge(KnownChallenge::Bearer { .. }));
        assert!(profile.facts().any(|it| bearer(&it.fact)), "{profile:?}");
    }
}

/// Two robot accounts of one registry: each repository has its own token, and its own password.
#[tokio::test]
async fn r6_two_repositories_with_two_accounts_have_two_tokens() {
    let registry = Scripted::start(|head| {
        let sent = head.to_ascii_lowercase();
        let host = sent
            .split("host: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let basic = |user: &str| {
            use base64::prelude::BASE64_STANDARD;
            format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{user}:canary-{user}"))
            )
        };
        for (user, path) in [("one", "team/one"), ("two", "team/two")] {
            if head.starts_with("GET /token") && head.contains(&basic(user)) {
                return reply("200 OK", &format!(r#"{{"token": "token-{user}"}}"#));
            }
            if head.contains(path) && sent.contains(&format!("bearer token-{user}\r\n")) {
                return reply("404 Not Found", "");
            }
        }
        let challenge = format!(
            "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"{}://{host}/token\"",
            SET_UP.scheme()
        );
        reply(&challenge, "")
    })
    .await;
    let host = registry.registry();
    let entry = |user: &str| format!(r#"{{"username": "{user}", "password": "canary-{user}"}}"#);
    let config = format!(
        r#"{{"auths": {{"{host}/team/one": {}, "{host}/team/two": {}}}}}"#,
        entry("one"),
        entry("two"),
    );
    let config = DockerConfig::from_slice(config.as_bytes()).unwrap();
    let store = CredentialStore::new().with_docker_config(config);
    let client = quick().credentials(store).build().unwrap();
    for _ in 0..2 {
        for path in ["team/one", "team/two"] {
            let target = client.push_target(&registry.repository(path));
            let held = target.has_blob(&blob(1, 10).0).await.unwrap();
            assert_eq!(held, Presence::Absent, "{path}");
        }
    }
    // The challenge, a token each, and two questions each.
    assert_eq!(registry.lines().len(), 1 + 2 + 4, "{:#?}", registry.lines());
}
