//! What holds for every kind of source alike.

use std::fs::{self, File};

use futures_util::{StreamExt as _, TryStreamExt as _, future};
use longshore_push::source::{self, Selection};
use oci::{Descriptor, Digest, MediaType, Source, SourceError};

use crate::fixture::{self, Fixture};

/// Every kind, by name.
fn kinds() -> Vec<(&'static str, Fixture)> {
    vec![
        ("layout", fixture::layout_directory()),
        ("OCI archive", fixture::oci_archive()),
        (
            "OCI archive, gzip",
            fixture::gzipped(fixture::oci_archive()),
        ),
        (
            "OCI archive, zstd",
            fixture::zstandard(fixture::oci_archive()),
        ),
        ("docker save, old", fixture::docker_save_old()),
        (
            "docker save, old, gzip",
            fixture::gzipped(fixture::docker_save_old()),
        ),
        (
            "docker save, old, zstd",
            fixture::zstandard(fixture::docker_save_old()),
        ),
        ("docker save, blobs only", fixture::docker_save_blobs_only()),
        ("docker save, new", fixture::docker_save_new()),
        (
            "docker save, new, gzip",
            fixture::gzipped(fixture::docker_save_new()),
        ),
        (
            "docker save, new, zstd",
            fixture::zstandard(fixture::docker_save_new()),
        ),
    ]
}

async fn open(it: &Fixture) -> Box<dyn Source> {
    source::open(&it.path, &Selection::default()).await.unwrap()
}

async fn read(source: &dyn Source, blob: &Descriptor, offset: u64) -> Result<Vec<u8>, SourceError> {
    let pieces: Vec<_> = source.open(blob, offset).await?.try_collect().await?;
    assert!(pieces.iter().all(|piece| piece.len() <= 1024 * 1024));
    Ok(pieces.concat())
}

#[tokio::test]
async fn z26_every_kind_gives_the_same_root_and_every_blob_to_the_byte_from_any_offset() {
    for (kind, it) in kinds() {
        let source = open(&it).await;
        let root = source.root().await.unwrap();
        assert_eq!(root.digest(), &it.root.digest, "{kind}");
        assert_eq!(root.media_type(), &it.root.media_type, "{kind}");
        let children: Vec<_> = root
            .children()
            .map(|it| (&it.media_type, &it.digest, it.size))
            .collect();
        let expected: Vec<_> = it
            .blobs
            .iter()
            .map(|(it, _)| (&it.media_type, &it.digest, it.size))
            .collect();
        assert_eq!(children, expected, "{kind}");
        let again = source.document(root.descriptor()).await.unwrap();
        assert_eq!(again.bytes(), root.bytes(), "{kind}");
        for (blob, content) in &it.blobs {
            source.check_blob(blob).await.unwrap();
            for offset in [0, 1, content.len() / 2, content.len() - 1, content.len()] {
                let read = read(&*source, blob, offset as u64).await.unwrap();
                assert!(
                    read == content[offset..],
                    "{kind}: {} from {offset}",
                    blob.media_type
                );
            }
            assert!(
                source.place(blob).contains(it.path.to_str().unwrap()),
                "{kind}"
            );
        }
        assert_eq!(source.origin(), None, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z26_blobs_are_read_in_parallel_and_do_not_mix() {
    for (kind, it) in kinds() {
        let source = open(&it).await;
        let streams =
            it.blobs
                .iter()
                .cycle()
                .take(12)
                .enumerate()
                .map(|(number, (blob, content))| {
                    let offset = content.len() * (number % 4) / 4;
                    let source = &source;
                    async move {
                        let read = read(&**source, blob, offset as u64).await.unwrap();
                        assert!(
                            read == content[offset..],
                            "{kind}: {} from {offset}",
                            blob.media_type
                        );
                    }
                });
        future::join_all(streams).await;
    }
}

#[tokio::test]
async fn z26_a_missing_blob_and_one_of_another_size_are_told_apart() {
    for (kind, it) in kinds() {
        let source = open(&it).await;
        let absent = Descriptor::of(MediaType::OCI_LAYER, b"not there");
        let mut longer = it.blobs[1].0.clone();
        longer.size += 1;
        for error in [
            source.check_blob(&absent).await.unwrap_err(),
            source.open(&absent, 0).await.err().unwrap(),
        ] {
            let SourceError::Missing { digest, place } = error else {
                panic!("{kind}: {error:?}");
            };
            assert_eq!(digest, absent.digest, "{kind}");
            assert!(place.contains(it.path.to_str().unwrap()), "{kind}: {place}");
        }
        for error in [
            source.check_blob(&longer).await.unwrap_err(),
            source.open(&longer, 0).await.err().unwrap(),
        ] {
            let SourceError::WrongSize {
                expected, actual, ..
            } = error
            else {
                panic!("{kind}: {error:?}");
            };
            assert_eq!((expected, actual), (longer.size, longer.size - 1), "{kind}");
        }
        let beyond = it.blobs[1].0.size + 1;
        let error = source.open(&it.blobs[1].0, beyond).await.err();
        assert!(
            matches!(error, Some(SourceError::Unreadable { .. })),
            "{kind}: {error:?}"
        );
        let other = source.document(&absent_document()).await.unwrap_err();
        assert!(
            matches!(other, SourceError::Missing { .. }),
            "{kind}: {other:?}"
        );
    }
}

fn absent_document() -> Descriptor {
    Descriptor::new(MediaType::OCI_MANIFEST, Digest::of(b"nowhere"), 7)
}

#[tokio::test]
async fn n3_a_file_that_changes_while_it_is_read_is_an_error() {
    for (kind, it) in kinds() {
        // What is compressed is read from a file of our own.
        if it.path.extension().is_some_and(|it| it == "anything") {
            continue;
        }
        let source = open(&it).await;
        let (blob, _) = &it.blobs[1];
        let changed = match kind {
            "layout" => it.path.join(oci::layout::blob_path(&blob.digest)),
            _ => it.path.clone(),
        };
        let mut pieces = source.open(blob, 0).await.unwrap();
        pieces.next().await.unwrap().unwrap();
        let file = File::options().write(true).open(&changed).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before - std::time::Duration::from_secs(1))
            .unwrap();
        let rest: Vec<_> = pieces.collect().await;
        let Err(error) = rest.last().unwrap() else {
            panic!("{kind}: the change went unnoticed");
        };
        assert_eq!(
            std::error::Error::source(error).unwrap().to_string(),
            "it changed while it was read",
            "{kind}"
        );
        assert_eq!(rest.iter().filter(|it| it.is_err()).count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn a_compressed_archive_may_go_once_it_is_open() {
    let it = fixture::gzipped(fixture::oci_archive());
    let source = open(&it).await;
    fs::remove_file(&it.path).unwrap();
    let (blob, content) = &it.blobs[1];
    assert!(read(&*source, blob, 0).await.unwrap() == *content);
}
