//! Referrers, the list of images, files that are taken in, and verifying it all.

use super::*;
use crate::{
    cache::{Ingested, StoreError},
    compose::IndexBuilder,
    source::{self, Selection},
};

fn named(names: &[&str]) -> Selection {
    Selection {
        name: names.first().map(ToString::to_string),
        platform: None,
    }
}

#[tokio::test]
async fn k6_subjects_are_found_for_manifests_and_indexes_once_each_and_again_after_opening() {
    let stage = Stage::new().await;
    let (source, root, blobs) = image(&["one"]);
    let config = blobs[1].clone();
    let signature = ManifestBuilder::new(config.clone())
        .artifact_type("application/signature")
        .subject(&root)
        .build()
        .unwrap();
    let attestations = IndexBuilder::new()
        .manifest(&signature, None)
        .subject(&root)
        .build()
        .unwrap();
    let of_another = ManifestBuilder::new(config)
        .subject(&signature)
        .build()
        .unwrap();
    let documents = [&root, &signature, &attestations, &of_another];
    let source = documents
        .iter()
        .fold(source, |source, it| source.with_document((*it).clone()));
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    read_through(&cached, &blobs).await;
    for document in documents {
        cached.document(document.descriptor()).await.unwrap();
    }
    stage.store.settle().await;

    let mut expected = vec![signature.digest().clone(), attestations.digest().clone()];
    expected.sort();
    // Known since they came in, found again by who opens it, and the same when asked twice.
    for store in [stage.store.clone(), stage.opened_again().await] {
        for _ in 0..2 {
            let found = store.referrers(root.digest()).await.unwrap();
            let digests: Vec<Digest> = found.iter().map(|it| it.digest.clone()).collect();
            assert_eq!(digests, expected);
            let types: Vec<_> = found.iter().map(|it| it.artifact_type.as_deref()).collect();
            assert!(types.contains(&Some("application/signature")), "{types:?}");
        }
        assert_eq!(store.referrers(signature.digest()).await.unwrap().len(), 1);
        assert_eq!(store.referrers(of_another.digest()).await.unwrap(), []);
    }
    stage.store.prune(0).await.unwrap();
    assert_eq!(stage.store.referrers(root.digest()).await.unwrap(), []);
}

/// The store is a layout: what is whole in it can be pushed from there, by its name.
#[tokio::test]
async fn k6_what_is_whole_is_listed_and_read_as_an_image_layout_with_its_referrers() {
    let stage = Stage::new().await;
    let (source, root, blobs) = image(&["one"]);
    let about = ManifestBuilder::new(blobs[1].clone())
        .subject(&root)
        .build()
        .unwrap();
    let cached = CachedSource::new(
        Remote::new(source.with_document(about.clone())),
        stage.store.clone(),
    );
    cached.root().await.unwrap();
    cached.document(about.descriptor()).await.unwrap();
    stage.store.settle().await;
    assert!(!stage.store.list(&root, Some("a.test/app:1")).await.unwrap());
    assert_eq!(stage.store.contents().await.unwrap().images, []);

    read_through(&cached, &blobs).await;
    stage.store.settle().await;
    for _ in 0..2 {
        assert!(stage.store.list(&root, Some("a.test/app:1")).await.unwrap());
    }
    let contents = stage.store.contents().await.unwrap();
    assert_eq!(contents.images.len(), 2, "the image and what is about it");
    assert_eq!(contents.images[0].name.as_deref(), Some("a.test/app:1"));
    let size: u64 = blobs.iter().map(|it| it.size).sum();
    assert_eq!(contents.images[0].bytes, size + root.descriptor().size);

    assert!(
        stage
            .store
            .list(&root, Some("a.test/app:latest"))
            .await
            .unwrap()
    );
    let images = stage.store.contents().await.unwrap().images;
    let names: Vec<_> = images.iter().map(|it| it.name.as_deref()).collect();
    assert_eq!(
        names,
        [Some("a.test/app:1"), None, Some("a.test/app:latest")]
    );

    let layout = source::open(stage.store.path(), &named(&["a.test/app:1"]))
        .await
        .unwrap();
    assert_eq!(layout.root().await.unwrap().bytes(), root.bytes());
    let found = layout.referrers(root.digest()).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, *about.digest());
}

#[tokio::test]
async fn k6_a_name_goes_to_the_newest_and_what_is_not_whole_any_more_is_not_listed() {
    let stage = Stage::new().await;
    let mut roots = Vec::new();
    for name in ["one", "two"] {
        let (source, root, blobs) = image(&[name]);
        let cached = CachedSource::new(Remote::new(source), stage.store.clone());
        read_through(&cached, &blobs).await;
        stage.store.settle().await;
        assert!(stage.store.list(&root, Some("a.test/app:1")).await.unwrap());
        roots.push((root, blobs));
    }
    let names = |images: &[super::super::StoredImage]| -> Vec<_> {
        images
            .iter()
            .map(|it| (it.root.digest.clone(), it.name.clone()))
            .collect()
    };
    let images = stage.store.contents().await.unwrap().images;
    let expected = [
        (roots[0].0.digest().clone(), None),
        (roots[1].0.digest().clone(), Some("a.test/app:1".to_owned())),
    ];
    assert_eq!(names(&images), expected);

    stage.set_used(&roots[0].1[0].digest, SystemTime::UNIX_EPOCH);
    let bytes = stage.store.contents().await.unwrap().bytes;
    let pruned = stage.store.prune(bytes - 1).await.unwrap();
    assert_eq!(pruned.removed, 1);
    let images = stage.store.contents().await.unwrap().images;
    assert_eq!(names(&images), expected[1..]);
    let index = fs::read_to_string(stage.store.path().join("index.json")).unwrap();
    assert!(!index.contains(roots[0].0.digest().encoded()), "{index}");
}

#[tokio::test]
async fn k5_a_file_is_taken_in_verified_and_changing_it_later_changes_nothing_stored() {
    let stage = Stage::new().await;
    let path = stage.directory.path().join("layer");
    let bytes = content("a layer");
    let blob = Descriptor::of(MediaType::OCI_LAYER, &bytes);
    for read_only in [false, true] {
        fs::write(&path, &bytes).unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(read_only);
        fs::set_permissions(&path, permissions.clone()).unwrap();
        let taken = stage.store.ingest(&path, &blob).await.unwrap();
        assert!(matches!(taken, Ingested::Cloned | Ingested::Copied));
        #[expect(
            clippy::permissions_set_readonly_false,
            reason = "it is about to be removed"
        )]
        permissions.set_readonly(false);
        fs::set_permissions(&path, permissions).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        io::Write::write_all(&mut &file, b"poison").unwrap();
        assert_eq!(
            fs::read(stage.file(&blob.digest)).unwrap(),
            bytes,
            "{read_only}"
        );
        assert_eq!(
            stage.store.ingest(&path, &blob).await.unwrap(),
            Ingested::Present
        );
        stage.store.prune(0).await.unwrap();
    }
}

#[tokio::test]
async fn k5_a_file_that_is_not_what_it_should_be_is_not_taken_in() {
    let stage = Stage::new().await;
    let path = stage.directory.path().join("layer");
    fs::write(&path, content("a layer")).unwrap();
    let right = Descriptor::of(MediaType::OCI_LAYER, &content("a layer"));
    let (mut long, mut short) = (right.clone(), right.clone());
    (long.size, short.size) = (right.size - 1, right.size + 1);
    let other = Descriptor::of(MediaType::OCI_LAYER, &content("another"));
    let mut other = other;
    other.size = right.size;
    for (wrong, text) in [
        (long, "bytes long"),
        (short, "bytes long"),
        (other, "altered"),
    ] {
        let refused = stage.store.ingest(&path, &wrong).await.unwrap_err();
        let StoreError::Content(cause) = refused else {
            panic!("{refused:?}");
        };
        assert!(cause.to_string().contains(text), "{cause}");
    }
    let nothing = stage
        .store
        .ingest(&stage.directory.path().join("no"), &right)
        .await;
    assert!(matches!(
        nothing,
        Err(StoreError::Content(SourceError::Unreadable { .. }))
    ));
    assert_eq!(stage.store.contents().await.unwrap().blobs, 0);
    assert_eq!(stage.parts(), 0);
}

#[tokio::test]
async fn k8_verifying_finds_what_was_altered_and_counts_as_no_use() {
    let stage = Stage::new().await;
    let (source, root, blobs) = image(&["one", "two"]);
    let cached = CachedSource::new(Remote::new(source), stage.store.clone());
    read_through(&cached, &blobs).await;
    stage.store.settle().await;
    stage.store.list(&root, None).await.unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    stage.set_used(&blobs[1].digest, long_ago);

    let good = stage.store.verify().await.unwrap();
    assert_eq!((good.blobs, good.altered.len()), (4, 0));
    let used = fs::metadata(stage.file(&blobs[1].digest))
        .unwrap()
        .accessed()
        .unwrap();
    assert_eq!(used, long_ago);

    let path = stage.file(&blobs[0].digest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "something else").unwrap();
    let bad = stage.store.verify().await.unwrap();
    assert_eq!(bad.altered, [blobs[0].digest.clone()]);
    assert!(!path.exists());
    assert_eq!(stage.store.contents().await.unwrap().images, []);
    assert_eq!(stage.heard.texts().len(), 1);
}
