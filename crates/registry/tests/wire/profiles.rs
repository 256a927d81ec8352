//! What a client has learned, the next one knows.

use std::time::Duration;

use futures_util::future::join_all;
use longshore_registry::{
    ChunkSize, Client, CredentialStore, Credentials, Fact, KeptFact, KnownChallenge,
    MemoryProfiles, Profile, ProfileStore,
};
use oci::{Anywhere, MountOutcome, Presence, PushTarget, wire::Action as May};
use server::{Action, Answer, Auth, Bearer, Endpoint, Rule, Server};

use crate::fixture::{
    Blobs, Double, PATIENCE, blob, host, quick, registry, repository, start, upload,
};

const PASSWORD: &str = "canary-password";

fn client(server: &Double, profiles: &MemoryProfiles) -> Client {
    let alice = Credentials::password("alice", PASSWORD);
    let store = CredentialStore::new().with(server.registry(), alice);
    let builder = quick().credentials(store).profiles(profiles.clone());
    builder.build().unwrap()
}

async fn known(server: &Double, profiles: &MemoryProfiles) -> Vec<Fact> {
    let host = host(&server.registry());
    let profile = Profile::read(&profiles.load(&host).await);
    let facts = profile.facts().map(|it| it.fact.clone());
    // That TLS comes with HTTP/2 is another matter.
    facts.filter(|it| !matches!(it, Fact::Http2(_))).collect()
}

async fn ask(client: &Client, server: &Double, questions: u64) {
    let target = client.push_target(&repository(server, "app"));
    let blobs: Vec<_> = (0..questions).map(|it| blob(it, 10).0).collect();
    let asked = blobs.iter().map(|it| target.has_blob(it));
    for held in join_all(asked).await {
        assert_eq!(held.unwrap(), Presence::Absent);
    }
}

#[tokio::test]
async fn p9_nothing_is_kept_before_the_client_is_closed_and_no_secret_then() {
    let auth = Auth::Bearer(Bearer::new().user("alice", PASSWORD).anonymous(May::Pull));
    let server = start(Server::builder().memory().auth(auth)).await;
    let profiles = MemoryProfiles::default();
    let first = client(&server, &profiles);
    ask(&first, &server, 1).await;
    assert_eq!(known(&server, &profiles).await, []);
    first.close(PATIENCE).await;
    let [Fact::Challenge(challenge)] = &known(&server, &profiles).await[..] else {
        panic!("{profiles:?}")
    };
    assert!(matches!(challenge, KnownChallenge::Bearer { .. }));
    assert!(!format!("{profiles:?}").contains("canary"));

    server.log().clear();
    ask(&client(&server, &profiles), &server, 16).await;
    assert_eq!(server.log().requests(), 1 + 16);
}

/// Sixteen requests that all believe the same would all be refused.
#[tokio::test]
async fn p9_what_is_not_true_any_more_is_found_out_by_one_request_of_many() {
    for believed in [r#"{"scheme":"open"}"#, r#"{"scheme":"basic"}"#] {
        let auth = Auth::Bearer(Bearer::new().user("alice", PASSWORD));
        let server = start(Server::builder().memory().auth(auth)).await;
        let profiles = MemoryProfiles::default();
        let host = host(&server.registry());
        let fact = ("challenge".to_owned(), believed.to_owned());
        profiles.keep(&host, vec![fact]).await;
        let client = client(&server, &profiles);
        ask(&client, &server, 16).await;
        let lines = server.log().lines();
        assert_eq!(lines.len(), 1 + 1 + 16, "{believed}: {lines:#?}");
        let refused = lines.iter().filter(|it| it.ends_with("→ 401")).count();
        assert_eq!(refused, 1, "{believed}");
        client.close(PATIENCE).await;
        let now = known(&server, &profiles).await;
        assert!(matches!(
            &now[..],
            [Fact::Challenge(KnownChallenge::Bearer { .. })]
        ));
    }
}

/// The mounts that were asked for, of three blobs by a client that knows what the last one learned.
async fn mounts(server: &Double, profiles: &MemoryProfiles) -> usize {
    server.log().clear();
    let client = quick().profiles(profiles.clone()).build().unwrap();
    let target = client.push_target(&repository(server, "app"));
    let base = repository(server, "base");
    for seed in 1..=3 {
        let (layer, content) = blob(seed, 100);
        let session = match target.mount_blob(&layer, &base).await {
            Ok(MountOutcome::Mounted) => continue,
            Ok(MountOutcome::Refused(session)) => session,
            Err(error) => {
                assert_eq!(error.status(), Some(405), "{error}");
                None
            }
        };
        let source = Blobs::one(&layer, &content);
        let mut upload = upload(&layer, &source);
        upload.session = session;
        target.upload_blob(upload).await.unwrap();
    }
    client.close(PATIENCE).await;
    let lines = server.log().lines();
    lines.iter().filter(|it| it.contains("mount=")).count()
}

#[tokio::test]
async fn p9_a_registry_without_mounts_is_asked_once_by_each_process() {
    let server = registry().await;
    let profiles = MemoryProfiles::default();
    let none = Answer::error(405, "UNSUPPORTED", "no mounts");
    let fault = server
        .faults()
        .add(Rule::on(Endpoint::Mount).act(Action::Answer(none)));
    assert_eq!(mounts(&server, &profiles).await, 1);
    let facts = known(&server, &profiles).await;
    assert!(facts.contains(&Fact::Mounts(false)), "{facts:?}");
    assert_eq!(mounts(&server, &profiles).await, 1);

    // It has learned to: the one question of a process shows it, and all blobs are mounted.
    fault.remove();
    let base = quick().build().unwrap();
    let base = base.push_target(&repository(&server, "base"));
    for seed in 1..=3 {
        let (layer, content) = blob(seed, 100);
        let source = Blobs::one(&layer, &content);
        base.upload_blob(upload(&layer, &source)).await.unwrap();
    }
    assert_eq!(mounts(&server, &profiles).await, 3);
    assert_eq!(server.log().blob_bytes(), 0);
    let facts = known(&server, &profiles).await;
    assert!(facts.contains(&Fact::Mounts(true)), "{facts:?}");
}

/// It is said with a session that was asked for, and not with one that a refused mount opens.
#[tokio::test]
async fn p9_the_shortest_chunk_is_known_where_it_is_not_said() {
    let server = registry().await;
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPost).act(Action::ChunkMin(400)));
    server
        .faults()
        .add(Rule::on(Endpoint::UploadPatch).act(Action::ChunkMin(400)));
    let profiles = MemoryProfiles::default();
    let builder = || quick().profiles(profiles.clone());
    let first = builder().build().unwrap();
    let target = first.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, 100);
    let source = Blobs::one(&layer, &content);
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    first.close(PATIENCE).await;

    let second = builder().chunk_size(ChunkSize::of(300)).build().unwrap();
    let target = second.push_target(&repository(&server, "app"));
    let (layer, content) = blob(2, 1000);
    let absent = target
        .mount_blob(&layer, &repository(&server, "base"))
        .await;
    let MountOutcome::Refused(session) = absent.unwrap() else {
        panic!("mounted from nowhere")
    };
    server.log().clear();
    let source = Blobs::one(&layer, &content);
    let mut upload = upload(&layer, &source);
    upload.session = session;
    target.upload_blob(upload).await.unwrap();
    let entries = server.log().entries();
    let sent: Vec<_> = entries.iter().map(|it| it.blob_bytes).collect();
    assert_eq!(sent, [400, 400, 200]);
}

/// A store whose facts are older than they are.
#[derive(Clone, Debug)]
struct Aged(MemoryProfiles, Duration);

#[async_trait::async_trait]
impl ProfileStore for Aged {
    async fn load(&self, host: &str) -> Vec<KeptFact> {
        let mut facts = self.0.load(host).await;
        for fact in &mut facts {
            fact.seen -= self.1;
        }
        facts
    }

    async fn keep(&self, host: &str, facts: Vec<(String, String)>) {
        self.0.keep(host, facts).await;
    }
}

/// What was nowhere could not be linked from anywhere: that says nothing of the registry, and the
/// next process has other things to do. An hour later it may be different.
#[tokio::test]
async fn m12_a_try_that_said_nothing_is_not_repeated_by_the_next_process_for_an_hour() {
    let server = registry().await;
    let profiles = MemoryProfiles::default();
    let mut answers = Vec::new();
    for minutes in [0, 59, 61] {
        server.log().clear();
        let aged = Aged(profiles.clone(), Duration::from_mins(minutes));
        let client = quick().profiles(aged).build().unwrap();
        let target = client.push_target(&repository(&server, "app"));
        // Two blobs: in one process a second one is not to find out either.
        let mut asked = Vec::new();
        for seed in 1..=2 {
            let answer = target.mount_from_anywhere(&blob(seed, 10).0).await;
            asked.push(match answer.unwrap() {
                Anywhere::NotAsked => "not asked",
                Anywhere::Refused(Some(_)) => "refused",
                other => panic!("{other:?}"),
            });
        }
        let lines = server.log().lines();
        answers.push((asked, lines.len()));
        client.close(PATIENCE).await;
    }
    assert_eq!(
        answers,
        [
            // With the question whether it was there.
            (vec!["refused", "not asked"], 2),
            (vec!["not asked", "not asked"], 0),
            (vec!["refused", "not asked"], 2),
        ]
    );
    let facts = known(&server, &profiles).await;
    assert!(facts.contains(&Fact::TriedFromAnywhere(true)), "{facts:?}");
    let answer = |it: &Fact| matches!(it, Fact::MountsFromAnywhere(_));
    assert!(!facts.iter().any(answer), "{facts:?}");
}
