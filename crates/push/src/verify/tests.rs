//! Whatever the pieces: the content comes out whole, or an error instead of its end.

use bytes::Bytes;
use futures_util::TryStreamExt;
use oci::{Algorithm, Descriptor, Digest, MediaType, SourceError};
use proptest::prelude::*;

use super::*;

/// A blob in pieces of any length.
#[derive(Debug)]
struct Pieces {
    content: Bytes,
    lengths: Vec<usize>,
}

#[async_trait]
impl Source for Pieces {
    async fn root(&self) -> Result<Document, SourceError> {
        Err(SourceError::invalid("test", "no manifest"))
    }

    async fn document(&self, _descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.root().await
    }

    async fn open(&self, _blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        let mut rest = self.content.slice(usize::try_from(offset).unwrap()..);
        let lengths = self.lengths.clone().into_iter().cycle();
        let pieces: Vec<_> = lengths
            .map_while(move |length| {
                let piece = rest.split_to(length.min(rest.len()));
                (!rest.is_empty() || !piece.is_empty()).then_some(Ok(piece))
            })
            .collect();
        Ok(stream::iter(pieces).boxed())
    }
}

async fn read(source: &Pieces, blob: &Descriptor, offset: u64) -> (Vec<u8>, Option<SourceError>) {
    let verified = Verified::new(source);
    let mut stream = verified.open(blob, offset).await.unwrap();
    let mut content = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(piece)) => content.extend_from_slice(&piece),
            Ok(None) => return (content, None),
            Err(_) => return (content, Some(verified.into_fault().unwrap())),
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Below and above the size that is hashed in place, with either algorithm, from any offset.
    #[test]
    fn right_content_comes_out_whole_from_any_offset(
        size in prop_oneof![0_usize..300, 131_000_usize..132_000, 2_000_000_usize..2_100_000],
        lengths in prop::collection::vec(prop_oneof![1_usize..40_000, Just(1 << 20)], 1..5),
        from in 0.0_f64..=1.0,
        long in any::<bool>(),
    ) {
        let content: Bytes = (0..size).map(|it| it.to_le_bytes()[0] ^ it.to_le_bytes()[1]).collect::<Vec<u8>>().into();
        let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
        let digest = Digest::of_with(algorithm, &content);
        let blob = Descriptor::new(MediaType::OCI_LAYER, digest, size as u64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "any offset will do")]
        let offset = (size as f64 * from) as usize;
        // No piece is too small for the size: that would only take long.
        let lengths = lengths.into_iter().map(|it| it.max(size / 500)).collect();
        let source = Pieces { content: content.clone(), lengths };
        let (read, fault) = runtime().block_on(read(&source, &blob, offset as u64));
        prop_assert!(fault.is_none());
        prop_assert_eq!(&read[..], &content[offset..]);
    }

    /// One byte is another one: its piece may come, the last one never does.
    #[test]
    fn wrong_content_never_comes_to_its_end(
        size in prop_oneof![1_usize..300, 131_000_usize..132_000, 1_500_000_usize..1_600_000],
        length in prop_oneof![1_usize..40_000, Just(1 << 20)],
        at in any::<prop::sample::Index>(),
    ) {
        let mut content = vec![7; size];
        let blob = Descriptor::of(MediaType::OCI_LAYER, &content);
        content[at.index(size)] = 8;
        let lengths = vec![length.max(size / 500)];
        let source = Pieces { content: content.into(), lengths };
        let (read, fault) = runtime().block_on(read(&source, &blob, 0));
        prop_assert!(read.len() < size);
        let altered = matches!(fault, Some(SourceError::Altered { expected, .. }) if expected == blob.digest);
        prop_assert!(altered);
    }
}

/// Outside of a runtime there is nobody to hash beside: it is done in place.
#[test]
fn without_a_runtime_it_is_hashed_in_place() {
    let content: Bytes = vec![1; 1 << 20].into();
    let blob = Descriptor::of(MediaType::OCI_LAYER, &content);
    let source = Pieces {
        content: content.clone(),
        lengths: vec![1 << 16],
    };
    let (read, fault) = futures_util::FutureExt::now_or_never(read(&source, &blob, 0)).unwrap();
    assert!(fault.is_none());
    assert_eq!(read, content);
}

/// The runtime goes down in the middle: an error, not a push that waits for ever.
#[test]
fn a_runtime_that_goes_down_is_an_error() {
    let content: Bytes = vec![1; 1 << 20].into();
    let blob = Descriptor::of(MediaType::OCI_LAYER, &content);
    let source = Pieces {
        content,
        lengths: vec![1 << 16],
    };
    let runtime = runtime();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _entered = handle.enter();
    let (read, fault) = futures_util::FutureExt::now_or_never(read(&source, &blob, 0)).unwrap();
    assert!(matches!(fault, Some(SourceError::Unreadable { .. })));
    assert!(read.len() < 1 << 20);
}

/// Where hashing does not keep up, reading waits: what is in memory stays bounded.
#[test]
fn what_waits_to_be_hashed_is_bounded() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let piece = Bytes::from(vec![1; 256 * 1024]);
        let content = vec![1; 6 * piece.len()];
        let mut pipeline = Pipeline::new(Hasher::new(Algorithm::Sha256), content.len() as u64);
        let taken = futures_util::FutureExt::now_or_never(pipeline.update(piece.clone()));
        assert!(taken.is_some(), "there is room");
        let second = pipeline.update(piece.clone());
        assert!(
            futures_util::FutureExt::now_or_never(second).is_none(),
            "half a MiB waits"
        );
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        for _ in 0..4 {
            pipeline.update(piece.clone()).await.unwrap();
        }
        let hasher = pipeline.finish().await.unwrap();
        assert_eq!(hasher.finish(), Digest::of(&content));
    });
}
