//! The same conversations over HTTP/1.1, over HTTP/2, and over both: what is said does not depend on it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use longshore_registry::{
    ChunkSize, Client, ClientBuilder, CredentialStore, Credentials, Fact, HttpVersions,
    MemoryProfiles, Profile, ProfileStore, RetryPolicy, Timeouts,
};
use oci::{Presence, PushTarget, Tag, TargetErrorKind};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use server::{
    Action, Answer, Auth, Bearer, Endpoint, Rule, RunningServer, Server, ServerBuilder,
    UploadOptions,
};

use crate::{
    fixture::{Blobs, MIB, PATIENCE, blob, manifest, quick, repository, sorted, upload},
    front::{Authority, Front, Wants},
};

const WAYS: [HttpVersions; 3] = [
    HttpVersions::Mixed,
    HttpVersions::Http1,
    HttpVersions::Http2,
];

/// A registry with TLS, and a client that trusts it.
async fn secure(server: ServerBuilder) -> (RunningServer, ClientBuilder) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = signing_key.serialize_pem();
    let server = server.memory().tls(cert.pem().as_bytes(), key.as_bytes());
    let server = server.unwrap().start().await.unwrap();
    let alice = Credentials::password("alice", "canary");
    let builder = quick()
        .https(server.registry())
        .extra_ca(cert.pem().as_bytes())
        .credentials(CredentialStore::new().with(server.registry(), alice));
    (server, builder)
}

/// The versions that bodies with blobs came over, and everything else.
fn versions(server: &RunningServer) -> [BTreeSet<String>; 2] {
    [true, false].map(|bodies| {
        let entries = server.log().entries().into_iter();
        let of_kind = entries.filter(|it| {
            let body = matches!(
                it.endpoint,
                Endpoint::UploadPut | Endpoint::UploadPatch | Endpoint::UploadSingle
            );
            // A closing PUT without bytes is a question.
            (body && it.headers.content_length != Some(0)) == bodies
        });
        of_kind.map(|it| format!("{:?}", it.version)).collect()
    })
}

fn expected(way: HttpVersions) -> [&'static str; 2] {
    match way {
        HttpVersions::Http1 => ["HTTP/1.1", "HTTP/1.1"],
        HttpVersions::Http2 => ["HTTP/2.0", "HTTP/2.0"],
        _ => ["HTTP/1.1", "HTTP/2.0"],
    }
}

/// What was said. How a registry notices that nobody waits for an answer any more, and when, depends
/// on the version.
fn said(server: &RunningServer) -> Vec<String> {
    let unanswered = ["→ …", "→ gone", "→ reset"];
    let lines = server.log().lines().into_iter().map(|line| {
        let end = unanswered.iter().find(|it| line.ends_with(*it));
        end.map_or(line.clone(), |end| line.replace(end, "→ nothing"))
    });
    sorted(lines.collect())
}

/// Has the same conversation in every way, and compares.
async fn in_every_way(
    server: impl Fn() -> ServerBuilder,
    client: impl Fn(ClientBuilder) -> ClientBuilder,
    faults: impl Fn() -> Vec<Rule>,
    talk: impl AsyncFn(&RunningServer, &Client),
) -> Vec<String> {
    let mut first: Option<Vec<String>> = None;
    for way in WAYS {
        let (server, builder) = secure(server()).await;
        for rule in faults() {
            server.faults().add(rule);
        }
        let client = client(builder).http_versions(way).build().unwrap();
        talk(&server, &client).await;
        client.close(PATIENCE).await;
        let said = said(&server);
        assert_eq!(
            versions(&server),
            expected(way).map(|it| BTreeSet::from([it.to_owned()]))
        );
        assert_eq!(said, *first.get_or_insert_with(|| said.clone()), "{way:?}");
    }
    first.unwrap_or_default()
}

/// Pushes blobs one after the other, asks for them, and reads one back.
async fn push(server: &RunningServer, client: &Client, lengths: &[usize]) {
    let target = client.push_target(&repository(server, "app"));
    let mut layers = Vec::new();
    for (seed, length) in (1..).zip(lengths) {
        let (layer, content) = blob(seed, *length);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let held = target.has_blob(&layer).await.unwrap();
        assert_eq!(held, Presence::Held(layer.digest.clone()));
        layers.push(layer);
    }
    let config = (
        oci::Descriptor::of(oci::MediaType::OCI_CONFIG, b"{}"),
        b"{}",
    );
    let source = Blobs::one(&config.0, &bytes::Bytes::from_static(config.1));
    target
        .upload_blob(upload(&config.0, &source))
        .await
        .unwrap();
    let document = manifest(&layers);
    let receipt = target.put_manifest(&document, Some(&Tag::latest())).await;
    assert!(receipt.unwrap().verified);
}

#[tokio::test]
async fn p25_a_push_says_the_same_over_every_version() {
    let bearer = || Auth::Bearer(Bearer::new().user("alice", "canary"));
    let said = in_every_way(
        || Server::builder().auth(bearer()),
        |client| client,
        Vec::new,
        async |server, client| push(server, client, &[10, 300_000, 3 * MIB]).await,
    )
    .await;
    // A challenge, a token; each blob two and a question; the config one; the manifest.
    assert_eq!(said.len(), 2 + 3 * 3 + 1 + 1, "{said:#?}");
}

#[tokio::test]
async fn p25_chunks_say_the_same_over_every_version() {
    let narrow = || {
        Server::builder().uploads(UploadOptions {
            max_body_length: Some(256 * 1024),
            ..UploadOptions::default()
        })
    };
    let talk = async |server: &RunningServer, client: &Client| {
        push(server, client, &[900_000]).await;
    };
    let learned = in_every_way(narrow, |client| client, Vec::new, talk).await;
    assert!(
        learned.iter().any(|it| it.ends_with("→ 413")),
        "{learned:#?}"
    );
    let told = in_every_way(
        narrow,
        |client| client.chunk_size(ChunkSize::of(200_000)),
        Vec::new,
        talk,
    )
    .await;
    assert!(!told.iter().any(|it| it.ends_with("→ 413")), "{told:#?}");
}

/// What is wrong with an upload is found out and put right in the same way.
#[tokio::test]
async fn p25_trouble_is_got_over_in_the_same_way_over_every_version() {
    let size = 2_000_000;
    let troubles = [
        Action::ResetAtByte(1_000_000),
        Action::AnswerAtByte(1_000_000, Answer::new(503)),
        Action::ResetBeforeAnswer,
        Action::AnswerAfter(Answer::error(500, "UNKNOWN", "?")),
        Action::StallAnswer,
        Action::Answer(Answer::new(429)),
        Action::LoseSession,
    ];
    for trouble in troubles {
        // The one that is found out by waiting; for the others no limit is to be passed.
        let limit = if trouble == Action::StallAnswer {
            Duration::from_secs(3)
        } else {
            PATIENCE
        };
        let limits = Timeouts::default().with_idle(limit).with_commit(limit);
        let said = in_every_way(
            Server::builder,
            |client| client.timeouts(limits),
            || vec![Rule::on(Endpoint::UploadPut).first(1).act(trouble.clone())],
            async |server, client| push(server, client, &[size]).await,
        )
        .await;
        assert!(said.len() > 2 + 1 + 1 + 1, "{trouble:?}: {said:#?}");
    }
}

#[tokio::test]
async fn p25_a_refusal_before_the_end_of_a_body_is_read_over_every_version() {
    let denied = || {
        let answer = Answer::error(403, "DENIED", "quota");
        vec![Rule::on(Endpoint::UploadPut).act(Action::Answer(answer))]
    };
    let talk = async |server: &RunningServer, client: &Client| {
        let target = client.push_target(&repository(server, "app"));
        let (layer, content) = blob(1, 8 * MIB);
        let source = Blobs::one(&layer, &content);
        let error = target
            .upload_blob(upload(&layer, &source))
            .await
            .unwrap_err();
        assert_eq!(*error.kind(), TargetErrorKind::Denied, "{error:?}");
        assert!(format!("{:?}", error.answer()).contains("quota"));
    };
    let said = in_every_way(Server::builder, |client| client, denied, talk).await;
    assert_eq!(said.len(), 3, "POST, PUT, DELETE: {said:#?}");
}

/// Over one connection bytes of other bodies move while one stands still: that one alone is given up.
#[tokio::test]
async fn p25_a_body_that_stands_still_is_given_up_and_others_on_its_connection_are_not() {
    let (server, builder) = secure(Server::builder()).await;
    // More than all windows and buffers on the way: what fits into them waits for its commit.
    let lengths = [48, 6, 6, 6].map(|it| it * MIB);
    let blobs: Vec<_> = (1..)
        .zip(lengths)
        .map(|(seed, length)| blob(seed, length))
        .collect();
    let source = Blobs::of(blobs.clone());
    let stalls = Rule::on(Endpoint::UploadPut).query_contains(blobs[0].0.digest.to_string());
    server
        .faults()
        .add(stalls.act(Action::StallAtByte(100_000)));
    let client = builder
        .http_versions(HttpVersions::Http2)
        .retry(RetryPolicy::never())
        .timeouts(Timeouts::default().with_idle(Duration::from_secs(6)))
        .build()
        .unwrap();
    let target = client.push_target(&repository(&server, "app"));
    target.has_blob(&blobs[0].0).await.unwrap();
    let uploads = blobs
        .iter()
        .map(|(layer, _)| target.upload_blob(upload(layer, &source)));
    let results = join_all(uploads).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|it| it.as_ref().err().map(|error| error.kind().clone()))
        .collect();
    assert_eq!(kinds, [Some(TargetErrorKind::Timeout), None, None, None]);
    let entries = server.log().entries();
    let connections: BTreeSet<_> = entries.iter().map(|it| it.connection).collect();
    assert_eq!(connections.len(), 1, "{entries:#?}");
}

#[tokio::test]
async fn p25_many_bodies_at_once_arrive_whole_over_every_version() {
    let talk = async |server: &RunningServer, client: &Client| {
        let target = client.push_target(&repository(server, "app"));
        target.has_blob(&blob(0, 1).0).await.unwrap();
        let blobs: Vec<_> = (1..=40).map(|it| blob(it, 400_000)).collect();
        let source = Blobs::of(blobs.clone());
        let uploads = blobs
            .iter()
            .map(|(layer, _)| target.upload_blob(upload(layer, &source)));
        for receipt in join_all(uploads).await {
            assert_eq!(receipt.unwrap().sent, 400_000);
        }
    };
    for way in WAYS {
        let (server, builder) = secure(Server::builder()).await;
        let client = builder.http_versions(way).build().unwrap();
        talk(&server, &client).await;
        assert_eq!(server.log().requests(), 1 + 2 * 40, "{way:?}");
        assert_eq!(server.log().blob_bytes(), 40 * 400_000, "{way:?}");
    }
}

/// Who wants one thing for a host gets it there, and nowhere else.
#[tokio::test]
async fn p25_a_host_is_spoken_to_as_was_said_of_it() {
    let (server, builder) = secure(Server::builder()).await;
    let client = builder
        .http_versions(HttpVersions::Http1)
        .http_versions_of(&server.registry(), HttpVersions::Http2)
        .http_versions_of(&"127.0.0.1:1".parse().unwrap(), HttpVersions::Mixed)
        .build()
        .unwrap();
    push(&server, &client, &[300_000]).await;
    assert_eq!(
        versions(&server),
        ["HTTP/2.0"; 2].map(|it| BTreeSet::from([it.to_owned()]))
    );
}

/// What yesterday has shown decides where nobody has said anything.
#[tokio::test]
async fn p25_the_hosts_profile_overrides_the_default_and_the_user_overrides_both() {
    for (wanted, expected) in [
        (None, ["HTTP/1.1", "HTTP/1.1"]),
        (Some(HttpVersions::Mixed), ["HTTP/1.1", "HTTP/2.0"]),
        (Some(HttpVersions::Http2), ["HTTP/2.0", "HTTP/2.0"]),
    ] {
        let (server, mut builder) = secure(Server::builder()).await;
        let profiles = MemoryProfiles::default();
        let fact = ("http2".to_owned(), "false".to_owned());
        profiles
            .keep(&server.registry().to_string(), vec![fact])
            .await;
        if let Some(wanted) = wanted {
            builder = builder.http_versions(wanted);
        }
        let client = builder.profiles(profiles).build().unwrap();
        push(&server, &client, &[300_000]).await;
        let expected = expected.map(|it| BTreeSet::from([it.to_owned()]));
        assert_eq!(versions(&server), expected, "{wanted:?}");
    }
}

/// Without HTTP/2 there is nothing to keep bodies apart from: one connection does for both.
#[tokio::test]
async fn p25_a_host_without_http2_needs_one_connection_fewer_the_next_time() {
    let server = Server::builder().memory().start().await.unwrap();
    let authority = Authority::new("front");
    let front = Front::start(
        &authority.loopback(),
        &authority,
        Wants::Nothing,
        server.addr(),
    )
    .await;
    let profiles = MemoryProfiles::default();
    let mut connections = 0;
    for expected in [2, 1, 1] {
        let client = quick()
            .host_tls(&front.registry(), authority.trusted())
            .profiles(profiles.clone())
            .build()
            .unwrap();
        let target = client.push_target(&front.repository("app"));
        for seed in 1..=3 {
            let (layer, content) = blob(seed, 300_000);
            let source = Blobs::one(&layer, &content);
            target.has_blob(&layer).await.unwrap();
            target.upload_blob(upload(&layer, &source)).await.unwrap();
        }
        client.close(PATIENCE).await;
        assert_eq!(front.shown().len() - connections, expected);
        connections = front.shown().len();
    }
    let kept = Profile::read(&profiles.load(&front.registry().to_string()).await);
    assert!(kept.facts().any(|it| it.fact == Fact::Http2(false)));
}
