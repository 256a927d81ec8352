//! Uploads that outlive the process that began them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use futures_util::StreamExt;
use longshore_push::journal::{BlobKey, Claim, Listed, Removed, StateError, Stored};
use longshore_push::{
    Action, Engine, Event, Journal, LayerRepos, Observer, Options, Reason, Report, Sessions, State,
};
use oci::{
    BlobUpload, Descriptor, Document, ManifestReceipt, MountOutcome, Presence, PushTarget,
    Repository, SessionStatus, Tag, TagOrDigest, TargetError, TargetErrorKind, UploadReceipt,
    UploadSession,
};

use crate::fixture::{Image, image_sized, repository, tagged};

const CHUNK: u64 = 100;
const SIZE: usize = 1000;

/// A registry that keeps sessions, takes chunks, and stops where it is told to.
#[derive(Clone, Debug, Default)]
struct Registry(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// Bytes of each open session.
    sessions: BTreeMap<String, u64>,
    blobs: Vec<Descriptor>,
    opened: usize,
    /// What was asked for, in order.
    log: Vec<String>,
    /// Body bytes in all.
    bytes: u64,
    /// After how many bytes of a session nothing moves any more, and how that ends.
    stops: Option<(u64, Stop)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Hangs,
    Fails,
}

#[derive(Debug)]
struct Target(Registry, Repository);

impl Registry {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target(&self) -> Target {
        Target(self.clone(), repository("app"))
    }

    fn stopping(&self, at: u64, stop: Stop) {
        self.held().stops = Some((at, stop));
    }

    /// What was asked for since the last time.
    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.held().log)
    }

    fn bytes(&self) -> u64 {
        std::mem::take(&mut self.held().bytes)
    }
}

impl Held {
    fn open(&mut self) -> UploadSession {
        self.opened += 1;
        let name = format!("https://registry.test/upload/{}", self.opened);
        self.log.push(format!("open {}", self.opened));
        self.sessions.insert(name.clone(), 0);
        UploadSession::new(name)
    }
}

/// Reads what is to be sent, to its end.
async fn read(upload: &BlobUpload<'_>, from: u64) -> Result<(), TargetError> {
    let failed = |error| TargetError::from_source(error, "upload");
    let body = upload.source.open(upload.blob, from).await;
    let mut body = body.map_err(failed)?;
    while let Some(piece) = body.next().await {
        piece.map_err(failed)?;
    }
    Ok(())
}

#[async_trait]
impl PushTarget for Target {
    fn repository(&self) -> &Repository {
        &self.1
    }

    async fn upload_blob(&self, upload: BlobUpload<'_>) -> Result<UploadReceipt, TargetError> {
        let mut session = upload.session.clone();
        if upload.interrupted {
            let mut held = self.0.held();
            let name = session.take().unwrap().location().to_owned();
            held.log.push("status".into());
            if held.blobs.contains(upload.blob) {
                return Ok(UploadReceipt::new(0));
            }
            session = held
                .sessions
                .get(&name)
                .map(|at| UploadSession::new(&name).with_acknowledged(*at));
        }
        let mut session = session.unwrap_or_else(|| self.0.held().open());
        let begun = session.acknowledged();
        upload.observer.rewound(begun);
        upload.keeper.keep(&session).await;
        let mut at = begun;
        read(&upload, begun).await?;
        while at < upload.blob.size {
            let stop = self.0.held().stops;
            let stop = stop.filter(|(stop, _)| *stop == at && upload.blob.size > 500);
            match stop {
                Some((_, Stop::Hangs)) => std::future::pending().await,
                Some((_, Stop::Fails)) => {
                    if !upload.keeper.lasts() {
                        self.0.held().sessions.remove(session.location());
                        self.0.held().log.push("cancel".into());
                    }
                    return Err(TargetError::new(TargetErrorKind::Network, "upload"));
                }
                None => {}
            }
            let chunk = CHUNK.min(upload.blob.size - at);
            at += chunk;
            session = session.with_acknowledged(at);
            {
                let mut held = self.0.held();
                held.sessions.insert(session.location().to_owned(), at);
                held.bytes += chunk;
                held.log.push(format!("patch {at}"));
            }
            upload.observer.sent(chunk);
            upload.keeper.keep(&session).await;
        }
        {
            let mut held = self.0.held();
            held.sessions.remove(session.location());
            held.blobs.push(upload.blob.clone());
            held.log.push("commit".into());
        }
        upload.keeper.forget().await;
        Ok(UploadReceipt::new(at - begun))
    }

    async fn put_manifest(
        &self,
        _document: &Document,
        _tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        self.0.held().log.push("manifest".into());
        Ok(ManifestReceipt::verified())
    }

    async fn has_blob(&self, blob: &Descriptor) -> Result<Presence, TargetError> {
        let mut held = self.0.held();
        held.log.push("has".into());
        Ok(if held.blobs.contains(blob) {
            Presence::Held(blob.digest.clone())
        } else {
            Presence::Absent
        })
    }

    async fn has_manifest(&self, _at: &TagOrDigest) -> Result<Presence, TargetError> {
        Ok(Presence::Absent)
    }

    async fn mount_blob(
        &self,
        blob: &Descriptor,
        _from: &Repository,
    ) -> Result<MountOutcome, TargetError> {
        let mut held = self.0.held();
        if held.blobs.contains(blob) {
            return Ok(MountOutcome::Mounted);
        }
        Ok(MountOutcome::Refused(Some(held.open())))
    }

    async fn session_status(&self, session: &UploadSession) -> Result<SessionStatus, TargetError> {
        let mut held = self.0.held();
        held.log.push("status".into());
        Ok(match held.sessions.get(session.location()) {
            Some(at) => SessionStatus::Open(session.clone().with_acknowledged(*at)),
            None => SessionStatus::Gone,
        })
    }

    async fn cancel_session(&self, session: UploadSession) -> Result<(), TargetError> {
        self.abandon_session(session);
        Ok(())
    }

    fn abandon_session(&self, session: UploadSession) {
        let mut held = self.0.held();
        held.sessions.remove(session.location());
        held.log.push("cancel".into());
    }
}

fn options() -> Options {
    Options {
        journal_from: 500,
        ..Options::default()
    }
}

/// Another process, as far as the engine can tell.
fn engine(state: &State, options: Options) -> Engine {
    Engine::with_journal(
        options,
        Arc::new(LayerRepos::new()),
        Arc::new(state.clone()),
    )
}

fn one_layer() -> Image {
    image_sized(&["layer"], SIZE)
}

async fn push(engine: &Engine, image: &Image, registry: &Registry) -> Report {
    engine
        .push(&image.source, &registry.target(), &tagged(&["1"]), &())
        .await
        .unwrap()
}

/// Pushes until nothing moves any more, and drops the push there.
async fn interrupted(state: &State, image: &Image, registry: &Registry, at: u64) {
    registry.stopping(at, Stop::Hangs);
    let (engine, target, destination) =
        (engine(state, options()), registry.target(), tagged(&["1"]));
    let pushing = engine.push(&image.source, &target, &destination, &());
    let limit = tokio::time::timeout(std::time::Duration::from_secs(5), pushing);
    assert!(limit.await.is_err(), "it hangs");
    registry.held().stops = None;
}

/// At every chunk: what the registry had is not sent again, and nothing is asked twice.
#[tokio::test(start_paused = true)]
async fn p1_a_push_that_was_dropped_goes_on_where_it_was() {
    for at in (0..=900).step_by(100) {
        let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
        interrupted(&state, &image, &registry, at).await;
        let _ = (registry.log(), registry.bytes());

        let report = push(&engine(&state, options()), &image, &registry).await;
        let rest = image.layers[0].size - at;
        assert_eq!(registry.bytes(), rest, "and not the config, which is there");
        let mut expected = vec!["status".to_owned()];
        expected.extend((at / 100 + 1..=10).map(|it| format!("patch {}", it * 100)));
        expected.extend(["commit", "manifest"].map(str::to_owned));
        assert_eq!(registry.log(), expected, "{at}");
        let bytes = &report.bytes;
        assert_eq!((bytes.resumed, bytes.uploaded, bytes.resent), (at, rest, 0));
        assert_eq!(bytes.unique, bytes.present + bytes.resumed + bytes.uploaded);
        assert_eq!(report.blobs[1].resumed, at);
        assert_eq!(
            state.list().await.unwrap(),
            [],
            "what is committed is dropped"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn p3_a_plan_says_where_an_upload_goes_on() {
    let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
    interrupted(&state, &image, &registry, 300).await;
    let engine = engine(&state, options());
    let plan = engine
        .plan(&image.source, &registry.target(), &tagged(&["1"]))
        .await
        .unwrap();
    let step = plan
        .steps()
        .iter()
        .find(|it| it.node == image.layers[0])
        .unwrap();
    assert_eq!(step.action, Action::Resume { acknowledged: 300 });
    assert_eq!(step.because, Reason::Interrupted);
    let bytes = plan.totals().bytes;
    assert_eq!((bytes.resumed, bytes.uploaded), (300, 700));
    let requests = plan.totals().requests;
    assert_eq!((requests.get, requests.patch, requests.put), (1, 1, 2));
    let text = plan.explain();
    assert!(
        text.contains("resume at 300 B") && text.contains("an upload of it was interrupted"),
        "{text}"
    );

    let _ = (registry.log(), registry.bytes());
    let target = registry.target();
    let report = engine
        .execute(plan, &image.source, &target, &())
        .await
        .unwrap();
    assert_eq!((registry.bytes(), report.surprises().count()), (700, 0));
    assert_eq!(
        registry.log()[0],
        "status",
        "a plan's blobs are not asked for again"
    );
}

#[tokio::test(start_paused = true)]
async fn p1_a_session_that_is_gone_costs_that_blob_and_is_reported() {
    let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
    interrupted(&state, &image, &registry, 300).await;
    let engine = engine(&state, options());
    let (target, destination) = (registry.target(), tagged(&["1"]));
    let plan = engine
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    registry.held().sessions.clear();
    let _ = (registry.log(), registry.bytes());
    let report = engine
        .execute(plan, &image.source, &target, &())
        .await
        .unwrap();
    assert_eq!(registry.bytes(), 1000);
    assert_eq!(registry.log()[..3], ["status", "open 3", "patch 100"]);
    let surprises: Vec<_> = report.surprises().map(|it| it.blob.clone()).collect();
    assert_eq!(surprises, [image.layers[0].clone()]);
    assert_eq!((report.bytes.resumed, report.bytes.uploaded), (0, 1000));
}

#[tokio::test(start_paused = true)]
async fn p1_a_blob_that_was_committed_before_the_end_is_not_sent_again() {
    let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
    interrupted(&state, &image, &registry, 900).await;
    registry.held().sessions.clear();
    registry.held().blobs.push(image.layers[0].clone());
    let _ = (registry.log(), registry.bytes());
    let report = push(&engine(&state, options()), &image, &registry).await;
    assert_eq!(registry.log(), ["status", "manifest"]);
    let there = report.bytes.present + report.bytes.resumed;
    assert_eq!((registry.bytes(), there), (0, report.bytes.unique));
    assert_eq!(state.list().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn p1_two_pushes_never_write_to_one_session() {
    let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
    interrupted(&state, &image, &registry, 300).await;
    registry.stopping(600, Stop::Hangs);
    let first = engine(&state, options());
    let (target, destination) = (registry.target(), tagged(&["1"]));
    let going_on = first.push(&image.source, &target, &destination, &());
    tokio::pin!(going_on);
    let limit = std::time::Duration::from_secs(5);
    assert!(tokio::time::timeout(limit, &mut going_on).await.is_err());
    registry.held().stops = None;
    let _ = (registry.log(), registry.bytes());

    let second = push(&engine(&state, options()), &image, &registry).await;
    assert_eq!(registry.log()[0], "open 3", "in a session of its own");
    assert_eq!((registry.bytes(), second.bytes.resumed), (1000, 0));
    let listed = state.list().await.unwrap();
    assert_eq!((listed[0].acknowledged, listed[0].in_use), (600, true));
}

#[tokio::test(start_paused = true)]
async fn n5_sessions_of_a_push_that_stops_stay_or_are_given_up_as_configured() {
    for stop in [Stop::Hangs, Stop::Fails] {
        for sessions in [Sessions::Keep, Sessions::Cancel] {
            let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
            registry.stopping(300, stop);
            let options = Options {
                sessions,
                ..options()
            };
            let (engine, target) = (engine(&state, options), registry.target());
            let destination = tagged(&["1"]);
            let pushing = engine.push(&image.source, &target, &destination, &());
            let limit = tokio::time::timeout(std::time::Duration::from_secs(5), pushing);
            assert!(!matches!(limit.await, Ok(Ok(_))));
            let listed = state.list().await.unwrap();
            let log = registry.log();
            assert!(!log.iter().any(|it| it == "manifest"), "{log:?}");
            match sessions {
                Sessions::Keep => {
                    let there: Vec<_> = listed
                        .iter()
                        .map(|it| (it.acknowledged, it.in_use))
                        .collect();
                    assert_eq!(there, [(300, false)]);
                    assert!(!log.iter().any(|it| it == "cancel"), "{log:?}");
                }
                Sessions::Cancel => assert_eq!(listed, []),
            }
            if (stop, sessions) == (Stop::Fails, Sessions::Cancel) {
                assert!(log.iter().any(|it| it == "cancel"), "{log:?}");
            }
        }
    }
}

/// A commit to the disk costs more than a small blob.
#[tokio::test(start_paused = true)]
async fn p1_small_blobs_are_not_kept() {
    let (state, registry, image) = (State::memory(), Registry::default(), one_layer());
    registry.stopping(300, Stop::Fails);
    let options = Options {
        journal_from: 1001,
        ..options()
    };
    let engine = engine(&state, options);
    let (target, destination) = (registry.target(), tagged(&["1"]));
    let pushed = engine.push(&image.source, &target, &destination, &());
    assert!(pushed.await.is_err());
    assert_eq!(state.list().await.unwrap(), []);
    assert!(registry.log().iter().any(|it| it == "cancel"));
}

/// The journal is a help: one that fails is a warning, once.
#[tokio::test(start_paused = true)]
async fn p1_a_journal_that_fails_does_not_fail_a_push() {
    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);
    impl Observer for Warnings {
        fn event(&self, event: &Event) {
            if let Event::Warning { message } = event {
                self.0.lock().unwrap().push(message.clone());
            }
        }
    }
    let (registry, image) = (Registry::default(), one_layer());
    let engine = Engine::with_journal(
        options(),
        Arc::new(LayerRepos::new()),
        Arc::new(Broken(State::memory())),
    );
    let warnings = Warnings::default();
    let report = engine
        .push(
            &image.source,
            &registry.target(),
            &tagged(&["1"]),
            &warnings,
        )
        .await
        .unwrap();
    assert_eq!(report.bytes.uploaded, report.bytes.unique);
    let expected = "what is learned is not kept for later runs, and uploads that are interrupted \
                    start anew: the state database does not answer";
    assert_eq!(*warnings.0.lock().unwrap(), [expected]);
}

/// A journal on a disk that is full.
#[derive(Debug)]
struct Broken(State);

#[async_trait]
impl Journal for Broken {
    fn claim(&self, blob: BlobKey, size: u64) -> Claim {
        self.0.claim(blob, size)
    }
    async fn look(&self, _: &BlobKey) -> Result<Option<u64>, StateError> {
        Err(StateError::Closed)
    }
    async fn take(&self, _: &Claim) -> Result<Option<UploadSession>, StateError> {
        Err(StateError::Closed)
    }
    async fn store(&self, _: &Claim, _: &UploadSession) -> Result<Stored, StateError> {
        Err(StateError::Closed)
    }
    async fn renew(&self, _: &Claim) -> Result<Stored, StateError> {
        Err(StateError::Closed)
    }
    fn drop_session(&self, _: &Claim) {}
    fn let_go(&self, _: &Claim) {}
    async fn list(&self) -> Result<Vec<Listed>, StateError> {
        Err(StateError::Closed)
    }
    async fn remove(&self, _: &BlobKey) -> Result<Removed, StateError> {
        Err(StateError::Closed)
    }
}

/// A program's own journal: a list of what was done in the name of which claim.
#[derive(Debug, Default)]
struct Own(Mutex<Vec<(&'static str, BlobKey, u64, String)>>);

impl Own {
    fn note(&self, what: &'static str, claim: &Claim) {
        let owner = claim.owner().to_owned();
        let noted = (what, claim.blob().clone(), claim.size(), owner);
        self.0.lock().unwrap().push(noted);
    }
}

#[async_trait]
impl Journal for Own {
    fn claim(&self, blob: BlobKey, size: u64) -> Claim {
        Claim::new(blob, size, "the only one")
    }

    async fn look(&self, _: &BlobKey) -> Result<Option<u64>, StateError> {
        Ok(None)
    }

    async fn take(&self, claim: &Claim) -> Result<Option<UploadSession>, StateError> {
        self.note("take", claim);
        Ok(None)
    }

    async fn store(&self, claim: &Claim, _: &UploadSession) -> Result<Stored, StateError> {
        self.note("store", claim);
        Ok(Stored::Kept)
    }

    async fn renew(&self, _: &Claim) -> Result<Stored, StateError> {
        Ok(Stored::Kept)
    }

    fn drop_session(&self, claim: &Claim) {
        self.note("drop", claim);
    }

    fn let_go(&self, claim: &Claim) {
        self.note("let go", claim);
    }

    async fn list(&self) -> Result<Vec<Listed>, StateError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &BlobKey) -> Result<Removed, StateError> {
        Ok(Removed::Nothing)
    }
}

#[tokio::test(start_paused = true)]
async fn p1_a_program_can_bring_a_journal_of_its_own() {
    let (registry, image) = (Registry::default(), one_layer());
    let journal = Arc::new(Own::default());
    let engine = Engine::with_journal(options(), Arc::new(LayerRepos::new()), journal.clone());
    let target = registry.target();
    engine
        .push(&image.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    let noted = journal.0.lock().unwrap();
    let mut done: Vec<_> = noted.iter().map(|it| it.0).collect();
    done.dedup();
    assert_eq!(done, ["take", "store", "drop", "let go"]);
    for (_, blob, size, owner) in noted.iter() {
        assert_eq!(blob.repository, *target.repository());
        assert!(*size > 0);
        assert_eq!(owner, "the only one");
    }
}
