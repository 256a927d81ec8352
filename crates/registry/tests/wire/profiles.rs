//! What a client has learned, the next one knows.

use std::time::Duration;

use futures_util::future::join_all;
use longshore_registry::{
    Client, CredentialStore, Credentials, Fact, KnownChallenge, MemoryProfiles, Profile,
    ProfileStore,
};
use oci::{Presence, PushTarget, wire::Action as May};
use server::{Auth, Bearer, RunningServer, Server};

use crate::fixture::{blob, quick, repository, start};

const PASSWORD: &str = "canary-password";

fn client(server: &RunningServer, profiles: &MemoryProfiles) -> Client {
    let alice = Credentials::password("alice", PASSWORD);
    let store = CredentialStore::new().with(server.registry(), alice);
    let builder = quick().credentials(store).profiles(profiles.clone());
    builder.build().unwrap()
}

async fn known(server: &RunningServer, profiles: &MemoryProfiles) -> Vec<Fact> {
    let host = format!("http://{}", server.registry());
    let profile = Profile::read(&profiles.load(&host).await);
    profile.facts().map(|it| it.fact.clone()).collect()
}

async fn ask(client: &Client, server: &RunningServer, questions: u64) {
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
    first.close(Duration::from_secs(5)).await;
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
        let host = format!("http://{}", server.registry());
        let fact = ("challenge".to_owned(), believed.to_owned());
        profiles.keep(&host, vec![fact]).await;
        let client = client(&server, &profiles);
        ask(&client, &server, 16).await;
        let lines = server.log().lines();
        assert_eq!(lines.len(), 1 + 1 + 16, "{believed}: {lines:#?}");
        let refused = lines.iter().filter(|it| it.ends_with("→ 401")).count();
        assert_eq!(refused, 1, "{believed}");
        client.close(Duration::from_secs(5)).await;
        let now = known(&server, &profiles).await;
        assert!(matches!(
            &now[..],
            [Fact::Challenge(KnownChallenge::Bearer { .. })]
        ));
    }
}
