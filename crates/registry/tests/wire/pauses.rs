//! Registries that want no requests for a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use longshore_registry::{
    ChunkSize, Client, ClientEvent, ClientObserver, CredentialStore, Credentials, PauseBoard,
    RetryPolicy,
};
use oci::{
    MountOutcome, Presence, PushTarget, Source, SourceError, TagOrDigest, TargetError,
    TargetErrorKind, UploadSession, wire::Action as May,
};
use server::{Action, Answer, Auth, Bearer, Endpoint, Rule, Server};

use crate::fixture::{
    Blobs, Double, blob, client, manifest, quick, registry, repository, start, upload,
};

fn latest() -> TagOrDigest {
    TagOrDigest::Tag(oci::Tag::latest())
}

fn busy(retry_after: &str) -> Action {
    Action::Answer(Answer::new(429).header("retry-after", retry_after))
}

/// A board in memory, as one process would see another's.
#[derive(Clone, Debug, Default)]
struct Board(Arc<Mutex<HashMap<String, SystemTime>>>);

#[async_trait]
impl PauseBoard for Board {
    async fn until(&self, whom: &str) -> Option<SystemTime> {
        self.0.lock().unwrap().get(whom).copied()
    }

    async fn pause(&self, whom: &str, until: SystemTime) {
        self.0.lock().unwrap().insert(whom.to_owned(), until);
    }
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<ClientEvent>>>);

impl ClientObserver for Told {
    fn event(&self, event: &ClientEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// Every kind of request there is.
const KINDS: [Endpoint; 14] = [
    Endpoint::BlobHead,
    Endpoint::BlobGet,
    Endpoint::ManifestHead,
    Endpoint::ManifestGet,
    Endpoint::ManifestPut,
    Endpoint::Mount,
    Endpoint::UploadPost,
    Endpoint::UploadPatch,
    Endpoint::UploadPut,
    Endpoint::UploadStatus,
    Endpoint::UploadCancel,
    Endpoint::TagList,
    Endpoint::Ping,
    Endpoint::Token,
];

/// Asks for what takes a request of this kind, which must fail.
async fn asked_for(
    kind: Endpoint,
    client: &Client,
    server: &Double,
    session: UploadSession,
) -> TargetError {
    let here = repository(server, "app");
    let (target, reader) = (client.push_target(&here), client.repository(&here));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    let other = repository(server, "other");
    let error = match kind {
        // A token of another scope is asked for.
        Endpoint::Token => client.push_target(&other).has_blob(&layer).await.err(),
        Endpoint::BlobHead => target.has_blob(&layer).await.err(),
        Endpoint::ManifestHead => target.has_manifest(&latest()).await.err(),
        Endpoint::ManifestGet => reader.manifest(&latest()).await.err(),
        Endpoint::ManifestPut => target.put_manifest(&manifest(&[]), None).await.err(),
        Endpoint::Mount => target.mount_blob(&layer, &other).await.err(),
        Endpoint::UploadStatus => target.session_status(&session).await.err(),
        Endpoint::UploadCancel => target.cancel_session(session).await.err(),
        Endpoint::TagList => reader.tags().await.err(),
        Endpoint::Ping => client.log_in(&server.registry()).await.err(),
        Endpoint::BlobGet => match reader.open_blob(&layer, 0).await.err() {
            Some(SourceError::Unreadable { error, .. }) => {
                error.downcast().ok().map(|error| *error)
            }
            _ => None,
        },
        _ => target.upload_blob(upload(&layer, &source)).await.err(),
    };
    error.expect("a 429 was taken for an answer")
}

/// Each answered by 429 for good: what it is about is neither there nor absent, neither done nor
/// refused.
#[tokio::test]
async fn p11_a_429_is_never_an_answer_to_what_was_asked() {
    let policy = RetryPolicy::default()
        .with_attempts(2)
        .with_backoff(Duration::ZERO, Duration::ZERO);
    let (layer, _) = blob(1, 1000);
    for kind in KINDS {
        let auth = Auth::Bearer(Bearer::new().user("alice", "canary").anonymous(May::Pull));
        let server = start(Server::builder().memory().auth(auth)).await;
        let alice = Credentials::password("alice", "canary");
        let client = quick()
            .retry(policy)
            .credentials(CredentialStore::new().with(server.registry(), alice))
            .chunk_size(ChunkSize::of(400))
            .build()
            .unwrap();
        let here = repository(&server, "app");
        let target = client.push_target(&here);
        let opened = target.mount_blob(&layer, &here).await.unwrap();
        let MountOutcome::Refused(Some(session)) = opened else {
            panic!("{opened:?}")
        };
        let rule = Rule::on(kind).act(Action::Answer(Answer::new(429)));
        let fault = server.faults().add(rule);
        let error = asked_for(kind, &client, &server, session).await;
        let expected = (&TargetErrorKind::RateLimited, Some(429));
        assert_eq!((error.kind(), error.status()), expected, "{kind:?}");
        // A farewell is said once; everything else is tried again, and nothing else is.
        let times = if kind == Endpoint::UploadCancel { 1 } else { 2 };
        assert_eq!(fault.hits(), times, "{kind:?}");
        fault.remove();
        // Nothing was committed, and nothing is believed.
        assert_eq!(target.has_blob(&layer).await.unwrap(), Presence::Absent);
        let tag = target.has_manifest(&latest()).await;
        assert_eq!(tag.unwrap(), Presence::Absent);
    }
}

/// The requests that came after the first refusal, and when, seen from when the pause was asked for.
fn after_the_refusal(server: &Double, asked: Instant) -> Vec<Duration> {
    let entries = server.log().entries();
    let refused = entries.iter().position(|it| it.status() == Some(429));
    let later = entries.iter().skip(refused.unwrap() + 1);
    later
        .map(|it| it.started.saturating_duration_since(asked))
        .collect()
}

#[tokio::test]
async fn p11_all_lanes_of_a_process_wait_in_both_forms_of_retry_after() {
    for in_seconds in [true, false] {
        let (server, client) = (registry().await, client());
        let target = client.push_target(&repository(&server, "app"));
        let (absent, _) = blob(1, 10);
        target.has_blob(&absent).await.unwrap();
        let asked = Instant::now();
        let (retry_after, least) = if in_seconds {
            ("1".to_owned(), Duration::from_secs(1))
        } else {
            // A date has whole seconds; the one in two is more than one away.
            let at = SystemTime::now() + Duration::from_secs(2);
            (httpdate::fmt_http_date(at), Duration::from_secs(1))
        };
        server
            .faults()
            .add(Rule::any().first(1).act(busy(&retry_after)));
        let lanes = (0..8).map(|_| target.has_blob(&absent));
        let first = target.has_blob(&absent);
        let refused = async {
            // The answer is read before any of these is asked for.
            while client.paused().is_empty() {
                tokio::task::yield_now().await;
            }
            futures_util::future::join_all(lanes).await
        };
        let (first, lanes) = tokio::join!(first, refused);
        assert_eq!(first.unwrap(), Presence::Absent);
        assert!(lanes.into_iter().all(|it| it.unwrap() == Presence::Absent));
        let later = after_the_refusal(&server, asked);
        assert_eq!(later.len(), 9);
        for started in later {
            assert!(started >= least, "{started:?}, {retry_after}");
        }
    }
}

#[tokio::test]
async fn p11_what_one_client_was_told_another_of_the_same_account_heeds() {
    let server = registry().await;
    let (board, told) = (Board::default(), Told::default());
    let somebody = |name: &str| {
        let login = Credentials::password(name, "canary");
        quick()
            .pause_board(board.clone())
            .observer(told.clone())
            .credentials(CredentialStore::new().with(server.registry(), login))
            .build()
            .unwrap()
            .push_target(&repository(&server, "app"))
    };
    let (absent, _) = blob(1, 10);
    let asked = Instant::now();
    // Long enough for two to ask within it, also where they have to wait for a processor.
    let pause = Duration::from_secs(5);
    server.faults().add(Rule::any().first(1).act(busy("5")));
    let (alice, other, bob) = (somebody("alice"), somebody("alice"), somebody("bob"));
    let refused = alice.has_blob(&absent);
    let others = async {
        while board.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        // Another account of the same host is not asked to wait.
        bob.has_blob(&absent).await.unwrap();
        assert!(asked.elapsed() < pause);
        assert_eq!(server.log().requests(), 2);
        other.has_blob(&absent).await.unwrap();
    };
    let (refused, ()) = tokio::join!(refused, others);
    assert_eq!(refused.unwrap(), Presence::Absent);
    let later = after_the_refusal(&server, asked);
    assert_eq!(later.len(), 3);
    for started in &later[1..] {
        assert!(*started >= pause, "{started:?}");
    }
    // Each of the two that waited says so, once; and no name and no secret is on the board.
    let told = told.0.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    for event in &*told {
        let ClientEvent::Paused { host, wait } = event else {
            panic!("{event:?}")
        };
        assert_eq!(*host, server.url());
        assert!(*wait <= pause);
    }
    let shown = format!("{:?}", board.0.lock().unwrap());
    assert!(
        !shown.contains("alice") && !shown.contains("canary"),
        "{shown}"
    );
}

#[tokio::test]
async fn p11_a_pause_over_the_cap_costs_one_request_in_all() {
    let server = registry().await;
    let client = client();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 1000);
    let source = Blobs::one(&layer, &content);
    server.faults().add(Rule::any().act(busy("600")));
    let error = target.has_blob(&layer).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&TargetErrorKind::RateLimited, Some(429))
    );
    let error = target
        .upload_blob(upload(&layer, &source))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (&TargetErrorKind::RateLimited, None)
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let expected = format!("{} wants no requests for another 600 s", server.url());
    assert_eq!(cause, expected);
    assert_eq!(server.log().requests(), 1);
    assert_eq!(client.paused().len(), 1);
    let reading = client.source(
        &repository(&server, "app").with_tag(oci::Tag::latest()),
        None,
    );
    assert!(reading.root().await.is_err());
    assert_eq!(server.log().requests(), 1);
}
