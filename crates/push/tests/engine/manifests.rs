//! Manifests: their bytes, their types, their digests.

use bytes::Bytes;
use longshore_push::{
    Action,
    compose::{IndexBuilder, ManifestBuilder, MemorySource},
};
use oci::{Digest, Document, MediaType, Platform};
use proptest::prelude::*;

use crate::fixture::{
    at_tag, count, image, is_about, is_put, is_upload, one_at_a_time, push, tagged, target,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

prop_compose! {
    /// A manifest no tool of ours would write: odd order, odd space, unknown fields, urls.
    fn odd_manifest()(
        space in prop::sample::select(vec!["", " ", "\n\t", "   \r\n"]),
        unknown in "[a-z]{1,8}",
        value in "[ -!#-\\[\\]-~é世]{0,20}",
        typed in any::<bool>(),
        config_first in any::<bool>(),
        urls in prop::collection::vec("https://[a-z]{1,8}\\.test/[a-z]{1,4}", 0..3),
    ) -> (String, Bytes) {
        let content: Bytes = format!("{{\"x\":\"{value}\"}}").into();
        let config = format!(
            r#"{space}"config":{{"size":{},"digest":"{}","mediaType":"{}"}}"#,
            content.len(), Digest::of(&content), MediaType::OCI_CONFIG,
        );
        let urls = serde_json::to_string(&urls).unwrap();
        let layers = format!(
            r#""layers":[{{"mediaType":"{}","urls":{urls},"digest":"{}",{space}"size":7}}]"#,
            MediaType::DOCKER_FOREIGN_LAYER, Digest::of(b"foreign"),
        );
        let (one, two) = if config_first { (config, layers) } else { (layers, config) };
        let media_type = if typed {
            format!(r#","mediaType":{space}"{}""#, MediaType::OCI_MANIFEST)
        } else {
            String::new()
        };
        let text = format!(
            r#"{{{one},{space}{two},"x-{unknown}":{{"b":1,"a":[{space}]}},"schemaVersion":2{media_type}}}{space}"#
        );
        (text, content)
    }
}

proptest! {
    #[test]
    fn z5_manifest_bytes_are_sent_verbatim_and_their_digest_is_the_results(
        (text, config) in odd_manifest(),
    ) {
        block_on(async {
            let root = Document::new(text.clone().into(), None).unwrap();
            let source = MemorySource::new().with_blob(MediaType::OCI_CONFIG, config).0;
            let source = source.with_root(root);
            let target = target();
            let destination = tagged(&["1"]);
            let report = one_at_a_time().push(&source, &target, &destination, &()).await.unwrap();
            let stored = target.manifest(&at_tag("1")).unwrap();
            assert_eq!(stored, text.as_bytes());
            assert_eq!(report.digest, Digest::of(&stored));
            let foreign = Digest::of(b"foreign");
            assert_eq!(count(&target, |it| is_about(it, &foreign)), 0, "foreign layers are not asked for");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn z6_the_content_type_is_the_manifests_own_or_follows_from_its_shape() {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let descriptor = serde_json::to_string(&config).unwrap();
    let image =
        |extra: &str| format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]{extra}}}"#);
    let docker = format!(r#","mediaType":"{}""#, MediaType::DOCKER_MANIFEST);
    let list = format!(r#","mediaType":"{}""#, MediaType::DOCKER_LIST);
    let index = |extra: &str| format!(r#"{{"schemaVersion":2,"manifests":[]{extra}}}"#);
    let rows = [
        (image(""), MediaType::OCI_MANIFEST),
        (image(&docker), MediaType::DOCKER_MANIFEST),
        (index(""), MediaType::OCI_INDEX),
        (index(&list), MediaType::DOCKER_LIST),
    ];
    for (text, expected) in rows {
        let root = Document::new(text.into(), None).unwrap();
        let target = target();
        let source = source.clone().with_root(root);
        one_at_a_time()
            .push(&source, &target, &tagged(&["1"]), &())
            .await
            .unwrap();
        let put: Vec<_> = target.calls().into_iter().filter(is_put).collect();
        assert_eq!(put.len(), 1);
        assert_eq!(put[0].content_type, Some(expected));
    }
}

/// One serialisation: the digest is the same in the index entry, the plan, the request and
/// the report.
#[tokio::test(start_paused = true)]
async fn z19_a_typed_manifest_is_written_once_and_has_one_digest_everywhere() {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let (source, layer) = source.with_blob(MediaType::OCI_LAYER, "layer");
    let manifest = ManifestBuilder::new(config)
        .layer(layer)
        .annotation("b", "2")
        .annotation("a", "1")
        .build()
        .unwrap();
    let index = IndexBuilder::new()
        .manifest(&manifest, Some(Platform::new("linux", "amd64")))
        .build()
        .unwrap();
    let source = source
        .with_document(manifest.clone())
        .with_root(index.clone());
    let target = target();
    let engine = one_at_a_time();
    let destination = tagged(&["1"]);

    let plan = engine.plan(&source, &target, &destination).await.unwrap();
    let planned: Vec<_> = plan
        .steps()
        .iter()
        .filter(|it| matches!(it.action, Action::Put { .. }))
        .map(|it| it.node.digest.clone())
        .collect();
    assert_eq!(planned, [manifest.digest().clone(), index.digest().clone()]);
    assert_eq!(
        index.as_index().unwrap().manifests[0].digest,
        *manifest.digest()
    );

    let report = engine.execute(plan, &source, &target, &()).await.unwrap();
    assert_eq!(report.digest, *index.digest());
    assert_eq!(&target.manifest(&at_tag("1")).unwrap(), index.bytes());
    let by_digest = manifest.digest().clone().into();
    assert_eq!(&target.manifest(&by_digest).unwrap(), manifest.bytes());
    assert_eq!(count(&target, is_put), 2);
}

#[tokio::test(start_paused = true)]
async fn z27_a_layer_listed_three_times_is_sent_once_and_the_manifest_keeps_all_three() {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let (source, layer) = source.with_blob(MediaType::OCI_LAYER, "the same layer");
    let manifest = ManifestBuilder::new(config.clone())
        .layer(layer.clone())
        .layer(layer.clone())
        .layer(layer.clone())
        .build()
        .unwrap();
    let source = source.with_root(manifest.clone());
    let target = target();
    let report = one_at_a_time()
        .push(&source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert_eq!(count(&target, is_upload), 2);
    assert_eq!(
        count(&target, |it| is_upload(it) && is_about(it, &layer.digest)),
        1
    );
    assert_eq!(&target.manifest(&at_tag("1")).unwrap(), manifest.bytes());
    assert_eq!(report.bytes.total, config.size + 3 * layer.size);
    assert_eq!(report.bytes.unique, config.size + layer.size);
    assert_eq!(report.bytes.uploaded, target.blob_bytes());
}

/// The empty config and a layer of no bytes are blobs like others.
#[tokio::test(start_paused = true)]
async fn an_empty_layer_is_pushed_like_any_other() {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_EMPTY, "{}");
    let (source, empty) = source.with_blob("application/x-nothing", "");
    let manifest = ManifestBuilder::new(config)
        .artifact_type("application/x-test")
        .layer(empty);
    let source = source.with_root(manifest.build().unwrap());
    let target = target();
    one_at_a_time()
        .push(&source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert!(target.holds_blob(&Digest::of(b"")));
    assert_eq!(count(&target, is_upload), 2);
}

#[tokio::test(start_paused = true)]
async fn an_image_without_tags_is_put_under_its_digest() {
    let image = image(&["base"]);
    let target = target();
    let report = push(&one_at_a_time(), &image, &target, &[]).await.unwrap();
    assert_eq!(
        target.lines().last().unwrap(),
        &format!(
            "put manifest {} {}",
            image.root.digest(),
            image.root.bytes().len()
        )
    );
    assert_eq!(report.tags, []);
    assert_eq!(count(&target, is_put), 1);
}
