//! Image indexes and what is about them.

use std::time::Duration;

use longshore_push::{
    AskFirst, Engine, Options,
    compose::{IndexBuilder, ManifestBuilder, MemorySource},
    recording::{Call, Operation, RecordingTarget},
};
use oci::{Document, MediaType, Platform, PushTarget, TagOrDigest};

use crate::fixture::{
    at_tag, content, count, image, is_about, is_put, is_upload, one_at_a_time, tagged, target,
    with_concurrency,
};

struct Multi {
    source: MemorySource,
    index: Document,
    children: Vec<Document>,
}

/// Two platforms that share a base layer; the Windows one with all a platform can say.
fn multi() -> Multi {
    let mut windows = Platform::new("windows", "amd64");
    windows.os_version = Some("10.0.20348.2113".to_owned());
    windows.os_features = vec!["win32k".to_owned()];
    let mut arm = Platform::new("linux", "arm64");
    arm.variant = Some("v8".to_owned());
    let (mut source, base) =
        MemorySource::new().with_blob(MediaType::OCI_LAYER, content("base", 2000));
    let mut builder = IndexBuilder::new().annotation("org.example", "kept");
    let mut children = Vec::new();
    for platform in [windows, arm] {
        let (next, config) = source.with_blob(MediaType::OCI_CONFIG, platform.to_string());
        let (next, own) = next.with_blob(MediaType::OCI_LAYER, content(&platform.to_string(), 900));
        let child = ManifestBuilder::new(config)
            .layer(base.clone())
            .layer(own)
            .build()
            .unwrap();
        source = next.with_document(child.clone());
        builder = builder.manifest(&child, Some(platform));
        children.push(child);
    }
    let index = builder.build().unwrap();
    Multi {
        source: source.with_root(index.clone()),
        index,
        children,
    }
}

fn put_subjects(target: &RecordingTarget) -> Vec<TagOrDigest> {
    let calls = target.calls().into_iter();
    calls.filter(is_put).filter_map(|it| it.subject).collect()
}

#[tokio::test(start_paused = true)]
async fn z20_children_are_put_by_digest_and_the_index_last_at_its_tag() {
    for concurrency in [1, 16] {
        let multi = multi();
        let target = target();
        let engine = with_concurrency(concurrency);
        engine
            .push(&multi.source, &target, &tagged(&["1"]), &())
            .await
            .unwrap();
        let put = put_subjects(&target);
        let children: Vec<TagOrDigest> = multi
            .children
            .iter()
            .map(|it| it.digest().clone().into())
            .collect();
        assert_eq!(put[..2], children);
        assert_eq!(
            put[2..],
            [at_tag("1")],
            "the index goes under its tag alone"
        );
        let stored = target.manifest(&at_tag("1")).unwrap();
        assert_eq!(&stored, multi.index.bytes());
        for kept in ["10.0.20348.2113", "win32k", "v8", "org.example"] {
            assert!(String::from_utf8_lossy(&stored).contains(kept));
        }
        assert_eq!(count(&target, is_upload), 5, "the shared layer goes once");
    }
}

/// What is there of an index is not looked into: one question stands for a whole child.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_there_is_not_looked_into() {
    let multi = multi();
    let target = target();
    let engine = one_at_a_time();
    let child = multi.source.clone().with_root(multi.children[0].clone());
    engine
        .push(&child, &target, &tagged(&["windows"]), &())
        .await
        .unwrap();
    target.clear();
    engine
        .push(&multi.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let other: Vec<_> = multi.children[1].children().cloned().collect();
    let (config, own) = (&other[0], &other[2]);
    assert_eq!(
        target.lines(),
        [
            format!("has manifest {}", multi.children[0].digest()),
            format!("mount {} from app", own.digest),
            format!("upload {} {} in session-4", own.digest, own.size),
            format!("mount {} from app", config.digest),
            format!("upload {} {} in session-5", config.digest, config.size),
            format!(
                "put manifest {} {}",
                multi.children[1].digest(),
                multi.children[1].bytes().len()
            ),
            format!("put manifest 1 {}", multi.index.bytes().len()),
        ],
    );
}

struct Signed {
    source: MemorySource,
    root: Document,
    signature: Document,
    attestation: Document,
}

/// An image, a signature of it, and something about the signature.
fn signed() -> Signed {
    let image = image(&["base"]);
    let (source, config) = image.source.clone().with_blob(MediaType::OCI_EMPTY, "{}");
    let (source, blob) = source.with_blob("application/x-signature", "signature");
    let signature = ManifestBuilder::new(config.clone())
        .layer(blob)
        .artifact_type("application/x-signature")
        .subject(&image.root)
        .build()
        .unwrap();
    let attestation = ManifestBuilder::new(config)
        .subject(&signature)
        .artifact_type("application/x-a")
        .build();
    let attestation = attestation.unwrap();
    Signed {
        source: source
            .with_document(signature.clone())
            .with_document(attestation.clone()),
        root: image.root,
        signature,
        attestation,
    }
}

fn with_referrers() -> Engine {
    Engine::new(Options {
        referrers: true,
        ask_first: AskFirst::Always,
        ..Options::default()
    })
}

#[tokio::test(start_paused = true)]
async fn v1_referrers_arrive_after_what_they_are_about_and_the_tag_after_them() {
    let signed = signed();
    let target = target();
    with_referrers()
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let expected: [TagOrDigest; 4] = [
        signed.root.digest().clone().into(),
        signed.signature.digest().clone().into(),
        signed.attestation.digest().clone().into(),
        at_tag("1"),
    ];
    assert_eq!(put_subjects(&target), expected);
    let refused = count(&target, |it| {
        is_put(it) && target.manifest(it.subject.as_ref().unwrap()).is_none()
    });
    assert_eq!(refused, 0, "the registry's own validation never fired");
}

/// Nobody who did not ask for them gets them.
#[tokio::test(start_paused = true)]
async fn v1_referrers_stay_behind_unless_asked_for() {
    let signed = signed();
    let target = target();
    one_at_a_time()
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert_eq!(put_subjects(&target), [at_tag("1")]);
    assert_eq!(
        count(&target, |it| is_about(it, signed.signature.digest())),
        0
    );
}

/// A signature added later travels alone.
#[tokio::test(start_paused = true)]
async fn v1_a_signature_of_an_image_that_is_there_travels_alone() {
    let signed = signed();
    let target = target();
    one_at_a_time()
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    target.clear();
    let report = with_referrers()
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let expected: [TagOrDigest; 2] = [
        signed.signature.digest().clone().into(),
        signed.attestation.digest().clone().into(),
    ];
    assert_eq!(put_subjects(&target), expected);
    assert_eq!(count(&target, is_upload), 2);
    assert_eq!(report.tags.len(), 1);

    target.clear();
    with_referrers()
        .push(&signed.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert_eq!(target.requests().head, 3, "the tag and each referrer");
    assert_eq!(target.requests().total(), 3);
}

/// A reader that polls the tag never sees it name something incomplete.
#[tokio::test(start_paused = true)]
async fn v2_the_tag_becomes_visible_only_with_everything_below_it() {
    let multi = multi();
    let target = target().taking(Duration::from_millis(7));
    let engine = with_concurrency(3);
    let destination = tagged(&["1"]);
    let push = engine.push(&multi.source, &target, &destination, &());
    let reader = async {
        let mut polls = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            polls += 1;
            if target.manifest(&at_tag("1")).is_some() {
                return polls;
            }
            // Before: whatever is there, no tag names it.
        }
    };
    let (pushed, polls) = tokio::join!(push, reader);
    pushed.unwrap();
    assert!(polls > 10, "the reader looked while the push went on");
    for child in &multi.children {
        assert!(target.manifest(&child.digest().clone().into()).is_some());
        for blob in child.children() {
            assert!(target.holds_blob(&blob.digest));
        }
    }
    let calls = target.calls();
    let tag = calls
        .iter()
        .position(|it| is_put(it) && it.subject == Some(at_tag("1")))
        .unwrap();
    assert_eq!(tag, calls.len() - 1, "the tag is the last thing of all");
}

/// The same digest as a blob somewhere and as a manifest elsewhere is both.
#[tokio::test(start_paused = true)]
async fn a_manifest_that_a_layer_names_is_also_a_blob() {
    let inner = image(&["base"]);
    let (source, config) = inner.source.clone().with_blob(MediaType::OCI_EMPTY, "{}");
    let (source, as_blob) = source.with_blob(MediaType::OCI_MANIFEST, inner.root.bytes().clone());
    let outer = ManifestBuilder::new(config)
        .layer(as_blob.clone())
        .build()
        .unwrap();
    let index = IndexBuilder::new()
        .manifest(&inner.root, None)
        .manifest(&outer, None);
    let index = index.build().unwrap();
    let source = source
        .with_document(inner.root.clone())
        .with_document(outer)
        .with_root(index);
    let target = target();
    one_at_a_time()
        .push(&source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let about = |it: &Call| is_about(it, &as_blob.digest);
    assert_eq!(count(&target, |it| is_upload(it) && about(it)), 1);
    assert_eq!(count(&target, |it| is_put(it) && about(it)), 1);
    assert_eq!(target.repository().path(), "app");
    assert_eq!(count(&target, |it| it.operation == Operation::HasBlob), 0);
}
