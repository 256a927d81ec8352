//! To an archive: whole or not at all, and what a registry would get is what is in it.

use std::fs;

use longshore::push::{
    ArchiveTarget, Destination, Engine, Foreign, Options,
    source::{self, Selection},
};
use oci::{Digest, Document, MediaType, PushTarget as _, Source as _};
use serde_json::json;
use server::{Action, Endpoint, Rule};
use wcow::{BuiltSource, EmittedLayer, UnverifiedImage};

use super::{manifest, staged};
use crate::{
    foreign::FarBase,
    stage::{Stage, small},
};

/// From a registry into the file and from the file into another repository, by its name and by none.
#[tokio::test(flavor = "multi_thread")]
async fn z25_a_copy_to_an_archive_and_from_it_keeps_every_digest() {
    let (stage, image) = staged(&small()).await;
    let from = stage.reference("team/staging:1");
    let file = stage.path("out.tar");
    let named = format!("oci-archive:{}:1.2", file.display());
    let unnamed = format!("oci-archive:{}", file.display());
    let run = stage.longshore(&["copy", &from, &named, "--json"]).await;
    let report = run.succeeded().json();
    assert_eq!(report["digest"], image.digest().to_string());
    assert_eq!(report["repository"], unnamed);
    let first = fs::read(&file).unwrap();
    let to = stage.reference("back:1");
    stage.longshore(&["copy", &named, &to]).await.succeeded();
    let back = manifest(&stage.server, "back", "1").await.unwrap();
    assert_eq!(back, image.document.bytes().to_vec());

    // Again from elsewhere, with another order of things: the same bytes.
    let args = ["copy", image.path(), &named, "--concurrency", "1"];
    stage.longshore(&args).await.succeeded();
    assert_eq!(Digest::of(&fs::read(&file).unwrap()), Digest::of(&first));
    stage
        .longshore(&["copy", &from, &unnamed])
        .await
        .succeeded();
    assert_ne!(fs::read(&file).unwrap(), first);
    let to = stage.reference("unnamed:1");
    stage
        .longshore(&["push", file.to_str().unwrap(), &to])
        .await
        .succeeded();
    assert!(manifest(&stage.server, "unnamed", "1").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn z25_what_fails_leaves_the_file_that_was_there_and_a_plan_writes_none() {
    let (stage, _) = staged(&small()).await;
    let from = stage.reference("team/staging:1");
    let directory = stage.path("archives");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("out.tar");
    let to = format!("oci-archive:{}:1", file.display());
    stage
        .longshore(&["copy", &from, &to, "--dry-run"])
        .await
        .succeeded();
    assert!(!file.exists());
    fs::write(&file, "what was there").unwrap();
    let faults = stage.server.faults();
    faults.add(
        Rule::on(Endpoint::BlobGet)
            .nth(2)
            .act(Action::WrongBodyByte(5)),
    );
    let run = stage.longshore(&["copy", &from, &to, "--no-store"]).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert_eq!(fs::read(&file).unwrap(), b"what was there");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

/// The policy is the one of a push.
#[tokio::test(flavor = "multi_thread")]
async fn z25_foreign_layers_are_in_an_archive_as_they_would_be_in_a_registry() {
    let stage = Stage::new().await;
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Include).await;
    for (policy, foreign, same) in [("keep", 0, true), ("include", 6, true), ("embed", 6, false)] {
        let file = stage.path("out.tar");
        let to = format!("oci-archive:{}", file.display());
        let args = ["copy", path.to_str().unwrap(), &to, "--foreign", policy];
        let run = stage.longshore(&[&args[..], &["--json"]].concat()).await;
        let report = run.succeeded().json();
        assert_eq!(report["foreign"]["policy"], policy);
        assert_eq!(
            report["digest"] == image.document.digest().to_string(),
            same
        );
        let mut archive = tar::Archive::new(fs::File::open(&file).unwrap());
        let names = archive.entries().unwrap();
        let names = names.map(|it| it.unwrap().path().unwrap().display().to_string());
        assert_eq!(names.filter(|it| image.is_named(it)).count(), foreign);
    }
}

/// What a build gives is pushed and written by the same engine.
#[tokio::test(flavor = "multi_thread")]
async fn z25_a_built_image_in_an_archive_is_the_one_that_is_pushed() {
    let stage = Stage::new().await;
    let config = br#"{"os":"windows","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;
    let far = FarBase::new().foreign[1].clone();
    let base = EmittedLayer::new(
        far.media_type.clone(),
        far.digest.clone(),
        far.size,
        wcow::LayerSource::None,
    );
    let base = base.with_urls(far.urls.clone());
    let own = EmittedLayer::of_bytes(MediaType::DOCKER_LAYER_GZIP, b"layer".to_vec().into());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::DOCKER_MANIFEST,
        "config": oci::Descriptor::of(MediaType::DOCKER_CONFIG, config),
        "layers": [base.descriptor(), own.descriptor()],
    });
    let manifest = manifest.to_string();
    let image = UnverifiedImage {
        tags: vec!["1".parse().unwrap()],
        config_digest: Digest::of(config),
        config: config.to_vec().into(),
        manifest_digest: Digest::of(manifest.as_bytes()),
        manifest: manifest.clone().into_bytes().into(),
        layers: vec![base, own],
    };
    let source: BuiltSource = image.verify().unwrap().into_source();
    let engine = Engine::new(Options::default());
    let to = Destination::tagged(source.image().tags().to_vec());
    let target = ArchiveTarget::new(stage.path("built.tar"));
    let report = engine.push(&source, &target, &to, &()).await.unwrap();
    let root: Document = source.root().await.unwrap();
    target.finish(&root).await.unwrap();
    assert_eq!(report.foreign.unwrap().bytes(), far.size);
    let back = source::open(target.path(), &Selection::default())
        .await
        .unwrap();
    assert_eq!(back.root().await.unwrap().bytes(), manifest.as_bytes());
    assert_eq!(target.repository(), &report.repository);
    let pushed = stage.reference("app:1");
    let file = target.path().to_str().unwrap();
    let run = stage.longshore(&["push", file, &pushed, "--json"]).await;
    assert_eq!(run.succeeded().json()["digest"], root.digest().to_string());
}
