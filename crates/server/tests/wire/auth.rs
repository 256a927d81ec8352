//! Who may do what.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use longshore_server::{Auth, Authorization, Bearer, Endpoint, Server};
use oci::wire::{Action, Challenge};

use crate::client::{Reply, TestReg};

const PASSWORD: &str = "correct horse";

pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn bearer(settings: Bearer) -> TestReg {
    let settings = settings.user("ann", PASSWORD);
    TestReg::with(Server::builder().auth(Auth::Bearer(settings))).await
}

fn challenge(reply: &Reply) -> (String, Option<String>) {
    assert_eq!(reply.status, 401);
    assert_eq!(reply.codes(), ["UNAUTHORIZED"]);
    let parsed = Challenge::parse(reply.header("www-authenticate")).unwrap();
    match parsed.as_slice() {
        [Challenge::Bearer { scope, error, .. }] => (scope.to_string(), error.clone()),
        other => panic!("{other:?}"),
    }
}

async fn token(reg: &TestReg, scopes: &[&str], credentials: Option<&str>) -> Reply {
    let scopes = scopes.join("&scope=");
    let mut ask = reg.ask("GET", format!("/token?service=longshore&scope={scopes}"));
    if let Some(credentials) = credentials {
        ask = ask.header("authorization", credentials);
    }
    ask.send().await
}

async fn with_token(reg: &TestReg, scopes: &[&str], method: &str, target: &str) -> Reply {
    let reply = token(reg, scopes, Some(&basic("ann", PASSWORD))).await;
    assert_eq!(reply.status, 200);
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let ask = reg.ask(method, target);
    ask.header("authorization", format!("Bearer {token}"))
        .send()
        .await
}

#[tokio::test]
async fn basic_wants_name_and_password() {
    let builder = Server::builder().auth(Auth::basic("ann", PASSWORD));
    let reg = TestReg::with(builder).await;
    let none = reg.get("/v2/").await;
    assert_eq!(none.status, 401);
    assert_eq!(none.header("www-authenticate"), "Basic realm=\"longshore\"");
    for (user, password, status) in [
        ("ann", PASSWORD, 200),
        ("ann", "wrong", 401),
        ("bob", PASSWORD, 401),
        ("", "", 401),
    ] {
        let ask = reg.ask("GET", "/v2/");
        let ask = ask.header("authorization", basic(user, password));
        assert_eq!(ask.send().await.status, status, "{user}:{password}");
    }
    let kinds: Vec<_> = reg.server.log().entries();
    assert_eq!(kinds[0].headers.authorization, Authorization::None);
    assert_eq!(kinds[1].headers.authorization, Authorization::Basic);
}

#[tokio::test]
async fn a_challenge_names_the_scope_that_is_needed() {
    let reg = bearer(Bearer::new()).await;
    let digest = oci::Digest::of(b"x");
    for (method, target, scope) in [
        ("GET", "/v2/".to_owned(), ""),
        ("GET", "/v2/a/b/tags/list".to_owned(), "repository:a/b:pull"),
        ("HEAD", format!("/v2/a/blobs/{digest}"), "repository:a:pull"),
        (
            "PUT",
            "/v2/a/manifests/x".to_owned(),
            "repository:a:pull,push",
        ),
        (
            "POST",
            "/v2/a/blobs/uploads/".to_owned(),
            "repository:a:pull,push",
        ),
        (
            "DELETE",
            "/v2/a/manifests/x".to_owned(),
            "repository:a:delete",
        ),
        (
            "POST",
            format!("/v2/a/blobs/uploads/?mount={digest}&from=b"),
            "repository:a:pull,push repository:b:pull",
        ),
        ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*"),
    ] {
        if method == "HEAD" {
            assert_eq!(reg.head(&target).await.status, 401);
            continue;
        }
        let reply = reg.ask(method, &target).send().await;
        assert_eq!(challenge(&reply), (scope.to_owned(), None), "{target}");
        let realm = format!("realm=\"{}/token\"", reg.server.url());
        assert!(reply.header("www-authenticate").contains(&realm));
    }
}

#[tokio::test]
async fn a_token_opens_what_it_was_asked_for_and_nothing_else() {
    let reg = bearer(Bearer::new()).await;
    let push = ["repository:a:pull,push"];
    let open = "/v2/a/blobs/uploads/";
    assert_eq!(with_token(&reg, &push, "POST", open).await.status, 202);
    let elsewhere = with_token(&reg, &push, "POST", "/v2/b/blobs/uploads/").await;
    let wanted = "repository:b:pull,push".to_owned();
    assert_eq!(
        challenge(&elsewhere),
        (wanted, Some("insufficient_scope".to_owned()))
    );
    let pull = with_token(&reg, &["repository:a:pull"], "POST", open).await;
    assert_eq!(pull.status, 401);
    assert_eq!(reg.server.log().calls(Endpoint::Token), 3);
}

#[tokio::test]
async fn a_mount_needs_to_read_its_source() {
    let reg = bearer(Bearer::new()).await;
    let mount = format!(
        "/v2/a/blobs/uploads/?mount={}&from=b",
        oci::Digest::of(b"x")
    );
    reg.server.log().clear();
    let pull = ["repository:a:pull"];
    let short = with_token(&reg, &pull, "POST", &mount).await;
    let wanted = "repository:a:pull,push repository:b:pull".to_owned();
    assert_eq!(
        challenge(&short),
        (wanted, Some("insufficient_scope".to_owned()))
    );
    let own = ["repository:a:pull,push"];
    assert_eq!(with_token(&reg, &own, "POST", &mount).await.status, 202);
    let both = ["repository:a:pull,push", "repository:b:pull"];
    assert_eq!(with_token(&reg, &both, "POST", &mount).await.status, 202);
}

/// Where no source is named, what may be found is what may be read.
#[tokio::test]
async fn a_mount_without_a_source_finds_only_what_may_be_read() {
    let reg = bearer(Bearer::new()).await;
    let digest = oci::Digest::of(b"x");
    let push = format!("/v2/secret/blobs/uploads/?digest={digest}");
    let reply = token(
        &reg,
        &["repository:secret:pull,push"],
        Some(&basic("ann", PASSWORD)),
    )
    .await;
    let secret = reply.json()["token"].as_str().unwrap().to_owned();
    let ask = reg.ask("POST", push).body(b"x");
    let ask = ask.header("authorization", format!("Bearer {secret}"));
    assert_eq!(ask.send().await.status, 201);

    let mount = format!("/v2/a/blobs/uploads/?mount={digest}");
    let own = ["repository:a:pull,push"];
    assert_eq!(with_token(&reg, &own, "POST", &mount).await.status, 202);
    let both = ["repository:a:pull,push", "repository:secret:pull"];
    assert_eq!(with_token(&reg, &both, "POST", &mount).await.status, 201);
}

#[tokio::test]
async fn what_is_denied_is_left_out_of_the_token_without_an_error() {
    let reg = bearer(Bearer::new().deny(Action::Push)).await;
    let open = "/v2/a/blobs/uploads/";
    let asked = ["repository:a:pull,push"];
    let reply = with_token(&reg, &asked, "POST", open).await;
    assert_eq!(challenge(&reply).1.as_deref(), Some("insufficient_scope"));
    let read = with_token(&reg, &asked, "GET", "/v2/a/tags/list").await;
    assert_eq!(read.status, 404);

    let reg = bearer(Bearer::new().deny_in("b", Action::Pull)).await;
    let both = ["repository:a:pull", "repository:b:pull"];
    let a = with_token(&reg, &both, "GET", "/v2/a/tags/list").await;
    let b = with_token(&reg, &both, "GET", "/v2/b/tags/list").await;
    assert_eq!((a.status, b.status), (404, 401));
}

#[tokio::test]
async fn anonymous_clients_get_what_is_allowed_to_them() {
    let reg = bearer(Bearer::new().anonymous(Action::Pull)).await;
    let reply = token(&reg, &["repository:a:pull,push"], None).await;
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let ask = async |method: &str, target: &str| {
        let ask = reg.ask(method, target);
        let ask = ask.header("authorization", format!("Bearer {token}"));
        ask.send().await.status
    };
    assert_eq!(ask("GET", "/v2/a/tags/list").await, 404);
    assert_eq!(ask("POST", "/v2/a/blobs/uploads/").await, 401);
}

#[tokio::test]
async fn wrong_credentials_get_no_token() {
    let reg = bearer(Bearer::new().anonymous(Action::Pull)).await;
    let wrong = basic("ann", "wrong");
    assert_eq!(token(&reg, &[], Some(&wrong)).await.status, 401);
}

#[tokio::test]
async fn tokens_end() {
    let settings = Bearer::new().valid_for(Duration::ZERO);
    let reg = bearer(settings.announcing(Some(Duration::from_mins(1)))).await;
    let reply = token(&reg, &[], Some(&basic("ann", PASSWORD))).await;
    assert_eq!(reply.json()["expires_in"], 60);
    let late = with_token(&reg, &["repository:a:pull"], "GET", "/v2/a/tags/list").await;
    assert_eq!(challenge(&late).1.as_deref(), Some("invalid_token"));
}

#[tokio::test]
async fn tokens_are_revoked() {
    let reg = bearer(Bearer::new().announcing(None)).await;
    let scopes = ["repository:a:pull"];
    let reply = token(&reg, &scopes, Some(&basic("ann", PASSWORD))).await;
    assert!(reply.json().get("expires_in").is_none());
    let token = reply.json()["token"].as_str().unwrap().to_owned();
    let ask = async || {
        let ask = reg.ask("GET", "/v2/a/tags/list");
        let ask = ask.header("authorization", format!("Bearer {token}"));
        ask.send().await
    };
    assert_eq!(ask().await.status, 404);
    reg.server.revoke_tokens();
    assert_eq!(challenge(&ask().await).1.as_deref(), Some("invalid_token"));
}

/// One user's upload session is not there for another.
#[tokio::test]
async fn a_session_belongs_to_who_opened_it() {
    let settings = Bearer::new().user("bob", "other");
    let reg = bearer(settings).await;
    let scopes = ["repository:a:pull,push"];
    let opened = with_token(&reg, &scopes, "POST", "/v2/a/blobs/uploads/").await;
    let location = opened.header("location").to_owned();
    let reply = token(&reg, &scopes, Some(&basic("bob", "other"))).await;
    let bob = reply.json()["token"].as_str().unwrap().to_owned();
    let ask = reg.ask("GET", &location);
    let ask = ask.header("authorization", format!("Bearer {bob}"));
    assert_eq!(ask.send().await.status, 404);
    let own = with_token(&reg, &scopes, "GET", &location).await;
    assert_eq!(own.status, 204);
}
