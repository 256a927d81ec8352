//! Every way a push can fail is a variant with fields.

use std::error::Error;

use longshore_push::{
    Engine, MustMount, Options, Phase, PushError,
    compose::{ManifestBuilder, MemorySource},
    recording::RecordingTarget,
};
use oci::{
    MediaType, TagOrDigest, TargetError, TargetErrorKind,
    wire::{ErrorBody, ErrorCode, ErrorEntry},
};

use crate::fixture::{
    Damage, Damaged, asking_first, count, image, is_put, is_upload, one_at_a_time, refusal,
    repository, tagged,
};

fn target() -> RecordingTarget {
    RecordingTarget::new(repository("app"))
}

fn denied() -> TargetError {
    let answer = ErrorBody::one(ErrorEntry::new(ErrorCode::Denied).message("no"));
    refusal(TargetErrorKind::Denied, 403).with_answer(answer)
}

fn dead() -> TargetError {
    TargetError::new(TargetErrorKind::Network, "connect").with_source(std::io::Error::other("cut"))
}

async fn failing(target: &RecordingTarget, engine: &Engine) -> PushError {
    let image = image(&["base"]);
    engine
        .push(&image.source, target, &tagged(&["1"]), &())
        .await
        .unwrap_err()
}

/// What is wrong with the image: each variant, provoked and matched by its fields.
#[tokio::test(start_paused = true)]
async fn z9_each_fault_of_the_image_is_matched_without_its_text() {
    let image = image(&["base"]);
    let engine = one_at_a_time();
    let destination = tagged(&["1"]);
    let layer = &image.layers[0].digest;
    let broken = Damaged {
        inner: image.source.clone(),
        blob: layer.clone(),
        damage: Damage::Missing,
    };
    let local = engine
        .push(&broken, &target(), &destination, &())
        .await
        .unwrap_err();
    assert!(
        matches!(&local, PushError::LocalBlob { digest, phase: Phase::Preflight, .. } if digest == layer)
    );

    let empty = MemorySource::new();
    let source = engine
        .push(&empty, &target(), &destination, &())
        .await
        .unwrap_err();
    assert!(matches!(
        source,
        PushError::Source {
            descriptor: None,
            ..
        }
    ));

    let mut twin = image.layers[0].clone();
    twin.size = 1;
    let builder = ManifestBuilder::new(image.config.clone());
    let root = builder
        .layer(image.layers[0].clone())
        .layer(twin)
        .build()
        .unwrap();
    let two = image.source.clone().with_root(root);
    let graph = engine
        .push(&two, &target(), &destination, &())
        .await
        .unwrap_err();
    assert!(matches!(graph, PushError::Graph { .. }));
    for error in [local, source, graph] {
        assert!(error.target_error().is_none() && !error.retryable());
    }
}

/// What the target refuses, likewise.
#[tokio::test(start_paused = true)]
async fn z9_each_failure_of_the_target_is_matched_without_its_text() {
    let image = image(&["base"]);
    let engine = one_at_a_time();
    let (layer, root, here) = (
        &image.layers[0].digest,
        image.root.digest(),
        repository("app"),
    );

    let question = failing(&target().failing(1, dead()), &asking_first()).await;
    assert!(matches!(
        &question,
        PushError::Question { repository, subject: TagOrDigest::Tag(_), .. } if *repository == here
    ));

    let blob = failing(&target().failing_when(1, is_upload, denied), &engine).await;
    assert!(matches!(
        &blob,
        PushError::BlobUploadFailed { digest, repository, phase: Phase::Upload, .. }
            if digest == layer && *repository == here
    ));

    let manifest = failing(&target().failing_when(1, is_put, denied), &engine).await;
    assert!(matches!(
        &manifest,
        PushError::ManifestPutFailed { digest, repository, tag: Some(_), .. }
            if digest == root && *repository == here
    ));
}

/// What the caller does not allow, likewise.
#[tokio::test(start_paused = true)]
async fn z9_each_gate_is_matched_without_its_text() {
    let image = image(&["base"]);
    let here = repository("app");
    let mounting = Engine::new(Options {
        must_mount: MustMount::Everything,
        ..Options::default()
    });
    let required = failing(&target(), &mounting).await;
    assert!(
        matches!(&required, PushError::MountRequired { repository, .. } if *repository == here)
    );
    assert!(required.hint().is_some());

    let gated = Engine::new(Options {
        max_upload_bytes: Some(10),
        ..Options::default()
    });
    let gate = failing(&target(), &gated).await;
    assert!(matches!(gate, PushError::Gate { limit: 10, .. }));

    let engine = one_at_a_time();
    let plan = engine
        .plan(&image.source, &target(), &tagged(&["1"]))
        .await
        .unwrap();
    let other = RecordingTarget::new(repository("other"));
    let wrong = engine
        .execute(plan, &image.source, &other, &())
        .await
        .unwrap_err();
    assert!(matches!(wrong, PushError::OtherTarget { .. }));
}

/// What the registry said is at hand whatever the variant: status, codes, whether to try
/// again, and the whole chain of causes.
#[tokio::test(start_paused = true)]
async fn z9_every_failure_of_the_target_carries_what_it_said() {
    let engine = one_at_a_time();
    let error = failing(&target().failing_when(1, is_upload, denied), &engine).await;
    assert_eq!(error.status(), Some(403));
    assert_eq!(error.codes().collect::<Vec<_>>(), [&ErrorCode::Denied]);
    assert_eq!(error.phase(), Phase::Upload);
    assert_eq!(error.repository(), Some(&repository("app")));
    assert!(error.digest().is_some());
    assert!(!error.retryable());

    let error = failing(&target().failing_when(1, is_put, dead), &engine).await;
    assert!(error.retryable());
    assert_eq!(error.phase(), Phase::Manifest);
    assert_eq!(error.status(), None);
    let mut chain = Vec::new();
    let mut next = Some(&error as &dyn Error);
    while let Some(error) = next {
        chain.push(error.to_string());
        next = error.source();
    }
    assert_eq!(chain.len(), 3, "{chain:?}");
    assert!(
        !chain[0].contains(&chain[1]) && !chain[1].contains(&chain[2]),
        "{chain:?}"
    );
}

/// Wrong credentials and a dead network are told apart by kind, wherever they strike.
#[tokio::test(start_paused = true)]
async fn z9_wrong_credentials_and_a_dead_network_are_different() {
    let engine = asking_first();
    let unauthorized = || refusal(TargetErrorKind::Unauthorized, 401);
    for nth in [1, 3, 4, 7] {
        let wrong = failing(&target().failing(nth, unauthorized()), &engine).await;
        let cut = failing(&target().failing(nth, dead()), &engine).await;
        assert_eq!(
            wrong.target_error().unwrap().kind(),
            &TargetErrorKind::Unauthorized
        );
        assert_eq!(
            cut.target_error().unwrap().kind(),
            &TargetErrorKind::Network
        );
        assert!(cut.retryable() && !wrong.retryable());
    }
}

/// A registry that says another digest than was sent has not done what was asked.
#[tokio::test(start_paused = true)]
async fn z9_another_digest_in_the_answer_is_a_failure_of_its_own_kind() {
    let mismatch = || {
        TargetError::new(
            TargetErrorKind::DigestMismatch {
                expected: oci::Digest::of(b"sent"),
                actual: "sha256:other".to_owned(),
            },
            "put the manifest",
        )
    };
    let target = target().failing_when(1, is_put, mismatch);
    let error = failing(&target, &one_at_a_time()).await;
    assert!(matches!(
        error.target_error().unwrap().kind(),
        TargetErrorKind::DigestMismatch { .. }
    ));
    assert_eq!(count(&target, is_put), 1, "it is not tried again");
    assert_eq!(MediaType::OCI_MANIFEST, *image(&["base"]).root.media_type());
}
