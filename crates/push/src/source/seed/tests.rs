//! What holds a base's layers.

use oci::MediaType;

use super::*;
use crate::compose::{IndexBuilder, MemorySource};

/// A base of these images: a platform and the contents of its layers each.
fn base(images: &[(&str, &[&str])]) -> MemorySource {
    let mut source = MemorySource::new();
    let mut index = IndexBuilder::new();
    for (platform, layers) in images {
        let (with_config, config) = source.with_blob(MediaType::OCI_CONFIG, platform.to_string());
        source = with_config;
        let mut manifest = ManifestBuilder::new(config);
        for layer in *layers {
            let (with_layer, layer) =
                source.with_blob(MediaType::OCI_LAYER_GZIP, (*layer).to_owned());
            source = with_layer;
            manifest = manifest.layer(layer);
        }
        let manifest = manifest.build().unwrap();
        let platform: Platform = platform.parse().unwrap();
        index = index.manifest(&manifest, Some(platform));
        source = source.with_document(manifest);
    }
    source.with_root(index.build().unwrap())
}

fn name() -> Reference {
    "base.test/windows/servercore:ltsc2022".parse().unwrap()
}

fn digests(of: &[&str]) -> Vec<Digest> {
    of.iter().map(|it| Digest::of(it.as_bytes())).collect()
}

async fn seeded(source: MemorySource, platforms: &[&str]) -> Result<Vec<Digest>, OpenError> {
    let platforms: Vec<Platform> = platforms.iter().map(|it| it.parse().unwrap()).collect();
    let seed = Seed::of(Box::new(source), &name(), &platforms).await?;
    Ok(seed.layers().iter().map(|it| it.digest.clone()).collect())
}

#[tokio::test]
async fn a_seed_is_every_layer_once_and_nothing_that_is_about_an_image() {
    let images: &[(&str, &[&str])] = &[
        ("windows/amd64:10.0.1.1", &["a", "b"]),
        ("windows/amd64:10.0.2.1", &["a", "c"]),
        ("linux/arm64", &["d"]),
        ("unknown/unknown", &["attestation"]),
    ];
    let of = async |platforms: &[&str]| seeded(base(images), platforms).await;
    assert_eq!(of(&[]).await.unwrap(), digests(&["a", "b", "c", "d"]));
    assert_eq!(
        of(&["windows/amd64"]).await.unwrap(),
        digests(&["a", "b", "c"])
    );
    let two = of(&["linux/arm64", "windows/amd64:10.0.2"]).await.unwrap();
    assert_eq!(two, digests(&["a", "c", "d"]));
    let error = of(&["linux/arm64", "linux/s390x"]).await.unwrap_err();
    assert!(
        error.to_string().contains("no image for linux/s390x"),
        "{error}"
    );
    assert!(!error.to_string().contains("unknown"), "{error}");
    let error = seeded(base(&[("linux/arm64", &[])]), &[])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no layers"), "{error}");
}

#[tokio::test]
async fn the_manifest_names_the_base_and_keeps_types_and_places_of_foreign_layers() {
    let mut foreign = Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"far");
    foreign.urls = vec!["https://far.test/layer".to_owned()];
    foreign.annotations.insert("a".to_owned(), "b".to_owned());
    let (source, config) = MemorySource::new().with_blob(MediaType::DOCKER_CONFIG, "config");
    let image = ManifestBuilder::new(config)
        .media_type(MediaType::DOCKER_MANIFEST)
        .layer(foreign.clone())
        .build()
        .unwrap();
    let source = source.with_root(image.clone());
    let seed = Seed::of(Box::new(source), &name(), &[]).await.unwrap();
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.longshore.seed.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{}","size":3,"urls":["https://far.test/layer"]}}],"annotations":{{"org.opencontainers.image.base.digest":"{}","org.opencontainers.image.base.name":"base.test/windows/servercore:ltsc2022"}}}}"#,
        foreign.digest,
        image.digest(),
    );
    let root = seed.root().await.unwrap();
    assert_eq!(std::str::from_utf8(root.bytes()).unwrap(), expected);
}

#[test]
fn a_tag_is_readable_and_another_for_every_base_and_choice_of_platforms() {
    let tag = |base: &str, platforms: &[&str]| {
        let platforms: Vec<Platform> = platforms.iter().map(|it| it.parse().unwrap()).collect();
        seed_tag(&base.parse().unwrap(), &platforms).to_string()
    };
    let base = "base.test/windows/servercore:ltsc2022";
    let plain = tag(base, &[]);
    assert!(plain.starts_with("windows-servercore-ltsc2022-"), "{plain}");
    assert_eq!(plain, tag(base, &[]));
    let latest = tag("base.test/a", &[]);
    assert_eq!(latest, tag("base.test/a:latest", &[]));
    let one = tag(base, &["windows/amd64:10.0.20348.1"]);
    assert!(
        one.starts_with("windows-servercore-ltsc2022-windows-amd64-10.0.20348.1-"),
        "{one}"
    );
    let (two, turned) = (
        ["linux/arm64", "linux/amd64"],
        ["linux/amd64", "linux/arm64"],
    );
    assert_eq!(tag(base, &two), tag(base, &turned));
    let digest = format!("base.test/a@{}", Digest::of(b"x"));
    let all = [
        plain,
        one,
        tag(base, &two),
        tag("base.test/windows-servercore:ltsc2022", &[]),
        tag("other.test/windows/servercore:ltsc2022", &[]),
        tag(&digest, &[]),
        tag(
            &format!("base.test/{}:1", "a/".repeat(100).trim_end_matches('/')),
            &[],
        ),
    ];
    let distinct: HashSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert!(all.iter().all(|it| it.len() <= 128), "{all:?}");
}
