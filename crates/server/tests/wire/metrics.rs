//! `/metrics`, as a monitoring system reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use longshore_server::{Auth, Bearer, Server};
use oci::Digest;

use crate::client::{Reply, TestReg, with_digest};

/// Samples by their name and labels.
type Samples = BTreeMap<String, f64>;

/// Reads `OpenMetrics` text as its grammar has it; what breaks a rule of it fails the test.
fn samples(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    let body = text
        .strip_suffix("# EOF\n")
        .expect("it ends with its end mark");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name) = (words.next().unwrap(), words.next().unwrap());
            let value = words.next().expect("a value");
            if family != name {
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                name.clone_into(&mut family);
            }
            match word {
                "TYPE" => value.clone_into(&mut kind),
                "UNIT" => assert!(name.ends_with(&format!("_{value}")), "{line}"),
                "HELP" => assert!(!value.is_empty()),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (key, value) = line.rsplit_once(' ').expect("a sample has a value");
        let name = key.split('{').next().unwrap();
        let suffixes: &[&str] = match kind.as_str() {
            "counter" => &["_total", "_created"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => panic!("{kind}"),
        };
        let suffix = name.strip_prefix(&family).expect("its family's name");
        assert!(suffixes.contains(&suffix), "{line} is no {kind}");
        let value: f64 = value.parse().unwrap();
        let known = samples.insert(key.to_owned(), value);
        assert_eq!(known, None, "{key} comes twice");
    }
    samples
}

/// What the requests of the next test come to.
const EXPECTED: &[(&str, u64)] = &[
    (
        r#"requests_total{method="POST",endpoint="upload-post",status="202"}"#,
        4,
    ),
    (
        r#"requests_total{method="PUT",endpoint="upload-put",status="201"}"#,
        3,
    ),
    (
        r#"requests_total{method="PUT",endpoint="upload-put",status="400"}"#,
        1,
    ),
    (
        r#"requests_total{method="POST",endpoint="mount",status="201"}"#,
        1,
    ),
    (
        r#"requests_total{method="GET",endpoint="blob-get",status="200"}"#,
        1,
    ),
    (
        r#"requests_total{method="HEAD",endpoint="blob-head",status="200"}"#,
        1,
    ),
    (
        r#"requests_total{method="GET",endpoint="manifest-get",status="404"}"#,
        1,
    ),
    (r#"received_body_bytes_total{endpoint="upload-put"}"#, 24),
    (r#"sent_body_bytes_total{endpoint="blob-get"}"#, 7),
    (r#"sent_body_bytes_total{endpoint="blob-head"}"#, 0),
    (
        r#"request_duration_seconds_count{endpoint="upload-put"}"#,
        4,
    ),
    (
        r#"request_duration_seconds_bucket{le="+Inf",endpoint="upload-put"}"#,
        4,
    ),
    (r#"blobs_total{how="uploaded"}"#, 2),
    (r#"blobs_total{how="deduplicated"}"#, 1),
    (r#"blobs_total{how="mounted"}"#, 1),
    (r#"refusals_total{cause="invalid"}"#, 1),
    ("upload_sessions", 1),
    ("requests_in_flight", 1),
    ("access_log_dropped_lines_total", 0),
];

async fn scrape(reg: &TestReg) -> Samples {
    let reply = reg.get("/metrics").await;
    assert_eq!(reply.status, 200);
    samples(std::str::from_utf8(&reply.body).unwrap())
}

/// A sample that is a whole number.
fn at(samples: &Samples, key: &str) -> u64 {
    let sample = samples.get(key);
    let sample = sample.unwrap_or_else(|| panic!("no {key} in {samples:#?}"));
    sample.to_string().parse().unwrap()
}

#[tokio::test]
async fn numbers_say_what_was_done_and_are_what_openmetrics_says() {
    let reg = TestReg::new().await;
    reg.push("app", b"one blob").await;
    reg.push("app", b"one blob").await;
    let digest = reg.push("app", b"another").await;
    let mount = format!("/v2/other/blobs/uploads/?mount={digest}&from=app");
    assert_eq!(reg.ask("POST", mount).send().await.status, 201);
    let blob = format!("/v2/app/blobs/{digest}");
    assert_eq!(reg.get(&blob).await.body, b"another");
    assert_eq!(reg.head(&blob).await.status, 200);
    assert_eq!(reg.get("/v2/app/manifests/none").await.status, 404);
    let wrong = Digest::of(b"wrong");
    let location = reg.open("app").await;
    assert_eq!(reg.put_blob(&location, &wrong, b"x").await.status, 400);

    let reply = reg.get("/metrics").await;
    assert_eq!(
        reply.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(reply.header("cache-control"), "no-store");
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("# UNIT longshore_request_duration_seconds seconds\n"));
    let all = samples(&text);
    for (key, value) in EXPECTED {
        assert_eq!(at(&all, &format!("longshore_{key}")), *value, "{key}");
    }
    assert!(at(&all, "longshore_connections") >= 1);
    assert!(all["longshore_uptime_seconds"] > 0.0);
    assert!(text.contains("longshore_build_info{version=\""));
    assert!(!text.contains("app"), "a repository's name is no label");
}

/// Whatever clients send, there are as many numbers as before.
#[tokio::test]
async fn no_client_makes_the_numbers_grow() {
    let reg = TestReg::new().await;
    for method in ["GET", "HEAD", "BREW", "XYZZY", "PROPFIND"] {
        let _ = reg.ask(method, "/nowhere").try_send().await;
    }
    scrape(&reg).await;
    let before: BTreeSet<String> = scrape(&reg).await.into_keys().collect();
    for number in 0..50 {
        let method = format!("M{number}");
        let target = format!("/v2/name-{number}/tags-{number}/x?a{number}=b");
        let _ = reg.ask(&method, target).try_send().await;
        reg.get(format!("/nowhere/{number}")).await;
    }
    let after: BTreeSet<String> = scrape(&reg).await.into_keys().collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_request_that_gets_no_answer_is_counted_for_what_became_of_it() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    let target = with_digest(&location, &Digest::of(b"whole"));
    let stream = reg.ask("PUT", target).body(b"whole").begin(2).await;
    while reg.server.log().body_bytes() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    let key = r#"longshore_requests_total{method="PUT",endpoint="upload-put",status="gone"}"#;
    while scrape(&reg).await.get(key) != Some(&1.0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn credentials(reg: &TestReg, password: &str) -> impl Future<Output = Reply> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let basic = format!("Basic {}", STANDARD.encode(format!("ann:{password}")));
    reg.ask("GET", "/metrics")
        .header("authorization", basic)
        .send()
}

#[tokio::test]
async fn metrics_are_for_users_where_there_are_users() {
    let bearer = Bearer::new()
        .user("ann", "secret")
        .anonymous(oci::wire::Action::Pull);
    for auth in [Auth::basic("ann", "secret"), Auth::Bearer(bearer)] {
        let reg = TestReg::with(Server::builder().auth(auth)).await;
        let refused = reg.get("/metrics").await;
        assert_eq!(refused.status, 401);
        assert!(refused.header("www-authenticate").starts_with("Basic "));
        assert_eq!(credentials(&reg, "wrong").await.status, 401);
        assert_eq!(credentials(&reg, "secret").await.status, 200);
        assert_eq!(reg.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn metrics_that_are_switched_off_are_not_there() {
    let reg = TestReg::with(Server::builder().metrics(false)).await;
    assert_eq!(reg.get("/metrics").await.status, 404);
    assert_eq!(reg.get("/healthz").await.body, b"ok\n");
    assert_eq!(reg.ask("POST", "/metrics").send().await.status, 405);
}
