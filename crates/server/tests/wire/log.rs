//! The request log: complete, in order, and secrets told from their absence.

use std::num::NonZeroUsize;

use longshore_server::{Authorization, Endpoint, Outcome, Server};
use oci::Digest;

use crate::client::TestReg;

#[tokio::test]
async fn an_entry_is_complete_when_the_client_has_the_answer() {
    let reg = TestReg::new().await;
    for n in 0..200_u32 {
        let content = vec![7; 1 + n as usize * 3000];
        let digest = reg.push("app", &content).await;
        reg.get(format!("/v2/app/blobs/{digest}")).await;
        let entries = reg.server.log().entries();
        let last = entries.last().unwrap();
        assert_eq!(last.outcome, Outcome::Answered(200));
        assert!(last.ended.is_some(), "{last:?}");
        let put = &entries[entries.len() - 2];
        assert_eq!(put.body_length, content.len() as u64);
        assert!(put.ended.unwrap() <= last.started);
    }
}

#[tokio::test]
async fn an_entry_says_what_was_asked() {
    let reg = TestReg::new().await;
    let location = reg.open("team/app").await;
    reg.ask("PATCH", &location)
        .header("content-range", "0-2")
        .header("content-type", "application/octet-stream")
        .header("user-agent", "test/1")
        .header("authorization", "Bearer canary-1")
        .body(b"abc")
        .send()
        .await;
    let entries = reg.server.log().entries();
    let it = &entries[1];
    assert_eq!((it.number, it.connection), (1, 1));
    assert_eq!(it.endpoint, Endpoint::UploadPatch);
    assert_eq!(it.method, "PATCH");
    assert_eq!(it.path, location);
    assert_eq!(it.query, None);
    assert_eq!((it.body_length, it.blob_bytes), (3, 3));
    assert_eq!(it.headers.content_length, Some(3));
    assert_eq!(it.headers.content_range.as_deref(), Some("0-2"));
    let octets = "application/octet-stream";
    assert_eq!(it.headers.content_type.as_deref(), Some(octets));
    assert_eq!(it.headers.user_agent.as_deref(), Some("test/1"));
    let address = reg.server.addr().to_string();
    assert_eq!(it.headers.host, Some(address));
    assert_eq!(it.headers.authorization, Authorization::Bearer);
    // The secret itself is nowhere in what can be printed.
    assert!(!format!("{entries:?}").contains("canary-1"));
}

#[tokio::test]
async fn secrets_are_seen_where_they_were_sent() {
    let reg = TestReg::new().await;
    // "user:canary-basic"
    let basic = "Basic dXNlcjpjYW5hcnktYmFzaWM=";
    reg.ask("GET", "/v2/?x=canary-query")
        .header("authorization", basic)
        .header("x-other", "canary-header")
        .send()
        .await;
    let log = reg.server.log();
    for seen in ["canary-query", "canary-basic", "canary-header"] {
        assert!(log.saw_secret(seen), "{seen}");
    }
    assert!(!log.saw_secret("canary-never"));
    log.clear();
    assert!(!log.saw_secret("canary-basic"));
}

/// A canary test must not pass because the evidence is gone.
#[tokio::test]
async fn without_headers_kept_every_secret_may_have_been_seen() {
    let reg = TestReg::with(Server::builder().keep_headers(false)).await;
    assert!(!reg.server.log().saw_secret("canary"));
    reg.get("/v2/").await;
    assert!(reg.server.log().saw_secret("canary"));
}

#[tokio::test]
async fn sessions_are_numbered_in_the_order_they_are_first_seen() {
    let reg = TestReg::new().await;
    let first = reg.open("a").await;
    let second = reg.open("b").await;
    reg.server.log().clear();
    let digest = Digest::of(b"x");
    reg.get(&second).await;
    reg.put_blob(&first, &digest, b"x").await;
    reg.get(&second).await;
    let escaped = digest.to_string().replace(':', "%3A");
    reg.get(format!("{first}?x={escaped}")).await;
    assert_eq!(
        reg.lines(),
        [
            "GET /v2/b/blobs/uploads/<1> → 204".to_owned(),
            format!("PUT /v2/a/blobs/uploads/<2>?digest={digest} → 201"),
            "GET /v2/b/blobs/uploads/<1> → 204".to_owned(),
            format!("GET /v2/a/blobs/uploads/<2>?x={digest} → 404"),
        ],
    );
}

#[tokio::test]
async fn depth_counts_answers_that_were_waited_for() {
    let reg = TestReg::new().await;
    assert_eq!(reg.server.log().depth(), 0);
    reg.get("/v2/").await;
    let (one, two, three) = (reg.get("/v2/"), reg.get("/v2/"), reg.get("/v2/"));
    let slow = longshore_server::Action::DelayAnswer(std::time::Duration::from_secs(2));
    let rule = longshore_server::Rule::any();
    let delayed = reg.server.faults().add(rule.act(slow));
    tokio::join!(one, two, three);
    delayed.remove();
    reg.get("/v2/").await;
    assert_eq!(reg.server.log().depth(), 3);
    assert_eq!(reg.server.log().peak_in_flight(), 3);
    assert_eq!(reg.server.log().requests(), 5);
}

#[tokio::test]
async fn the_log_has_an_end_and_the_totals_do_not() {
    let entries = NonZeroUsize::new(3).unwrap();
    let reg = TestReg::with(Server::builder().log_entries(entries)).await;
    for n in 0..5 {
        reg.get(format!("/v2/?n={n}")).await;
    }
    assert_eq!(
        reg.server.log().lines(),
        [
            "GET /v2/?n=2 → 200",
            "GET /v2/?n=3 → 200",
            "GET /v2/?n=4 → 200"
        ]
    );
    assert_eq!(reg.server.log().requests(), 5);
    assert_eq!(reg.server.log().by_method()["GET"], 5);
    assert_eq!(reg.server.log().connections(), 3);
}
