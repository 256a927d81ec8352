//! What is a document, of which type, and that its bytes stay what they were.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Document, DocumentError, MAX_MANIFEST_BYTES, View};
use crate::{Algorithm, Descriptor, Digest, MediaType};

const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

fn described(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": SHA256, "size": 0})
}

/// An image manifest without a `mediaType` of its own.
fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "config": described("application/vnd.oci.image.config.v1+json"),
        "layers": [described("application/vnd.oci.image.layer.v1.tar+gzip")],
    })
}

fn index() -> Value {
    json!({"schemaVersion": 2, "manifests": [described("application/vnd.oci.image.manifest.v1+json")]})
}

/// `value` with other fields.
fn with(mut value: Value, fields: Value) -> Value {
    let (Value::Object(there), Value::Object(fields)) = (&mut value, fields) else {
        panic!("not objects");
    };
    there.extend(fields);
    value
}

fn read(value: &Value, declared: Option<&MediaType>) -> Result<Document, DocumentError> {
    Document::new(bytes(value), declared)
}

fn type_of(value: &Value, declared: Option<&MediaType>) -> MediaType {
    read(value, declared)
        .expect("a document")
        .media_type()
        .clone()
}

#[test]
fn z6_the_type_is_the_documents_own_where_it_has_one() {
    for media_type in &MediaType::MANIFESTS {
        let shape = if media_type.is_index() {
            index()
        } else {
            image()
        };
        let value = with(shape, json!({"mediaType": media_type}));
        assert_eq!(type_of(&value, None), *media_type);
        assert_eq!(type_of(&value, Some(media_type)), *media_type);
    }
}

#[test]
fn z6_a_missing_type_is_inferred_from_the_shape() {
    assert_eq!(type_of(&image(), None), MediaType::OCI_MANIFEST);
    assert_eq!(type_of(&index(), None), MediaType::OCI_INDEX);
    let none = with(image(), json!({"mediaType": null}));
    assert_eq!(type_of(&none, None), MediaType::OCI_MANIFEST);
    let empty = with(index(), json!({"mediaType": ""}));
    assert_eq!(type_of(&empty, None), MediaType::OCI_INDEX);
}

#[test]
fn z6_a_declared_type_is_kept_where_the_document_has_none() {
    for (value, media_type) in [
        (image(), MediaType::DOCKER_MANIFEST),
        (index(), MediaType::DOCKER_LIST),
        (image(), MediaType::OCI_MANIFEST),
    ] {
        assert_eq!(type_of(&value, Some(&media_type)), media_type);
    }
}

#[test]
fn z6_a_declared_type_that_contradicts_the_documents_own_is_an_error() {
    let value = with(image(), json!({"mediaType": MediaType::OCI_MANIFEST}));
    for declared in [
        MediaType::DOCKER_MANIFEST,
        MediaType::OCI_INDEX,
        MediaType::new("application/json"),
    ] {
        let error = read(&value, Some(&declared)).expect_err("a contradiction");
        assert!(
            matches!(&error, DocumentError::Contradiction { declared: it, found }
                if *it == declared && *found == MediaType::OCI_MANIFEST),
            "{error:?}"
        );
    }
}

#[test]
fn z6_a_type_that_is_not_the_shapes_is_an_error() {
    for (value, declared) in [
        (
            with(image(), json!({"mediaType": MediaType::OCI_INDEX})),
            None,
        ),
        (
            with(index(), json!({"mediaType": MediaType::OCI_MANIFEST})),
            None,
        ),
        (image(), Some(MediaType::DOCKER_LIST)),
        (index(), Some(MediaType::DOCKER_MANIFEST)),
    ] {
        let error = read(&value, declared.as_ref()).expect_err("an ambiguity");
        assert!(matches!(error, DocumentError::Ambiguous(_)), "{error:?}");
    }
    let error = read(&image(), Some(&MediaType::OCI_LAYER)).expect_err("no manifest's type");
    assert!(matches!(error, DocumentError::NotAManifest(it) if it == MediaType::OCI_LAYER));
    let other = with(image(), json!({"mediaType": "text/html"}));
    assert!(matches!(
        read(&other, None),
        Err(DocumentError::NotAManifest(_))
    ));
}

#[test]
fn a_document_that_can_be_read_two_ways_is_refused() {
    for media_type in [
        Value::Null,
        json!(MediaType::OCI_MANIFEST),
        json!(MediaType::OCI_INDEX),
    ] {
        for both in [
            json!({"manifests": []}),
            json!({"manifests": [], "mediaType": media_type}),
        ] {
            let error = read(&with(image(), both), None).expect_err("both");
            assert!(error.to_string().contains("both an image and an index"));
        }
        let both = json!({"layers": [], "mediaType": media_type});
        assert!(read(&with(index(), both), None).is_err());
    }
    // The second of two equal keys would win in some readers, the first in others.
    let twice = r#"{"manifests":[],"manifests":[],"schemaVersion":2}"#;
    let error = Document::new(twice.into(), None).expect_err("twice");
    assert!(matches!(error, DocumentError::Malformed(_)), "{error:?}");
}

#[test]
fn what_is_neither_image_nor_index_is_refused() {
    for value in [
        json!({}),
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST}),
        json!({"manifests": null, "layers": null}),
    ] {
        let error = read(&value, None).expect_err("neither");
        assert!(error.to_string().contains("neither"), "{error}");
    }
    for text in [
        "",
        " ",
        "null",
        "[]",
        "[null,[],[]]",
        "7",
        "{",
        "<html></html>",
        "{}{}",
        "\u{feff}{}",
    ] {
        let error = Document::new(text.into(), None).expect_err(text);
        assert!(
            matches!(error, DocumentError::Malformed(_)),
            "{text:?}: {error:?}"
        );
    }
    assert!(Document::new(Bytes::from_static(b"\xff\xfe{}"), None).is_err());
}

#[test]
fn schema_1_is_refused_by_name() {
    let value = json!({"schemaVersion": 1, "fsLayers": [{"blobSum": SHA256}], "history": []});
    for declared in [
        None,
        Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
    ] {
        let error = read(&value, declared.map(MediaType::from).as_ref()).expect_err("schema 1");
        assert!(error.to_string().contains("schema 1"), "{error}");
    }
}

#[test]
fn null_fields_are_read_as_missing_ones() {
    let nulls = json!({"layers": null, "annotations": null, "subject": null,
        "artifactType": null, "fsLayers": null, "manifests": null});
    let it = read(&with(image(), nulls), None).expect("a manifest");
    assert_eq!(it.media_type(), &MediaType::OCI_MANIFEST);
    assert_eq!(it.as_manifest().map(|it| it.layers.len()), Some(0));
    assert!(it.subject().is_none());

    let it = read(&json!({"schemaVersion": 2, "manifests": null}), None).expect("an index");
    assert_eq!(it.media_type(), &MediaType::OCI_INDEX);
    assert_eq!(it.children().count(), 0);

    let child = json!({"urls": null, "annotations": null, "artifactType": null,
        "platform": {"os": null, "os.features": null, "variant": "", "os.version": ""}});
    let child = with(described(MediaType::OCI_MANIFEST.as_str()), child);
    let it = read(&json!({"manifests": [child], "layers": null}), None).expect("an index");
    let child = it.children().next().expect("a child").clone();
    assert_eq!((child.urls.len(), child.annotations.len()), (0, 0));
    assert_eq!(child.platform, Some(crate::Platform::new("", "")));
    assert_eq!(it.as_index().map(|it| it.platforms().len()), Some(0));
}

#[test]
fn descriptors_that_mean_nothing_are_errors() {
    for layer in [
        json!({"mediaType": "x", "digest": SHA256, "size": -1}),
        json!({"mediaType": "x", "digest": SHA256, "size": 1.5}),
        json!({"mediaType": "x", "digest": SHA256, "size": "1"}),
        json!({"mediaType": "x", "digest": SHA256, "size": 18_446_744_073_709_551_616_f64}),
        json!({"mediaType": "x", "digest": SHA256}),
        json!({"mediaType": "x", "digest": "sha256:../../etc/passwd", "size": 1}),
        json!({"mediaType": "x", "digest": "md5:d41d8cd98f00b204e9800998ecf8427e", "size": 0}),
        json!({"digest": SHA256, "size": 1}),
        json!(null),
    ] {
        let value = with(image(), json!({"layers": [layer]}));
        let error = read(&value, None).expect_err("a bad layer");
        assert!(matches!(error, DocumentError::Malformed(_)), "{layer}");
    }
    let no_config = with(image(), json!({"config": null}));
    assert!(matches!(
        read(&no_config, None),
        Err(DocumentError::Malformed(_))
    ));
}

#[test]
fn embedded_data_unknown_fields_and_large_sizes_are_no_obstacle() {
    let layer = with(
        described("x"),
        json!({"data": "e30=", "size": u64::MAX, "x-unknown": [[1]]}),
    );
    let value = with(
        image(),
        json!({"layers": [layer], "x-unknown": {"a": null}}),
    );
    let it = read(&value, None).expect("a manifest");
    assert_eq!(it.children().last().map(|it| it.size), Some(u64::MAX));
}

#[test]
fn deep_json_in_an_unknown_field_is_passed_over_and_elsewhere_refused() {
    let deep = |field: &str| {
        let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
        let text = image().to_string();
        Bytes::from(format!(r#"{{"{field}":{open}{close},{}"#, &text[1..]))
    };
    let it = Document::new(deep("x-unknown"), None).expect("a manifest");
    assert_eq!(it.bytes(), &deep("x-unknown"));
    let error = Document::new(deep("annotations"), None).expect_err("too deep");
    assert!(matches!(error, DocumentError::Malformed(_)));
}

#[test]
fn four_mebibytes_are_read_and_no_more() {
    let padded = |length: usize| {
        let mut text = image().to_string();
        text.push_str(&" ".repeat(length - text.len()));
        Bytes::from(text)
    };
    let most = padded(MAX_MANIFEST_BYTES);
    let it = Document::new(most.clone(), None).expect("just small enough");
    assert!(Document::verified(most, it.descriptor()).is_ok());
    let over = padded(MAX_MANIFEST_BYTES + 1);
    let digest = Digest::of(&over);
    let descriptor = Descriptor::of(MediaType::OCI_MANIFEST, &over);
    for result in [
        Document::new(over.clone(), None),
        Document::with_digest(over.clone(), None, &digest),
        Document::verified(over, &descriptor),
    ] {
        let error = result.expect_err("too large");
        assert!(matches!(error, DocumentError::TooLarge(bytes) if bytes == 4_194_305));
    }
}

#[test]
fn length_digest_and_type_are_checked_against_a_descriptor() {
    let content = bytes(&image());
    let mut descriptor = Descriptor::of(MediaType::OCI_MANIFEST, &content);
    descriptor.platform = Some(crate::Platform::new("linux", "amd64"));
    let it = Document::verified(content.clone(), &descriptor).expect("the right one");
    assert_eq!(it.descriptor(), &descriptor, "the platform stays");

    let longer = Descriptor {
        size: descriptor.size + 1,
        ..descriptor.clone()
    };
    let error = Document::verified(content.clone(), &longer).expect_err("length");
    assert!(
        matches!(error, DocumentError::SizeMismatch { expected, actual }
        if expected == longer.size && actual == descriptor.size)
    );

    let other = Descriptor {
        digest: Digest::of(b"other"),
        ..descriptor.clone()
    };
    let error = Document::verified(content.clone(), &other).expect_err("digest");
    assert!(
        matches!(error, DocumentError::DigestMismatch { expected, actual }
        if expected == other.digest && actual == descriptor.digest)
    );

    let typed = Descriptor {
        media_type: MediaType::OCI_INDEX,
        ..descriptor
    };
    let error = Document::verified(content, &typed).expect_err("type");
    assert!(matches!(error, DocumentError::Ambiguous(_)), "{error:?}");
}

#[test]
fn a_document_can_be_addressed_by_sha512() {
    let content = bytes(&image());
    let digest = Digest::of_with(Algorithm::Sha512, &content);
    let it = Document::with_digest(content, None, &digest).expect("the right one");
    assert_eq!(it.digest(), &digest);
}

#[test]
fn children_are_config_and_layers_or_manifests_and_never_the_subject() {
    let mut subject = described(MediaType::OCI_MANIFEST.as_str());
    subject["size"] = json!(77);
    let it = read(&with(image(), json!({"subject": subject})), None).expect("a manifest");
    let types: Vec<_> = it.children().map(|it| it.media_type.clone()).collect();
    assert_eq!(types, [MediaType::OCI_CONFIG, MediaType::OCI_LAYER_GZIP]);
    assert_eq!(it.subject().map(|it| it.size), Some(77));
    assert!(it.as_manifest().is_some() && it.as_index().is_none());
    assert!(matches!(it.view(), View::Manifest(_)));

    let it = read(&with(index(), json!({"subject": subject})), None).expect("an index");
    assert_eq!(it.children().count(), 1);
    assert_eq!(it.subject().map(|it| it.size), Some(77));
    assert!(it.as_manifest().is_none() && it.as_index().is_some());
}

#[test]
fn debug_does_not_print_the_bytes() {
    let it = read(&with(image(), json!({"x": "needle"})), None).expect("a manifest");
    let text = format!("{it:?}");
    assert!(
        text.contains(it.digest().encoded()) && !text.contains("needle"),
        "{text}"
    );
}

// === properties ===

/// White space as JSON allows it between tokens.
fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

fn text_of(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("json")
}

/// The text of an object with these fields in some order, spaced at random.
fn object(fields: Vec<(String, String)>) -> impl Strategy<Value = String> {
    let count = fields.len();
    (
        Just(fields).prop_shuffle(),
        proptest::collection::vec(space(), 4 * count + 2),
    )
        .prop_map(|(fields, spaces)| {
            let mut spaces = spaces.into_iter();
            let mut space = move || spaces.next().unwrap_or_default();
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(key, value)| {
                    format!(
                        "{}\"{key}\"{}:{}{value}{}",
                        space(),
                        space(),
                        space(),
                        space()
                    )
                })
                .collect();
            format!("{}{{{}}}{}", space(), fields.join(","), space())
        })
}

fn layer() -> impl Strategy<Value = String> {
    let urls = proptest::option::of(proptest::collection::vec(
        "https://[a-z]{1,8}/\\PC{0,8}",
        0..3,
    ));
    let unknown = proptest::collection::vec(("x-[a-z]{1,6}", "\\PC{0,12}"), 0..3);
    let content = proptest::collection::vec(any::<u8>(), 0..16);
    (urls, unknown, content).prop_flat_map(|(urls, unknown, content)| {
        let mut fields = vec![
            (
                "mediaType".to_owned(),
                text_of(&MediaType::DOCKER_FOREIGN_LAYER),
            ),
            ("digest".to_owned(), text_of(&Digest::of(&content))),
            ("size".to_owned(), content.len().to_string()),
        ];
        fields.extend(urls.map(|urls| ("urls".to_owned(), text_of(&urls))));
        for (key, value) in unknown {
            if fields.iter().all(|(there, _)| *there != key) {
                fields.push((key, text_of(&value)));
            }
        }
        object(fields)
    })
}

proptest! {
    #[test]
    fn z5_a_documents_bytes_are_those_it_was_made_from(
        text in proptest::collection::vec(layer(), 0..4).prop_flat_map(|layers| {
            let config = described(MediaType::OCI_CONFIG.as_str()).to_string();
            object(vec![
                ("config".to_owned(), config),
                ("layers".to_owned(), format!("[{}]", layers.join(" , "))),
                ("schemaVersion".to_owned(), "2".to_owned()),
                ("x-odd".to_owned(), r#"{"b":1.0,"a":1e2,"\u0061b":"\/"}"#.to_owned()),
            ])
        })
    ) {
        let bytes = Bytes::from(text.clone());
        let it = Document::new(bytes.clone(), None).expect("a manifest");
        prop_assert_eq!(it.bytes(), &bytes);
        prop_assert_eq!(it.digest(), &Digest::of(text.as_bytes()));
        prop_assert_eq!(it.descriptor().size, text.len() as u64);
        let again = Document::verified(it.bytes().clone(), it.descriptor()).expect("the same");
        prop_assert_eq!(again.bytes(), &bytes);
        prop_assert_eq!(&again, &it);
        prop_assert_eq!(again.as_manifest(), it.as_manifest());
    }

    #[test]
    fn z6_any_bytes_give_a_manifests_type_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        keys in proptest::sample::subsequence(vec!["mediaType", "config", "layers", "manifests", "fsLayers"], 0..=5),
        values in proptest::collection::vec("null|\\[\\]|\\{\\}|\"\"|1|\"application/vnd.oci.image.index.v1\\+json\"", 5),
    ) {
        let fields: Vec<String> = keys.iter().zip(&values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
        for bytes in [Bytes::from(bytes), Bytes::from(format!("{{{}}}", fields.join(",")))] {
            if let Ok(it) = Document::new(bytes.clone(), None) {
                prop_assert!(it.media_type().is_manifest() || it.media_type().is_index());
                prop_assert_eq!(it.as_index().is_some(), it.media_type().is_index());
                prop_assert_eq!(it.bytes(), &bytes);
            }
        }
    }
}
