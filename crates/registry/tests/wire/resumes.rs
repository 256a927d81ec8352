//! Uploads that break and go on: what is asked, what is sent again, and what is not.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use longshore_registry::{
    ChunkSize, CredentialStore, Credentials, Fact, MemoryProfiles, Profile, ProfileStore as _,
    Timeouts,
};
use oci::{Descriptor, Presence, PushTarget, SessionKeeper, TargetErrorKind, UploadSession};
use server::{Action, Answer, Auth, Bearer, Endpoint, RangeFault, RequestLog, Rule, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::fixture::{
    Blobs, Double, MIB, PATIENCE, Seen, aside, blob, client, host, quick, registry, repository,
    sorted, start, upload,
};

const POST: &str = "POST /v2/app/blobs/uploads/ → 202";

/// What is kept of a registry for the next process.
async fn learned(server: &Double, profiles: &MemoryProfiles) -> Vec<Fact> {
    let profile = Profile::read(&profiles.load(&host(&server.registry())).await);
    profile.facts().map(|it| it.fact.clone()).collect()
}

/// Keeps a session, and every state of it.
#[derive(Default)]
struct Keeper {
    kept: Mutex<Vec<UploadSession>>,
    forgotten: Mutex<u32>,
}

#[async_trait]
impl SessionKeeper for Keeper {
    async fn keep(&self, session: &UploadSession) {
        self.kept.lock().unwrap().push(session.clone());
    }

    async fn forget(&self) {
        *self.forgotten.lock().unwrap() += 1;
    }

    fn lasts(&self) -> bool {
        true
    }
}

impl Keeper {
    fn acknowledged(&self) -> Vec<u64> {
        let kept = self.kept.lock().unwrap();
        kept.iter().map(UploadSession::acknowledged).collect()
    }

    fn last(&self) -> UploadSession {
        self.kept.lock().unwrap().last().cloned().unwrap()
    }
}

/// Writes down how many chunks the registry had got when a state was kept.
struct Witness {
    log: RequestLog,
    seen: Mutex<Vec<(u64, usize)>>,
}

#[async_trait]
impl SessionKeeper for Witness {
    async fn keep(&self, session: &UploadSession) {
        let chunks = self.log.calls(Endpoint::UploadPatch);
        let mut seen = self.seen.lock().unwrap();
        seen.push((session.acknowledged(), chunks));
    }

    async fn forget(&self) {}

    fn lasts(&self) -> bool {
        true
    }
}

fn put(session: u32, layer: &Descriptor, status: &str) -> String {
    let digest = &layer.digest;
    format!("PUT /v2/app/blobs/uploads/<{session}>?digest={digest} → {status}")
}

fn head(layer: &Descriptor, status: u16) -> String {
    format!("HEAD /v2/app/blobs/{} → {status}", layer.digest)
}

fn session(method: &str, session: u32, status: u16) -> String {
    format!("{method} /v2/app/blobs/uploads/<{session}> → {status}")
}

fn reset_at(byte: usize) -> Rule {
    let rule = Rule::on(Endpoint::UploadPut).or(Endpoint::UploadPatch);
    rule.first(1).act(Action::ResetAtByte(byte as u64))
}

async fn assert_held(server: &Double, layer: &Descriptor) {
    let target = client().push_target(&repository(server, "app"));
    let held = target.has_blob(layer).await.unwrap();
    assert_eq!(held, Presence::Held(layer.digest.clone()));
}

/// Cut at its beginning, in its middle and at its end: exactly what did not arrive is sent again.
#[tokio::test]
async fn n2_a_connection_cut_at_any_byte_costs_no_acknowledged_byte() {
    let size = 300_000;
    for cut in [2, 4095, 65_536, 150_000, size - 1, size] {
        let server = registry().await;
        server.faults().add(reset_at(cut));
        let target = client().push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, size);
        let source = Blobs::one(&layer, &content);
        let seen = Seen::default();
        let sent = upload(&layer, &source).observed(&seen);
        target.upload_blob(sent).await.unwrap();
        assert_eq!(server.log().blob_bytes(), layer.size, "{cut}");
        assert_eq!(
            server.log().lines(),
            [
                POST.to_owned(),
                put(1, &layer, "reset"),
                head(&layer, 404),
                session("GET", 1, 204),
                put(1, &layer, "201"),
            ],
            "{cut}"
        );
        let rest = &server.log().entries()[4].headers;
        assert_eq!(rest.content_length, Some((size - cut) as u64));
        let range = (cut < size).then(|| format!("{cut}-{}", size - 1));
        assert_eq!(rest.content_range, range, "{cut}");
        assert_held(&server, &layer).await;
    }
}

/// What a process leaves behind the next one goes on with, asking two things at once.
#[tokio::test]
async fn n2_a_session_that_was_left_behind_goes_on_in_another_process() {
    let server = registry().await;
    let (layer, content) = blob(1, 4 * MIB);
    let source = Blobs::one(&layer, &content);
    let keeper = Keeper::default();
    let dies = Rule::on(Endpoint::UploadPatch).nth(3);
    server
        .faults()
        .add(dies.act(Action::ResetAtByte(MIB as u64 / 2)));
    server.faults().add(
        Rule::on(Endpoint::BlobHead)
            .first(1)
            .act(Action::Answer(Answer::new(401))),
    );
    let first = quick()
        .chunk_size(ChunkSize::of(MIB as u64))
        .build()
        .unwrap();
    let target = first.push_target(&repository(&server, "app"));
    let sent = upload(&layer, &source).kept_by(&keeper);
    // Credentials end at the worst moment, and with them the process.
    let error = target.upload_blob(sent).await.unwrap_err();
    assert_eq!(*error.kind(), TargetErrorKind::Unauthorized);
    first.close(PATIENCE).await;
    assert_eq!(keeper.acknowledged(), [0, MIB as u64, 2 * MIB as u64]);

    let left = keeper.last();
    server.log().clear();
    let seen = Seen::default();
    let keeper = Keeper::default();
    let target = client().push_target(&repository(&server, "app"));
    let resumed = upload(&layer, &source)
        .resuming(left)
        .observed(&seen)
        .kept_by(&keeper);
    let receipt = target.upload_blob(resumed).await.unwrap();
    let (held, rest) = (5 * MIB as u64 / 2, 3 * MIB as u64 / 2);
    assert_eq!((receipt.sent, seen.sent()), (rest, rest));
    assert_eq!(seen.rewound(), [held]);
    assert_eq!(keeper.acknowledged(), [held]);
    assert_eq!(*keeper.forgotten.lock().unwrap(), 1);
    let lines = server.log().lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let asked = [session("GET", 1, 204), head(&layer, 404)];
    assert_eq!(sorted(lines[..2].to_vec()), sorted(asked.to_vec()));
    assert_eq!(lines[2], put(1, &layer, "201"));
    assert_held(&server, &layer).await;
}

/// A blob that somebody else has put there meanwhile needs nothing; a session that has ended costs
/// one more request than none would.
#[tokio::test]
async fn n2_a_session_that_was_left_behind_may_have_ended() {
    for there in [true, false] {
        let server = registry().await;
        let (layer, content) = blob(1, MIB);
        let source = Blobs::one(&layer, &content);
        let target = client().push_target(&repository(&server, "app"));
        if there {
            target.upload_blob(upload(&layer, &source)).await.unwrap();
            server.log().clear();
        }
        let gone = format!("{}/v2/app/blobs/uploads/gone?_state=old", server.url());
        let gone = UploadSession::new(gone).with_acknowledged(1000);
        let resumed = upload(&layer, &source).resuming(gone);
        let receipt = target.upload_blob(resumed).await.unwrap();
        let lines = server.log().lines();
        let heads = lines.iter().filter(|it| it.starts_with("HEAD")).count();
        // The second time without the query: there are registries that mint a new address then.
        let asked = lines.iter().filter(|it| it.starts_with("GET")).count();
        assert_eq!((heads, asked), (1, 2), "{lines:#?}");
        assert_eq!(lines.len(), if there { 3 } else { 5 }, "{lines:#?}");
        assert_eq!(receipt.sent, if there { 0 } else { layer.size });
        assert_held(&server, &layer).await;
    }
}

/// The same with chunks, which say where they begin: a session that holds nothing is gone on
/// with, and one that holds a byte refuses them.
#[tokio::test]
async fn n2_a_chunk_goes_on_in_a_session_that_holds_nothing() {
    for cut in [0, 1] {
        let server = registry().await;
        let breaks = Rule::on(Endpoint::UploadPatch).nth(1);
        server.faults().add(breaks.act(Action::ResetAtByte(cut)));
        let client = quick().chunk_size(ChunkSize::of(MIB as u64));
        let target = client
            .build()
            .unwrap()
            .push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 2 * MIB);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let mut expected = vec![
            POST.to_owned(),
            "PATCH /v2/app/blobs/uploads/<1> → reset".to_owned(),
            head(&layer, 404),
            session("GET", 1, 204),
        ];
        if cut == 1 {
            expected.push(session("PATCH", 1, 416));
            expected.push(session("DELETE", 1, 204));
            expected.push(POST.to_owned());
        }
        let last = 1 + u32::try_from(cut).unwrap();
        expected.push(session("PATCH", last, 202));
        expected.push(put(last, &layer, "201"));
        assert_eq!(server.log().lines(), expected, "{cut}");
        assert_eq!(server.log().blob_bytes(), layer.size + cut);
    }
}

/// `0-0` stands for nothing and for one byte: not worth a doubt.
#[tokio::test]
async fn n2_a_session_that_holds_one_byte_or_none_is_replaced() {
    for cut in [0, 1] {
        let server = registry().await;
        server.faults().add(reset_at(cut));
        let target = client().push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 100_000);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let begun = [
            POST.to_owned(),
            put(1, &layer, "reset"),
            head(&layer, 404),
            session("GET", 1, 204),
            session("DELETE", 1, 204),
            POST.to_owned(),
            put(2, &layer, "201"),
        ];
        assert_eq!(server.log().lines(), begun, "{cut}");
        assert_eq!(server.log().blob_bytes(), layer.size + cut as u64);
    }
}

/// What a status says is asked for twice, and then there is one new session for the blob. Nothing
/// of it goes where it would not belong.
#[tokio::test]
async fn n2_a_wrong_or_shrinking_range_is_never_trusted() {
    for fault in [RangeFault::Half, RangeFault::AtMost(1000)] {
        let server = registry().await;
        let chunk = MIB as u64;
        let client = quick().chunk_size(ChunkSize::of(chunk)).build().unwrap();
        let target = client.push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 3 * MIB);
        let source = Blobs::one(&layer, &content);
        let breaks = Rule::on(Endpoint::UploadPatch).nth(2);
        server.faults().add(breaks.act(Action::ResetAtByte(0)));
        let lies = Rule::on(Endpoint::UploadStatus).first(2);
        server.faults().add(lies.act(Action::Range(fault)));
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        let begun = [
            POST.to_owned(),
            session("PATCH", 1, 202),
            "PATCH /v2/app/blobs/uploads/<1> → reset".to_owned(),
            head(&layer, 404),
            session("GET", 1, 204),
            session("GET", 1, 204),
            session("DELETE", 1, 204),
            POST.to_owned(),
            session("PATCH", 2, 202),
            session("PATCH", 2, 202),
            put(2, &layer, "201"),
        ];
        assert_eq!(server.log().lines(), begun, "{fault:?}");
        assert_held(&server, &layer).await;
    }
}

/// Quay's count is one byte too high. What is refused there goes a byte before, and it is learned.
#[tokio::test]
async fn n2_a_status_that_counts_one_more_is_understood() {
    let server = registry().await;
    let always = Rule::on(Endpoint::UploadStatus);
    server
        .faults()
        .add(always.act(Action::Range(RangeFault::OneMore)));
    let profiles = MemoryProfiles::default();
    let client = quick().profiles(profiles.clone()).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let (layer, content) = blob(1, MIB);
    let source = Blobs::one(&layer, &content);
    server.faults().add(reset_at(600_000));
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_held(&server, &layer).await;
    client.close(PATIENCE).await;
    let known = learned(&server, &profiles).await;
    assert!(known.contains(&Fact::CountsOneMore(true)), "{known:?}");
    // And is known the next time.
    server.log().clear();
    let (layer, content) = blob(2, MIB);
    let source = Blobs::one(&layer, &content);
    server.faults().add(reset_at(600_000));
    target.upload_blob(upload(&layer, &source)).await.unwrap();
    assert_eq!(server.log().blob_bytes(), layer.size);
    assert_eq!(server.log().requests(), 5);
}

/// A registry that keeps nothing of a body that breaks gets it anew, and that is learned.
#[tokio::test]
async fn p24_a_session_that_is_lost_costs_one_new_session_for_its_blob_alone() {
    let server = registry().await;
    let profiles = MemoryProfiles::default();
    let client = quick().profiles(profiles.clone()).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let lose = Rule::on(Endpoint::UploadPut).act(Action::LoseBrokenSession);
    server.faults().add(lose);
    let seventh = Rule::on(Endpoint::UploadPut).nth(7);
    server
        .faults()
        .add(seventh.act(Action::ResetAtByte(50_000)));
    let mut expected = Vec::new();
    for n in 1..=10 {
        let (layer, content) = blob(u64::from(n), 100_000);
        let source = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        expected.push(POST.to_owned());
        if n == 7 {
            expected.push(put(7, &layer, "reset"));
            expected.push(head(&layer, 404));
            expected.push(session("GET", 7, 404));
            expected.push(POST.to_owned());
        }
        expected.push(put(if n < 7 { n } else { n + 1 }, &layer, "201"));
    }
    assert_eq!(server.log().lines(), expected);
    client.close(PATIENCE).await;
    let known = learned(&server, &profiles).await;
    assert!(known.contains(&Fact::KeepsSessions(false)), "{known:?}");
}

/// No is an answer, and no answer is not a no.
#[tokio::test]
async fn p24_an_existence_check_that_fails_is_repeated_and_never_an_upload() {
    for failures in [2, u64::MAX] {
        let server = registry().await;
        let target = client().push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 100_000);
        let source = Blobs::one(&layer, &content);
        let committed = Rule::on(Endpoint::UploadPut).act(Action::ResetBeforeAnswer);
        server.faults().add(committed);
        let checks = Rule::on(Endpoint::BlobHead).first(failures);
        server
            .faults()
            .add(checks.act(Action::Answer(Answer::new(503))));
        let outcome = target.upload_blob(upload(&layer, &source)).await;
        let methods = server.log().by_method();
        assert_eq!((methods["POST"], methods["PUT"]), (1, 1));
        assert_eq!(server.log().blob_bytes(), layer.size);
        if failures == 2 {
            assert_eq!(outcome.unwrap().sent, layer.size);
            assert_eq!(methods["HEAD"], 3);
        } else {
            let error = outcome.unwrap_err();
            assert_eq!(*error.kind(), TargetErrorKind::Server, "{error}");
            assert_eq!(methods["HEAD"], 5);
        }
    }
}

/// A token that ends in the middle, at a PATCH and at the closing PUT: a new one, a question where
/// it goes on, and no acknowledged byte again.
#[tokio::test]
async fn z12_a_401_in_the_middle_of_chunks_renews_the_token_and_goes_on() {
    let auth = Auth::Bearer(Bearer::new().user("alice", "canary"));
    let places = [(Endpoint::UploadPatch, 2), (Endpoint::UploadPut, 1)];
    // With what is asked for, and as zot does without.
    for ((endpoint, nth), explained) in places.into_iter().flat_map(|it| [(it, true), (it, false)])
    {
        let server = start(Server::builder().memory().auth(auth.clone())).await;
        let alice = Credentials::password("alice", "canary");
        let client = quick()
            .credentials(CredentialStore::new().with(server.registry(), alice))
            .chunk_size(ChunkSize::of(100_000))
            .build()
            .unwrap();
        let target = client.push_target(&repository(&server, "app"));
        let (layer, content) = blob(1, 250_000);
        let source = Blobs::one(&layer, &content);
        let challenge = format!(
            r#"Bearer realm="{}/token",service="longshore",scope="repository:app:pull,push""#,
            server.url()
        );
        let mut expired = Answer::new(401);
        if explained {
            expired = expired.header("www-authenticate", challenge);
        }
        let rule = Rule::on(endpoint).nth(nth);
        server.faults().add(rule.act(Action::Answer(expired)));
        target.upload_blob(upload(&layer, &source)).await.unwrap();
        assert_eq!(server.log().blob_bytes(), layer.size);
        let lines = server.log().lines();
        let tokens = lines.iter().filter(|it| it.starts_with("GET /token"));
        assert_eq!(tokens.count(), 2, "{lines:#?}");
        let asked = lines.iter().filter(|it| **it == session("GET", 1, 204));
        assert_eq!(asked.count(), 1, "{lines:#?}");
        assert_eq!(lines.last().unwrap(), &put(1, &layer, "201"));
    }
}

/// Opens a session, and a request that writes to it and stays half-way: its client has gone, and
/// nobody has told the registry.
async fn held_by_the_dead(server: &Double) -> (UploadSession, DuplexStream) {
    let mut dead = aside(server);
    let open = "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\n\r\n";
    dead.write_all(open.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("\r\n\r\n") {
        let mut bytes = [0; 1000];
        let read = dead.read(&mut bytes).await.unwrap();
        answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    let location = answer.lines().find_map(|it| it.strip_prefix("location: "));
    let path = location.unwrap();
    let half = format!("PATCH {path} HTTP/1.1\r\nHost: r\r\nContent-Length: 1000\r\n\r\n");
    dead.write_all(half.as_bytes()).await.unwrap();
    let session = UploadSession::new(format!("{}{path}", server.url()));
    while server.log().calls(Endpoint::UploadPatch) == 0 {
        tokio::task::yield_now().await;
    }
    (session, dead)
}

#[tokio::test]
async fn n2_a_session_that_a_dead_connection_holds_is_left_for_another() {
    let server = registry().await;
    let (layer, content) = blob(1, 3000);
    let source = Blobs::one(&layer, &content);
    let (session, _dead) = held_by_the_dead(&server).await;
    // Passed by what waits for the dead, and by nothing else.
    let limit = Duration::from_secs(3);
    let client = quick()
        .chunk_size(ChunkSize::of(1000))
        .timeouts(Timeouts::default().with_idle(limit).with_commit(limit))
        .build()
        .unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let upload = upload(&layer, &source).in_session(Some(session));
    target.upload_blob(upload).await.unwrap();
    assert_held(&server, &layer).await;
    let opened = server.log().calls(Endpoint::UploadPost);
    assert_eq!(opened, 2, "{:?}", server.log().lines());
}

#[tokio::test]
async fn p1_a_session_is_kept_before_the_chunk_that_relies_on_it() {
    let server = registry().await;
    let (layer, content) = blob(1, 3500);
    let source = Blobs::one(&layer, &content);
    let witness = Witness {
        log: server.log(),
        seen: Mutex::default(),
    };
    let client = quick().chunk_size(ChunkSize::of(1000)).build().unwrap();
    let target = client.push_target(&repository(&server, "app"));
    let upload = upload(&layer, &source).kept_by(&witness);
    target.upload_blob(upload).await.unwrap();
    let seen = witness.seen.lock().unwrap().clone();
    assert_eq!(seen, [(0, 0), (1000, 1), (2000, 2), (3000, 3)]);
}
