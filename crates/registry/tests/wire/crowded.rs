//! Registries that bear so much at once and no more.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use futures_util::future::join_all;
use longshore_registry::{Client, Fact, MemoryProfiles, Profile, ProfileStore};
use oci::{Presence, PushTarget};

use crate::{
    fixture::{Blobs, PATIENCE, at_most, blob, host, quick, upload},
    scripted::{Reply, Scripted, Turnstile, reply},
};

/// What becomes of a request that is one too many.
#[derive(Clone, Copy, Debug)]
enum TooMany {
    Answer(&'static str),
    Lost,
    Reset,
}

const WAYS: [TooMany; 4] = [
    TooMany::Answer("429 Too Many Requests"),
    TooMany::Answer("503 Service Unavailable"),
    TooMany::Lost,
    TooMany::Reset,
];

/// How many there are at once, were at most, and were too many.
#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    peak: AtomicUsize,
    refused: AtomicUsize,
}

impl Counts {
    /// Whether there is room for one more; it has to leave then.
    fn enters(&self, room: usize) -> bool {
        let open = self.open.fetch_add(1, SeqCst) + 1;
        if open > room {
            self.open.fetch_sub(1, SeqCst);
            self.refused.fetch_add(1, Relaxed);
            return false;
        }
        self.peak.fetch_max(open, Relaxed);
        true
    }

    fn leaves(&self) {
        self.open.fetch_sub(1, SeqCst);
    }

    fn taken(&self) -> (usize, usize) {
        (self.peak.swap(0, Relaxed), self.refused.swap(0, Relaxed))
    }
}

/// A registry that breaks above `room` bodies at once.
async fn crowded(room: usize, too_many: TooMany) -> (Scripted, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let registry = {
        let counts = counts.clone();
        Scripted::start(move |head| match head.split(' ').next() {
            Some("PUT") if counts.enters(room) => {
                let counts = counts.clone();
                // Long beside what a client does before a body and after it, also where it has
                // to wait for a processor.
                reply("201 Created", "")
                    .after(Duration::from_millis(60))
                    .then(move || counts.leaves())
            }
            Some("PUT") => refusal(too_many),
            _ => session(head),
        })
        .await
    };
    (registry, counts)
}

fn refusal(too_many: TooMany) -> Reply {
    match too_many {
        TooMany::Answer(status) => reply(status, ""),
        TooMany::Lost => reply(
            "404 Not Found",
            r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#,
        ),
        TooMany::Reset => Reply::raw("").slam(),
    }
}

/// Everything about a session but its body: it keeps nothing.
fn session(head: &str) -> Reply {
    match head.split(' ').next() {
        Some("POST") => reply("202 Accepted\r\nLocation: /v2/app/blobs/uploads/1", ""),
        Some("DELETE") => reply("204 No Content", ""),
        _ => reply("404 Not Found", ""),
    }
}

fn client(profiles: &MemoryProfiles, in_flight: usize) -> Client {
    let builder = quick().max_in_flight(at_most(in_flight));
    builder.profiles(profiles.clone()).build().unwrap()
}

async fn push(client: &Client, registry: &Scripted, blobs: usize) {
    let target = client.push_target(&registry.repository("app"));
    target.has_blob(&blob(0, 1).0).await.unwrap();
    let blobs: Vec<_> = (1..=blobs as u64).map(|it| blob(it, 16 * 1024)).collect();
    let source = Blobs::of(blobs.clone());
    let uploads = blobs
        .iter()
        .map(|(layer, _)| target.upload_blob(upload(layer, &source)));
    for receipt in join_all(uploads).await {
        receipt.unwrap();
    }
}

/// What the store has of the registry's concurrency.
async fn at_once(profiles: &MemoryProfiles, registry: &Scripted) -> Vec<(&'static str, usize)> {
    let host = host(&registry.registry());
    let profile = Profile::read(&profiles.load(&host).await);
    let counts = profile.facts().filter_map(|it| match it.fact {
        Fact::BodiesAtOnce(count) => Some(("bodies", count.get())),
        Fact::QuestionsAtOnce(count) => Some(("questions", count.get())),
        _ => None,
    });
    counts.collect()
}

#[tokio::test]
async fn p9_concurrency_settles_below_what_breaks_and_the_next_process_starts_there() {
    for (at, too_many) in WAYS.into_iter().enumerate() {
        let all = [(4, 32), (1, 8), (6, 32), (40, 32)];
        for (room, setting) in all.into_iter().take(if at == 0 { 4 } else { 1 }) {
            let (registry, counts) = crowded(room, too_many).await;
            let profiles = MemoryProfiles::default();
            let first = client(&profiles, setting);
            push(&first, &registry, 12 * room.min(6) + 8).await;
            first.close(PATIENCE).await;
            let (_, refused) = counts.taken();
            let settled = at_once(&profiles, &registry).await;
            if room >= setting {
                assert_eq!((refused, settled), (0, vec![]), "{too_many:?}");
                continue;
            }
            assert!(refused > 0);
            let [("bodies", settled)] = settled[..] else {
                panic!("{too_many:?} {room}: {settled:?}");
            };
            let expected = (room / 2).max(1)..=room;
            assert!(
                expected.contains(&settled),
                "{too_many:?} {room}: {settled}"
            );

            push(&client(&profiles, setting), &registry, 4 * settled).await;
            let (peak, refused) = counts.taken();
            assert_eq!(refused, 0, "{too_many:?} {room}");
            assert!(
                (settled..=room).contains(&peak),
                "{too_many:?} {room}: {peak}"
            );
        }
    }
}

/// Bodies are one thing, questions another: where questions are too many, as many bodies go on.
#[tokio::test]
async fn p9_questions_and_bodies_are_counted_apart() {
    let (questions, bodies) = (Arc::new(Counts::default()), Arc::new(Counts::default()));
    let registry = {
        let (questions, bodies) = (questions.clone(), bodies.clone());
        Scripted::start(move |head| {
            let (counts, room) = if head.starts_with("PUT") {
                (bodies.clone(), 12)
            } else {
                (questions.clone(), 3)
            };
            if !counts.enters(room) {
                return refusal(TooMany::Answer("429 Too Many Requests"));
            }
            let reply = if head.starts_with("PUT") {
                reply("201 Created", "").after(Duration::from_millis(200))
            } else {
                session(head).after(Duration::from_millis(2))
            };
            reply.then(move || counts.leaves())
        })
        .await
    };
    let profiles = MemoryProfiles::default();
    let client = client(&profiles, 12);
    push(&client, &registry, 60).await;
    client.close(PATIENCE).await;
    let settled = at_once(&profiles, &registry).await;
    assert!(matches!(settled[..], [("questions", 1..12)]), "{settled:?}");
    let ((_, refused), (peak, refused_bodies)) = (questions.taken(), bodies.taken());
    assert!(refused > 0 && refused_bodies == 0);
    assert!(peak > 3, "{peak}");
}

/// A registry that reads all open bodies evenly: one that is open and sends nothing stops them all.
#[tokio::test]
async fn p9_no_open_body_idles_while_others_move() {
    let turnstile = Arc::new(Turnstile::default());
    let registry = {
        let turnstile = turnstile.clone();
        Scripted::start(move |head| match head.split(' ').next() {
            Some("PUT") => reply("201 Created", "").reading_in_turn(&turnstile),
            _ => session(head),
        })
        .await
    };
    let client = quick().max_in_flight(at_most(6)).build().unwrap();
    let target = client.push_target(&registry.repository("app"));
    assert_eq!(
        target.has_blob(&blob(0, 1).0).await.unwrap(),
        Presence::Absent
    );
    let blobs: Vec<_> = (1..=18).map(|it| blob(it, 3_000_000)).collect();
    let source = Blobs::of(blobs.clone());
    let uploads = blobs
        .iter()
        .map(|(layer, _)| target.upload_blob(upload(layer, &source)));
    let all = tokio::time::timeout(PATIENCE, join_all(uploads)).await;
    for receipt in all.expect("an open body idles") {
        assert_eq!(receipt.unwrap().sent, 3_000_000);
    }
    assert_eq!(turnstile.entered(), 18);
}
