//! Answers that are made up, late, broken off or wrong.

use std::time::{Duration, Instant};

use axum::http::header;
use longshore_server::{
    Action, Answer, Auth, Bearer, ChallengeForm, Endpoint, Latency, RangeFault, RetryAfter, Rule,
    Server,
};
use oci::{Digest, wire::Challenge};
use tokio::io::AsyncReadExt as _;

use super::{last_outcome, with};
use crate::client::{TestReg, with_digest};

#[tokio::test]
async fn too_many_requests_come_with_seconds_or_with_a_date() {
    let wait = Duration::from_secs(90);
    for when in [RetryAfter::Seconds(7), RetryAfter::DateIn(wait)] {
        let busy = Action::Answer(Answer::too_many_requests(when));
        let (reg, _) = with(Rule::on(Endpoint::Ping).nth(1), busy).await;
        let before = std::time::SystemTime::now();
        let reply = reg.get("/v2/").await;
        assert_eq!(
            (reply.status, reply.codes()[0].as_str()),
            (429, "TOOMANYREQUESTS")
        );
        let value = reply.header("retry-after");
        if when == RetryAfter::Seconds(7) {
            assert_eq!(value, "7");
        } else {
            let date = httpdate::parse_http_date(value).unwrap();
            let least = before + wait - Duration::from_secs(1);
            let most = std::time::SystemTime::now() + wait;
            assert!((least..=most).contains(&date), "{value}");
        }
        assert_eq!(reg.get("/v2/").await.status, 200);
    }
}

#[tokio::test]
async fn a_wait_is_drawn_between_its_bounds() {
    let latency = Latency {
        from: Duration::from_millis(60),
        to: Duration::from_millis(90),
        seed: 1,
    };
    let (reg, fault) = with(Rule::any(), Action::DelayWithin(latency)).await;
    let before = Instant::now();
    assert_eq!(reg.get("/v2/").await.status, 200);
    assert!(before.elapsed() >= Duration::from_millis(60));
    assert_eq!(fault.hits(), 1);
}

#[tokio::test]
async fn a_body_over_a_limit_is_refused_said_or_not() {
    let large = Answer::error(413, "SIZE_INVALID", "a proxy takes no more");
    let limit = Action::LimitBody(1000, large);
    let (reg, fault) = with(Rule::on(Endpoint::UploadPut), limit).await;
    for (length, status) in [(1000, 201), (1001, 413)] {
        let content = vec![u8::from(length > 1000); length];
        let digest = Digest::of(&content);
        let location = reg.open("app").await;
        let put = || {
            reg.ask("PUT", with_digest(&location, &digest))
                .body(&content)
        };
        let said = put().send().await;
        assert_eq!(said.status, status);
        if status == 413 {
            // Refused before a byte was read; and, unsaid, after one too many.
            assert_eq!(reg.get(&location).await.header("range"), "0-0");
            assert_eq!(put().chunked().send().await.status, 413);
        }
    }
    assert_eq!(fault.hits(), 3);
}

#[tokio::test]
async fn an_answer_is_reset_at_its_byte() {
    let action = Action::ResetAnswerAtByte(3000);
    let (reg, _) = with(Rule::on(Endpoint::BlobGet), action).await;
    let digest = reg.push("app", &vec![9; 100_000]).await;
    let ask = reg.ask("GET", format!("/v2/app/blobs/{digest}"));
    let mut stream = ask.begin(0).await;
    let mut raw = Vec::new();
    let error = stream.read_to_end(&mut raw).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(raw.len() <= 3000);
}

#[tokio::test]
async fn a_byte_of_a_body_is_another() {
    let content: Vec<u8> = (0..1_500_000_u32).map(|it| it.to_le_bytes()[0]).collect();
    for at in [0, 1_000_000, 1_499_999, 1_500_000] {
        let rule = Rule::on(Endpoint::BlobGet);
        let (reg, _) = with(rule, Action::WrongBodyByte(at)).await;
        let digest = reg.push("app", &content).await;
        let got = reg.get(format!("/v2/app/blobs/{digest}")).await;
        assert_eq!(got.status, 200);
        assert_eq!(got.header("docker-content-digest"), digest.to_string());
        let differ = content.iter().zip(&got.body).filter(|(a, b)| a != b);
        assert_eq!(got.body.len(), content.len());
        let expected = usize::from(at < 1_500_000);
        assert_eq!(differ.count(), expected, "{at}");
    }
}

#[tokio::test]
async fn a_success_has_another_status_and_a_refusal_its_own() {
    let rule = Rule::on(Endpoint::UploadPatch);
    let (reg, _) = with(rule, Action::Status(201)).await;
    let location = reg.open("app").await;
    let patch = async |range: &str| {
        let ask = reg.ask("PATCH", &location).header("content-range", range);
        ask.body(b"abc").send().await
    };
    let created = patch("0-2").await;
    assert_eq!((created.status, created.header("range")), (201, "0-2"));
    assert_eq!(patch("0-2").await.status, 416);
}

#[tokio::test]
async fn ranges_are_wrong_in_each_way() {
    for (fault, expected) in [
        (RangeFault::OneMore, Some("0-1000")),
        (RangeFault::OneLess, Some("0-998")),
        (RangeFault::Half, Some("0-499")),
        (RangeFault::AtMost(100), Some("0-99")),
        (RangeFault::AtMost(5000), Some("0-999")),
        (RangeFault::WithUnit, Some("bytes=0-999")),
        (RangeFault::Missing, None),
    ] {
        let rule = Rule::on(Endpoint::UploadStatus);
        let (reg, _) = with(rule, Action::Range(fault)).await;
        let location = reg.open("app").await;
        let patched = reg.ask("PATCH", &location).body(&[1; 1000]).send().await;
        assert_eq!(patched.header("range"), "0-999");
        let status = reg.get(&location).await;
        assert_eq!(
            (status.status, status.find("range")),
            (204, expected),
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn a_location_becomes_a_url_of_this_server() {
    let (reg, _) = with(Rule::any(), Action::AbsoluteLocation).await;
    let location = reg.open("app").await;
    let origin = format!("{}/v2/app/blobs/uploads/", reg.server.url());
    assert!(location.starts_with(&origin), "{location}");
}

#[tokio::test]
async fn every_fault_done_stands_in_the_log() {
    let (reg, _) = with(Rule::on(Endpoint::Ping).nth(2), Action::StallAtByte(9)).await;
    reg.server.faults().add(
        Rule::any()
            .nth(2)
            .act(Action::OmitHeader("etag".to_owned())),
    );
    reg.get("/v2/").await;
    reg.get("/v2/").await;
    let entries = reg.server.log().entries();
    assert_eq!(entries[0].faults, Vec::<String>::new());
    assert_eq!(entries[1].faults, ["stall-at-byte", "omit-header"]);
    assert_eq!(last_outcome(&reg), longshore_server::Outcome::Answered(200));
}

// === access ===

async fn guarded(action: Action) -> TestReg {
    let bearer = Bearer::new()
        .user("user", "password")
        .service("registry, \"here\"");
    let reg = TestReg::with(Server::builder().auth(Auth::Bearer(bearer))).await;
    reg.server.faults().add(Rule::any().act(action));
    reg
}

#[tokio::test]
async fn odd_challenges_mean_what_a_plain_one_does() {
    let plain = guarded(Action::Nothing).await;
    let asks = plain.get("/v2/app/tags/list").await;
    let scope_of = |it: &Challenge| match it {
        Challenge::Bearer { service, scope, .. } => Some((service.clone(), scope.clone())),
        _ => None,
    };
    let usual = Challenge::parse(asks.header("www-authenticate")).unwrap();
    let usual = scope_of(&usual[0]).unwrap();
    assert_eq!(usual.0.as_deref(), Some("registry, \"here\""));
    for form in [
        ChallengeForm::AfterAnother,
        ChallengeForm::TwoHeaders,
        ChallengeForm::UpperCase,
        ChallengeForm::ExtraParameters,
        ChallengeForm::Spaced,
    ] {
        let reg = guarded(Action::Challenge(form)).await;
        let reply = reg.get("/v2/app/tags/list").await;
        let headers = &reply.headers["www-authenticate"];
        assert_ne!(headers, &asks.headers["www-authenticate"], "{form:?}");
        let all: Vec<_> = headers
            .iter()
            .flat_map(|it| Challenge::parse(it).unwrap())
            .collect();
        let found: Vec<_> = all.iter().filter_map(scope_of).collect();
        assert_eq!(found, std::slice::from_ref(&usual), "{form:?}");
        let others = usize::from(matches!(
            form,
            ChallengeForm::AfterAnother | ChallengeForm::TwoHeaders
        ));
        assert_eq!(all.len(), 1 + others);
    }
}

#[tokio::test]
async fn challenges_lack_a_part() {
    for (form, has, lacks) in [
        (ChallengeForm::NoScope, "realm=", "scope="),
        (ChallengeForm::NoService, "realm=", "service="),
        (ChallengeForm::NoRealm, "scope=", "realm="),
        (ChallengeForm::Garbage, "=,", "Bearer"),
    ] {
        let reg = guarded(Action::Challenge(form)).await;
        let reply = reg.get("/v2/app/tags/list").await;
        let text = reply.header("www-authenticate");
        assert!(
            text.contains(has) && !text.contains(lacks),
            "{form:?}: {text}"
        );
    }
    let reg = guarded(Action::Challenge(ChallengeForm::Missing)).await;
    let reply = reg.get("/v2/app/tags/list").await;
    assert_eq!((reply.status, reply.find("www-authenticate")), (401, None));
}

#[tokio::test]
async fn a_token_is_worthless_from_the_start() {
    let reg = guarded(Action::Nothing).await;
    let action = Action::Answer(Answer::worthless_token(300));
    reg.server
        .faults()
        .add(Rule::on(Endpoint::Token).nth(1).act(action));
    let token = async || {
        let reply = reg
            .ask("GET", "/token?service=registry&scope=repository:app:pull")
            .header(header::AUTHORIZATION.as_str(), "Basic dXNlcjpwYXNzd29yZA==")
            .send()
            .await;
        assert_eq!(reply.json()["expires_in"], 300);
        reply.json()["token"].as_str().unwrap().to_owned()
    };
    let list = async |token: &str| {
        let ask = reg.ask("GET", "/v2/app/tags/list");
        let ask = ask.header("authorization", format!("Bearer {token}"));
        ask.send().await.status
    };
    assert_eq!(list(&token().await).await, 401);
    assert_eq!(
        list(&token().await).await,
        404,
        "a good one: there is no such repository"
    );
}
