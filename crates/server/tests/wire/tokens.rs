//! The token service: both flows, refresh tokens, and what a form may hold.

use std::time::Duration;

use longshore_server::{Auth, Bearer, Endpoint, Grant, Rules, Server, Who};
use oci::wire::{Action, Challenge};
use serde_json::Value;

use crate::{
    auth::basic,
    client::{Reply, TestReg},
};

const PASSWORD: &str = "correct & horse+";

async fn registry(settings: Bearer) -> TestReg {
    let rules = Rules::new().grant(
        Grant::on("team/*".parse().unwrap())
            .to(Who::User("ann".into()))
            .push(),
    );
    let settings = settings.user("ann", PASSWORD).user("bob", "other");
    let builder = Server::builder().auth(Auth::Bearer(settings));
    TestReg::with(builder.rules(rules)).await
}

async fn post(reg: &TestReg, form: &str) -> Reply {
    let ask = reg.ask("POST", "/token");
    ask.header("content-type", "application/x-www-form-urlencoded")
        .body(form.as_bytes())
        .send()
        .await
}

const LOGIN: &str = "grant_type=password&service=longshore&client_id=test&username=ann\
                     &password=correct+%26+horse%2B";

async fn refresh_token(reg: &TestReg) -> String {
    let reply = post(reg, &format!("{LOGIN}&access_type=offline")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["refresh_token"].as_str().unwrap().to_owned()
}

async fn opens(reg: &TestReg, reply: &Reply, method: &str, target: &str) -> u16 {
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let ask = reg.ask(method, target);
    let ask = ask.header("authorization", format!("Bearer {token}"));
    ask.send().await.status
}

#[tokio::test]
async fn a_password_in_a_form_gets_a_token_for_what_the_rules_give() {
    let reg = registry(Bearer::new().valid_for(Duration::from_mins(2))).await;
    let scopes = "&scope=repository%3Ateam%2Fapp%3Apull%2Cpush%2Cdelete+repository:other:pull";
    let reply = post(&reg, &format!("{LOGIN}{scopes}")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("cache-control"), "no-store");
    let body = reply.json();
    assert_eq!(body["scope"], "repository:team/app:pull,push");
    assert_eq!(body["expires_in"], 120);
    assert_eq!(body["token"], body["access_token"]);
    assert_eq!(body.get("refresh_token"), None);
    assert_eq!(
        opens(&reg, &reply, "POST", "/v2/team/app/blobs/uploads/").await,
        202
    );
    assert_eq!(
        opens(&reg, &reply, "DELETE", "/v2/team/app/manifests/x").await,
        401
    );
    assert_eq!(opens(&reg, &reply, "GET", "/v2/other/tags/list").await, 401);
}

/// Each user's token holds what the rules give that user, whichever way it was asked for.
#[tokio::test]
async fn a_scope_is_cut_to_what_its_user_may() {
    let reg = registry(Bearer::new()).await;
    for (credentials, granted) in [
        (
            Some(basic("ann", PASSWORD)),
            "repository:team/app:pull,push",
        ),
        (Some(basic("bob", "other")), ""),
        (None, ""),
    ] {
        for asked in ["*", "pull,push,delete", "pull,push,delete,*,paint"] {
            let target = format!(
                "/token?scope=repository:team/app:{asked}&scope=repository:team/app/deep:pull\
                 &scope=repository(plugin):team/app:pull&scope=registry:other:*"
            );
            let mut ask = reg.ask("GET", target);
            if let Some(credentials) = &credentials {
                ask = ask.header("authorization", credentials);
            }
            let reply = ask.send().await;
            assert_eq!(reply.json()["scope"], granted, "{asked}");
        }
    }
}

#[tokio::test]
async fn a_refresh_token_gets_tokens_without_the_password() {
    let reg = registry(Bearer::new()).await;
    let refresh = refresh_token(&reg).await;
    let form = format!("grant_type=refresh_token&service=longshore&refresh_token={refresh}");
    for _ in 0..3 {
        let reply = post(&reg, &format!("{form}&scope=repository:team/app:pull")).await;
        assert_eq!(reply.json()["scope"], "repository:team/app:pull");
        assert_eq!(reply.json().get("refresh_token"), None);
        assert_eq!(
            opens(&reg, &reply, "GET", "/v2/team/app/tags/list").await,
            404
        );
    }
    let again = post(&reg, &format!("{form}&access_type=offline")).await;
    assert_eq!(again.json()["refresh_token"], Value::from(refresh.clone()));
    // It is no access token, and no password.
    let ask = reg.ask("GET", "/v2/");
    let as_token = ask.header("authorization", format!("Bearer {refresh}"));
    assert_eq!(as_token.send().await.status, 401);
    let ask = reg.ask("GET", "/token");
    let as_password = ask.header("authorization", basic("ann", &refresh));
    assert_eq!(as_password.send().await.status, 401);
}

/// A client that was given one in a password's place could not log in after a restart.
#[tokio::test]
async fn nobody_gets_a_refresh_token_without_asking_for_one() {
    let reg = registry(Bearer::new()).await;
    let ask = reg.ask("GET", "/token?service=longshore&offline_token=true");
    let reply = ask
        .header("authorization", basic("ann", PASSWORD))
        .send()
        .await;
    assert_eq!(
        (reply.status, reply.json().get("refresh_token")),
        (200, None)
    );
    let reply = post(&reg, &format!("{LOGIN}&access_type=online")).await;
    assert_eq!(
        (reply.status, reply.json().get("refresh_token")),
        (200, None)
    );
}

#[tokio::test]
async fn refresh_tokens_end_and_are_revoked() {
    let redeem = async |reg: &TestReg, refresh: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={refresh}");
        post(reg, &form).await.status
    };
    let reg = registry(Bearer::new().refresh_valid_for(Duration::ZERO)).await;
    let refresh = refresh_token(&reg).await;
    assert_eq!(redeem(&reg, &refresh).await, 401);

    let reg = registry(Bearer::new()).await;
    let (one, two) = (refresh_token(&reg).await, refresh_token(&reg).await);
    assert_ne!(one, two);
    reg.server.revoke_tokens_of("bob");
    assert_eq!(redeem(&reg, &one).await, 200);
    let access = post(&reg, &format!("{LOGIN}&scope=repository:team/app:pull")).await;
    assert_eq!(
        opens(&reg, &access, "GET", "/v2/team/app/tags/list").await,
        404
    );
    reg.server.revoke_tokens_of("ann");
    assert_eq!(
        (redeem(&reg, &one).await, redeem(&reg, &two).await),
        (401, 401)
    );
    assert_eq!(
        opens(&reg, &access, "GET", "/v2/team/app/tags/list").await,
        401
    );
}

#[tokio::test]
async fn a_form_that_is_wrong_is_refused_with_what_is_wrong() {
    let reg = registry(Bearer::new()).await;
    for (form, status, told) in [
        ("", 400, "no grant_type"),
        ("grant_type=code", 400, "neither password nor refresh_token"),
        ("grant_type=password&username=ann", 400, "no password"),
        (
            "grant_type=password&username=ann&password=wrong",
            401,
            "is wrong",
        ),
        (
            "grant_type=password&username=eve&password=wrong",
            401,
            "is wrong",
        ),
        ("grant_type=refresh_token", 400, "no refresh_token"),
        (
            "grant_type=refresh_token&refresh_token=x",
            401,
            "not known any more",
        ),
    ] {
        let reply = post(&reg, form).await;
        assert_eq!(reply.status, status, "{form}");
        let message = reply.json()["errors"][0]["message"].clone();
        assert!(message.as_str().unwrap().contains(told), "{message}");
    }
    let scope = post(&reg, &format!("{LOGIN}&scope=nonsense")).await;
    assert_eq!(scope.status, 400);
    let ask = reg
        .ask("POST", "/token")
        .header("content-type", "application/json");
    assert_eq!(ask.body(LOGIN.as_bytes()).send().await.status, 400);
    let long = format!("{LOGIN}&padding={}", "x".repeat(64 * 1024));
    assert_eq!(post(&reg, &long).await.status, 413);
    assert_eq!(reg.ask("DELETE", "/token").send().await.status, 405);
    assert_eq!(reg.server.log().calls(Endpoint::Token), 11);
}

#[tokio::test]
async fn a_registry_without_tokens_has_no_token_service() {
    let reg = TestReg::with(Server::builder().auth(Auth::basic("ann", PASSWORD))).await;
    assert_eq!(reg.get("/token").await.status, 404);
    assert_eq!(post(&reg, LOGIN).await.status, 404);
}

/// Where the service is follows from how the client reached the registry, or is as configured.
#[tokio::test]
async fn the_realm_is_where_the_client_came_or_what_was_said() {
    let realm = async |reg: &TestReg, host: &str| {
        let reply = reg.ask("GET", "/v2/").header("host", host).send().await;
        let parsed = Challenge::parse(reply.header("www-authenticate")).unwrap();
        match &parsed[0] {
            Challenge::Bearer { realm, .. } => realm.clone(),
            other => panic!("{other:?}"),
        }
    };
    let reg = registry(Bearer::new()).await;
    assert_eq!(realm(&reg, "r.test:5000").await, "http://r.test:5000/token");
    let url = "https://registry.example.com/token";
    let reg = registry(Bearer::new().realm(url)).await;
    assert_eq!(realm(&reg, "r.test:5000").await, url);
}

/// A token holds what was granted when it was issued, and `anonymous` adds to the rules.
#[tokio::test]
async fn anonymous_reading_adds_to_the_rules() {
    let reg = registry(Bearer::new().anonymous(Action::Pull)).await;
    let reply = reg.get("/token?scope=repository:any/where:pull,push").await;
    assert_eq!(reply.json()["scope"], "repository:any/where:pull");
}
