//! Uploads: every way a blob gets in, and how far a session is when one fails.

use longshore_server::{Endpoint, Limits, Server, UploadOptions};
use oci::{Algorithm, Digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{INDEX, Reply, TestReg, with_digest};

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

#[tokio::test]
async fn a_blob_goes_up_by_post_and_put() {
    let reg = TestReg::new().await;
    let content = noise(3_000_000);
    let digest = reg.push("team/app", &content).await;

    let got = reg.get(format!("/v2/team/app/blobs/{digest}")).await;
    assert_eq!(got.status, 200);
    assert_eq!(got.header("docker-content-digest"), digest.to_string());
    assert!(
        got.body == content,
        "the bytes are not those that were sent"
    );
    assert_eq!(reg.server.log().blob_bytes(), 3_000_000);
    assert_eq!(
        reg.lines(),
        [
            "POST /v2/team/app/blobs/uploads/ → 202".to_owned(),
            format!("PUT /v2/team/app/blobs/uploads/<1>?digest={digest} → 201"),
            format!("GET /v2/team/app/blobs/{digest} → 200"),
        ],
    );
    assert_eq!(reg.server.open_sessions(), 0);
}

#[tokio::test]
async fn a_blob_goes_up_in_one_post() {
    let reg = TestReg::new().await;
    let digest = Digest::of(b"all at once");
    let target = format!("/v2/app/blobs/uploads/?digest={digest}");
    let reply = reg.ask("POST", target).body(b"all at once").send().await;
    assert_eq!(reply.status, 201);
    let place = reply.header("location").to_owned();
    assert_eq!(reg.get(place).await.body, b"all at once");
    assert_eq!(reg.server.open_sessions(), 0);
}

#[tokio::test]
async fn one_post_with_other_content_is_refused_and_leaves_nothing() {
    let reg = TestReg::new().await;
    let digest = Digest::of(b"something");
    let target = format!("/v2/app/blobs/uploads/?digest={digest}");
    let reply = reg.ask("POST", target).body(b"else").send().await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.codes(), ["DIGEST_INVALID"]);
    assert_eq!(
        reg.head(format!("/v2/app/blobs/{digest}")).await.status,
        404
    );
    assert_eq!(reg.server.open_sessions(), 0);
}

#[tokio::test]
async fn a_registry_without_single_posts_opens_a_session() {
    let options = UploadOptions {
        single_post: false,
        ..UploadOptions::default()
    };
    let reg = TestReg::with(Server::builder().uploads(options)).await;
    let digest = Digest::of(b"all at once");
    let target = format!("/v2/app/blobs/uploads/?digest={digest}");
    let reply = reg.ask("POST", target).body(b"all at once").send().await;
    assert_eq!(reply.status, 202);
    assert_eq!(reg.server.log().blob_bytes(), 0);
    let location = reply.header("location").to_owned();
    let reply = reg.put_blob(&location, &digest, b"all at once").await;
    assert_eq!(reply.status, 201);
}

#[tokio::test]
async fn chunks_come_in_order_and_the_last_may_come_with_the_put() {
    let reg = TestReg::new().await;
    let digest = Digest::of(b"0123456789");
    let location = reg.open("app").await;

    let chunk = reg
        .ask("PATCH", &location)
        .header("content-range", "0-3")
        .body(b"0123")
        .send()
        .await;
    assert_eq!((chunk.status, chunk.header("range")), (202, "0-3"));

    let early = reg
        .ask("PATCH", &location)
        .header("content-range", "6-7")
        .body(b"67")
        .send()
        .await;
    assert_eq!((early.status, early.header("range")), (416, "0-3"));
    let location = early.header("location").to_owned();

    let status = reg.get(&location).await;
    assert_eq!((status.status, status.header("range")), (204, "0-3"));

    let wrong_end = reg
        .ask("PUT", with_digest(&location, &digest))
        .header("content-range", "5-9")
        .body(b"56789")
        .send()
        .await;
    assert_eq!(wrong_end.status, 416);

    let end = reg
        .ask("PUT", with_digest(&location, &digest))
        .header("content-range", "4-9")
        .body(b"456789")
        .send()
        .await;
    assert_eq!(end.status, 201);
    // Not a byte of what was out of order was taken.
    assert_eq!(reg.server.log().blob_bytes(), 10);
}

#[tokio::test]
async fn a_chunk_whose_range_is_not_its_length_is_refused() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    for range in ["0-9", "bytes", "3-1"] {
        let reply = reg
            .ask("PATCH", &location)
            .header("content-range", range)
            .body(b"0123")
            .send()
            .await;
        assert_eq!(reply.status, 400, "{range}");
        assert_eq!(reply.codes(), ["BLOB_UPLOAD_INVALID"]);
    }
    assert_eq!(reg.get(&location).await.header("range"), "0-0");
    assert_eq!(reg.server.log().blob_bytes(), 0);
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_taken_by_patch_and_by_put() {
    let reg = TestReg::new().await;
    let content = noise(700_000);
    let digest = Digest::of(&content);
    let location = reg.open("app").await;
    let patch = reg.ask("PATCH", &location).chunked().body(&content);
    let reply = patch.send().await;
    assert_eq!((reply.status, reply.header("range")), (202, "0-699999"));
    assert_eq!(reg.put_blob(&location, &digest, b"").await.status, 201);

    let location = reg.open("other").await;
    let put = reg.ask("PUT", with_digest(&location, &digest));
    assert_eq!(put.chunked().body(&content).send().await.status, 201);
}

/// What had arrived when a connection broke is kept, to the byte, so that a client
/// sends no byte twice.
#[tokio::test]
async fn n2_a_body_that_breaks_off_leaves_its_prefix() {
    for reg in TestReg::each().await {
        breaks_off(&reg).await;
    }
}

async fn breaks_off(reg: &TestReg) {
    let content = noise(2_500_000);
    let digest = Digest::of(&content);
    let location = reg.open("app").await;
    let stream = reg
        .ask("PATCH", &location)
        .body(&content)
        .begin(1_700_001)
        .await;
    // What was written is delivered before the end of the stream is.
    drop(stream);

    let at = acknowledged(reg, &location, 1_700_001).await;
    assert_eq!(at, 1_700_001);
    let rest = reg
        .ask("PATCH", &location)
        .header("content-range", format!("{at}-2499999"))
        .body(&content[at..])
        .send()
        .await;
    assert_eq!(rest.status, 202);
    assert_eq!(reg.put_blob(&location, &digest, b"").await.status, 201);
    assert_eq!(reg.server.log().blob_bytes(), 2_500_000);
}

/// A client that was killed may be asked about before the registry has worked off what it had
/// sent. Whoever asks is told of all of it.
#[tokio::test]
async fn n2_a_status_counts_what_is_still_coming_in() {
    for reg in TestReg::each().await {
        let content = noise(2_500_000);
        let location = reg.open("app").await;
        let patch = reg.ask("PATCH", &location).body(&content);
        let stream = patch.begin(1_700_001).await;
        let asked = async {
            while reg.server.log().calls(Endpoint::UploadStatus) == 0 {
                tokio::task::yield_now().await;
            }
            drop(stream);
        };
        let (status, ()) = tokio::join!(reg.get(&location), asked);
        assert_eq!((status.status, status.header("range")), (204, "0-1700000"));
    }
}

/// One that goes on for long is not waited for.
#[tokio::test]
async fn n2_a_status_is_answered_while_a_body_takes_its_time() {
    let limits = Limits {
        body_idle: std::time::Duration::from_secs(1),
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let location = reg.open("app").await;
    let patch = reg.ask("PATCH", &location).body(b"0123456789");
    let _stream = patch.begin(4).await;
    assert_eq!(reg.get(&location).await.status, 204);
}

/// Asks for the status until it says what is expected, which takes as long as the
/// registry takes to notice that a client is gone.
async fn acknowledged(reg: &TestReg, location: &str, expected: usize) -> usize {
    let mut at = 0;
    for _ in 0..6000 {
        let status = reg.get(location).await;
        let (_, last) = status.header("range").split_once('-').unwrap();
        at = last.parse::<usize>().unwrap() + 1;
        if at == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    at
}

#[tokio::test]
async fn any_earlier_location_of_a_session_works() {
    let options = UploadOptions {
        state_parameter: true,
        absolute_location: true,
        ..UploadOptions::default()
    };
    let reg = TestReg::with(Server::builder().uploads(options)).await;
    let first = reg.open("app").await;
    let base = reg.server.url();
    let path = |location: &str| location.strip_prefix(&base).unwrap().to_owned();
    let reply = reg.ask("PATCH", path(&first)).body(b"0123").send().await;
    let second = reply.header("location").to_owned();
    assert_ne!(first, second);

    let status = reg.get(path(&first)).await;
    assert_eq!(status.header("location"), second);
    // A target that names the host outweighs the header.
    let target = format!("http://user@registry.test:81{}", path(&first));
    let status = reg.ask("GET", target).header("host", "other").send().await;
    let elsewhere = format!("http://registry.test:81{}", path(&second));
    assert_eq!(status.header("location"), elsewhere);
    let digest = Digest::of(b"0123");
    let reply = reg.put_blob(&path(&first), &digest, b"").await;
    assert_eq!(reply.status, 201);
    assert_eq!(
        reply.header("location"),
        format!("{base}/v2/app/blobs/{digest}")
    );
}

#[tokio::test]
async fn committing_again_what_is_there_is_a_success() {
    for reg in TestReg::each().await {
        commits_again(&reg).await;
    }
}

async fn commits_again(reg: &TestReg) {
    let location = reg.open("app").await;
    let digest = Digest::of(b"content");
    assert_eq!(
        reg.put_blob(&location, &digest, b"content").await.status,
        201
    );
    assert_eq!(
        reg.put_blob(&location, &digest, b"content").await.status,
        201
    );
    // The second body was not needed and not taken.
    assert_eq!(reg.server.log().blob_bytes(), 7);
    let other = Digest::of(b"other");
    let reply = reg.put_blob(&location, &other, b"other").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.codes(), ["BLOB_UPLOAD_UNKNOWN"]);
}

/// A client that gave up waiting for an answer asks again while the first commit is under way.
#[tokio::test]
async fn a_commit_that_waits_for_the_same_commit_is_a_success_too() {
    for reg in TestReg::each().await {
        let location = reg.open("app").await;
        let content = b"0123456789";
        let target = with_digest(&location, &Digest::of(content));
        let mut first = reg.ask("PUT", &target).body(content).begin(4).await;
        let second = reg.ask("PUT", &target).body(b"").send();
        let finish = async {
            // Two are under way: one has the session, the other waits for it or is about to.
            while reg.server.log().entries().len() < 3 {
                tokio::task::yield_now().await;
            }
            first.write_all(&content[4..]).await.unwrap();
            let mut raw = Vec::new();
            first.read_to_end(&mut raw).await.unwrap();
            Reply::parse(&raw, false).unwrap()
        };
        let (second, first) = tokio::join!(second, finish);
        assert_eq!(first.status, 201);
        assert_eq!(second.status, 201, "{second:?}");
        assert_eq!(
            second.header("docker-content-digest"),
            first.header("docker-content-digest")
        );
        // Another digest is not what the session became.
        let other = Digest::of(b"other");
        assert_eq!(reg.put_blob(&location, &other, b"").await.status, 404);
    }
}

#[tokio::test]
async fn a_wrong_digest_is_refused_and_the_session_lives_on() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    let wrong = Digest::of(b"something else");
    let reply = reg.put_blob(&location, &wrong, b"content").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.codes(), ["DIGEST_INVALID"]);
    assert_eq!(reg.head(format!("/v2/app/blobs/{wrong}")).await.status, 404);
    let digest = Digest::of(b"content");
    assert_eq!(reg.put_blob(&location, &digest, b"").await.status, 201);
}

#[tokio::test]
async fn malformed_digests_are_refused() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    for digest in [
        "sha256:abc",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "x",
        "",
    ] {
        let target = format!("{location}?digest={digest}");
        let reply = reg.ask("PUT", target).body(b"x").send().await;
        assert_eq!(reply.status, 400, "{digest}");
        assert_eq!(reply.codes(), ["DIGEST_INVALID"]);
    }
    let reply = reg
        .ask("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5")
        .send()
        .await;
    assert_eq!(reply.status, 400);
    assert_eq!(reg.server.log().blob_bytes(), 0);
}

#[tokio::test]
async fn sha512_is_taken_whether_announced_or_not() {
    let reg = TestReg::new().await;
    let digest = Digest::of_with(Algorithm::Sha512, b"content");
    let location = reg.open("unannounced").await;
    let reply = reg.put_blob(&location, &digest, b"content").await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("docker-content-digest"), digest.to_string());

    let target = "/v2/announced/blobs/uploads/?digest-algorithm=sha512";
    let reply = reg.ask("POST", target).send().await;
    let location = reply.header("location").to_owned();
    let reply = reg.put_blob(&location, &digest, b"content").await;
    assert_eq!(reply.status, 201);
    let got = reg.get(format!("/v2/announced/blobs/{digest}")).await;
    assert_eq!(got.body, b"content");
}

#[tokio::test]
async fn a_blob_is_mounted_from_a_repository_that_holds_it() {
    let reg = TestReg::new().await;
    let digest = reg.push("base", b"layer").await;
    reg.server.log().clear();

    let mount = |name: &str, from: &str| {
        let target = format!("/v2/{name}/blobs/uploads/?mount={digest}{from}");
        reg.ask("POST", target)
    };
    let reply = mount("app", "&from=base").send().await;
    assert_eq!(reply.status, 201);
    let place = format!("/v2/app/blobs/{digest}");
    assert_eq!(reply.header("location"), place);
    assert_eq!(reg.get(&place).await.body, b"layer");
    // Without a source, any will do; from itself, it is a question.
    assert_eq!(mount("third", "").send().await.status, 201);
    assert_eq!(mount("app", "&from=app").send().await.status, 201);
    // Who does not hold it cannot give it, and an open session comes instead.
    let refused = mount("fourth", "&from=empty").send().await;
    assert_eq!(refused.status, 202);
    assert_eq!(mount("fourth", "&from=fourth").send().await.status, 202);
    assert_eq!(
        reg.head(format!("/v2/fourth/blobs/{digest}")).await.status,
        404
    );
    let location = refused.header("location").to_owned();
    assert_eq!(reg.put_blob(&location, &digest, b"layer").await.status, 201);
    assert_eq!(reg.server.log().blob_bytes(), 5);
}

#[tokio::test]
async fn a_blob_nobody_holds_is_never_mounted() {
    let reg = TestReg::new().await;
    let digest = reg.push("base", b"layer").await;
    let delete = reg.ask("DELETE", format!("/v2/base/blobs/{digest}"));
    assert_eq!(delete.send().await.status, 202);
    for from in ["", "&from=base", "&from=Not-A-Name"] {
        let target = format!("/v2/app/blobs/uploads/?mount={digest}{from}");
        let reply = reg.ask("POST", target).send().await;
        assert_eq!(reply.status, 202, "{from}");
    }
}

#[tokio::test]
async fn a_cancelled_session_is_gone() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    let cancel = reg.ask("DELETE", &location).send().await;
    assert_eq!(cancel.status, 204);
    assert_eq!(reg.get(&location).await.status, 404);
    assert_eq!(reg.ask("DELETE", &location).send().await.status, 404);
    assert_eq!(reg.server.open_sessions(), 0);
}

#[tokio::test]
async fn a_session_belongs_to_its_repository() {
    let reg = TestReg::new().await;
    let location = reg.open("mine").await;
    let elsewhere = location.replace("/mine/", "/yours/");
    assert_eq!(reg.get(&elsewhere).await.status, 404);
    let digest = Digest::of(b"x");
    let reply = reg.put_blob(&elsewhere, &digest, b"x").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reg.get(&location).await.status, 204);
}

#[tokio::test]
async fn two_bodies_at_once_are_one_too_many() {
    let limits = Limits {
        body_idle: std::time::Duration::from_secs(1),
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let location = reg.open("app").await;
    let mut first = reg
        .ask("PATCH", &location)
        .body(b"0123456789")
        .begin(4)
        .await;
    // The first holds the session until it has been silent for too long.
    let second = reg.ask("PATCH", &location).body(b"x").send().await;
    assert!([409, 202].contains(&second.status), "{second:?}");
    first.shutdown().await.unwrap();
    let at = acknowledged(&reg, &location, 4).await;
    assert!(at == 4 || at == 5, "{at}");
}

#[tokio::test]
async fn too_many_sessions_are_refused_for_a_while() {
    let limits = Limits {
        sessions: 2,
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let first = reg.open("app").await;
    reg.open("app").await;
    let third = reg.ask("POST", "/v2/app/blobs/uploads/").send().await;
    assert_eq!(third.status, 429);
    assert_eq!(third.header("retry-after"), "5");
    assert_eq!(third.codes(), ["TOOMANYREQUESTS"]);
    reg.ask("DELETE", first).send().await;
    reg.open("app").await;
}

#[tokio::test]
async fn sessions_that_nobody_asks_for_end() {
    let limits = Limits {
        session_idle: std::time::Duration::ZERO,
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let first = reg.open("app").await;
    reg.open("app").await;
    assert_eq!(reg.server.open_sessions(), 1);
    assert_eq!(reg.get(first).await.status, 404);
}

/// The time counts from the end of a request, however long that took.
#[tokio::test]
async fn a_session_outlives_a_request_that_takes_longer_than_it_may_be_idle() {
    let idle = std::time::Duration::from_secs(2);
    let limits = Limits {
        session_idle: idle,
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let location = reg.open("app").await;
    let mut slow = reg.ask("PATCH", &location).body(b"0123").begin(2).await;
    tokio::time::sleep(idle + idle / 10).await;
    slow.write_all(b"23").await.unwrap();
    let mut raw = Vec::new();
    slow.read_to_end(&mut raw).await.unwrap();
    assert_eq!(Reply::parse(&raw, false).unwrap().status, 202);
    // Whoever opens one looks for old ones first.
    reg.open("app").await;
    let digest = Digest::of(b"0123");
    assert_eq!(reg.put_blob(&location, &digest, b"").await.status, 201);
}

#[tokio::test]
async fn z13_a_chunk_minimum_is_announced_and_kept_for_all_chunks_but_the_last() {
    let options = UploadOptions {
        chunk_min_length: Some(4),
        ..UploadOptions::default()
    };
    let reg = TestReg::with(Server::builder().uploads(options)).await;
    let opened = reg.ask("POST", "/v2/app/blobs/uploads/").send().await;
    assert_eq!(opened.header("oci-chunk-min-length"), "4");
    let location = opened.header("location").to_owned();
    let chunk = |range: &str, body: &[u8]| {
        let chunk = reg.ask("PATCH", &location);
        chunk.header("content-range", range).body(body)
    };
    assert_eq!(chunk("0-3", b"0123").send().await.status, 202);
    assert_eq!(chunk("4-5", b"45").send().await.status, 202);
    assert_eq!(chunk("6-9", b"6789").send().await.status, 400);
    // Leaving out where a chunk belongs does not make it another.
    let stream = reg.ask("PATCH", &location).body(b"6789");
    assert_eq!(stream.send().await.status, 400);
    let whole = Digest::of(b"0123456789");
    let late = reg.put_blob(&location, &whole, b"6789").await;
    assert_eq!(
        (late.status, late.codes()),
        (400, vec!["BLOB_UPLOAD_INVALID".into()])
    );
    assert_eq!(reg.get(&location).await.header("range"), "0-5");
    let digest = Digest::of(b"012345");
    assert_eq!(reg.put_blob(&location, &digest, b"").await.status, 201);
}

#[tokio::test]
async fn the_empty_blob_is_a_blob() {
    let reg = TestReg::new().await;
    let digest = reg.push("app", b"").await;
    let got = reg.get(format!("/v2/app/blobs/{digest}")).await;
    assert_eq!((got.status, got.header("content-length")), (200, "0"));
}

#[tokio::test]
async fn memory_has_an_end() {
    let limits = Limits {
        memory_bytes: 1000,
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let digest = reg.push("app", &noise(900)).await;
    let location = reg.open("app").await;
    let more = noise(500);
    let full = reg.put_blob(&location, &Digest::of(&more), &more).await;
    assert_eq!(full.status, 507);
    // What is deleted makes room.
    let delete = reg.ask("DELETE", format!("/v2/app/blobs/{digest}"));
    assert_eq!(delete.send().await.status, 202);
    let again = reg.put_blob(&location, &Digest::of(&more), &more).await;
    assert_eq!(again.status, 201);
}

/// Else a client could fill the machine's with manifests.
#[tokio::test]
async fn manifests_take_room_in_memory_too() {
    let limits = Limits {
        memory_bytes: 1000,
        ..Limits::default()
    };
    let reg = TestReg::with(Server::builder().limits(limits)).await;
    let index = |which: &str| {
        let pad = "x".repeat(400);
        let it = serde_json::json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
            "annotations": {"which": which, "pad": pad},
        });
        it.to_string().into_bytes()
    };
    let put = async |which: &str| {
        let target = format!("/v2/app/manifests/{which}");
        reg.put_manifest(target, INDEX, &index(which)).await.status
    };
    assert_eq!(put("a").await, 201);
    // The same one takes no more.
    assert_eq!(put("a").await, 201);
    let blob = noise(600);
    let location = reg.open("app").await;
    let full = reg.put_blob(&location, &Digest::of(&blob), &blob).await;
    assert_eq!(full.status, 507);
    assert_eq!(put("b").await, 507);
    let digest = Digest::of(&index("a"));
    let delete = reg.delete(format!("/v2/app/manifests/{digest}")).await;
    assert_eq!(delete.status, 202);
    assert_eq!(put("b").await, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_uploads_at_once_are_all_whole() {
    let reg = std::sync::Arc::new(TestReg::new().await);
    let mut pushes = tokio::task::JoinSet::new();
    for n in 0..48_usize {
        let reg = std::sync::Arc::clone(&reg);
        pushes.spawn(async move {
            let content = noise(1_100_000 + n);
            let name = format!("app{}", n % 5);
            let digest = reg.push(&name, &content).await;
            let got = reg.get(format!("/v2/{name}/blobs/{digest}")).await;
            assert!(got.body == content);
        });
    }
    while let Some(done) = pushes.join_next().await {
        done.unwrap();
    }
    assert_eq!(reg.server.log().by_method()["PUT"], 48);
    assert_eq!(reg.server.open_sessions(), 0);
}
