//! Which image is taken, out of several names, platforms and referrers.

use std::path::Path;

use longshore_push::source::{
    self, DockerArchive, OciArchive, OnePlatform, OpenError, Selection, Spool,
};
use oci::{Descriptor, Digest, MediaType, Source as _};
use serde_json::json;

use crate::fixture::{self, Layout, Tar, for_platform, named, platform};

async fn root(path: &Path, selection: &Selection) -> Result<Digest, OpenError> {
    let source = source::open(path, selection).await?;
    Ok(source.root().await.unwrap().digest().clone())
}

fn with_platform(mut it: Descriptor, text: &str) -> Descriptor {
    it.platform = Some(platform(text));
    it
}

#[tokio::test]
async fn z26_several_images_without_a_choice_are_listed_and_a_name_or_digest_chooses() {
    let mut layout = Layout::new();
    let one = layout.image("amd64", "one");
    let two = layout.image("amd64", "two");
    layout
        .list(&one, &["1.0", "latest"])
        .list(&two, &["ghcr.io/team/app:2.0"]);
    let error = root(layout.path(), &Selection::default())
        .await
        .unwrap_err();
    let OpenError::Ambiguous { images, path } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(path, layout.path());
    let expected = [
        format!("1.0 latest ({})", one.digest),
        format!("ghcr.io/team/app:2.0 ({})", two.digest),
    ];
    assert_eq!(images, &expected);
    assert!(error.to_string().contains(&expected[1]), "{error}");
    assert!(error.hint().is_some());
    for (name, expected) in [
        ("1.0", &one),
        ("latest", &one),
        ("ghcr.io/team/app:2.0", &two),
        ("2.0", &two),
        (&two.digest.to_string(), &two),
    ] {
        assert_eq!(
            root(layout.path(), &named(name)).await.unwrap(),
            expected.digest,
            "{name}"
        );
    }
    let error = root(layout.path(), &named("3.0")).await.unwrap_err();
    let OpenError::NoSuchImage { name, images, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((&*name, images.len()), ("3.0", 2));
}

#[tokio::test]
async fn z26_one_image_under_several_names_needs_no_choice() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    layout.list(&image, &["a", "b"]);
    assert_eq!(
        root(layout.path(), &Selection::default()).await.unwrap(),
        image.digest
    );
}

#[tokio::test]
async fn z26_an_index_is_pushed_whole_or_by_one_platform() {
    let mut layout = Layout::new();
    let amd64 = with_platform(layout.image("amd64", "a"), "linux/amd64");
    let arm64 = with_platform(layout.image("arm64", "b"), "linux/arm64/v8");
    let attestation = with_platform(layout.image("unknown", "c"), "unknown/unknown");
    let index = layout.index(&[amd64.clone(), arm64.clone(), attestation]);
    layout.list(&index, &["latest"]);
    let archive = layout.path().join("image.tar");
    std::fs::write(&archive, fixture::tar_of_directory(layout.path())).unwrap();
    for path in [layout.path(), &archive] {
        assert_eq!(
            root(path, &Selection::default()).await.unwrap(),
            index.digest
        );
        assert_eq!(
            root(path, &for_platform("linux/arm64")).await.unwrap(),
            arm64.digest
        );
        assert_eq!(
            root(path, &for_platform("linux/amd64")).await.unwrap(),
            amd64.digest
        );
        let error = root(path, &for_platform("linux/s390x")).await.unwrap_err();
        let OpenError::NoSuchPlatform {
            platform: wanted,
            available,
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!(**wanted, platform("linux/s390x"));
        assert_eq!(
            *available,
            [platform("linux/amd64"), platform("linux/arm64/v8")]
        );
        assert!(
            error
                .to_string()
                .ends_with("it has linux/amd64, linux/arm64/v8"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_platform_is_found_in_nested_indexes_four_deep_and_no_deeper() {
    for (depth, found) in [(4, true), (5, false)] {
        let mut layout = Layout::new();
        let image = with_platform(layout.image("amd64", "deep"), "linux/amd64");
        let mut top = image.clone();
        for _ in 0..depth {
            top = layout.index(&[top]);
        }
        layout.list(&top, &[]);
        let digest = root(layout.path(), &for_platform("linux/amd64")).await;
        match digest {
            Ok(digest) => assert!(found && digest == image.digest, "{depth}"),
            Err(OpenError::Source(oci::SourceError::Invalid { .. })) => assert!(!found, "{depth}"),
            Err(error) => panic!("{depth}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_single_image_is_held_to_the_platform_in_its_config() {
    let mut layout = Layout::new();
    let image = layout.image("arm64", "one");
    layout.list(&image, &["latest"]);
    assert_eq!(
        root(layout.path(), &for_platform("linux/arm64"))
            .await
            .unwrap(),
        image.digest
    );
    let saved = fixture::docker_save_old();
    assert_eq!(
        root(&saved.path, &for_platform("linux/amd64"))
            .await
            .unwrap(),
        saved.root.digest
    );
    for path in [layout.path(), &saved.path] {
        let error = root(path, &for_platform("windows/amd64"))
            .await
            .unwrap_err();
        let OpenError::NoSuchPlatform { available, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(available.len(), 1);
    }
}

#[tokio::test]
async fn a_platform_tells_listed_images_apart() {
    let mut layout = Layout::new();
    let amd64 = with_platform(layout.image("amd64", "a"), "linux/amd64");
    let arm64 = with_platform(layout.image("arm64", "b"), "linux/arm64");
    layout.list(&amd64, &[]).list(&arm64, &[]);
    assert_eq!(
        root(layout.path(), &for_platform("linux/arm64"))
            .await
            .unwrap(),
        arm64.digest
    );
    let error = root(layout.path(), &Selection::default())
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Ambiguous { .. }), "{error:?}");
}

#[tokio::test]
async fn referrers_are_no_images_of_their_own_and_are_found_by_their_subject() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    let signature = layout.referrer(&image, "application/vnd.example.signature");
    let about_it = layout.referrer(&signature, "application/vnd.example.note");
    layout
        .list(&image, &["latest"])
        .list(&signature, &[])
        .list(&about_it, &[]);
    let source = source::open(layout.path(), &Selection::default())
        .await
        .unwrap();
    assert_eq!(source.root().await.unwrap().digest(), &image.digest);
    let found = source.referrers(&image.digest).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, signature.digest);
    assert_eq!(
        found[0].artifact_type.as_deref(),
        Some("application/vnd.example.signature")
    );
    let found = source.referrers(&signature.digest).await.unwrap();
    assert_eq!(
        found.iter().map(|it| &it.digest).collect::<Vec<_>>(),
        [&about_it.digest]
    );
    assert_eq!(source.referrers(&about_it.digest).await.unwrap(), []);
}

#[tokio::test]
async fn a_referrer_named_is_the_image() {
    let mut layout = Layout::new();
    let image = layout.image("amd64", "one");
    let signature = layout.referrer(&image, "application/vnd.example.signature");
    layout
        .list(&image, &["latest"])
        .list(&signature, &["signature"]);
    assert_eq!(
        root(layout.path(), &named("signature")).await.unwrap(),
        signature.digest
    );
}

#[tokio::test]
async fn z26_a_saved_image_is_chosen_by_its_tag_or_id() {
    let mut tar = Tar::default();
    let mut listed = Vec::new();
    let mut ids = Vec::new();
    for (number, architecture) in ["amd64", "arm64"].iter().enumerate() {
        let (config, layers) = fixture::saved_image(architecture);
        let id = fixture::config_name(&config);
        tar.file(&format!("{id}.json"), &config);
        // Both images have the same layers: one entry twice, the same each time.
        tar.file("a.tar", &layers[0]).file("b.tar", &layers[1]);
        listed.push(json!({
            "Config": format!("{id}.json"),
            "RepoTags": [format!("team/app:{number}.0")],
            "Layers": ["a.tar", "b.tar"],
        }));
        ids.push(format!("sha256:{id}"));
    }
    tar.file("manifest.json", json!(listed).to_string().as_bytes());
    let (_directory, path) = tar.write();
    let error = root(&path, &Selection::default()).await.unwrap_err();
    let OpenError::Ambiguous { images, .. } = error else {
        panic!("{error:?}");
    };
    let expected = [
        format!("team/app:0.0 ({}, linux/amd64)", ids[0]),
        format!("team/app:1.0 ({}, linux/arm64)", ids[1]),
    ];
    assert_eq!(images, expected);
    let config = async |selection: &Selection| {
        let source = source::open(&path, selection).await.unwrap();
        let root = source.root().await.unwrap();
        root.as_manifest().unwrap().config.digest.to_string()
    };
    assert_eq!(config(&named("team/app:1.0")).await, ids[1]);
    assert_eq!(config(&named("docker.io/team/app:0.0")).await, ids[0]);
    assert_eq!(config(&named(&ids[1])).await, ids[1]);
    assert_eq!(config(&for_platform("linux/arm64")).await, ids[1]);
}

#[tokio::test]
async fn a_gzip_layer_that_was_saved_is_pushed_as_gzip_and_a_foreign_one_stays_foreign() {
    let (config, layers) = fixture::saved_image("amd64");
    let foreign_id = Digest::of(&layers[1]);
    let zipped = fixture::gzip(&layers[0]);
    let foreign = json!({
        "mediaType": MediaType::DOCKER_FOREIGN_LAYER,
        "digest": Digest::of(b"elsewhere"),
        "size": 9,
        "urls": ["https://example.com/layer"],
    });
    let mut tar = Tar::default();
    tar.file("c.json", &config)
        .file("a.tar", &zipped)
        .file("b.tar", &layers[1]);
    let manifest = json!([{
        "Config": "c.json",
        "RepoTags": null,
        "Layers": ["a.tar", "b.tar"],
        "LayerSources": { foreign_id.to_string(): foreign },
    }]);
    tar.file("manifest.json", manifest.to_string().as_bytes());
    let (_directory, path) = tar.write();
    let source = source::open(&path, &Selection::default()).await.unwrap();
    let root = source.root().await.unwrap();
    let layers = &root.as_manifest().unwrap().layers;
    assert_eq!(
        layers[0],
        Descriptor::of(MediaType::DOCKER_LAYER_GZIP, &zipped)
    );
    assert_eq!(serde_json::to_value(&layers[1]).unwrap(), foreign);
}

#[tokio::test]
async fn one_platform_is_taken_out_of_any_source() {
    let mut layout = Layout::new();
    let amd64 = with_platform(layout.image("amd64", "a"), "linux/amd64");
    let arm64 = with_platform(layout.image("arm64", "b"), "linux/arm64/v8");
    let index = layout.index(&[amd64, arm64.clone()]);
    let signature = layout.referrer(&arm64, "application/vnd.example.signature");
    layout.list(&index, &["latest"]).list(&signature, &[]);
    let whole = async || {
        source::open(layout.path(), &Selection::default())
            .await
            .unwrap()
    };
    let one = OnePlatform::of(whole().await, &platform("linux/arm64"))
        .await
        .unwrap();
    let root = one.root().await.unwrap();
    assert_eq!(root.digest(), &arm64.digest);
    for blob in root.children() {
        one.check_blob(blob).await.unwrap();
        assert_eq!(one.place(blob), whole().await.place(blob));
    }
    let referrers = one.referrers(&arm64.digest).await.unwrap();
    assert_eq!(referrers.len(), 1);
    let error = OnePlatform::of(whole().await, &platform("linux/riscv64"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, OpenError::NoSuchPlatform { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_archive_that_is_both_is_taken_as_a_layout_and_can_be_taken_as_docker_s() {
    let both = fixture::docker_save_new();
    let opened = source::open(&both.path, &Selection::default())
        .await
        .unwrap();
    assert_eq!(opened.root().await.unwrap().digest(), &both.root.digest);
    let (all, spool) = (Selection::default(), Spool::default());
    let docker = DockerArchive::open(&both.path, &all, &spool).await.unwrap();
    let root = docker.root().await.unwrap();
    assert_eq!(root.media_type(), &MediaType::DOCKER_MANIFEST);
    let layers: Vec<&Digest> = root.children().map(|it| &it.digest).collect();
    let expected: Vec<&Digest> = both.blobs.iter().map(|(it, _)| &it.digest).collect();
    assert_eq!(layers, expected);
    let old = fixture::docker_save_old();
    let error = OciArchive::open(&old.path, &all, &spool).await.unwrap_err();
    assert!(matches!(error, OpenError::NotAnImage { .. }), "{error:?}");
    let plain = fixture::oci_archive();
    let error = DockerArchive::open(&plain.path, &all, &spool)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::NotAnImage { .. }), "{error:?}");
}

#[tokio::test]
async fn a_message_lists_twenty_images_and_the_error_all_of_them() {
    let mut layout = Layout::new();
    for number in 0..23 {
        let image = layout.image("amd64", &number.to_string());
        layout.list(&image, &[&format!("v{number}")]);
    }
    let error = root(layout.path(), &Selection::default())
        .await
        .unwrap_err();
    assert!(error.to_string().ends_with("and 3 more"), "{error}");
    let OpenError::Ambiguous { images, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(images.len(), 23);
}
