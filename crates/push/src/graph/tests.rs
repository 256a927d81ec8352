//! What is read, how often, and in which order it is put.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::FutureExt;
use oci::{BlobStream, MediaType, SourceError};

use super::*;
use crate::compose::{IndexBuilder, ManifestBuilder, MemorySource};

/// Counts how often documents are read.
#[derive(Debug)]
struct Counting {
    inner: MemorySource,
    reads: AtomicUsize,
}

#[async_trait]
impl Source for Counting {
    async fn root(&self) -> Result<Document, SourceError> {
        self.inner.root().await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.inner.open(blob, offset).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.inner.referrers(subject).await
    }
}

fn read(source: &dyn Source, referrers: bool) -> Result<Graph, PushError> {
    Graph::read(source, referrers, &()).now_or_never().unwrap()
}

fn manifest(name: &str) -> Document {
    let config = Descriptor::of(MediaType::OCI_CONFIG, name.as_bytes());
    ManifestBuilder::new(config).build().unwrap()
}

fn index(children: &[&Document]) -> Document {
    let builder = IndexBuilder::new();
    let children = children.iter();
    children
        .fold(builder, |it, child| it.manifest(child, None))
        .build()
        .unwrap()
}

fn source(documents: &[&Document], root: &Document) -> MemorySource {
    let source = MemorySource::new().with_root(root.clone());
    documents
        .iter()
        .fold(source, |it, document| it.with_document((*document).clone()))
}

fn waves(graph: &Graph) -> Vec<(&Digest, usize)> {
    graph
        .nodes()
        .iter()
        .map(|it| (it.document.digest(), it.wave))
        .collect()
}

/// A child that is listed twice, and once deeper, is read once and put before both parents.
#[test]
fn a_document_in_several_places_is_read_once_and_comes_before_all_of_them() {
    let shared = manifest("shared");
    let inner = index(&[&shared]);
    let root = index(&[&shared, &inner, &shared]);
    let source = Counting {
        inner: source(&[&shared, &inner], &root),
        reads: AtomicUsize::new(0),
    };
    let graph = read(&source, false).unwrap();
    assert_eq!(source.reads.into_inner(), 2);
    assert_eq!(
        waves(&graph),
        [
            (root.digest(), 2),
            (shared.digest(), 0),
            (inner.digest(), 1)
        ]
    );
    assert_eq!(graph.root().children, [1, 2]);
    assert_eq!(graph.blobs().len(), 1);
    assert!(!graph.has_followers());
}

/// What is listed as a blob of an index, and is no manifest, is a blob.
#[test]
fn a_blob_in_an_index_is_a_blob() {
    let text = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"text/plain","digest":"{}","size":3}}]}}"#,
        Digest::of(b"abc")
    );
    let root = Document::new(text.into(), None).unwrap();
    let graph = read(&source(&[], &root), false).unwrap();
    assert_eq!((graph.nodes().len(), graph.blobs().len()), (1, 1));
    assert_eq!((graph.total_bytes(), graph.unique_bytes()), (3, 3));
}

/// A referrer of a child, its own referrer, and one that is an index: all after what they are about.
#[test]
fn referrers_are_found_at_every_level_and_follow_their_subjects() {
    let child = manifest("child");
    let root = index(&[&child]);
    let about = |subject: &Document, name: &str| {
        let config = Descriptor::of(MediaType::OCI_EMPTY, name.as_bytes());
        ManifestBuilder::new(config)
            .subject(subject)
            .build()
            .unwrap()
    };
    let signature = about(&child, "signature");
    let counter = about(&signature, "counter");
    let part = manifest("part");
    let set = IndexBuilder::new()
        .manifest(&part, None)
        .subject(&root)
        .build()
        .unwrap();
    let all = [&child, &signature, &counter, &part, &set];
    let graph = read(&source(&all, &root), true).unwrap();
    let wave = |it: &Document| {
        waves(&graph)
            .into_iter()
            .find(|(digest, _)| *digest == it.digest())
            .unwrap()
            .1
    };
    assert_eq!(graph.nodes().len(), 6);
    assert!(wave(&signature) > wave(&child));
    assert!(wave(&counter) > wave(&signature));
    assert!(wave(&set) > wave(&root) && wave(&set) > wave(&part));
    assert!(graph.has_followers());
    assert_eq!(read(&source(&all, &root), false).unwrap().nodes().len(), 2);
}

/// A chain of referrers without an end in sight is refused.
#[test]
fn a_long_chain_of_referrers_is_refused() {
    let mut chain = vec![manifest("root")];
    for n in 0..12 {
        let config = Descriptor::of(MediaType::OCI_EMPTY, &[n]);
        let next = ManifestBuilder::new(config)
            .subject(&chain[chain.len() - 1])
            .build();
        chain.push(next.unwrap());
    }
    let documents: Vec<&Document> = chain.iter().collect();
    let error = read(&source(&documents, &chain[0]), true).unwrap_err();
    assert!(matches!(
        error,
        PushError::Graph {
            reason: GraphFault::TooDeep(MAX_DEPTH),
            ..
        }
    ));
}

/// A chain whose every link the root lists as well is as deep as it is long.
#[test]
fn depth_is_the_longest_way_down() {
    let mut links = vec![manifest("leaf")];
    for _ in 0..9 {
        links.push(index(&[&links[links.len() - 1]]));
    }
    let documents: Vec<&Document> = links.iter().collect();
    let root = index(&documents);
    let error = read(&source(&documents, &root), false).unwrap_err();
    assert!(matches!(
        error,
        PushError::Graph {
            reason: GraphFault::TooDeep(_),
            ..
        }
    ));
}

#[test]
fn an_index_of_too_many_blobs_is_refused() {
    let entries: Vec<String> = (0..=20_000_u32)
        .map(|n| {
            format!(
                r#"{{"mediaType":"a/b","digest":"{}","size":1}}"#,
                Digest::of(&n.to_le_bytes())
            )
        })
        .collect();
    let list = |entries: &[String]| {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entries.join(",")
        );
        Document::new(text.into(), None).unwrap()
    };
    let graph = read(&source(&[], &list(&entries)), false).unwrap();
    assert_eq!(graph.blobs().len(), 20_001, "many are not too many");
    let documents: Vec<Document> = (0..4_u32)
        .map(|m| {
            let entries: Vec<String> = (0..20_000_u32)
                .map(|n| {
                    let digest = Digest::of(&(m * 20_000 + n).to_le_bytes());
                    format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":1}}"#)
                })
                .collect();
            list(&entries)
        })
        .collect();
    let documents: Vec<&Document> = documents.iter().collect();
    let error = read(&source(&documents, &index(&documents)), false).unwrap_err();
    assert!(matches!(
        error,
        PushError::Graph {
            reason: GraphFault::TooManyBlobs(MAX_BLOBS),
            ..
        }
    ));
}
