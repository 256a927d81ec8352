//! An image in a registry as a source.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use longshore_registry::Timeouts;
use oci::{
    Descriptor, Digest, Document, Platform, PushTarget, Source, SourceError, Tag, TargetError,
    TargetErrorKind,
};
use server::{Action, Answer, Endpoint, Rule, Server, Validation};

use crate::{
    fixture::{Blobs, Double, MIB, blob, client, manifest, quick, repository, start, upload},
    scripted::{Reply, Scripted},
};

async fn accepting() -> Double {
    start(Server::builder().memory().validation(Validation::AcceptAll)).await
}

async fn read(source: &dyn Source, blob: &Descriptor, offset: u64) -> Result<Bytes, SourceError> {
    let pieces: Vec<Bytes> = source.open(blob, offset).await?.try_collect().await?;
    Ok(pieces.concat().into())
}

/// A registry that holds one blob, and a source that reads from it.
async fn with_a_blob(length: usize) -> (Double, Descriptor, Bytes, impl Source) {
    let server = accepting().await;
    let client = client();
    let here = repository(&server, "app");
    let (layer, content) = blob(1, length);
    let memory = Blobs::one(&layer, &content);
    let target = client.push_target(&here);
    target.upload_blob(upload(&layer, &memory)).await.unwrap();
    server.log().clear();
    let source = client.source(&here.with_tag(Tag::latest()), None);
    (server, layer, content, source)
}

#[tokio::test]
async fn the_root_is_read_once() {
    let server = accepting().await;
    let client = client();
    let here = repository(&server, "team/app");
    let document = manifest(&[]);
    let tag: Tag = "1.2".parse().unwrap();
    client
        .push_target(&here)
        .put_manifest(&document, Some(&tag))
        .await
        .unwrap();
    server.log().clear();
    let source = client.source(&here.with_tag(tag), None);
    assert_eq!(source.origin(), Some(&here));
    for _ in 0..2 {
        assert_eq!(source.root().await.unwrap().bytes(), document.bytes());
    }
    assert_eq!(
        server.log().lines(),
        ["GET /v2/team/app/manifests/1.2 → 200"]
    );
}

#[tokio::test]
async fn one_platform_of_an_index_is_chosen_and_an_unknown_one_lists_the_rest() {
    let server = accepting().await;
    let client = client();
    let here = repository(&server, "app");
    let target = client.push_target(&here);
    let child = manifest(&[]);
    target.put_manifest(&child, None).await.unwrap();
    let mut entry = child.descriptor().clone();
    entry.platform = Some(Platform::new("linux", "arm64"));
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [entry]});
    let index = Document::new(index.to_string().into(), None).unwrap();
    target
        .put_manifest(&index, Some(&Tag::latest()))
        .await
        .unwrap();

    let reference = here.with_tag(Tag::latest());
    let arm = client.source(&reference, Some(Platform::new("linux", "arm64")));
    assert_eq!(arm.root().await.unwrap().digest(), child.digest());
    let whole = client.source(&reference, None);
    assert_eq!(whole.root().await.unwrap().digest(), index.digest());
    let windows = client.source(&reference, Some(Platform::new("windows", "amd64")));
    let error = windows.root().await.unwrap_err().to_string();
    assert!(
        error.contains("windows/amd64") && error.contains("linux/arm64"),
        "{error}"
    );
}

#[tokio::test]
async fn blobs_are_read_from_any_offset() {
    let (server, layer, content, source) = with_a_blob(3 * MIB).await;
    for offset in [0, 1, 2 * MIB, 3 * MIB - 1, 3 * MIB] {
        let rest = read(&source, &layer, offset as u64).await.unwrap();
        assert_eq!(
            Digest::of(&rest),
            Digest::of(&content[offset..]),
            "{offset}"
        );
    }
    let ranges: Vec<_> = server
        .log()
        .entries()
        .into_iter()
        .map(|it| it.headers.range)
        .collect();
    let expected = [
        None,
        Some("bytes=1-".to_owned()),
        Some(format!("bytes={}-", 2 * MIB)),
        Some(format!("bytes={}-", 3 * MIB - 1)),
        // Nothing is left at its end: nothing is asked.
    ];
    assert_eq!(ranges, expected);
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_stopped() {
    let (server, layer, content, source) = with_a_blob(4 * MIB).await;
    let cut = Rule::on(Endpoint::BlobGet).first(2);
    server
        .faults()
        .add(cut.act(Action::TruncateAnswer(MIB as u64 + 300)));
    let read = read(&source, &layer, 0).await.unwrap();
    assert_eq!(Digest::of(&read), Digest::of(&content));
    let entries = server.log().entries();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0].headers.range, None);
    let from = |at: usize| -> usize {
        let range = entries[at].headers.range.as_deref().unwrap();
        range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap()
    };
    assert!(from(1) > MIB / 2 && from(1) <= MIB + 300, "{}", from(1));
    assert!(from(2) > from(1));
}

/// An answer that has given all of a blob and does not end has nothing more to give.
#[tokio::test]
async fn a_download_whose_end_does_not_come_is_whole_when_its_bytes_are() {
    let (layer, content) = blob(1, 1000);
    let body = content.clone();
    let server = Scripted::start(move |_| {
        let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n".to_vec();
        answer.extend_from_slice(&body);
        Reply::raw(answer).hold()
    })
    .await;
    let short = Timeouts::default().with_idle(Duration::from_millis(250));
    let client = quick().timeouts(short).build().unwrap();
    let source = client.source(&server.repository("app").with_tag(Tag::latest()), None);
    assert_eq!(read(&source, &layer, 0).await.unwrap(), content);
    assert_eq!(server.lines().len(), 1);
}

/// A registry that is read from fails as a registry, whatever of it fails and whenever.
#[tokio::test]
async fn a_blob_that_its_registry_does_not_give_is_that_registrys_failure() {
    let (server, layer, _, source) = with_a_blob(100_000).await;
    let refused = |status| Action::Answer(Answer::error(status, "DENIED", "no"));
    let cases = [
        (refused(403), TargetErrorKind::Denied),
        (refused(429), TargetErrorKind::RateLimited),
        (refused(503), TargetErrorKind::Server),
        (Action::Answer(Answer::html()), TargetErrorKind::Protocol),
        (Action::TruncateAnswer(300), TargetErrorKind::Network),
        (Action::ResetBeforeAnswer, TargetErrorKind::Network),
    ];
    for (action, kind) in cases {
        let told = format!("{action:?}");
        let fault = server.faults().add(Rule::on(Endpoint::BlobGet).act(action));
        let error = read(&source, &layer, 0).await.unwrap_err();
        fault.remove();
        let SourceError::Unreadable { error, .. } = error else {
            panic!("{told}: {error}");
        };
        let error = error.downcast_ref::<TargetError>();
        assert_eq!(
            error.map(TargetError::kind),
            Some(&kind),
            "{told}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_is_read_from_the_start() {
    let (server, layer, content, source) = with_a_blob(100_000).await;
    let whole = Answer::new(200)
        .header("content-type", "application/octet-stream")
        .body(content.clone());
    server
        .faults()
        .add(Rule::on(Endpoint::BlobGet).act(Action::Answer(whole)));
    let rest = read(&source, &layer, 77_777).await.unwrap();
    assert_eq!(rest, content.slice(77_777..));
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_an_error() {
    let (server, layer, content, source) = with_a_blob(1000).await;
    let other = Answer::new(206)
        .header("content-range", "bytes 0-999/1000")
        .body(content);
    server
        .faults()
        .add(Rule::on(Endpoint::BlobGet).act(Action::Answer(other)));
    let error = read(&source, &layer, 500).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let (server, _, _, source) = with_a_blob(10).await;
    let (other, _) = blob(9, 10);
    let error = read(&source, &other, 0).await.unwrap_err();
    let SourceError::Missing { digest, place } = error else {
        panic!("{error}");
    };
    assert_eq!(digest, other.digest);
    assert_eq!(place, format!("{}/app@{}", server.registry(), other.digest));
    assert!(matches!(
        source.root().await,
        Err(SourceError::NotFound { .. })
    ));
    let error = source
        .document(manifest(&[]).descriptor())
        .await
        .unwrap_err();
    assert!(matches!(error, SourceError::Missing { .. }));
}
