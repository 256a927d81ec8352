//! What is wrong with the image is found before anything is asked.

use longshore_push::{
    Engine, Foreign, GraphFault, Options, Phase, PushError,
    compose::{IndexBuilder, ManifestBuilder, MemorySource},
};
use oci::{Digest, Document, MediaType, Source, SourceError};

use crate::fixture::{Damage, Damaged, image, one_at_a_time, tagged, target};

async fn refused(source: &dyn Source) -> PushError {
    let target = target();
    let destination = tagged(&["1"]);
    let error = one_at_a_time()
        .push(source, &target, &destination, &())
        .await
        .unwrap_err();
    assert_eq!(target.calls(), [], "nothing was asked or sent");
    let plan = one_at_a_time().plan(source, &target, &destination).await;
    assert!(plan.is_err(), "a plan is refused for the same reason");
    assert_eq!(target.calls(), []);
    error
}

/// Whichever blob it is, the last one as much as the first.
#[tokio::test(start_paused = true)]
async fn z7_a_missing_or_short_blob_is_found_before_the_first_request() {
    let image = image(&["base", "app", "data"]);
    for blob in image.blobs() {
        for damage in [Damage::Missing, Damage::Short] {
            let source = Damaged {
                inner: image.source.clone(),
                blob: blob.digest.clone(),
                damage,
            };
            match refused(&source).await {
                PushError::LocalBlob {
                    digest,
                    place,
                    phase,
                    cause,
                    ..
                } => {
                    assert_eq!(digest, blob.digest);
                    assert_eq!(place, "disk/layer");
                    assert_eq!(phase, Phase::Preflight);
                    assert!(matches!(
                        (damage, *cause),
                        (Damage::Missing, SourceError::Missing { .. })
                            | (Damage::Short, SourceError::WrongSize { .. })
                    ));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A foreign layer that stays where it is need not be at hand; one that is to be pushed must be.
#[tokio::test(start_paused = true)]
async fn z7_a_foreign_layer_is_needed_only_if_it_is_included() {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let foreign = oci::Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"elsewhere");
    let manifest = ManifestBuilder::new(config)
        .layer(foreign.clone())
        .build()
        .unwrap();
    let source = source.with_root(manifest);

    let target_ = target();
    let destination = tagged(&["1"]);
    one_at_a_time()
        .push(&source, &target_, &destination, &())
        .await
        .unwrap();
    assert!(
        target_
            .lines()
            .iter()
            .all(|it| !it.contains(foreign.digest.encoded()))
    );

    let target = target();
    let including = Engine::new(Options {
        foreign: Foreign::Include,
        ..Options::default()
    });
    let error = including
        .push(&source, &target, &destination, &())
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::LocalBlob { digest, .. } if digest == foreign.digest));
    assert_eq!(target.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_missing_child_manifest_is_found_before_the_first_request() {
    let child = image(&["base"]);
    let index = IndexBuilder::new()
        .manifest(&child.root, None)
        .build()
        .unwrap();
    let source = child.source.clone().with_root(index);
    match refused(&source).await {
        PushError::Source {
            descriptor: Some(descriptor),
            error,
        } => {
            assert_eq!(descriptor.digest, *child.root.digest());
            assert!(matches!(*error, SourceError::Missing { .. }));
        }
        other => panic!("{other:?}"),
    }
}

/// A descriptor that calls an index an image contradicts the bytes.
#[tokio::test(start_paused = true)]
async fn z6_a_type_that_contradicts_the_manifest_is_refused_with_nothing_sent() {
    let child = image(&["base"]);
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{}}}]}}"#,
        MediaType::OCI_INDEX,
        child.root.digest(),
        child.root.bytes().len(),
    );
    let root = Document::new(text.into(), None).unwrap();
    let source = child
        .source
        .clone()
        .with_document(child.root.clone())
        .with_root(root);
    match refused(&source).await {
        PushError::Source { error, .. } => assert!(matches!(
            *error,
            SourceError::Document {
                error: oci::DocumentError::Contradiction { .. },
                ..
            }
        )),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn indexes_nested_too_deep_are_refused_and_those_at_the_limit_are_not() {
    let mut inner = image(&["base"]);
    let mut source = inner.source.clone();
    for level in 2..=5 {
        source = source.with_document(inner.root.clone());
        inner.root = IndexBuilder::new()
            .manifest(&inner.root, None)
            .build()
            .unwrap();
        let source = source.clone().with_root(inner.root.clone());
        if level == 5 {
            assert!(matches!(
                refused(&source).await,
                PushError::Graph {
                    reason: GraphFault::TooDeep(4),
                    ..
                }
            ));
        } else {
            let destination = tagged(&["1"]);
            one_at_a_time()
                .push(&source, &target(), &destination, &())
                .await
                .unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_digest_with_two_sizes_is_refused() {
    let image = image(&["base"]);
    let mut twin = image.layers[0].clone();
    twin.size += 1;
    let manifest = ManifestBuilder::new(image.config.clone())
        .layer(image.layers[0].clone())
        .layer(twin)
        .build()
        .unwrap();
    match refused(&image.source.clone().with_root(manifest)).await {
        PushError::Graph { digest, reason } => {
            assert_eq!(digest, image.layers[0].digest);
            assert_eq!(reason, GraphFault::TwoSizes(1000, 1001));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_root_says_so() {
    let source = MemorySource::new();
    match refused(&source).await {
        PushError::Source {
            descriptor: None,
            error,
        } => {
            assert!(matches!(*error, SourceError::Invalid { .. }));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        source
            .open(&image(&["base"]).config, 0)
            .await
            .is_err_and(|it| it.digest() != Some(&Digest::of(b"")))
    );
}
