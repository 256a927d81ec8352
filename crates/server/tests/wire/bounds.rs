//! Every bound on what a client may do in size, in number and in time, met on the wire.

use std::time::Duration;

use longshore_server::{Endpoint, Limits, Outcome, Server};
use oci::Digest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{INDEX, MANIFEST, Reply, TestReg, manifest},
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, get, post},
};

/// Soon enough for a test, and long enough for a machine that is busy.
const SHORT: Duration = Duration::from_secs(1);

async fn reg_with(change: impl FnOnce(&mut Limits)) -> TestReg {
    let mut limits = Limits::default();
    change(&mut limits);
    TestReg::with(Server::builder().limits(limits)).await
}

async fn connect(reg: &TestReg) -> TcpStream {
    TcpStream::connect(reg.server.addr()).await.unwrap()
}

/// Everything until the server closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut raw = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut raw).await;
    raw
}

/// How often something was refused for this cause.
async fn refusals(reg: &TestReg, cause: &str) -> u64 {
    let body = reg.get("/metrics").await.body;
    let text = String::from_utf8(body).unwrap();
    let key = format!("longshore_refusals_total{{cause=\"{cause}\"}} ");
    let found = text.lines().find_map(|it| it.strip_prefix(&key));
    found.map_or(0, |it| it.parse().unwrap())
}

#[tokio::test]
async fn a_target_over_the_limit_is_refused() {
    let reg = reg_with(|it| it.uri_bytes = 100).await;
    for (length, status) in [(100, 200), (101, 414)] {
        let target = format!("/v2/?{}", "x".repeat(length - 5));
        assert_eq!(reg.get(target).await.status, status);
    }
    assert_eq!(refusals(&reg, "uri-too-long").await, 1);
}

/// The second limit is what the HTTP library reads before it gives up.
#[tokio::test]
async fn headers_over_the_limit_are_refused_by_number_and_by_length() {
    let reg = TestReg::new().await;
    for (count, status) in [(98, 200), (99, 431)] {
        let mut ask = reg.ask("GET", "/v2/");
        for number in 0..count {
            ask = ask.header(&format!("x-{number}"), "y");
        }
        assert_eq!(
            ask.send().await.status,
            status,
            "{count} and host, connection"
        );
    }
    for bytes in [65 * 1024, 1024 * 1024] {
        let ask = reg.ask("GET", "/v2/").header("x", "y".repeat(bytes));
        assert_eq!(ask.send().await.status, 431);
    }
    assert!(refusals(&reg, "head-too-large").await >= 1);
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let reg = reg_with(|it| it.head_timeout = SHORT).await;
    for start in [
        &b""[..],
        b"GET /v2/ HTTP/1.1\r\nhost:",
        b"PRI * HTTP/2.0\r\n",
    ] {
        let mut stream = connect(&reg).await;
        stream.write_all(start).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    // A second request's head has as long as the first one's.
    let mut stream = connect(&reg).await;
    let whole = b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(whole).await.unwrap();
    assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    stream.write_all(b"GET /v2/").await.unwrap();
    assert_eq!(rest(&mut stream).await, b"");
    assert_eq!(refusals(&reg, "head-too-slow").await, 4);
}

/// Byte after byte, so that it is never silent.
#[tokio::test]
async fn a_head_that_trickles_ends_the_connection() {
    let reg = reg_with(|it| it.head_timeout = SHORT).await;
    let (mut reads, mut writes) = connect(&reg).await.into_split();
    let trickling = async {
        let head = b"GET /v2/ HTTP/1.1\r\nx: "
            .iter()
            .chain(std::iter::repeat(&b'y'));
        for byte in head {
            if writes.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut raw = Vec::new();
    tokio::select! {
        _ = reads.read_to_end(&mut raw) => {}
        () = trickling => {}
    }
    assert_eq!(raw, b"");
    assert_eq!(refusals(&reg, "head-too-slow").await, 1);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let reg = reg_with(|it| it.keep_alive = SHORT).await;
    let mut stream = connect(&reg).await;
    for _ in 0..3 {
        stream
            .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    }
    assert_eq!(rest(&mut stream).await, b"");
    assert_eq!(refusals(&reg, "head-too-slow").await, 0);
}

#[tokio::test]
async fn an_answer_that_is_not_read_ends_the_connection() {
    let reg = reg_with(|it| it.answer_idle = SHORT).await;
    let blob = vec![7; 64 << 20];
    let digest = reg.push("app", &blob).await;
    let mut stream = connect(&reg).await;
    let ask = format!("GET /v2/app/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    while refusals(&reg, "answer-unread").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What the system had taken in is there, and no more.
    assert!(rest(&mut stream).await.len() < blob.len());
    let entries = reg.server.log().entries();
    let cut = entries.iter().find(|it| it.endpoint == Endpoint::BlobGet);
    assert!(cut.unwrap().cut);
}

/// An index of this many bytes.
fn index(length: usize) -> Vec<u8> {
    let start = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"x":""#
    );
    let mut index = start.into_bytes();
    let letters = (0_u8..26).map(|it| b'a' + it).cycle();
    index.extend(letters.take(length - index.len() - 3));
    index.extend(b"\"}}");
    index
}

/// Also where each answer was in memory whole before it began to leave.
#[tokio::test]
async fn short_answers_that_are_not_read_end_the_connection_too() {
    let reg = reg_with(|it| it.answer_idle = SHORT).await;
    let long = index(100_000);
    let put = reg.put_manifest("/v2/app/manifests/1", INDEX, &long).await;
    assert_eq!(put.status, 201);
    let mut stream = connect(&reg).await;
    let ask = "GET /v2/app/manifests/1 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    stream.write_all(ask.as_bytes()).await.unwrap();
    while refusals(&reg, "answer-unread").await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(rest(&mut stream).await.len() < 50_000_000);
}

/// On HTTP/2 the client's window is what it reads; pings do not make up for it.
#[tokio::test]
async fn a_stream_whose_window_stays_shut_ends_the_connection() {
    let reg = reg_with(|it| it.answer_idle = SHORT).await;
    let long = index(100_000);
    let put = reg.put_manifest("/v2/app/manifests/1", INDEX, &long).await;
    assert_eq!(put.status, 201);
    for pings in [false, true] {
        let (mut reads, mut writes) = connect(&reg).await.into_split();
        let mut start = PREFACE.to_vec();
        // SETTINGS_INITIAL_WINDOW_SIZE is 0, or 1 so that all of the answer is handed on.
        start.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, u8::from(pings)]));
        start.extend(frame(1, 0x5, 1, &get("/v2/app/manifests/1")));
        writes.write_all(&start).await.unwrap();
        let pinging = async {
            while pings && writes.write_all(&frame(6, 0, 0, &[0; 8])).await.is_ok() {
                tokio::time::sleep(SHORT / 4).await;
            }
            std::future::pending::<()>().await;
        };
        let mut raw = Vec::new();
        tokio::select! {
            _ = reads.read_to_end(&mut raw) => {}
            () = pinging => {}
        }
        assert!(raw.len() < 50_000);
    }
    assert_eq!(refusals(&reg, "answer-unread").await, 2);
}

/// Pieces come often enough never to be silent; time is the client's only as it waits.
#[tokio::test]
async fn a_body_that_trickles_is_refused_and_its_prefix_kept() {
    let reg = reg_with(|it| it.body_floor = 1000).await;
    let location = reg.open("app").await;
    let (mut reads, mut writes) = reg
        .ask("PATCH", &location)
        .body(&vec![b'x'; 100_000])
        .begin(0)
        .await
        .into_split();
    tokio::time::pause();
    let trickling = async {
        loop {
            if writes.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let mut raw = Vec::new();
    tokio::select! {
        _ = reads.read_to_end(&mut raw) => {}
        () = trickling => {}
    }
    // From here on nothing may pass while bytes are on their way.
    tokio::time::resume();
    let reply = Reply::parse(&raw, false).unwrap();
    assert_eq!(reply.status, 408, "{reply:?}");
    let message = reply.json()["errors"][0]["message"].clone();
    assert_eq!(message, "the body comes too slowly");
    let range = reg.get(&location).await.header("range").to_owned();
    let last: u64 = range.strip_prefix("0-").unwrap().parse().unwrap();
    assert!((10..100).contains(&last), "{range}");
    assert_eq!(refusals(&reg, "body-too-slow").await, 1);
}

/// Nothing of it is read where its length is known; and no more than the limit where it is not.
#[tokio::test]
async fn a_manifest_over_4_mib_is_refused_unread() {
    let reg = TestReg::new().await;
    let mut stream = reg
        .ask("PUT", "/v2/app/manifests/1")
        .header("content-type", MANIFEST)
        .body(&vec![b' '; (4 << 20) + 1])
        .begin(0)
        .await;
    let mut raw = vec![0; 4096];
    let length = stream.read(&mut raw).await.unwrap();
    assert_eq!(Reply::parse(&raw[..length], false).unwrap().status, 413);
    assert_eq!(reg.server.log().body_bytes(), 0);

    let ask = reg.ask("PUT", "/v2/app/manifests/1").chunked();
    let reply = ask.body(&vec![b' '; 6 << 20]).send().await;
    assert_eq!(
        (reply.status, reply.codes()),
        (413, vec!["SIZE_INVALID".into()])
    );
    let read = reg.server.log().body_bytes();
    assert!((4 << 20..5 << 20).contains(&read), "{read}");
    assert_eq!(refusals(&reg, "body-too-large").await, 2);
}

#[tokio::test]
async fn lists_are_no_longer_than_their_limit_whatever_is_asked_for() {
    let reg = TestReg::new().await;
    let manifest = reg.push_image("app", "first").await;
    for page in 0..158 {
        let tags: Vec<String> = (0..64)
            .map(|it| format!("tag=t{page:03}-{it:02}"))
            .collect();
        let tags = tags.join("&");
        let target = format!("/v2/app/manifests/{}?{tags}", Digest::of(&manifest));
        let reply = reg.put_manifest(target, MANIFEST, &manifest).await;
        assert_eq!(reply.status, 201, "{reply:?}");
    }
    for n in ["", "?n=10001", "?n=99999999999"] {
        let reply = reg.get(format!("/v2/app/tags/list{n}")).await;
        assert_eq!(reply.json()["tags"].as_array().unwrap().len(), 10_000);
        let link = reply.header("link");
        assert!(link.contains("n=10000&last="), "{link}");
    }
    assert_eq!(reg.get("/v2/app/tags/list?n=-1").await.status, 400);
    let catalog = reg.get("/v2/_catalog?n=99999999999").await;
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["app"]));
}

#[tokio::test]
async fn sessions_over_the_limit_are_refused_and_old_ones_end() {
    let reg = reg_with(|it| {
        it.sessions = 2;
        it.session_idle = SHORT;
    })
    .await;
    reg.open("app").await;
    reg.open("app").await;
    let refused = reg.ask("POST", "/v2/app/blobs/uploads/").send().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.codes(), ["TOOMANYREQUESTS"]);
    refused.header("retry-after");
    // They make room by themselves.
    while reg
        .ask("POST", "/v2/app/blobs/uploads/")
        .send()
        .await
        .status
        != 202
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_and_those_of_one_client_are_closed() {
    let reg = reg_with(|it| it.connections = 2).await;
    let held = [connect(&reg).await, connect(&reg).await];
    let mut third = connect(&reg).await;
    third
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let waits = tokio::time::timeout(SHORT, third.read(&mut [0])).await;
    assert!(waits.is_err(), "{waits:?}");
    drop(held);
    let raw = rest(&mut third).await;
    assert_eq!(Reply::parse(&raw, false).unwrap().status, 200);

    let reg = reg_with(|it| it.connections_per_client = 2).await;
    let held = [connect(&reg).await, connect(&reg).await];
    let mut third = connect(&reg).await;
    assert_eq!(rest(&mut third).await, b"");
    drop(held);
    while reg.ask("GET", "/v2/").try_send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refusals(&reg, "connections-of-client").await >= 1);
}

/// The request's body will not come, and nobody reads it: what ends the wait is the client's end.
#[tokio::test]
async fn a_client_that_leaves_ends_what_waits_for_it() {
    let reg = TestReg::new().await;
    let location = reg.open("app").await;
    let stream = reg.ask("PATCH", &location).body(&[0; 100]).begin(10).await;
    while reg.server.log().body_bytes() < 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stream);
    loop {
        let entries = reg.server.log().entries();
        let patch = entries
            .iter()
            .find(|it| it.endpoint == Endpoint::UploadPatch);
        if patch.unwrap().outcome == Outcome::Gone {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(reg.get(&location).await.header("range"), "0-9");
}

/// Large ones may take all the room there is for them; others need none.
#[tokio::test]
async fn manifests_that_come_slowly_hold_up_no_others() {
    let reg = TestReg::new().await;
    let large = vec![b' '; 4 * 1024 * 1024];
    let mut slow = Vec::new();
    for _ in 0..70 {
        let put = reg.ask("PUT", "/v2/app/manifests/large").body(&large);
        slow.push(put.begin(70_000).await);
    }
    while reg.server.log().body_bytes() < 64 * 65_536 {
        tokio::task::yield_now().await;
    }
    reg.push_image("app", "small").await;
    let under_way = |it: &longshore_server::Entry| it.outcome == Outcome::Open;
    let entries = reg.server.log().entries();
    assert_eq!(entries.iter().filter(|it| under_way(it)).count(), 70);
}

/// One that is long leaves in pieces that are read again, whatever it is kept in.
#[tokio::test]
async fn a_long_manifest_is_the_same_as_a_short_one() {
    for reg in TestReg::each().await {
        for length in [131_071, 131_072, 131_073, 400_000, 4 * 1024 * 1024] {
            let index = index(length);
            assert_eq!(index.len(), length);
            let put = reg.put_manifest("/v2/app/manifests/1", INDEX, &index).await;
            assert_eq!(put.status, 201);
            let got = reg.get("/v2/app/manifests/1").await;
            assert_eq!(got.status, 200);
            assert_eq!(got.header("content-length"), length.to_string());
            assert_eq!(got.header("content-type"), INDEX);
            assert!(got.body == index, "{length}");
            let head = reg.head("/v2/app/manifests/1").await;
            assert_eq!(head.header("content-length"), length.to_string());
            let entry = reg.server.log().entries().pop().unwrap();
            assert_eq!(entry.answer_length, 0);
        }
    }
}

/// Requests that are under way are counted over all connections, twice as many as there may be of
/// those; one more is told when to come again at once, and served then.
#[tokio::test]
async fn requests_over_the_limit_are_refused_and_told_when_to_come_again() {
    let reg = reg_with(|it| it.connections = 3).await;
    let mut held = connect(&reg).await;
    let mut start = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for number in 0..6 {
        // Bodies that do not come.
        let opening = post(
            "/v2/app/blobs/uploads/?digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        );
        start.extend(frame(HEADERS, END_HEADERS, 1 + 2 * number, &opening));
    }
    held.write_all(&start).await.unwrap();
    while reg.server.log().requests() < 6 {
        tokio::task::yield_now().await;
    }
    let refused = reg.get("/v2/").await;
    assert_eq!(
        (refused.status, refused.codes()),
        (429, vec!["TOOMANYREQUESTS".into()])
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(
        reg.server.log().entries()[..6]
            .iter()
            .filter(|it| it.outcome == Outcome::Open)
            .count(),
        6
    );
    // One of the six ends.
    held.write_all(&frame(DATA, END_STREAM, 1, b"{}"))
        .await
        .unwrap();
    while reg.get("/v2/").await.status != 200 {
        tokio::task::yield_now().await;
    }
    let blob = reg
        .head(format!("/v2/app/blobs/{}", Digest::of(b"{}")))
        .await;
    assert_eq!(blob.status, 200);
}

/// However many are missing, no more are named than make an answer of a few hundred KiB.
#[tokio::test]
async fn of_the_children_that_are_missing_a_thousand_are_named() {
    for reg in TestReg::each().await {
        for (count, named) in [(1000, 1000), (1001, 1000), (3000, 1000)] {
            let missing: Vec<_> = (0..count)
                .map(|it| Digest::of(format!("missing {it}").as_bytes()))
                .collect();
            let layers: Vec<_> = missing.iter().map(|it| (it, 9)).collect();
            let config = reg.push("app", b"{}").await;
            let body = manifest(&config, 2, &layers);
            let reply = reg
                .put_manifest("/v2/app/manifests/1", MANIFEST, &body)
                .await;
            assert_eq!(reply.status, 400);
            let errors = reply.json()["errors"].clone();
            let errors = errors.as_array().unwrap();
            let details: Vec<_> = errors
                .iter()
                .map(|it| it["detail"].as_str().unwrap())
                .collect();
            let first: Vec<_> = missing
                .iter()
                .take(named)
                .map(ToString::to_string)
                .collect();
            assert_eq!(details, first);
            assert!(reply.body.len() < 512 * 1024, "{}", reply.body.len());
        }
        assert_eq!(reg.get("/v2/app/manifests/1").await.status, 404);
    }
}
