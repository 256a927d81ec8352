//! Some platforms of an image index, and registries that do or do not take it without the rest.

use longshore_push::{
    PushError,
    compose::{IndexBuilder, ManifestBuilder, MemorySource},
    recording::RecordingTarget,
    source::{SomePlatforms, SubsetMode},
};
use oci::{Digest, Document, MediaType, Platform};

use crate::fixture::{
    at_tag, content, count, is_put, is_upload, one_at_a_time, repository, tagged, target,
};

struct Multi {
    source: MemorySource,
    index: Document,
    children: Vec<Document>,
}

/// Three platforms of one layer each.
fn multi() -> Multi {
    let mut source = MemorySource::new();
    let mut builder = IndexBuilder::new();
    let mut children = Vec::new();
    for architecture in ["amd64", "arm64", "riscv64"] {
        let (next, config) = source.with_blob(MediaType::OCI_CONFIG, architecture);
        let (next, layer) = next.with_blob(MediaType::OCI_LAYER, content(architecture, 900));
        let child = ManifestBuilder::new(config).layer(layer).build().unwrap();
        source = next.with_document(child.clone());
        builder = builder.manifest(&child, Some(Platform::new("linux", architecture)));
        children.push(child);
    }
    let index = builder.build().unwrap();
    Multi {
        source: source.with_root(index.clone()),
        index,
        children,
    }
}

async fn some(multi: &Multi, platforms: &[&str], mode: SubsetMode) -> SomePlatforms {
    let platforms: Vec<Platform> = platforms.iter().map(|it| it.parse().unwrap()).collect();
    SomePlatforms::of(Box::new(multi.source.clone()), &platforms, mode)
        .await
        .unwrap()
}

fn puts(target: &RecordingTarget) -> Vec<String> {
    let lines = target.lines().into_iter();
    lines.filter(|it| it.starts_with("put")).collect()
}

fn put(document: &Document, at: Option<&str>) -> String {
    let digest = document.digest().to_string();
    let at = at.unwrap_or(&digest);
    format!("put manifest {at} {}", document.bytes().len())
}

#[tokio::test(start_paused = true)]
async fn p6_a_registry_that_validates_takes_a_rewritten_index_and_nothing_of_the_others() {
    let multi = multi();
    let target = target();
    let subset = some(&multi, &["linux/arm64"], SubsetMode::Rewrite).await;
    let report = one_at_a_time()
        .push(&subset, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert_eq!(report.digest, subset.subset().digest);
    assert_ne!(report.digest, subset.subset().of);
    let stored = target.manifest(&at_tag("1")).unwrap();
    let stored = Document::new(stored, None).unwrap();
    assert_eq!(
        puts(&target),
        [put(&multi.children[1], None), put(&stored, Some("1"))]
    );
    let listed: Vec<&Digest> = stored.children().map(|it| &it.digest).collect();
    assert_eq!(listed, [multi.children[1].digest()]);
    assert_eq!(count(&target, is_upload), 2);
}

#[tokio::test(start_paused = true)]
async fn p6_a_sparse_index_that_is_refused_names_the_children_that_are_missing() {
    let multi = multi();
    let target = target();
    let subset = some(&multi, &["linux/arm64"], SubsetMode::Sparse).await;
    let error = one_at_a_time()
        .push(&subset, &target, &tagged(&["1"]), &())
        .await
        .unwrap_err();
    let PushError::SparseRefused {
        digest, missing, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(digest, multi.index.digest());
    let left_out = [&multi.children[0], &multi.children[2]].map(|it| it.digest().clone());
    assert_eq!(missing[..], left_out);
    for digest in &left_out {
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
    }
    assert_eq!(error.digest(), Some(multi.index.digest()));
    assert!(target.manifest(&at_tag("1")).is_none());
}

/// An index may list a child twice; it is missing once.
#[tokio::test(start_paused = true)]
async fn p6_a_child_that_is_listed_twice_is_named_once_and_stays_twice_in_a_rewritten_index() {
    let multi = multi();
    let [amd64, arm64] = ["amd64", "arm64"].map(|it| Some(Platform::new("linux", it)));
    let twice = IndexBuilder::new()
        .manifest(&multi.children[0], amd64.clone())
        .manifest(&multi.children[1], arm64)
        .manifest(&multi.children[0], amd64);
    let index = twice.build().unwrap();
    let multi = Multi {
        source: multi.source.with_root(index.clone()),
        index,
        children: multi.children,
    };
    let subset = some(&multi, &["linux/arm64"], SubsetMode::Sparse).await;
    let target = target();
    let error = one_at_a_time()
        .push(&subset, &target, &tagged(&["1"]), &())
        .await
        .unwrap_err();
    let PushError::SparseRefused { missing, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(missing[..], [multi.children[0].digest().clone()]);

    let subset = some(&multi, &["linux/amd64"], SubsetMode::Rewrite).await;
    let target = crate::fixture::target();
    one_at_a_time()
        .push(&subset, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let stored = Document::new(target.manifest(&at_tag("1")).unwrap(), None).unwrap();
    assert_eq!(
        puts(&target),
        [put(&multi.children[0], None), put(&stored, Some("1"))]
    );
    let listed: Vec<&Digest> = stored.children().map(|it| &it.digest).collect();
    assert_eq!(
        listed,
        [multi.children[0].digest(), multi.children[0].digest()]
    );
}

/// That the index is there says nothing of what was left out when it was put.
#[tokio::test(start_paused = true)]
async fn another_platform_of_a_sparse_index_is_pushed_though_the_index_is_there() {
    let multi = multi();
    let target = RecordingTarget::new(repository("app"));
    let engine = one_at_a_time();
    let arm = some(&multi, &["linux/arm64"], SubsetMode::Sparse).await;
    let report = engine.push(&arm, &target, &tagged(&["1"]), &()).await;
    assert_eq!(report.unwrap().digest, *multi.index.digest());
    assert_eq!(
        puts(&target),
        [put(&multi.children[1], None), put(&multi.index, Some("1"))]
    );
    target.clear();
    let riscv = some(&multi, &["linux/riscv64"], SubsetMode::Sparse).await;
    let report = engine.push(&riscv, &target, &tagged(&["1"]), &()).await;
    assert_eq!(report.unwrap().digest, *multi.index.digest());
    assert_eq!(puts(&target), [put(&multi.children[2], None)]);
    target.clear();
    let report = engine.push(&riscv, &target, &tagged(&["1"]), &()).await;
    assert_eq!(report.unwrap().bytes.uploaded, 0);
    assert_eq!(count(&target, is_put) + count(&target, is_upload), 0);
}
