//! What is read, from where, and what is kept of it.

use super::*;
use crate::{
    Destination, Engine, Options,
    recording::{Operation, RecordingTarget},
};

async fn push(source: &dyn Source, registry: &str) -> RecordingTarget {
    let target = RecordingTarget::new(format!("{registry}/app").parse().unwrap()).validating();
    let destination = Destination::tagged(["1".parse().unwrap()]);
    let engine = Engine::new(Options::default());
    let pushed = engine.push(source, &target, &destination, &()).await;
    pushed.unwrap();
    target
}

#[tokio::test]
async fn k1_what_went_to_one_registry_is_not_fetched_again_for_the_next() {
    let stage = Stage::new().await;
    let (source, root, blobs) = image(&["one", "two"]);
    let remote = Remote::new(source);

    let first = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let b = push(&first, "b.test").await;
    stage.store.settle().await;
    let mut fetched: Vec<Digest> = remote.opened().into_iter().map(|(it, _)| it).collect();
    let mut wanted: Vec<Digest> = blobs.iter().map(|it| it.digest.clone()).collect();
    fetched.sort();
    wanted.sort();
    assert_eq!(fetched, wanted, "each once");
    let uploads = b
        .calls()
        .into_iter()
        .filter(|it| matches!(it.operation, Operation::Upload { .. }));
    assert_eq!(uploads.count(), blobs.len(), "each sent once");
    for blob in blobs.iter().chain([root.descriptor()]) {
        let stored = fs::read(stage.file(&blob.digest)).unwrap();
        assert!(blob.digest.matches(&stored));
    }
    let bytes: u64 = blobs.iter().map(|it| it.size).sum();
    assert_eq!(
        (first.tally().fetched_bytes, first.tally().stored_bytes),
        (bytes, 0)
    );

    let again = CachedSource::new(Arc::clone(&remote), stage.opened_again().await);
    let c = push(&again, "c.test").await;
    assert_eq!(remote.opened().len(), blobs.len(), "nothing was fetched");
    assert_eq!(
        (again.tally().fetched_bytes, again.tally().stored_bytes),
        (0, bytes)
    );
    assert_eq!(c.manifest(&"1".parse().unwrap()).unwrap(), *root.bytes());
    assert_eq!(stage.heard.texts(), [""; 0]);
}

#[tokio::test]
async fn k3_what_is_in_the_store_causes_no_request_to_the_source_manifests_included() {
    let stage = Stage::new().await;
    let (source, root, blobs) = image(&["one"]);
    let referrer = ManifestBuilder::new(blobs[1].clone())
        .subject(&root)
        .build()
        .unwrap();
    let remote = Remote::new(source.with_document(referrer.clone()));
    let first = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let contents = read_through(&first, &blobs).await;
    first.document(referrer.descriptor()).await.unwrap();
    stage.store.settle().await;
    let before = remote.asked();
    assert_eq!(before, (1, 1, blobs.len()));

    let again = CachedSource::new(Arc::clone(&remote), stage.opened_again().await);
    let again = again.with_root(root.digest().clone());
    assert_eq!(read_through(&again, &blobs).await, contents);
    assert_eq!(again.root().await.unwrap().bytes(), root.bytes());
    let read = again.document(referrer.descriptor()).await.unwrap();
    assert_eq!(read.bytes(), referrer.bytes());
    for blob in &blobs {
        again.check_blob(blob).await.unwrap();
    }
    assert_eq!(remote.asked(), before, "nothing was asked of the source");
    assert_eq!(again.origin(), Some(&remote.origin));
}

/// An upload that breaks is begun again at its start by whoever verifies: what came already is
/// read from the store, the rest from the source, and all of it is kept.
#[tokio::test]
async fn k1_a_blob_that_is_read_again_goes_on_where_the_source_broke_off() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    *lock(&remote.breaks) = Some(300 * 1024);

    let broken = all(cached.open(&blobs[0], 0).await.unwrap()).await;
    assert!(matches!(broken, Err(SourceError::Unreadable { .. })));
    assert!(!stage.file(&blobs[0].digest).exists(), "no part is seen");
    let whole = all(cached.open(&blobs[0], 0).await.unwrap()).await.unwrap();
    assert_eq!(whole, content("one"));
    let digest = blobs[0].digest.clone();
    assert_eq!(remote.opened(), [(digest.clone(), 0), (digest, 300 * 1024)]);
    stage.store.settle().await;
    assert_eq!(fs::read(stage.file(&blobs[0].digest)).unwrap(), whole);
    assert_eq!(stage.parts(), 0);
}

/// A reader that begins at an offset while another is writing gets what is there from the file,
/// and what is not from the writer.
#[tokio::test]
async fn k1_a_blob_that_is_being_written_can_be_opened_at_an_offset() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let mut writing = cached.open(&blobs[0], 0).await.unwrap();
    let first = writing.next().await.unwrap().unwrap();
    let part = stage.store.known_part(&blobs[0]).unwrap();
    until(|| part.written() == first.len() as u64).await;

    let reading = cached.open(&blobs[0], 1000).await.unwrap();
    let reading = tokio::spawn(all(reading));
    while writing.next().await.transpose().unwrap().is_some() {}
    drop(writing);
    assert_eq!(reading.await.unwrap().unwrap(), content("one")[1000..]);
    assert_eq!(remote.opened().len(), 1, "the source was opened once");
    stage.store.settle().await;
    assert!(stage.file(&blobs[0].digest).exists());

    let beyond = cached.open(&blobs[0], blobs[0].size - 5).await.unwrap();
    assert_eq!(all(beyond).await.unwrap().len(), 5);
}

/// What has not been read from its start cannot be known to be what it should be: so it is, and is kept.
#[tokio::test]
async fn k1_a_blob_that_is_opened_in_its_middle_is_read_and_verified_from_its_start() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let rest = all(cached.open(&blobs[0], 1000).await.unwrap())
        .await
        .unwrap();
    assert_eq!(rest, content("one")[1000..]);
    assert_eq!(remote.opened(), [(blobs[0].digest.clone(), 0)]);
    stage.store.settle().await;
    let kept = fs::read(stage.file(&blobs[0].digest)).unwrap();
    assert_eq!(kept, content("one"));
}

/// A writer that stands still is not waited for longer than is said.
#[tokio::test]
async fn k4_a_reader_does_not_wait_for_ever_for_a_writer_that_stands_still() {
    let stage = Stage::with(StoreOptions {
        // A disk that is slower than this would end the writing.
        patience: Duration::from_secs(2),
        ..StoreOptions::default()
    })
    .await;
    let (source, _, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    let cached = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let mut writing = cached.open(&blobs[0], 0).await.unwrap();
    let first = writing.next().await.unwrap().unwrap();

    let whole = all(cached.open(&blobs[0], 0).await.unwrap()).await.unwrap();
    assert_eq!(whole, content("one"));
    let opened = remote.opened();
    assert_eq!(opened.len(), 2);
    assert_eq!(
        opened[1].1,
        first.len() as u64,
        "it went on where the writer stands"
    );
    while writing.next().await.transpose().unwrap().is_some() {}
    stage.store.settle().await;
    assert!(
        stage.file(&blobs[0].digest).exists(),
        "the writer came to its end"
    );
}

#[tokio::test]
async fn k1_altered_content_is_found_before_a_byte_is_given_out_and_fetched_anew_with_one_warning()
{
    let stage = Stage::new().await;
    let (source, root, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    read_through(
        &CachedSource::new(Arc::clone(&remote), stage.store.clone()),
        &blobs,
    )
    .await;
    stage.store.settle().await;
    let altered = |digest: &Digest| {
        let path = stage.file(digest);
        let mut content = fs::read(&path).unwrap();
        content[3] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
    };
    altered(&blobs[0].digest);
    altered(root.digest());

    let cached = CachedSource::new(Arc::clone(&remote), stage.opened_again().await);
    let cached = cached.with_root(root.digest().clone());
    read_through(&cached, &blobs).await;
    cached.store().settle().await;
    assert_eq!(
        remote.asked(),
        (2, 0, 3),
        "the two altered ones were fetched anew"
    );
    assert!(
        blobs[0]
            .digest
            .matches(&fs::read(stage.file(&blobs[0].digest)).unwrap())
    );
    let warnings = stage.heard.texts();
    assert_eq!(warnings.len(), 2, "one each: {warnings:?}");
    let mut fetched_anew = warnings.iter().filter(|it| it.contains("fetched anew"));
    assert!(fetched_anew.any(|it| it.contains(&blobs[0].digest.to_string())));
    read_through(&cached, &blobs).await;
    assert_eq!(stage.heard.texts().len(), 2);
}

/// Gives one blob for every other.
#[derive(Debug)]
struct Lying(MemorySource, Descriptor);
#[async_trait]
impl Source for Lying {
    async fn root(&self) -> Result<Document, SourceError> {
        self.0.root().await
    }
    async fn document(&self, it: &Descriptor) -> Result<Document, SourceError> {
        self.0.document(it).await
    }
    async fn open(&self, _: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.0.open(&self.1, offset).await
    }
}

/// What the source gives is not what it should be: the push is told so in the place of the last
/// piece, nothing of it is kept, and nobody is warned of the store.
#[tokio::test]
async fn k1_what_the_source_gives_wrongly_never_gets_into_the_store() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let mut wrong = blobs[0].clone();
    wrong.digest = Digest::of(b"another");
    let lying = Arc::new(Lying(source, blobs[0].clone()));
    let cached = CachedSource::new(lying, stage.store.clone());
    assert!(cached.verifies());
    let mut short = blobs[0].clone();
    short.size -= 1;
    for (blob, offset) in [(&wrong, 0), (&wrong, 1000), (&short, 0)] {
        let mut body = cached.open(blob, offset).await.unwrap();
        let mut seen = offset;
        let error = loop {
            match body.next().await.unwrap() {
                Ok(piece) => seen += piece.len() as u64,
                Err(error) => break error,
            }
        };
        assert!(seen < blob.size, "the last piece is held back");
        let expected = match &error {
            SourceError::Altered { expected, .. } => (expected == &wrong.digest, blob == &wrong),
            SourceError::WrongSize { digest, .. } => (digest == &short.digest, blob == &short),
            _ => (false, false),
        };
        assert_eq!(expected, (true, true), "{error:?}");
    }
    drop(cached);
    stage.store.settle().await;
    assert!(!stage.file(&wrong.digest).exists());
    assert_eq!(stage.store.contents().await.unwrap().blobs, 0);
    assert_eq!(stage.parts(), 0);
    assert_eq!(stage.heard.texts(), [""; 0]);
}

/// Two processes fetch the same blob at the same time: each succeeds, one file is left.
#[tokio::test]
async fn k1_two_writers_of_one_digest_leave_one_valid_file() {
    let stage = Stage::new().await;
    let (source, _, blobs) = image(&["one"]);
    let remote = Remote::new(source);
    let one = CachedSource::new(Arc::clone(&remote), stage.store.clone());
    let other = CachedSource::new(Arc::clone(&remote), stage.opened_again().await);
    let (mut a, mut b) = (
        one.open(&blobs[0], 0).await.unwrap(),
        other.open(&blobs[0], 0).await.unwrap(),
    );
    assert_eq!(stage.parts(), 2, "each has its own");
    loop {
        let (a, b) = (a.next().await, b.next().await);
        if a.is_none() && b.is_none() {
            break;
        }
    }
    one.store().settle().await;
    other.store().settle().await;
    drop((a, b));
    let checked = stage.store.verify().await.unwrap();
    assert_eq!((checked.blobs, checked.altered.len()), (1, 0));
    assert_eq!(stage.parts(), 0);
}
