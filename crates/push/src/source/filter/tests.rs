//! What is kept of an index, to the byte, and what is said of it.

use futures_util::FutureExt as _;
use oci::MediaType;
use serde_json::json;

use super::*;
use crate::compose::{IndexBuilder, ManifestBuilder, MemorySource};

fn manifest(name: &str) -> Document {
    let config = Descriptor::of(MediaType::OCI_CONFIG, name.as_bytes());
    ManifestBuilder::new(config).build().unwrap()
}

fn of(
    source: &MemorySource,
    platforms: &[&str],
    mode: SubsetMode,
) -> Result<SomePlatforms, OpenError> {
    let platforms: Vec<Platform> = platforms.iter().map(|it| it.parse().unwrap()).collect();
    let source: Box<dyn Source> = Box::new(source.clone());
    SomePlatforms::of(source, &platforms, mode)
        .now_or_never()
        .unwrap()
}

fn root(it: &SomePlatforms) -> Document {
    it.root().now_or_never().unwrap().unwrap()
}

fn described(document: &Document, platform: &serde_json::Value) -> serde_json::Value {
    let it = document.descriptor();
    json!({"mediaType": it.media_type, "digest": it.digest, "size": it.size, "platform": platform})
}

/// The children of an index that build tools write: two versions of Windows, two variants of arm,
/// an attestation of each, and something that names no platform.
struct Everything {
    source: MemorySource,
    text: String,
    children: Vec<(String, Document)>,
}

fn everything() -> Everything {
    let mut source = MemorySource::new();
    let mut children = Vec::new();
    let mut add = |text: String, document: Document| {
        children.push((text, document.clone()));
        source = source.clone().with_document(document);
    };
    let platforms = [
        json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.20348.2113",
            "os.features": ["win32k"], "x-unknown": {"b": 1, "a": 2}}),
        json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1"}),
        json!({"architecture": "arm", "os": "linux", "variant": "v7"}),
        json!({"architecture": "arm", "os": "linux", "variant": "v6"}),
    ];
    for (at, platform) in platforms.into_iter().enumerate() {
        let image = manifest(&format!("image {at}"));
        // White space and an unknown field, which no tool of ours would write so.
        let text = described(&image, &platform).to_string();
        add(text.replacen('{', "{ \"x-first\" :\t1 ,", 1), image.clone());
        let about = manifest(&format!("attestation {at}"));
        let mut text = described(&about, &json!({"os": "unknown", "architecture": "unknown"}));
        text["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.digest(),
        });
        add(text.to_string(), about);
    }
    let stray = manifest("names no platform");
    let it = stray.descriptor();
    let text = json!({"mediaType": it.media_type, "digest": it.digest, "size": it.size});
    add(text.to_string(), stray);
    let text = index_of(children.iter().map(|(text, _)| text.as_str()));
    let root = Document::new(text.clone().into(), None).unwrap();
    Everything {
        source: source.with_root(root),
        text,
        children,
    }
}

/// An index of these children, with what else an index may say, in an odd order.
fn index_of<'a>(children: impl Iterator<Item = &'a str>) -> String {
    let children = children.collect::<Vec<_>>().join(",");
    format!(
        r#"{{"annotations":{{"org.example":"kept"}},"manifests":[{children}],"x-own":[ 1, 2 ],"mediaType":"{}","schemaVersion":2}}"#,
        MediaType::OCI_INDEX
    )
}

/// Order, annotations, `os.version`, and every field nobody here knows are what they were: the
/// new index is the old text with the other children cut out.
#[test]
fn p6_a_rewritten_index_is_the_old_one_with_just_those_children_and_their_attestations() {
    let it = everything();
    let subset = of(
        &it.source,
        &["linux/arm/v7", "windows/amd64:10.0.20348"],
        SubsetMode::Rewrite,
    )
    .unwrap();
    let kept = [0, 1, 4, 5];
    let expected = index_of(kept.iter().map(|&at| it.children[at].0.as_str()));
    let root = root(&subset);
    assert_eq!(root.bytes(), expected.as_bytes());
    assert_eq!(root.media_type(), &MediaType::OCI_INDEX);
    let said = subset.subset();
    assert_eq!(said.of, Digest::of(it.text.as_bytes()));
    assert_eq!(said.digest, Digest::of(expected.as_bytes()));
    assert_eq!(
        said.platforms,
        ["windows/amd64:10.0.20348.2113", "linux/arm/v7"]
    );
    let digests = |at: &[usize]| -> Vec<Digest> {
        let children = at.iter().map(|&at| it.children[at].1.digest().clone());
        children.collect()
    };
    assert_eq!(said.kept, digests(&kept));
    assert_eq!(said.dropped, digests(&[2, 3, 6, 7, 8]));
    let children = it.children.iter();
    assert!(
        !children
            .clone()
            .any(|(_, it)| subset.leaves_out(it.descriptor()))
    );
}

#[test]
fn p6_a_sparse_index_is_the_old_one_to_the_byte_and_leaves_the_other_children_out() {
    let it = everything();
    let subset = of(&it.source, &["linux/arm"], SubsetMode::Sparse).unwrap();
    assert_eq!(root(&subset).bytes(), it.text.as_bytes());
    let left_out: Vec<usize> = (0..it.children.len())
        .filter(|&at| subset.leaves_out(it.children[at].1.descriptor()))
        .collect();
    assert_eq!(left_out, [0, 1, 2, 3, 8]);
    assert_eq!(subset.subset().of, subset.subset().digest);
}

#[test]
fn a_platform_that_is_not_there_is_an_error_with_those_that_are() {
    let it = everything();
    for mode in [SubsetMode::Rewrite, SubsetMode::Sparse] {
        let error = of(&it.source, &["linux/arm/v7", "linux/s390x"], mode).unwrap_err();
        let OpenError::NoSuchPlatform {
            platform,
            available,
            ..
        } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(platform.to_string(), "linux/s390x");
        let available: Vec<String> = available.iter().map(ToString::to_string).collect();
        assert_eq!(
            available,
            [
                "windows/amd64:10.0.20348.2113",
                "windows/amd64:10.0.17763.1",
                "linux/arm/v7",
                "linux/arm/v6"
            ]
        );
    }
}

/// Nothing is taken out: the digest that was signed stays.
#[test]
fn an_index_of_which_all_is_wanted_stays_as_it_is() {
    let (one, two) = (manifest("one"), manifest("two"));
    let index = IndexBuilder::new()
        .manifest(&one, Some(Platform::new("linux", "amd64")))
        .manifest(&two, Some(Platform::new("linux", "arm64")))
        .build()
        .unwrap();
    let source = MemorySource::new().with_root(index.clone());
    let subset = of(
        &source,
        &["linux/amd64", "linux/arm64"],
        SubsetMode::Rewrite,
    );
    assert_eq!(root(&subset.unwrap()), index);
}

#[test]
fn an_index_in_an_index_is_looked_into_and_rewritten_where_it_stands() {
    let (one, two, three) = (manifest("one"), manifest("two"), manifest("three"));
    let linux = |it: &str| Some(Platform::new("linux", it));
    let inner = IndexBuilder::new()
        .manifest(&one, linux("amd64"))
        .manifest(&two, linux("arm64"))
        .build()
        .unwrap();
    let outer = IndexBuilder::new()
        .manifest(&three, linux("riscv64"))
        .manifest(&inner, None)
        .build()
        .unwrap();
    let source = MemorySource::new()
        .with_document(inner.clone())
        .with_root(outer.clone());
    let subset = of(&source, &["linux/arm64"], SubsetMode::Rewrite).unwrap();
    let expected = IndexBuilder::new()
        .manifest(&two, linux("arm64"))
        .build()
        .unwrap();
    let root = root(&subset);
    let only = root.as_index().unwrap().manifests[0].clone();
    assert_eq!(root.as_index().unwrap().manifests.len(), 1);
    assert_eq!(&only.digest, expected.digest());
    let made = subset.document(&only).now_or_never().unwrap().unwrap();
    assert_eq!(made.bytes(), expected.bytes());

    let sparse = of(&source, &["linux/arm64"], SubsetMode::Sparse).unwrap();
    assert_eq!(self::root(&sparse), outer);
    let left_out = |it: &Document| sparse.leaves_out(it.descriptor());
    assert!(left_out(&one) && left_out(&three));
    assert!(!left_out(&two) && !left_out(&inner));
}

#[test]
fn an_image_that_is_no_index_is_taken_as_what_its_config_says_it_is() {
    let config =
        r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, config);
    let image = ManifestBuilder::new(config).build().unwrap();
    let source = source.with_root(image.clone());
    let subset = of(&source, &["linux/amd64"], SubsetMode::Rewrite).unwrap();
    assert_eq!(root(&subset), image);
    let error = of(&source, &["linux/arm64"], SubsetMode::Rewrite).unwrap_err();
    assert!(error.to_string().ends_with("it has linux/amd64"), "{error}");
}
