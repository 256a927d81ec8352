//! Everything that is in a layout or an archive, with its names.

use std::fs;

use futures_util::TryStreamExt as _;
use longshore_push::source::{self, Compression, Contents, OpenError, Spool};
use oci::{Descriptor, MediaType, Source};
use serde_json::json;

use crate::fixture::{self, Fixture, Layout, Tar, tar_of_directory};

async fn contents(path: &std::path::Path) -> Contents {
    source::open_all(path, &Spool::default()).await.unwrap()
}

async fn whole(source: &dyn Source, blob: &Descriptor) -> Vec<u8> {
    let pieces: Vec<_> = source
        .open(blob, 0)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat()
}

#[tokio::test]
async fn every_kind_gives_its_image_with_its_name_and_its_bytes() {
    let kinds: [fn() -> Fixture; 8] = [
        fixture::layout_directory,
        fixture::oci_archive,
        || fixture::gzipped(fixture::oci_archive()),
        || fixture::zstandard(fixture::oci_archive()),
        fixture::docker_save_old,
        || fixture::gzipped(fixture::docker_save_old()),
        fixture::docker_save_blobs_only,
        fixture::docker_save_new,
    ];
    for fixture in kinds {
        let fixture = fixture();
        let Contents { source, images, .. } = contents(&fixture.path).await;
        let [image] = &images[..] else {
            panic!("{images:?}");
        };
        assert_eq!(image.names, ["team/app:1.2"]);
        assert_eq!(image.root.digest, fixture.root.digest);
        assert_eq!(image.root.platform, Some(fixture::platform("linux/amd64")));
        assert_eq!(image.subject, None);
        let index = source.root().await.unwrap();
        let listed: Vec<_> = index.children().map(|it| &it.digest).collect();
        assert_eq!(listed, [&fixture.root.digest]);
        let document = source.document(&image.root).await.unwrap();
        assert_eq!(document.children().count(), fixture.blobs.len());
        for (blob, bytes) in &fixture.blobs {
            source.check_blob(blob).await.unwrap();
            assert!(whole(&*source, blob).await == *bytes, "{blob:?}");
        }
    }
}

#[tokio::test]
async fn a_layout_gives_all_its_images_and_what_is_about_them() {
    let mut layout = Layout::new();
    let one = layout.image("amd64", "one");
    let two = layout.image("arm64", "two");
    let signature = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": one, "layers": [], "subject": two,
    });
    let signature = layout.blob(MediaType::OCI_MANIFEST, signature.to_string().as_bytes());
    layout.list(&one, &["1.0", "latest"]);
    layout.list(&two, &[]).list(&signature, &[]);
    let path = layout.path().with_extension("tar");
    fs::write(&path, tar_of_directory(layout.path())).unwrap();
    for path in [layout.path(), &path] {
        let Contents { images, .. } = contents(path).await;
        let told: Vec<_> = images
            .iter()
            .map(|it| (&it.names[..], &it.root.digest, it.subject.as_ref()))
            .collect();
        let names = ["1.0".to_owned(), "latest".to_owned()];
        assert_eq!(told[0], (&names[..], &one.digest, None));
        assert_eq!(told[1], (&[][..], &two.digest, None));
        assert_eq!(told[2], (&[][..], &signature.digest, Some(&two.digest)));
        assert_eq!(told.len(), 3);
    }
    fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_saved_archive_of_several_images_gives_all_of_them() {
    let (first, layers) = fixture::saved_image("amd64");
    let (second, _) = fixture::saved_image("arm64");
    let mut tar = Tar::default();
    tar.file("a.tar", &layers[0]).file("b.tar", &layers[1]);
    tar.file("one.json", &first).file("two.json", &second);
    let manifest = json!([
        {"Config": "one.json", "RepoTags": ["app:1", "app:2"], "Layers": ["a.tar", "b.tar"]},
        {"Config": "two.json", "RepoTags": null, "Layers": ["a.tar", "b.tar"]},
    ]);
    tar.file("manifest.json", manifest.to_string().as_bytes());
    let (_directory, path) = tar.write();
    let Contents { source, images, .. } = contents(&path).await;
    assert_eq!(images.len(), 2);
    assert_eq!(images[0].names, ["app:1", "app:2"]);
    assert_eq!(images[1].names, [""; 0]);
    for (image, platform) in images.iter().zip(["linux/amd64", "linux/arm64"]) {
        assert_eq!(image.root.platform, Some(fixture::platform(platform)));
        let document = source.document(&image.root).await.unwrap();
        for blob in document.children() {
            assert_eq!(whole(&*source, blob).await.len() as u64, blob.size);
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_version_stands_while_the_file_does_and_a_fresh_file_has_none() {
    use std::time::{Duration, SystemTime};

    let layout = Layout::new();
    let blob = layout.blob(MediaType::OCI_LAYER, b"content");
    let path = layout.blob_path(&blob.digest);
    let mut layout = layout;
    let image = layout.image("amd64", "one");
    layout.list(&image, &["1"]);
    let Contents { source, .. } = contents(layout.path()).await;
    assert_eq!(source.version(&blob).await.unwrap(), None);
    let set_age = |seconds| {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(then).unwrap();
    };
    set_age(100);
    let old = source.version(&blob).await.unwrap();
    assert!(old.is_some());
    assert_eq!(source.version(&blob).await.unwrap(), old);
    set_age(50);
    let new = source.version(&blob).await.unwrap();
    assert!(new.is_some() && new != old);
    // Another file of the same length and time in its place.
    let then = fs::metadata(&path).unwrap().modified().unwrap();
    let other = path.with_extension("new");
    fs::write(&other, b"CONTENT").unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(then).unwrap();
    fs::rename(&other, &path).unwrap();
    let replaced = source.version(&blob).await.unwrap();
    assert!(replaced.is_some() && replaced != new);
}

#[tokio::test]
async fn what_is_no_image_is_told_by_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let opened = source::open_all(&path, &Spool::default()).await;
    assert!(
        matches!(opened, Err(OpenError::NotFound { .. })),
        "{opened:?}"
    );
    assert!(source::compression(&path).await.is_err());
    fs::write(&path, b"no archive").unwrap();
    let opened = source::open_all(&path, &Spool::default()).await;
    assert!(
        matches!(opened, Err(OpenError::NotAnImage { .. })),
        "{opened:?}"
    );
    assert_eq!(source::compression(&path).await.unwrap(), None);
    fs::write(&path, fixture::gzip(b"no archive")).unwrap();
    let found = source::compression(&path).await.unwrap();
    assert_eq!(found, Some(Compression::Gzip));
    assert_eq!(source::compression(directory.path()).await.unwrap(), None);
}
