//! Mounts: asked for once, and a refusal is an answer.

use oci::{MountOutcome, Presence, PushTarget, TargetErrorKind};
use server::{Action, Answer, Endpoint, Rule};

use crate::fixture::{Blobs, Double, blob, client, registry, repository, upload};

async fn with_a_blob(server: &Double, path: &str) -> oci::Descriptor {
    let (layer, content) = blob(1, 1000);
    let base = client().push_target(&repository(server, path));
    let source = Blobs::one(&layer, &content);
    base.upload_blob(upload(&layer, &source)).await.unwrap();
    server.log().clear();
    layer
}

#[tokio::test]
async fn r3_a_mount_names_the_encoded_path_of_its_source() {
    let server = registry().await;
    let layer = with_a_blob(&server, "team/deep/base").await;
    let target = client().push_target(&repository(&server, "app"));
    let from = repository(&server, "team/deep/base");
    let outcome = target.mount_blob(&layer, &from).await.unwrap();
    assert_eq!(outcome, MountOutcome::Mounted);
    let entries = server.log().entries();
    let digest = layer.digest.encoded();
    assert_eq!(
        entries[0].query.as_deref(),
        Some(&*format!("mount=sha256%3A{digest}&from=team%2Fdeep%2Fbase")),
    );
    assert_eq!(entries[0].headers.content_length, Some(0));
    assert_eq!(entries.len(), 1);
    let held = target.has_blob(&layer).await.unwrap();
    assert_eq!(held, Presence::Held(layer.digest.clone()));
    assert_eq!(server.log().blob_bytes(), 0);
}

#[tokio::test]
async fn a_refused_mount_hands_its_session_over() {
    let server = registry().await;
    let layer = with_a_blob(&server, "base").await;
    server
        .faults()
        .add(Rule::on(Endpoint::Mount).act(Action::RefuseMount));
    let target = client().push_target(&repository(&server, "app"));
    let outcome = target
        .mount_blob(&layer, &repository(&server, "base"))
        .await;
    let MountOutcome::Refused(Some(session)) = outcome.unwrap() else {
        panic!("no session");
    };
    assert!(session.location().starts_with(&server.url()));
    assert_eq!(server.log().requests(), 1);
    assert_eq!(server.open_sessions(), 1);
}

#[tokio::test]
async fn what_registries_say_instead_of_202_is_told_with_its_status() {
    let server = registry().await;
    let layer = with_a_blob(&server, "base").await;
    for status in [400, 401, 403, 404, 405] {
        let target = client().push_target(&repository(&server, "app"));
        server.log().clear();
        server.faults().clear();
        let answer = Answer::error(status, "UNSUPPORTED", "no mounts");
        server
            .faults()
            .add(Rule::on(Endpoint::Mount).act(Action::Answer(answer)));
        let outcome = target
            .mount_blob(&layer, &repository(&server, "base"))
            .await;
        let error = outcome.unwrap_err();
        assert_eq!(error.status(), Some(status));
        let expected = match status {
            401 => TargetErrorKind::Unauthorized,
            403 => TargetErrorKind::Denied,
            _ => TargetErrorKind::Refused,
        };
        assert_eq!(*error.kind(), expected, "{status}");
        assert_eq!(server.log().requests(), 1, "{status}");
    }
    // A registry at its limits says nothing about the blob.
    let target = client().push_target(&repository(&server, "app"));
    server.faults().clear();
    let busy = Answer::new(429).header("retry-after", "86400");
    server
        .faults()
        .add(Rule::on(Endpoint::Mount).act(Action::Answer(busy)));
    let outcome = target
        .mount_blob(&layer, &repository(&server, "base"))
        .await;
    assert_eq!(*outcome.unwrap_err().kind(), TargetErrorKind::RateLimited);
}

#[tokio::test]
async fn a_mount_of_something_else_is_an_error() {
    let server = registry().await;
    let layer = with_a_blob(&server, "base").await;
    server
        .faults()
        .add(Rule::on(Endpoint::Mount).act(Action::WrongDigestHeader));
    let target = client().push_target(&repository(&server, "app"));
    let outcome = target
        .mount_blob(&layer, &repository(&server, "base"))
        .await;
    let kind = outcome.unwrap_err();
    assert!(matches!(
        kind.kind(),
        TargetErrorKind::DigestMismatch { .. }
    ));
}

#[tokio::test]
async fn another_registrys_repository_is_not_asked_for() {
    let (server, other) = (registry().await, registry().await);
    let layer = with_a_blob(&other, "base").await;
    let target = client().push_target(&repository(&server, "app"));
    let outcome = target.mount_blob(&layer, &repository(&other, "base")).await;
    assert_eq!(outcome.unwrap(), MountOutcome::Refused(None));
    assert_eq!((server.log().requests(), other.log().requests()), (0, 0));
}
