//! A built image's blobs, from wherever they are.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{BlobStream, Descriptor, Digest, Document, MediaType, Source, SourceError};

use super::{BuiltSource, PIECE};
use crate::{EmittedLayer, LayerSource, built::tests::image_of};

/// A base image: its one layer, and nothing else.
#[derive(Debug)]
struct Base(Bytes);

#[async_trait]
impl Source for Base {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("the base", "nobody should ask"))
    }

    async fn document(&self, _descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.root().await
    }

    async fn open(&self, _blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let rest = self.0.slice(usize::try_from(offset).expect("small")..);
        Ok(stream::iter((!rest.is_empty()).then_some(Ok(rest))).boxed())
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        if Digest::of(&self.0) == blob.digest {
            return Ok(());
        }
        Err(SourceError::invalid("the base", "another layer"))
    }

    fn place(&self, _blob: &Descriptor) -> String {
        "the base".to_owned()
    }
}

fn source(layers: Vec<EmittedLayer>) -> BuiltSource {
    image_of(layers).verify().expect("an image").into_source()
}

fn layer(content: &[u8], source: LayerSource) -> EmittedLayer {
    let (digest, size) = (Digest::of(content), content.len() as u64);
    EmittedLayer::new(MediaType::OCI_LAYER, digest, size, source)
}

fn in_file(path: &Path, content: &[u8]) -> EmittedLayer {
    layer(content, LayerSource::File(path.to_owned()))
}

fn in_registry(content: &[u8]) -> EmittedLayer {
    let repository = "h.example/base".parse().expect("a repository");
    layer(content, LayerSource::Registry(repository))
}

async fn read(
    source: &BuiltSource,
    blob: &Descriptor,
    offset: u64,
) -> Result<Vec<u8>, SourceError> {
    let pieces: Vec<Bytes> = source.open(blob, offset).await?.try_collect().await?;
    assert!(pieces.iter().all(|it| !it.is_empty() && it.len() <= PIECE));
    Ok(pieces.concat())
}

#[tokio::test]
async fn z10_a_built_image_is_read_from_wherever_its_layers_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("layer");
    let large: Vec<u8> = (0..PIECE * 2 + 77).map(|at| at.to_le_bytes()[0]).collect();
    std::fs::write(&path, &large).expect("written");
    let source = source(vec![
        in_registry(b"of the base"),
        in_file(&path, &large),
        EmittedLayer::of_bytes(MediaType::OCI_LAYER, large[1..].to_vec().into()),
    ])
    .with_base(Arc::new(Base(Bytes::from_static(b"of the base"))));

    let root = source.root().await.expect("the manifest");
    assert_eq!(&root, source.image().manifest());
    assert_eq!(
        source
            .document(root.descriptor())
            .await
            .expect("the manifest"),
        root
    );
    for blob in root.children() {
        source.check_blob(blob).await.expect("it is there");
        let whole = read(&source, blob, 0).await.expect("its bytes");
        assert!(blob.digest.matches(&whole), "{}", source.place(blob));
        for offset in [1, blob.size / 2, blob.size - 1, blob.size] {
            let rest = read(&source, blob, offset).await.expect("its bytes");
            let start = usize::try_from(offset).expect("small");
            assert!(
                rest == whole[start..],
                "{} from {offset}",
                source.place(blob)
            );
        }
    }
    let places: Vec<String> = root.children().map(|it| source.place(it)).collect();
    let file = path.display().to_string();
    assert_eq!(
        places,
        ["the image itself", "the base", &file, "the image itself"]
    );
}

#[tokio::test]
async fn what_is_nowhere_is_missing_foreign_or_not() {
    let foreign = |it: EmittedLayer| EmittedLayer {
        media_type: MediaType::DOCKER_FOREIGN_LAYER,
        ..it
    };
    let source = source(vec![
        layer(b"ordinary", LayerSource::None),
        foreign(layer(b"foreign", LayerSource::None)),
        in_registry(b"no base is given"),
    ]);
    for it in source.image().layers() {
        let blob = it.descriptor();
        for error in [
            source.check_blob(&blob).await.expect_err("missing"),
            source.open(&blob, 0).await.err().expect("missing"),
        ] {
            assert!(
                matches!(&error, SourceError::Missing { digest, .. } if *digest == it.digest),
                "{error}"
            );
        }
    }
    let place = |at: usize| source.place(&source.image().layers()[at].descriptor());
    assert_eq!(place(0), "no place: the manifest only points at it");
    assert_eq!(place(2), "h.example/base, which is not open");
    let other = Descriptor::of(MediaType::OCI_LAYER, b"of another image");
    assert!(matches!(
        source.check_blob(&other).await,
        Err(SourceError::Missing { .. })
    ));
    assert!(matches!(
        source.document(&other).await,
        Err(SourceError::Missing { .. })
    ));
}

#[tokio::test]
async fn a_layer_listed_twice_is_read_where_it_has_bytes() {
    let nowhere = layer(b"twice", LayerSource::None);
    let here = EmittedLayer::of_bytes(MediaType::OCI_LAYER, Bytes::from_static(b"twice"));
    let source = source(vec![nowhere.clone(), here, nowhere]);
    let blob = source.image().layers()[0].descriptor();
    assert!(source.check_blob(&blob).await.is_ok());
    assert_eq!(read(&source, &blob, 0).await.expect("its bytes"), b"twice");
}

#[tokio::test]
async fn a_file_that_is_gone_short_or_no_file_is_found_before_it_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("layer");
    let source = source(vec![in_file(&path, b"content")]);
    let blob = source.image().layers()[0].descriptor();
    assert!(
        matches!(source.check_blob(&blob).await, Err(SourceError::Missing { place, .. })
        if place == path.display().to_string())
    );

    std::fs::write(&path, b"conten").expect("written");
    for error in [
        source.check_blob(&blob).await.expect_err("short"),
        source.open(&blob, 0).await.err().expect("short"),
    ] {
        assert!(
            matches!(
                error,
                SourceError::WrongSize {
                    expected: 7,
                    actual: 6,
                    ..
                }
            ),
            "{error}"
        );
    }
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("made");
    assert!(matches!(
        source.check_blob(&blob).await,
        Err(SourceError::Unreadable { .. })
    ));
}

#[tokio::test]
async fn a_file_cut_while_it_is_read_is_an_error_and_not_a_short_blob() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("layer");
    let content = vec![7; PIECE * 3];
    std::fs::write(&path, &content).expect("written");
    let source = source(vec![in_file(&path, &content)]);
    let blob = source.image().layers()[0].descriptor();
    let mut stream = source.open(&blob, 0).await.expect("it is there");
    assert!(stream.next().await.is_some_and(|it| it.is_ok()));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("a file");
    file.set_len(PIECE as u64).expect("cut");
    let error = stream.try_collect::<Vec<_>>().await.expect_err("cut");
    assert!(matches!(error, SourceError::WrongSize { .. }), "{error}");
}

#[tokio::test]
async fn a_descriptor_of_another_size_is_refused() {
    let here = EmittedLayer::of_bytes(MediaType::OCI_LAYER, Bytes::from_static(b"content"));
    let source = source(vec![here]);
    let mut blob = source.image().layers()[0].descriptor();
    blob.size += 1;
    assert!(matches!(
        source.check_blob(&blob).await,
        Err(SourceError::WrongSize { .. })
    ));
    assert!(matches!(
        source.open(&blob, 0).await.err(),
        Some(SourceError::WrongSize { .. })
    ));
}
