//! Blobs that go up in chunks: because it was said so, or because the registry shows that it has to be.

use longshore_registry::{ChunkSize, Client, MemoryProfiles};
use oci::{Descriptor, PushTarget, TargetErrorKind};
use server::{Action, Answer, Endpoint, RangeFault, Rule, Server, UploadOptions};

use crate::fixture::{
    Blobs, Double, MIB, PATIENCE, blob, quick, registry, repository, start, upload,
};

fn in_chunks(bytes: u64) -> Client {
    quick().chunk_size(ChunkSize::of(bytes)).build().unwrap()
}

/// Each body with its length and range, as the registry got them.
fn bodies(server: &Double) -> Vec<(String, u64, Option<String>, u16)> {
    let sent = server.log().entries().into_iter().filter(|it| {
        let method = it.method.as_str();
        method == "PATCH" || method == "PUT"
    });
    sent.map(|it| {
        let headers = &it.headers;
        let status = it.status().unwrap_or_default();
        (
            it.method.to_string(),
            headers.content_length.unwrap(),
            headers.content_range.clone(),
            status,
        )
    })
    .collect()
}

fn body(
    method: &str,
    range: std::ops::Range<u64>,
    status: u16,
) -> (String, u64, Option<String>, u16) {
    let text = format!("{}-{}", range.start, range.end - 1);
    let length = range.end - range.start;
    (method.to_owned(), length, Some(text), status)
}

async fn push(client: &Client, server: &Double, size: usize) -> Descriptor {
    let target = client.push_target(&repository(server, "app"));
    let (layer, content) = blob(size as u64, size);
    let source = Blobs::one(&layer, &content);
    let receipt = target.upload_blob(upload(&layer, &source)).await.unwrap();
    // Read once, from its beginning: who verifies it does so once.
    assert_eq!(source.opened().len(), 1);
    assert!(receipt.sent >= layer.size);
    layer
}

#[tokio::test]
async fn v6_the_setting_bounds_every_body_and_0_is_one_body() {
    let size = 3 * MIB + 17;
    for chunk in [1000, 256 * 1024, 1_000_003, 3 * MIB + 16] {
        let server = registry().await;
        let size = if chunk == 1000 { 10_500 } else { size };
        push(&in_chunks(chunk as u64), &server, size).await;
        let mut expected = Vec::new();
        for from in (0..size).step_by(chunk) {
            let end = (from + chunk).min(size);
            let (method, status) = if end == size {
                ("PUT", 201)
            } else {
                ("PATCH", 202)
            };
            expected.push(body(method, from as u64..end as u64, status));
        }
        assert_eq!(bodies(&server), expected, "{chunk}");
        assert_eq!(server.log().requests(), expected.len() as u64 + 1);
    }
    let server = registry().await;
    push(&in_chunks(0), &server, size).await;
    assert_eq!(
        bodies(&server),
        [("PUT".to_owned(), size as u64, None, 201)]
    );
}

#[tokio::test]
async fn z13_a_registrys_minimum_is_heeded_by_all_chunks_but_the_last() {
    let options = UploadOptions {
        chunk_min_length: Some(5000),
        ..UploadOptions::default()
    };
    let server = start(Server::builder().memory().uploads(options)).await;
    push(&in_chunks(1000), &server, 12_000).await;
    let expected = [
        body("PATCH", 0..5000, 202),
        body("PATCH", 5000..10_000, 202),
        body("PUT", 10_000..12_000, 201),
    ];
    assert_eq!(bodies(&server), expected);
}

#[tokio::test]
async fn z13_a_registry_that_takes_no_patch_gets_one_body_and_that_is_learned() {
    for status in [405, 416, 501] {
        let server = registry().await;
        let no = Rule::on(Endpoint::UploadPatch);
        server
            .faults()
            .add(no.act(Action::Answer(Answer::new(status))));
        let client = in_chunks(1000);
        let target = client.push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 2500);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let whole = ("PUT".to_owned(), 2500, None, 201);
        assert_eq!(bodies(&server), [body("PATCH", 0..1000, status), whole]);
        assert_eq!(server.log().blob_bytes(), layer.size);
        server.log().clear();
        push(&client, &server, 2600).await;
        assert_eq!(server.log().requests(), 2, "{status}");
    }
}

/// What was acknowledged stays so: the rest goes in one body.
#[tokio::test]
async fn z13_falling_back_sends_no_acknowledged_byte_again() {
    let server = registry().await;
    let no = Rule::on(Endpoint::UploadPatch).nth(3);
    server
        .faults()
        .add(no.act(Action::Answer(Answer::new(405))));
    let target = in_chunks(1000).push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 5500);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let expected = [
        body("PATCH", 0..1000, 202),
        body("PATCH", 1000..2000, 202),
        body("PATCH", 2000..3000, 405),
        body("PUT", 2000..5500, 201),
    ];
    assert_eq!(bodies(&server), expected);
    assert_eq!(server.log().blob_bytes(), layer.size);
}

/// ECR says 201 to a PATCH; others 200 or 204.
#[tokio::test]
async fn z13_another_success_is_taken_if_its_range_or_the_status_says_so() {
    for status in [200, 201, 204] {
        for range in [true, false] {
            let server = registry().await;
            let rule = || Rule::on(Endpoint::UploadPatch);
            server.faults().add(rule().act(Action::Status(status)));
            if !range {
                let missing = Action::Range(RangeFault::Missing);
                server.faults().add(rule().act(missing));
            }
            let layer = push(&in_chunks(1000), &server, 2500).await;
            assert_eq!(server.log().blob_bytes(), layer.size);
            let asked = server.log().by_method().get("GET").copied();
            assert_eq!(asked, (!range).then_some(2), "{status}");
        }
    }
}

/// A proxy with a limit it does not tell: found by quarters, and known from then on.
#[tokio::test]
async fn a_413_makes_chunks_under_the_limit_and_is_not_met_again() {
    let options = UploadOptions {
        max_body_length: Some(MIB as u64),
        ..UploadOptions::default()
    };
    let server = start(Server::builder().memory().uploads(options)).await;
    let profiles = MemoryProfiles::default();
    let client = quick().profiles(profiles.clone()).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 9 * MIB);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    let refused = bodies(&server).iter().filter(|it| it.3 == 413).count();
    assert_eq!(refused, 2, "{:?}", bodies(&server));
    assert_eq!(server.log().blob_bytes(), layer.size);
    client.close(PATIENCE).await;

    server.log().clear();
    let next = quick().profiles(profiles).build().unwrap();
    let layer = push(&next, &server, 3 * MIB).await;
    let refused = bodies(&server).iter().filter(|it| it.3 == 413).count();
    assert_eq!(refused, 0);
    assert_eq!(server.log().blob_bytes(), layer.size);
}

/// Who asked for one body is told what to do.
#[tokio::test]
async fn a_413_to_who_wants_one_body_is_an_error() {
    let options = UploadOptions {
        max_body_length: Some(1000),
        ..UploadOptions::default()
    };
    let server = start(Server::builder().memory().uploads(options)).await;
    let target = in_chunks(0).push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 2500);
    let source = Blobs::one(&layer, &content);
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Refused);
    assert_eq!(error.status(), Some(413));
    assert_eq!(server.open_sessions(), 0);
}
