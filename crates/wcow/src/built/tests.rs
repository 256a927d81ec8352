//! What agrees is an image, what does not is an error; JSON keeps it all.

use bytes::Bytes;
use oci::{Algorithm, Descriptor, Digest, DocumentError, MAX_MANIFEST_BYTES, MediaType, Tag};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BuiltImage, UnverifiedImage};
use crate::{BuiltImageError, EmittedLayer, LayerField, LayerSource, MAX_INLINE_BYTES};

const CONFIG: &[u8] = br#"{"os":"windows","architecture":"amd64"}"#;

fn manifest(config: &Descriptor, layers: &[EmittedLayer]) -> Value {
    let layers: Vec<Descriptor> = layers.iter().map(EmittedLayer::descriptor).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": config,
        "layers": layers,
    })
}

/// An image of these layers in which everything agrees.
pub(crate) fn image_of(layers: Vec<EmittedLayer>) -> UnverifiedImage {
    let config = Descriptor::of(MediaType::OCI_CONFIG, CONFIG);
    let manifest = manifest(&config, &layers).to_string();
    UnverifiedImage {
        tags: vec![Tag::latest()],
        config: Bytes::from_static(CONFIG),
        config_digest: config.digest,
        manifest_digest: Digest::of(manifest.as_bytes()),
        manifest: manifest.into(),
        layers,
    }
}

/// One layer of each kind: in memory, in a file, in a registry, foreign.
fn layers() -> Vec<EmittedLayer> {
    let of = |name: &str, source| {
        let digest = Digest::of(name.as_bytes());
        EmittedLayer::new(MediaType::OCI_LAYER_GZIP, digest, 4, source)
    };
    let base = "mcr.microsoft.com/windows/nanoserver"
        .parse()
        .expect("a repository");
    let foreign = MediaType::DOCKER_FOREIGN_LAYER;
    vec![
        EmittedLayer::new(foreign, Digest::of(b"base"), 7, LayerSource::None)
            .with_urls(["https://example.com/base"]),
        of("registry", LayerSource::Registry(base)),
        of("file", LayerSource::File("/layers/1.tar.gz".into())),
        EmittedLayer::of_bytes(MediaType::OCI_LAYER, Bytes::from_static(b"\0\xffbytes")),
    ]
}

fn image() -> UnverifiedImage {
    image_of(layers())
}

/// The same image with another manifest, addressed by its right digest.
fn with_manifest(mut image: UnverifiedImage, manifest: &Value) -> UnverifiedImage {
    image.manifest = manifest.to_string().into();
    image.manifest_digest = Digest::of(&image.manifest);
    image
}

/// A change of a layer, and what the manifest then disagrees about.
type Change = (fn(&mut EmittedLayer), LayerField);

fn error(image: UnverifiedImage) -> BuiltImageError {
    image.verify().expect_err("parts that do not agree")
}

#[test]
fn z10_parts_that_agree_are_an_image() {
    let parts = image();
    let image = parts.clone().verify().expect("an image");
    assert_eq!(image.tags(), parts.tags);
    assert_eq!(image.config(), &parts.config);
    assert_eq!(image.config_descriptor().digest, parts.config_digest);
    assert_eq!(image.manifest().bytes(), &parts.manifest);
    assert_eq!(image.digest(), &parts.manifest_digest);
    assert_eq!(image.layers(), parts.layers);
    assert_eq!(UnverifiedImage::from(image), parts);
}

#[test]
fn z10_both_digests_are_verified() {
    let wrong = Digest::of(b"wrong");
    let mut config = image();
    config.config_digest = wrong.clone();
    let right = Digest::of(CONFIG);
    assert!(
        matches!(error(config), BuiltImageError::ConfigDigest { expected, actual }
        if expected == wrong && actual == right)
    );

    let mut altered = image();
    altered.config = Bytes::from_static(b"{}");
    assert!(
        matches!(error(altered), BuiltImageError::ConfigDigest { expected, .. }
        if expected == right)
    );

    let mut manifest = image();
    manifest.manifest_digest = wrong.clone();
    assert!(matches!(
        error(manifest),
        BuiltImageError::Manifest(DocumentError::DigestMismatch { expected, .. }) if expected == wrong
    ));
    let mut altered = image();
    altered.manifest = [&altered.manifest[..], b" "].concat().into();
    assert!(matches!(
        error(altered),
        BuiltImageError::Manifest(DocumentError::DigestMismatch { .. })
    ));
}

#[test]
fn z10_the_manifest_agrees_with_the_config() {
    let other = Descriptor::of(MediaType::OCI_CONFIG, b"{}");
    let named = with_manifest(image(), &manifest(&other, &layers()));
    assert!(
        matches!(error(named), BuiltImageError::ConfigDisagrees { named, actual, .. }
        if named == other.digest && actual == Digest::of(CONFIG))
    );

    let mut longer = Descriptor::of(MediaType::OCI_CONFIG, CONFIG);
    longer.size += 1;
    let named = with_manifest(image(), &manifest(&longer, &layers()));
    assert!(
        matches!(error(named), BuiltImageError::ConfigDisagrees { named_size, actual_size, .. }
        if named_size == actual_size + 1)
    );
}

#[test]
fn z10_the_manifests_descriptors_agree_with_the_layers() {
    let mut fewer = image();
    fewer.layers.pop();
    assert!(matches!(
        error(fewer),
        BuiltImageError::LayerCount {
            named: 4,
            actual: 3
        }
    ));
    let mut swapped = image();
    swapped.layers.swap(1, 2);
    assert!(matches!(
        error(swapped),
        BuiltImageError::LayerDisagrees {
            position: 1,
            field: LayerField::Digest,
            ..
        }
    ));
    let differences: [Change; 4] = [
        (
            |it| it.media_type = MediaType::OCI_LAYER_ZSTD,
            LayerField::MediaType,
        ),
        (|it| it.digest = Digest::of(b"other"), LayerField::Digest),
        (|it| it.size += 1, LayerField::Size),
        (
            |it| it.urls = vec!["https://example.com/x".into()],
            LayerField::Urls,
        ),
    ];
    for (change, expected) in differences {
        let mut changed = image();
        change(&mut changed.layers[2]);
        let error = error(changed);
        assert!(
            matches!(&error, BuiltImageError::LayerDisagrees { position: 2, field, .. }
                if *field == expected),
            "{error}"
        );
        assert!(error.to_string().contains(&expected.to_string()), "{error}");
    }
}

#[test]
fn z10_an_empty_list_of_urls_never_makes_a_layer_foreign() {
    let ordinary = layers().remove(2).with_urls(Vec::<String>::new());
    assert!(!ordinary.is_foreign());
    // Tools write the empty list in all three ways; all of them agree with it.
    for urls in [Some(json!([])), Some(Value::Null), None] {
        let config = Descriptor::of(MediaType::OCI_CONFIG, CONFIG);
        let mut value = manifest(&config, std::slice::from_ref(&ordinary));
        if let Some(urls) = urls {
            value["layers"][0]["urls"] = urls;
        }
        let image = with_manifest(image_of(vec![ordinary.clone()]), &value);
        let image = image.verify().expect("an image");
        let layer = image.manifest().children().last().expect("a layer").clone();
        assert!(!layer.is_foreign() && !image.layers()[0].is_foreign());
    }
    let json = json!({"mediaType": MediaType::OCI_LAYER, "digest": Digest::of(b""), "size": 0,
        "source": "none", "urls": []});
    let layer: EmittedLayer = serde_json::from_value(json).expect("a layer");
    assert!(!layer.is_foreign());
    // Nor does a full list, and a foreign type stays one without any.
    assert!(!ordinary.with_urls(["https://example.com/x"]).is_foreign());
    assert!(
        layers()
            .remove(0)
            .with_urls(Vec::<String>::new())
            .is_foreign()
    );
}

#[test]
fn z10_json_holds_all_of_it_and_is_verified_when_read() {
    let image = image().verify().expect("an image");
    let value = serde_json::to_value(&image).expect("json");
    assert_eq!(value["tags"], json!(["latest"]));
    assert_eq!(value["layers"][0]["source"], "none");
    assert_eq!(
        value["layers"][1]["source"],
        json!({"registry": "mcr.microsoft.com/windows/nanoserver"})
    );
    assert_eq!(
        value["layers"][2]["source"],
        json!({"file": "/layers/1.tar.gz"})
    );
    assert_eq!(
        value["layers"][3]["source"],
        json!({"bytes": "AP9ieXRlcw=="})
    );
    let read: BuiltImage = serde_json::from_value(value.clone()).expect("an image");
    assert_eq!(read, image);
    let text = value.to_string();
    let read: BuiltImage = serde_json::from_reader(text.as_bytes()).expect("an image");
    assert_eq!(read, image);

    for (pointer, wrong, expected) in [
        (
            "/configDigest",
            json!(Digest::of(b"x")),
            "the config has digest",
        ),
        (
            "/manifestDigest",
            json!(Digest::of(b"x")),
            "manifest is not usable",
        ),
        ("/config", json!("e30="), "the config has digest"),
        ("/config", json!("not base64"), "nvalid"),
        ("/config", json!([1, 2]), "invalid type"),
        ("/layers", json!([]), "has 4 layers, but 0"),
        ("/layers/0/size", json!(8), "layer 0 has size 8, but 7"),
        ("/layers/0/urls", json!(["x"]), "layer 0 has urls"),
        (
            "/layers/3/source/bytes",
            json!("e30="),
            "layer 3 holds 2 bytes",
        ),
        ("/tags/0", json!("not a tag"), "malformed"),
    ] {
        let mut value = value.clone();
        *value.pointer_mut(pointer).expect(pointer) = wrong;
        let error = serde_json::from_value::<BuiltImage>(value).expect_err(pointer);
        assert!(error.to_string().contains(expected), "{pointer}: {error}");
    }
}

#[test]
fn an_index_or_a_broken_manifest_is_no_image() {
    let index = with_manifest(image(), &json!({"schemaVersion": 2, "manifests": []}));
    assert!(matches!(error(index), BuiltImageError::Index));
    let neither = with_manifest(image(), &json!({}));
    assert!(matches!(
        error(neither),
        BuiltImageError::Manifest(DocumentError::Ambiguous(_))
    ));
    let mut large = image();
    large.manifest = vec![b' '; MAX_MANIFEST_BYTES + 1].into();
    large.manifest_digest = Digest::of(&large.manifest);
    assert!(matches!(
        error(large),
        BuiltImageError::Manifest(DocumentError::TooLarge(_))
    ));
}

#[test]
fn what_is_in_memory_is_bounded_and_right() {
    let layer = EmittedLayer::of_bytes(MediaType::OCI_LAYER, vec![0; MAX_INLINE_BYTES].into());
    assert!(image_of(vec![layer]).verify().is_ok());
    let layer = EmittedLayer::of_bytes(MediaType::OCI_LAYER, vec![0; MAX_INLINE_BYTES + 1].into());
    let large = error(image_of(vec![layer]));
    assert!(matches!(&large, BuiltImageError::TooLarge { what, .. } if what == "layer 0"));
    assert!(
        large.to_string().contains("at most 16777216 bytes"),
        "{large}"
    );
    let text = format!("\"{}\"", "A".repeat(MAX_INLINE_BYTES / 3 * 4 + 100));
    let source = format!("{{\"bytes\":{text}}}");
    let refused = serde_json::from_str::<LayerSource>(&source).expect_err("too large");
    assert!(
        refused.to_string().contains("more than 16777216 bytes"),
        "{refused}"
    );

    let mut wrong = image();
    wrong.layers[3].source = LayerSource::Bytes(Bytes::from_static(b"other!!"));
    assert!(matches!(
        error(wrong),
        BuiltImageError::LayerBytes {
            position: 3,
            actual_size: 7,
            ..
        }
    ));
}

#[test]
fn sha512_is_as_good() {
    let mut config = Descriptor::of(MediaType::OCI_CONFIG, CONFIG);
    config.digest = Digest::of_with(Algorithm::Sha512, CONFIG);
    let mut image = with_manifest(image(), &manifest(&config, &layers()));
    image.config_digest = config.digest;
    image.manifest_digest = Digest::of_with(Algorithm::Sha512, &image.manifest);
    assert!(image.verify().is_ok());
}

#[test]
fn debug_prints_no_bytes() {
    let parts = image();
    let built = parts.clone().verify().expect("an image");
    for text in [format!("{parts:?}"), format!("{built:?}")] {
        assert!(
            text.contains("Bytes(7)") && text.contains("nanoserver"),
            "{text}"
        );
        assert!(
            !text.contains("architecture") && !text.contains("schemaVersion"),
            "{text}"
        );
    }
}

fn any_layer() -> impl Strategy<Value = EmittedLayer> {
    let media_type = prop_oneof![
        Just(MediaType::OCI_LAYER_GZIP),
        Just(MediaType::OCI_LAYER_ZSTD),
        Just(MediaType::DOCKER_FOREIGN_LAYER),
        "[a-z/+.]{0,12}".prop_map(MediaType::new),
    ];
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    let urls = proptest::collection::vec("\\PC{0,12}", 0..3);
    let kind = 0..4_u8;
    let path = "[^\\x00]{1,12}";
    (media_type, bytes, urls, kind, path).prop_map(|(media_type, bytes, urls, kind, path)| {
        let mut layer = EmittedLayer::of_bytes(media_type, bytes.into());
        layer.urls = urls;
        match kind {
            0 => {}
            1 => layer.source = LayerSource::File(path.into()),
            2 => layer.source = LayerSource::Registry("h:5000/a/b".parse().expect("a name")),
            _ => layer.source = LayerSource::None,
        }
        layer
    })
}

proptest! {
    #[test]
    fn z10_an_image_of_any_layers_round_trips_through_json(
        layers in proptest::collection::vec(any_layer(), 0..5),
        tags in proptest::collection::vec("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}", 0..3),
    ) {
        let mut parts = image_of(layers);
        parts.tags = tags.iter().map(|it| it.parse().expect("a tag")).collect();
        let image = parts.verify().expect("an image");
        let json = serde_json::to_vec(&image).expect("json");
        let read: BuiltImage = serde_json::from_slice(&json).expect("an image");
        prop_assert_eq!(&read, &image);
        prop_assert_eq!(read.manifest().bytes(), image.manifest().bytes());
    }

    #[test]
    fn any_change_of_the_json_is_seen_or_harmless(
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let image = image().verify().expect("an image");
        let mut json = serde_json::to_vec(&image).expect("json");
        let at = at.index(json.len());
        json[at] = byte;
        if let Ok(read) = serde_json::from_slice::<BuiltImage>(&json) {
            prop_assert_eq!(read.manifest(), image.manifest());
            prop_assert_eq!(read.config(), image.config());
        }
    }
}
