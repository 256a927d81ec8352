//! What is in the file, and what is not there when something went wrong.

use std::{fs, num::NonZeroUsize};

use oci::MediaType;

use super::*;
use crate::{
    Destination, Engine, Foreign, Options,
    compose::{IndexBuilder, ManifestBuilder, MemorySource},
    source::{self, Selection, Spool},
};

/// An index of two images that share a layer, one of them with a foreign layer.
fn image() -> (MemorySource, Document) {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let (source, shared) = source.with_blob(MediaType::OCI_LAYER, "shared ".repeat(100_000));
    let (source, own) = source.with_blob(MediaType::OCI_LAYER, "its own");
    let (source, mut far) = source.with_blob(MediaType::DOCKER_FOREIGN_LAYER, "far away");
    far.urls = vec!["https://far.test/layer".to_owned()];
    let one = ManifestBuilder::new(config.clone())
        .layer(far)
        .layer(shared.clone())
        .layer(shared.clone());
    let one = one.build().unwrap();
    let other = ManifestBuilder::new(config).layer(shared).layer(own);
    let other = other.build().unwrap();
    let index = IndexBuilder::new()
        .manifest(&one, Some("windows/amd64:10.0.20348.1".parse().unwrap()))
        .manifest(&other, Some("linux/amd64".parse().unwrap()));
    let index = index.build().unwrap();
    let source = source.with_document(one).with_document(other);
    (source.with_root(index.clone()), index)
}

fn engine(concurrency: usize, foreign: Foreign) -> Engine {
    Engine::new(Options {
        concurrency: NonZeroUsize::new(concurrency).unwrap(),
        foreign,
        ..Options::default()
    })
}

async fn write(path: &Path, engine: &Engine, tags: &[&str]) -> Document {
    let (source, root) = image();
    let target = ArchiveTarget::new(path);
    let to = Destination::tagged(tags.iter().map(|it| it.parse().unwrap()));
    engine.push(&source, &target, &to, &()).await.unwrap();
    assert!(!path.exists(), "it has no name before it is whole");
    target.finish(&root).await.unwrap();
    root
}

fn entries(path: &Path) -> Vec<(String, u64, u64, u64, u32)> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let entries = archive.entries().unwrap();
    entries
        .map(|it| {
            let it = it.unwrap();
            let header = it.header();
            let name = it.path().unwrap().display().to_string();
            let owner = header.uid().unwrap() + header.gid().unwrap();
            let mode = header.mode().unwrap();
            (name, it.size(), header.mtime().unwrap(), owner, mode)
        })
        .collect()
}

#[tokio::test]
async fn z25_an_image_written_as_an_archive_is_read_back_with_the_same_digests() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.tar");
    let root = write(&path, &engine(8, Foreign::Keep), &["1.2"]).await;
    let selection = Selection {
        name: Some("1.2".into()),
        platform: None,
    };
    let back = source::open(&path, &selection).await.unwrap();
    let read = back.root().await.unwrap();
    assert_eq!(read.bytes(), root.bytes());
    for child in root.children() {
        let manifest = back.document(child).await.unwrap();
        for blob in manifest.children() {
            let checked = back.check_blob(blob).await;
            assert_eq!(checked.is_ok(), !blob.is_foreign(), "{blob:?}");
        }
    }
    let listed = source::open_all(&path, &Spool::default())
        .await
        .unwrap()
        .images;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].names, ["1.2"]);
}

/// Names in order, nobody's, of no time; a blob that two images list is there once; and a foreign
/// layer is there as Z4 has it.
#[tokio::test]
async fn z25_each_digest_is_there_once_and_foreign_layers_by_the_same_policy() {
    let directory = tempfile::tempdir().unwrap();
    let far = layout::blob_path(&Digest::of(b"far away"));
    for (foreign, blobs) in [(Foreign::Keep, 6), (Foreign::Include, 7)] {
        let path = directory.path().join("out.tar");
        let _ = fs::remove_file(&path);
        write(&path, &engine(8, foreign), &[]).await;
        let entries = entries(&path);
        let mut names: Vec<&str> = entries.iter().map(|it| it.0.as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
        names.dedup();
        assert_eq!(names.len(), entries.len());
        // Two directories, the blobs and manifests, the list and the marker.
        assert_eq!(entries.len(), 2 + blobs + 2, "{names:?}");
        assert_eq!(names.contains(&far.as_str()), foreign == Foreign::Include);
        assert!(entries.iter().all(|it| (it.2, it.3) == (0, 0)));
    }
}

#[tokio::test]
async fn z25_the_same_image_makes_the_same_bytes_whatever_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for (at, concurrency) in [1, 2, 32].into_iter().enumerate() {
        let path = directory.path().join(format!("{at}.tar"));
        let names = [["b", "a"], ["a", "b"], ["b", "a"]][at];
        write(&path, &engine(concurrency, Foreign::Keep), &names).await;
        written.push(Digest::of(&fs::read(&path).unwrap()));
    }
    assert_eq!(written[0], written[1]);
    assert_eq!(written[0], written[2]);
}

/// What was there stays, and nothing is left behind.
#[tokio::test]
async fn z25_what_is_not_whole_gets_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out.tar");
    fs::write(&path, "what was there").unwrap();
    let (source, root) = image();
    let target = ArchiveTarget::new(&path);
    let error = target.finish(&root).await.unwrap_err();
    assert!(error.to_string().contains("out.tar"), "{error}");
    let (_, blob) = MemorySource::new().with_blob(MediaType::OCI_LAYER, "never comes");
    let contents = [root.descriptor().clone(), blob];
    target.expect_contents(&contents).await.unwrap();
    target.put_manifest(&root, None).await.unwrap();
    assert!(target.finish(&root).await.is_err());

    // A source that breaks in the middle.
    let (_, missing) = MemorySource::new().with_blob(MediaType::OCI_LAYER, "nowhere");
    let manifest = ManifestBuilder::new(missing).build().unwrap();
    let source = source.with_root(manifest.clone());
    let (engine, to) = (engine(1, Foreign::Keep), Destination::default());
    let pushed = engine.push(&source, &target, &to, &()).await;
    assert!(pushed.is_err(), "{pushed:?}");
    drop(target);
    assert_eq!(fs::read(&path).unwrap(), b"what was there");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
