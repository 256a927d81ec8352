//! The index beside a push: what is recalled before, what is kept after, and what is not fatal.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use longshore_push::{
    BlobIndex, Done, Engine, Event, LayerRepos, MountStatus, Options, PushError, Report, State,
    index::{Evidence, Located, Selection, Sight, Sighting, StateError, VerifiedPair},
    mount::MountAnswer,
    recording::{Operation, RecordingTarget},
};
use oci::{Digest, Registry, Repository};

use crate::fixture::{
    Damage, Damaged, Heard, Image, count, image, is_put, is_upload, repository, tagged, target,
};

/// An index that does nothing, and says so.
#[derive(Debug, Default)]
struct Broken {
    asked: AtomicUsize,
}

impl Broken {
    fn fail<T>(&self) -> Result<T, StateError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(StateError::File(std::io::Error::other("the disk is full")))
    }
}

#[async_trait]
impl BlobIndex for Broken {
    async fn locate(&self, _: &Registry, _: &[Digest]) -> Result<Vec<Located>, StateError> {
        self.fail()
    }

    async fn record(&self, _: Vec<Sighting>) -> Result<usize, StateError> {
        self.fail()
    }

    fn record_soon(&self, _: Vec<Sighting>) {}

    async fn page(&self, _: &Selection, _: Option<&Sighting>) -> Result<Vec<Sighting>, StateError> {
        self.fail()
    }

    async fn forget(&self, _: &Selection) -> Result<usize, StateError> {
        self.fail()
    }

    async fn prune(&self, _: SystemTime) -> Result<usize, StateError> {
        self.fail()
    }

    async fn record_pair(&self, _: &VerifiedPair) -> Result<(), StateError> {
        self.fail()
    }

    async fn substitutes(&self, _: &Digest) -> Result<Vec<Digest>, StateError> {
        self.fail()
    }
}

fn with_index(index: Arc<dyn BlobIndex>) -> Engine {
    let options = Options {
        concurrency: NonZeroUsize::MIN,
        ..Options::default()
    };
    Engine::builder().options(options).index(index).build()
}

async fn known(index: &State) -> Vec<Sighting> {
    index.page(&Selection::all(), None).await.unwrap()
}

/// A registry whose repository holds every blob of the image, and the index knows it.
async fn recorded(image: &Image, holder: &str) -> (RecordingTarget, State) {
    let (target, index) = (target(), State::memory());
    let mut sibling = target.sibling(repository(holder));
    let mut seen = Vec::new();
    for blob in image.blobs() {
        sibling = sibling.holding_blob(&blob.digest);
        let sight = Sight::Present {
            digest: blob.digest.clone(),
            size: blob.size,
            by: Evidence::Pushed,
        };
        seen.push(Sighting {
            at: SystemTime::now() - Duration::from_secs(10),
            ..Sighting::now(&repository(holder), sight)
        });
    }
    index.record(seen).await.unwrap();
    (target, index)
}

/// The source, and its first layer is nowhere in it.
fn without_layer(image: &Image) -> Damaged {
    Damaged {
        inner: image.source.clone(),
        blob: image.layers[0].digest.clone(),
        damage: Damage::Missing,
    }
}

async fn push(
    engine: &Engine,
    source: &dyn oci::Source,
    target: &RecordingTarget,
) -> Result<Report, PushError> {
    engine.push(source, target, &tagged(&["1"]), &()).await
}

#[tokio::test]
async fn i5_an_index_that_fails_is_one_warning_and_the_push_succeeds() {
    let image = image(&["base", "app"]);
    let broken = Arc::new(Broken::default());
    let index: Arc<dyn BlobIndex> = Arc::clone(&broken) as _;
    let (engine, heard, target) = (with_index(index), Heard::default(), target());
    let tags = tagged(&["1"]);
    let pushing = engine.push(&image.source, &target, &tags, &heard);
    let report = pushing.await.unwrap();
    assert_eq!(report.bytes.uploaded, image.bytes());
    assert_eq!(broken.asked.load(Ordering::Relaxed), 2, "before and after");
    let warnings = heard.events().into_iter().filter_map(|it| match it {
        Event::Warning { message } => Some(message),
        _ => None,
    });
    let expected = "what is learned is not kept for later runs, and uploads that are interrupted \
                    start anew: the state file cannot be used: the disk is full";
    assert_eq!(warnings.collect::<Vec<_>>(), [expected]);
}

#[tokio::test]
async fn i7_with_no_index_at_all_a_push_learns_for_itself() {
    let image = image(&["base"]);
    let engine = Engine::builder().build();
    assert!(engine.layers().index().is_none());
    let target = target();
    push(&engine, &image.source, &target).await.unwrap();
    let sibling = target.sibling(repository("sibling"));
    let report = push(&engine, &image.source, &sibling).await.unwrap();
    assert_eq!(report.bytes.mounted, image.bytes());
}

/// The layers are pluggable, and bring their index with them.
#[tokio::test]
async fn m4_an_engine_uses_the_index_of_its_layers() {
    let image = image(&["base"]);
    let (target, index) = recorded(&image, "base").await;
    let layers = LayerRepos::builder().index(Arc::new(index.clone())).build();
    let engine = Engine::builder().layers(Arc::new(layers)).build();
    assert!(engine.layers().index().is_some());
    let report = push(&engine, &image.source, &target).await.unwrap();
    assert_eq!(report.bytes.mounted, image.bytes());
    let here: Vec<_> = known(&index).await;
    let here = here.iter().filter(|it| it.repository == repository("app"));
    assert_eq!(here.count(), image.blobs().len());
}

#[tokio::test]
async fn i8_pushes_mounts_and_answers_are_all_learned_and_a_failed_push_has_learned_as_well() {
    let image = image(&["base", "app"]);
    let (target, index) = recorded(&image, "base").await;
    let target = target.holding_blob(&image.layers[0].digest);
    let forgotten = Selection::digest(image.layers[1].digest.clone());
    index.forget(&forgotten).await.unwrap();
    let elsewhere = Selection::digest(image.layers[0].digest.clone());
    index.forget(&elsewhere).await.unwrap();
    let denied = || oci::TargetError::new(oci::TargetErrorKind::Denied, "put it");
    let target = target.failing_when(usize::MAX, is_put, denied);
    let engine = with_index(Arc::new(index.clone()));
    push(&engine, &image.source, &target).await.unwrap_err();
    let words = |blob: &oci::Descriptor| {
        let digest = blob.digest.clone();
        let index = index.clone();
        async move {
            let page = index.page(&Selection::digest(digest), None).await.unwrap();
            let word = |it: &Sighting| match &it.sight {
                Sight::Present { by, .. } => format!("{} {}", it.repository.path(), by.name()),
                other => format!("{other:?}"),
            };
            page.iter().map(word).collect::<Vec<_>>()
        }
    };
    assert_eq!(words(&image.layers[0]).await, ["app answered"]);
    assert_eq!(words(&image.layers[1]).await, ["app pushed"]);
    assert_eq!(words(&image.config).await, ["app mounted", "base gave"]);
}

#[tokio::test]
async fn m9_a_layer_that_is_nowhere_at_hand_is_mounted_from_where_it_was_recorded() {
    let image = image(&["virtual", "app"]);
    let (target, index) = recorded(&image, "other").await;
    let engine = with_index(Arc::new(index));
    let report = push(&engine, &without_layer(&image), &target)
        .await
        .unwrap();
    assert_eq!(target.blob_bytes(), 0);
    assert!(report.blobs.iter().all(|it| it.done == Done::Mounted));
    assert_eq!(report.bytes.mounted, image.bytes());
}

#[tokio::test]
async fn m9_where_the_mount_is_refused_and_nothing_can_be_read_the_push_says_what_was_tried() {
    let image = image(&["virtual", "app"]);
    let (target, index) = recorded(&image, "other").await;
    let engine = with_index(Arc::new(index));
    let target = target.refusing_mounts();
    let error = push(&engine, &without_layer(&image), &target)
        .await
        .unwrap_err();
    let PushError::MountRequired {
        repository: into,
        blobs,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*into, repository("app"));
    assert_eq!(blobs.len(), 1, "the others are at hand");
    assert_eq!(blobs[0].digest, image.layers[0].digest);
    let tried = &blobs[0].tried[0];
    assert_eq!(
        (&tried.from, tried.answer),
        (&repository("other"), MountAnswer::Refused)
    );
    assert_eq!(tried.status, Some(202));
    assert_eq!(count(&target, is_put) + count(&target, is_upload), 0);
    assert_eq!(target.open_sessions(), [""; 0]);
    let text = error.to_string();
    assert!(
        text.contains("registry.test/other: refused (HTTP 202)"),
        "{text}"
    );
}

/// What nobody is known to hold is missing, as ever: nothing is asked.
#[tokio::test]
async fn m9_a_layer_that_is_nowhere_at_all_is_found_missing_before_the_first_request() {
    let image = image(&["virtual"]);
    let (engine, target) = (with_index(Arc::new(State::memory())), target());
    let error = push(&engine, &without_layer(&image), &target)
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::LocalBlob { .. }), "{error:?}");
    assert_eq!(target.lines(), [""; 0]);
}

/// Who is known to hold it already is asked for it, before any sibling.
#[tokio::test]
async fn what_the_destination_was_seen_to_hold_is_asked_of_itself_first() {
    let image = image(&["base"]);
    let (target, index) = recorded(&image, "base").await;
    let engine = with_index(Arc::new(index));
    let second = image_of_the_same_layer();
    let target = target.holding_blob(&image.layers[0].digest);
    push(&engine, &image.source, &target).await.unwrap();
    target.clear();
    let report = push(&engine, &second.source, &target).await.unwrap();
    assert_eq!(report.blobs[1].done, Done::Present);
    assert_eq!(report.blobs[1].mount, MountStatus::Skipped);
    let asks_base = |it: &longshore_push::recording::Call| {
        let base: Repository = repository("base");
        it.operation == Operation::Mount { from: base }
    };
    assert_eq!(count(&target, asks_base), 0);
}

fn image_of_the_same_layer() -> Image {
    let mut image = image(&["base"]);
    let text = "{\"another\":\"config\"}";
    let (source, config) = image.source.with_blob(oci::MediaType::OCI_CONFIG, text);
    let builder = longshore_push::compose::ManifestBuilder::new(config.clone());
    let root = builder.layer(image.layers[0].clone()).build().unwrap();
    image.source = source.with_root(root.clone());
    image.config = config;
    image.root = root;
    image
}
