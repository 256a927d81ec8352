//! Requests and answers, without a service.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::*;

fn scopes(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

fn parse(body: &str) -> Result<Token, &'static str> {
    issued(body).map(|it| it.token)
}

fn issued(body: &str) -> Result<Issued, &'static str> {
    Token::parse(
        body.as_bytes(),
        scopes("repository:a:pull"),
        Instant::now(),
        1,
    )
}

#[tokio::test(start_paused = true)]
async fn a_token_is_good_for_as_long_as_it_says_and_at_least_a_minute() {
    let cases = [
        (r#"{"token": "t"}"#, 60),
        (r#"{"token": "t", "expires_in": 5}"#, 60),
        (r#"{"token": "t", "expires_in": 300}"#, 300),
        (r#"{"access_token": "t", "expires_in": 3600.5}"#, 3600),
        (r#"{"token": "t", "expires_in": -1}"#, 60),
        (r#"{"token": "t", "expires_in": "3599"}"#, 3599),
        (r#"{"token": "t", "expires_in": "soon"}"#, 60),
        (r#"{"token": "t", "expires_in": "NaN"}"#, 60),
        (r#"{"token": "t", "expires_in": null}"#, 60),
        (r#"{"token": "t", "expires_in": {"s": 300}}"#, 60),
        (r#"{"token": "t", "expires_in": 1e300}"#, 60),
    ];
    for (body, seconds) in cases {
        let token = parse(body).unwrap();
        let end = Instant::now() + Duration::from_secs(seconds);
        let margin = Duration::from_secs((seconds / 10).min(30) + 1);
        assert!(
            token.lasts(end - margin - Duration::from_secs(1), Duration::ZERO),
            "{body}"
        );
        assert!(
            !token.lasts(end - Duration::from_secs(1), Duration::ZERO),
            "{body}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_life_still_leaves_room_for_a_body() {
    let token = parse(r#"{"token": "t", "expires_in": 60}"#).unwrap();
    assert!(token.lasts(Instant::now(), Duration::from_mins(2)));
    let long = parse(r#"{"token": "t", "expires_in": 600}"#).unwrap();
    let late = Instant::now() + Duration::from_secs(500);
    assert!(!long.lasts(late, Duration::from_mins(2)));
}

#[test]
fn access_token_wins_and_nonsense_is_an_error() {
    let tokens = parse(r#"{"token": "one", "access_token": "two"}"#).unwrap();
    assert_eq!(tokens.header, "Bearer two");
    assert_eq!(parse("{}").unwrap_err(), "it holds no token");
    assert_eq!(parse(r#"{"token": ""}"#).unwrap_err(), "it holds no token");
    assert!(parse("<html>").is_err());
    assert!(parse(r#"{"token": "a\nb"}"#).is_err());
}

#[test]
fn what_was_granted_is_known_where_the_answer_or_the_token_says_so() {
    let granted = |body: &str| parse(body).unwrap().granted.map(|it| it.to_string());
    let claims = r#"{"access":[{"type":"repository","name":"a","actions":["pull"]}]}"#;
    let jwt = format!("e30.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims));
    let cases = [
        (r#"{"token": "opaque"}"#.to_owned(), None),
        (
            format!(r#"{{"token": "{jwt}"}}"#),
            Some("repository:a:pull"),
        ),
        (
            format!(r#"{{"access_token": "{jwt}", "scope": "repository:a:pull,push"}}"#),
            Some("repository:a:pull,push"),
        ),
        (
            format!(r#"{{"token": "{jwt}", "scope": ""}}"#),
            Some("repository:a:pull"),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(granted(&body).as_deref(), expected, "{body}");
    }
    let issued = issued(r#"{"token": "t", "refresh_token": "next"}"#).unwrap();
    assert!(
        issued
            .refresh
            .is_some_and(|it| it.expose_secret() == "next")
    );
}

#[test]
fn a_token_is_not_shown() {
    let token = parse(r#"{"token": "canary"}"#).unwrap();
    let shown = format!("{token:?} {:?}", token.header);
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn the_get_flow_asks_for_all_scopes_at_once_the_destination_first() {
    let realm = Url::parse("https://auth.test/token?tenant=x").unwrap();
    let asked = scopes("repository:app:pull,push repository:team/base:pull");
    let it = request(&realm, Some("reg.test"), &asked, None);
    assert_eq!(it.method, Method::GET);
    assert_eq!(
        it.url.query(),
        Some(
            "tenant=x&service=reg.test&scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Ateam%2Fbase%3Apull"
        ),
    );
    assert!(it.headers.is_empty());

    let user = Credentials::password("user", "pass");
    let it = request(&realm, None, &asked, Some(&user));
    assert_eq!(it.headers[AUTHORIZATION], "Basic dXNlcjpwYXNz");
}

#[test]
fn a_refresh_token_is_exchanged_by_post() {
    let realm = Url::parse("https://auth.test/token").unwrap();
    let asked = scopes("repository:app:pull,push repository:base:pull");
    let refresh = Credentials::identity("a+b");
    let by_get = request(&realm, None, &asked, Some(&refresh));
    assert_eq!(by_get.headers[AUTHORIZATION], "Basic PHRva2VuPjphK2I=");
    let Credentials::Identity(refresh) = refresh else {
        unreachable!()
    };
    let it = exchange(&realm, Some("reg"), &asked, &refresh);
    assert_eq!(
        (it.method, it.url.as_str()),
        (Method::POST, "https://auth.test/token")
    );
    assert_eq!(
        it.body,
        "grant_type=refresh_token&service=reg&client_id=longshore\
         &scope=repository%3Aapp%3Apull%2Cpush+repository%3Abase%3Apull&refresh_token=a%2Bb",
    );
    assert!(it.headers.get(AUTHORIZATION).is_none());
}
