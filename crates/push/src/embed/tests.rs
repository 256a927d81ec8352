//! What an image becomes, and what stays as it was.

use oci::Platform;
use serde_json::{Value, json};

use super::*;
use crate::compose::{IndexBuilder, ManifestBuilder, MemorySource};

fn foreign(content: &str, media_type: &str) -> Descriptor {
    let mut layer = Descriptor::of(media_type.into(), content.as_bytes());
    layer.urls = vec![format!("https://far.test/{content}")];
    layer
}

const DOCKER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const OCI: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";

/// A manifest of one foreign and one ordinary layer.
fn image(source: MemorySource, name: &str) -> (MemorySource, Document) {
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, format!("{{\"of\":{name:?}}}"));
    let (source, own) = source.with_blob(MediaType::OCI_LAYER_GZIP, name.to_owned());
    let manifest = ManifestBuilder::new(config)
        .layer(foreign(name, OCI))
        .layer(own)
        .annotation("name", name);
    (source, manifest.build().unwrap())
}

/// The manifest, with fields that nobody here knows and in an order of its own.
#[tokio::test]
async fn n9_an_embedded_layer_changes_type_and_urls_and_nothing_else() {
    let layer = foreign("base", DOCKER);
    let ordinary = Descriptor::of(MediaType::DOCKER_LAYER_GZIP, b"app");
    let config = Descriptor::of(MediaType::DOCKER_CONFIG, b"{}");
    let text = format!(
        r#"{{"odd":[1, 2],"layers":[{{"urls":["https://far.test/base"],"x":1.50,"digest":"{}","size":{},"mediaType":"{DOCKER}","annotations":{{"a":"b"}}}},{{"size":{},"mediaType":"{}","digest":"{}"}}],"config":{},"schemaVersion":2,"mediaType":"{}"}}"#,
        layer.digest,
        layer.size,
        ordinary.size,
        ordinary.media_type,
        ordinary.digest,
        json!(config),
        MediaType::DOCKER_MANIFEST,
    );
    let expected = text
        .replace(r#""urls":["https://far.test/base"],"#, "")
        .replace(DOCKER, "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let root = Document::new(text.into(), None).unwrap();
    let source = MemorySource::new().with_root(root.clone());
    let embedded = Embedded::of(&source, false).await.unwrap();
    let made = embedded.root().await.unwrap();
    assert_eq!(std::str::from_utf8(made.bytes()).unwrap(), expected);
    assert_eq!(made.media_type(), root.media_type());
    let embedding = embedded.embedding();
    assert_eq!(
        embedding.rewritten,
        [Rewritten {
            media_type: MediaType::DOCKER_MANIFEST,
            from: root.digest().clone(),
            to: made.digest().clone(),
        }]
    );
    // The source is asked for a layer as it knows it: there are the urls.
    let pushed = &made.as_manifest().unwrap().layers[0];
    assert_eq!(embedded.as_in_the_source(pushed).urls, layer.urls);
}

/// An index of an image with foreign layers, one without, and an attestation about each.
#[tokio::test]
async fn n9_an_index_lists_what_its_images_became_and_not_what_was_said_of_them() {
    let (source, windows) = image(MemorySource::new(), "windows");
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, "{}");
    let linux = ManifestBuilder::new(config.clone()).build().unwrap();
    let about = |of: &Document| {
        let statement = Descriptor::of(
            "application/vnd.in-toto+json".into(),
            of.digest().to_string().as_bytes(),
        );
        ManifestBuilder::new(config.clone())
            .layer(statement)
            .build()
            .unwrap()
    };
    let (of_windows, of_linux) = (about(&windows), about(&linux));
    let index = IndexBuilder::new()
        .manifest(
            &windows,
            Some("windows/amd64:10.0.20348.1".parse().unwrap()),
        )
        .manifest(&linux, Some(Platform::new("linux", "amd64")))
        .build()
        .unwrap();
    let mut index: Value = serde_json::from_slice(index.bytes()).unwrap();
    for (it, of) in [(&of_windows, &windows), (&of_linux, &linux)] {
        let mut entry = json!(it.descriptor());
        entry["annotations"] = json!({ ABOUT: of.digest() });
        index["manifests"].as_array_mut().unwrap().push(entry);
    }
    let root = Document::new(index.to_string().into(), None).unwrap();
    let documents = [
        windows.clone(),
        linux.clone(),
        of_windows.clone(),
        of_linux.clone(),
    ];
    let source = documents
        .into_iter()
        .fold(source, MemorySource::with_document);
    let source = source.with_root(root.clone());

    let embedded = Embedded::of(&source, false).await.unwrap();
    let made = embedded.root().await.unwrap();
    let children = &made.as_index().unwrap().manifests;
    let before = &root.as_index().unwrap().manifests;
    assert_eq!(children.len(), 3);
    assert_eq!(children[0].platform, before[0].platform);
    assert_ne!(children[0].digest, before[0].digest);
    assert_eq!(children[1..], [before[1].clone(), before[3].clone()]);
    let image = embedded.document(&children[0]).await.unwrap();
    assert!(
        image
            .children()
            .all(|it| !it.is_foreign() && it.urls.is_empty())
    );
    let embedding = embedded.embedding();
    assert_eq!(embedding.left_behind, [of_windows.digest().clone()]);
    let last = embedding.rewritten.last().unwrap();
    assert_eq!((&last.from, &last.to), (root.digest(), made.digest()));
    assert_eq!(embedding.rewritten.len(), 2);
}

#[tokio::test]
async fn n9_an_image_without_foreign_layers_stays_as_it_is() {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let root = ManifestBuilder::new(config).build().unwrap();
    let source = source.with_root(root.clone());
    let embedded = Embedded::of(&source, true).await.unwrap();
    assert_eq!(embedded.root().await.unwrap().bytes(), root.bytes());
    assert_eq!(embedded.embedding().rewritten, []);
}

/// A signature names the digest it is about: it is told of, and does not go along.
#[tokio::test]
async fn n9_what_is_about_an_image_that_becomes_another_stays_behind() {
    let (source, root) = image(MemorySource::new(), "windows");
    let (source, config) = source.with_blob(MediaType::OCI_EMPTY, "{}");
    let signature = ManifestBuilder::new(config)
        .artifact_type("application/vnd.test.signature")
        .subject(&root)
        .build()
        .unwrap();
    let source = source
        .with_document(signature.clone())
        .with_root(root.clone());
    let embedded = Embedded::of(&source, true).await.unwrap();
    let embedding = embedded.embedding();
    assert_eq!(embedding.left_behind, [signature.digest().clone()]);
    let made = embedded.root().await.unwrap();
    assert_eq!(embedded.referrers(made.digest()).await.unwrap(), []);
}
