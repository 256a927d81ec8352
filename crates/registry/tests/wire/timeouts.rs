//! Time limits: each for its own kind of waiting.

use std::time::{Duration, Instant};

use longshore_registry::{Client, RetryPolicy, Timeouts};
use oci::{PushTarget, TargetError, TargetErrorKind};
use server::{Action, Endpoint, Rule};
use tokio::net::TcpListener;

use crate::{
    fixture::{Blobs, End, MIB, PATIENCE, blob, manifest, quick, registry, repository, upload},
    scripted::{Reply, Scripted, reply},
    set_up::SET_UP,
};

const SHORT: Duration = Duration::from_millis(250);
const LONG: Duration = PATIENCE;
/// What a machine that is busy stays within where nothing is meant to take time.
const ENOUGH: Duration = Duration::from_secs(2);

/// A client that tries once, every limit long but those that are changed.
fn once(change: impl Fn(Timeouts) -> Timeouts) -> Client {
    let long = Timeouts::default()
        .with_connect(LONG)
        .with_idle(LONG)
        .with_commit(LONG);
    quick()
        .retry(RetryPolicy::never())
        .timeouts(change(long))
        .build()
        .unwrap()
}

/// A timeout, whose cause names the limit that passed.
fn assert_timed_out(error: &TargetError, limit: &str) {
    assert_eq!(*error.kind(), TargetErrorKind::Timeout, "{error}");
    let cause = std::error::Error::source(error).unwrap().to_string();
    assert!(cause.contains(limit), "{cause}");
}

#[tokio::test]
async fn z16_a_connection_that_does_not_come_about_passes_the_connect_limit() {
    // Takes the connection and never answers the TLS hello.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let registry: oci::Registry = address.to_string().parse().unwrap();
    let client = Client::builder()
        .https(registry.clone())
        .retry(RetryPolicy::never())
        .timeouts(Timeouts::default().with_connect(SHORT).with_idle(LONG))
        .build()
        .unwrap();
    let target = client.push_target(&registry.repository("app").unwrap());
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_timed_out(&error, "connect");
}

#[tokio::test]
async fn z16_a_registry_that_stops_reading_passes_the_idle_limit() {
    let server = registry().await;
    let client = once(|it| it.with_idle(SHORT));
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 64 * MIB);
    let source = Blobs::one(&layer, &content);
    let stall = Rule::on(Endpoint::UploadPut).act(Action::StallAtByte(MIB as u64));
    server.faults().add(stall);
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_timed_out(&error, "idle");
    assert!(error.sent() < layer.size, "{}", error.sent());
    assert!(error.retryable());
}

#[tokio::test]
async fn z16_a_registry_that_does_not_answer_passes_the_idle_limit() {
    let server = registry().await;
    let client = once(|it| it.with_idle(SHORT));
    let target = client.push_target(&repository(&server, "app"));
    server.faults().add(Rule::any().act(Action::Stall));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_timed_out(&error, "idle");
}

/// Takes many times the idle limit, and the commit limit too, but is never still for long.
#[tokio::test]
async fn z16_a_slow_body_that_moves_passes_no_limit() {
    let server = Scripted::start(|head| match head.split(' ').next() {
        Some("POST") => reply("202 Accepted\r\nLocation: /v2/app/blobs/uploads/1", ""),
        _ => reply("201 Created", "").reading_slowly(64 * 1024, Duration::from_millis(20)),
    })
    .await;
    // What a client writes is taken in steps of what its system buffers, seconds apart at worst.
    let idle = 20 * SHORT;
    let client = once(|it| it.with_idle(idle).with_commit(LONG));
    let target = client.push_target(&server.repository("app"));
    // Over HTTP/2 the server pauses after every frame of 16 KiB.
    let by_frames = SET_UP.version(true) == http::Version::HTTP_2;
    let (layer, content) = blob(1, if by_frames { 9 * MIB } else { 36 * MIB });
    let source = Blobs::one(&layer, &content);
    let before = Instant::now();
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert!(before.elapsed() > 2 * idle);
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn z16_a_registry_that_stores_slowly_passes_the_commit_limit_alone() {
    let server = registry().await;
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let slow = Rule::on(Endpoint::UploadPut).act(Action::DelayAnswer(2 * ENOUGH));
    server.faults().add(slow);
    // Longer than the idle limit, within the commit limit.
    let client = once(|it| it.with_idle(ENOUGH));
    let target = client.push_target(&repository(&server, "app"));
    target.upload_blob(upload(&layer, &source)).await.unwrap();

    server.faults().clear();
    let slow = Rule::on(Endpoint::UploadPut).act(Action::Delay(LONG));
    server.faults().add(slow);
    let client = once(|it| it.with_commit(SHORT));
    let target = client.push_target(&repository(&server, "other"));
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_timed_out(&error, "commit");
    let slow = Rule::on(Endpoint::ManifestPut).act(Action::StallAnswer);
    server.faults().add(slow);
    let error = target.put_manifest(&manifest(&[]), None).await.unwrap_err();
    assert_timed_out(&error, "commit");
}

#[tokio::test]
async fn z16_a_total_limit_bounds_the_whole_request() {
    let server = registry().await;
    let client = once(|it| it.with_total(Some(SHORT)));
    let target = client.push_target(&repository(&server, "app"));
    server.faults().add(Rule::any().act(Action::Delay(LONG)));
    let error = target.has_blob(&blob(1, 10).0).await.unwrap_err();
    assert_timed_out(&error, "total");
}

/// Bytes that come in are no answer: a registry that drips them for ever is as silent as one that
/// sends none. Nor does it get on by telling a client to go on that has sent everything.
#[tokio::test]
async fn z16_bytes_that_never_become_an_answer_put_off_no_limit() {
    let server = Scripted::start(|head| match head.split(' ').next() {
        Some("POST") => reply("202 Accepted\r\nLocation: /v2/app/blobs/uploads/1", ""),
        _ => Reply::raw("").endless(b"HTTP/1.1 100 Continue\r\n\r\n"),
    })
    .await;
    // What is asked about the upload after that is answered no better.
    let client = once(|it| it.with_idle(SHORT).with_commit(SHORT));
    let target = client.push_target(&server.repository("app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let uploading = target.upload_blob(upload(&layer, &source));
    let ended = tokio::time::timeout(PATIENCE, uploading).await;
    let error = ended.expect("it ends").unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Timeout, "{error}");
}

/// Who is waited for is who is told of.
#[tokio::test]
async fn z16_a_source_that_gives_nothing_is_what_the_error_names() {
    let server = registry().await;
    let client = once(|it| it.with_idle(ENOUGH).with_commit(ENOUGH));
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, MIB);
    // Nothing at all, so that nobody waits for the registry to read.
    let source = Blobs::one(&layer, &content).ending(0, End::Hangs);
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_timed_out(&error, "nothing came from the source");
}
