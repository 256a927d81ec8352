//! Clients that mean harm: floods of HTTP/2 frames, and bodies of HTTP/1.1 that lie about
//! their length. Each ends or is held up, and others are served meanwhile.

use std::time::Duration;

use longshore_server::{Limits, Outcome, Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::{
    client::{Reply, TestReg, with_digest},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE,
        RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, frames, get, goaway, patch, post,
    },
};

/// Soon enough for a test, and long enough for a machine that is busy.
const SHORT: Duration = Duration::from_secs(1);
/// What a reader has to have taken in before a flood is over; more than any window.
const FLOOD_BYTES: usize = 512 * 1024 * 1024;

async fn reg_with(change: impl FnOnce(&mut Limits)) -> TestReg {
    let mut limits = Limits::default();
    change(&mut limits);
    TestReg::with(Server::builder().limits(limits)).await
}

/// A connection on which HTTP/2 has begun.
async fn http2(reg: &TestReg) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let (reads, mut writes) = stream.into_split();
    let start = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    writes.write_all(&start).await.unwrap();
    (reads, writes)
}

/// Writes what `flood` gives for 1, 3, 5, … until the server has had enough; what it said.
async fn flooded(reg: &TestReg, flood: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Vec<u8> {
    let (mut reads, mut writes) = http2(reg).await;
    let flooding = tokio::spawn(async move {
        let mut written = 0;
        for number in (1..).step_by(2) {
            let piece = flood(number);
            if writes.write_all(&piece).await.is_err() {
                return;
            }
            written += piece.len();
            assert!(written < FLOOD_BYTES, "the flood goes on");
        }
    });
    let mut raw = Vec::new();
    // A reset is an end as well.
    let _ = reads.read_to_end(&mut raw).await;
    flooding.await.unwrap();
    raw
}

async fn is_calmed(reg: &TestReg, flood: impl Fn(u32) -> Vec<u8> + Send + 'static) {
    let raw = flooded(reg, flood).await;
    assert_eq!(goaway(&raw), Some(ENHANCE_YOUR_CALM), "{:?}", frames(&raw));
    assert_eq!(reg.get("/v2/").await.status, 200);
}

/// Streams opened and reset as fast as they can be written: at no moment are there more requests
/// under way than streams that a client may have.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_gain_a_client_nothing() {
    let reg = reg_with(|it| it.streams = 16).await;
    is_calmed(&reg, |stream| {
        let head = frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &get("/v2/app/tags/list"),
        );
        let cancel = 8_u32.to_be_bytes();
        [head, frame(RST_STREAM, 0, stream, &cancel)].concat()
    })
    .await;
    assert!(reg.server.log().peak_in_flight() <= 16);
}

/// The client has the registry reset them, by breaking the protocol on each.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_registry_is_made_to_reset_gain_a_client_nothing() {
    let reg = reg_with(|it| it.streams = 16).await;
    is_calmed(&reg, |stream| {
        let head = frame(
            HEADERS,
            END_HEADERS,
            stream,
            &post("/v2/app/blobs/uploads/"),
        );
        // A window over 2^31 - 1 is an error of the stream alone.
        let most = 0x7fff_ffff_u32.to_be_bytes();
        [head, frame(WINDOW_UPDATE, 0, stream, &most)].concat()
    })
    .await;
    assert!(reg.server.log().peak_in_flight() <= 16);
}

/// A head that never ends, in frames with a little, or with nothing at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_ends_the_connection() {
    let reg = TestReg::new().await;
    // A literal without indexing: a name of one byte, and a value of 100.
    let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    for more in [Vec::new(), field] {
        is_calmed(&reg, move |number| {
            if number == 1 {
                frame(HEADERS, 0, 1, &get("/v2/"))
            } else {
                frame(CONTINUATION, 0, 1, &more)
            }
        })
        .await;
    }
    assert_eq!(reg.server.log().requests(), 2, "only what is asked after");
}

/// Frames of a body that have nothing in them take no window.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_empty_frames_end_the_connection() {
    let reg = TestReg::new().await;
    is_calmed(&reg, |number| {
        if number == 1 {
            frame(HEADERS, END_HEADERS, 1, &post("/v2/app/blobs/uploads/"))
        } else {
            frame(DATA, 0, 1, &[])
        }
    })
    .await;
}

/// Whoever asks for answers and takes none is read no further: the system's buffers are full
/// and nothing is kept here. Then the connection is cut.
#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_that_are_not_read_hold_up_their_client_alone() {
    let reg = reg_with(|it| it.answer_idle = SHORT).await;
    for (kind, payload) in [(PING, &[7; 8][..]), (SETTINGS, &[])] {
        let (reads, mut writes) = http2(&reg).await;
        let many = frame(kind, 0, 0, payload).repeat(1000);
        let mut written = 0;
        while writes.write_all(&many).await.is_ok() {
            written += many.len();
            assert!(written < FLOOD_BYTES, "the flood goes on");
        }
        drop(reads);
        assert_eq!(reg.get("/v2/").await.status, 200);
    }
    let metrics = String::from_utf8(reg.get("/metrics").await.body).unwrap();
    let cut = "longshore_refusals_total{cause=\"answer-unread\"} 2\n";
    assert!(metrics.contains(cut), "{metrics}");
}

/// A client that reads the answers of its pings gets them, and nobody waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn pings_that_are_read_are_answered_while_others_are_served() {
    let reg = TestReg::new().await;
    let (mut reads, mut writes) = http2(&reg).await;
    let many = frame(PING, 0, 0, &[7; 8]).repeat(100);
    let flood = tokio::spawn(async move { while writes.write_all(&many).await.is_ok() {} });
    let taking = tokio::spawn(async move {
        let mut piece = vec![0; 64 * 1024];
        while reads.read(&mut piece).await.is_ok_and(|it| it > 0) {}
    });
    for number in 0..20 {
        reg.push("app", &[number; 1000]).await;
    }
    assert!(!flood.is_finished() && !taking.is_finished());
    flood.abort();
    taking.abort();
}

/// A client with streams that it does not read takes up its own places for requests, and a client
/// at another address finds its own.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn streams_without_a_window_take_up_the_places_of_their_client_alone() {
    let reg = reg_with(|it| {
        it.connections = 8;
        it.connections_per_client = 4;
    })
    .await;
    let (_reads, mut writes) = http2(&reg).await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0: no answer's body can leave.
    let mut all = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for number in 0..100 {
        let flags = END_HEADERS | END_STREAM;
        all.extend(frame(HEADERS, flags, 1 + 2 * number, &get("/v2/")));
    }
    writes.write_all(&all).await.unwrap();
    while reg.server.log().requests() < 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(reg.get("/v2/").await.status, 429);
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = elsewhere.connect(reg.server.addr()).await.unwrap();
    let ask = "GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    assert_eq!(Reply::parse(&raw, false).unwrap().status, 200);
}

/// What is no chunk: a length that is none or has no end, and data that does not end where it should.
const BAD_CHUNKS: [&[u8]; 6] = [
    b"xyz\r\nabc\r\n",
    b"-3\r\nabc\r\n",
    b"fffffffffffffffff\r\nabc\r\n",
    b"3\r\nabcdef\r\n",
    b"3\nabc\n",
    b"3;a\nb\r\nabc\r\n",
];

/// A session keeps what came in chunks that were whole, and goes on from there.
#[tokio::test]
async fn chunks_that_are_not_framed_are_refused_and_their_prefix_kept() {
    for reg in TestReg::each().await {
        for bad in BAD_CHUNKS {
            let location = reg.open("app").await;
            let patch = reg.ask("PATCH", &location).body(b"first").send().await;
            assert_eq!(patch.status, 202);
            let body = [b"6\r\nsecond\r\n", bad].concat();
            let reply = raw(
                &reg,
                "PATCH",
                &location,
                "transfer-encoding: chunked",
                &body,
            )
            .await;
            assert_eq!(
                (reply.status, reply.codes()),
                (400, vec!["BLOB_UPLOAD_INVALID".into()])
            );
            assert_eq!(reply.find("connection"), Some("close"));
            let range = reg.get(&location).await.header("range").to_owned();
            // Three bytes more where the data was whole and what follows is not.
            let kept = if range == "0-13" {
                "firstsecondabc"
            } else {
                "firstsecond"
            };
            assert_eq!(
                range,
                format!("0-{}", kept.len() - 1),
                "{}",
                bad.escape_ascii()
            );
            let digest = oci::Digest::of([kept, "last"].concat().as_bytes());
            let put = reg
                .ask("PUT", with_digest(&location, &digest))
                .body(b"last");
            assert_eq!(put.send().await.status, 201, "{}", bad.escape_ascii());
        }
        let gone = reg.server.log().entries();
        assert!(gone.iter().all(|it| it.outcome != Outcome::Gone));
    }
}

/// Two lengths are read one way here and another way by a proxy: what follows on the connection
/// is never taken for a request of its own
/// ([RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-6.3)).
#[tokio::test]
async fn a_request_is_never_hidden_in_anothers_body() {
    let reg = TestReg::new().await;
    let hidden = b"DELETE /v2/app/manifests/1 HTTP/1.1\r\nhost: x\r\n\r\n";
    let in_chunks = [&b"0\r\n\r\n"[..], hidden].concat();
    for (headers, body, status) in [
        // Chunks count, and the connection ends.
        (
            "content-length: 5\r\ntransfer-encoding: chunked",
            &in_chunks[..],
            202,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 52",
            &in_chunks,
            202,
        ),
        ("transfer-encoding: chunked, identity", &in_chunks, 400),
        (
            "transfer-encoding: identity, chunked, chunked",
            &in_chunks,
            400,
        ),
        ("transfer-encoding: xchunked", &in_chunks, 400),
        ("content-length: 0\r\ncontent-length: 52", hidden, 400),
        ("content-length: +0", hidden, 400),
        ("content-length: 0, 52", hidden, 400),
        ("content-length : 0", hidden, 400),
    ] {
        let reply = raw(&reg, "POST", "/v2/app/blobs/uploads/", headers, body).await;
        assert_eq!(reply.status, status, "{headers}: {reply:?}");
        let lines = reg.lines();
        assert!(
            lines.iter().all(|it| !it.starts_with("DELETE")),
            "{headers}: {lines:?}"
        );
    }
}

/// A request as it is written, and the first answer on its connection, with all that follows.
async fn raw(reg: &TestReg, method: &str, target: &str, headers: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(reg.server.addr()).await.unwrap();
    let head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut raw = Vec::new();
    let reading = tokio::time::timeout(Duration::from_mins(1), stream.read_to_end(&mut raw));
    let _ = reading.await.expect("the connection is closed");
    Reply::parse(&raw, false).unwrap_or_else(|| panic!("{headers}: {}", raw.escape_ascii()))
}

/// A client that gives up a request, or is gone, lets go of its upload session at once: whoever
/// comes next has it, with all that had arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_lets_go_of_its_session_at_once() {
    for reg in TestReg::each().await {
        // CANCEL, NO_ERROR, INTERNAL_ERROR; and a connection that ends instead.
        for reason in [Some(8_u32), Some(0), Some(2), None] {
            let location = reg.open("app").await;
            let (reads, mut writes) = http2(&reg).await;
            let mut begun = frame(HEADERS, END_HEADERS, 1, &patch(&location));
            begun.extend(frame(DATA, 0, 1, b"first"));
            writes.write_all(&begun).await.unwrap();
            let before = reg.server.log().body_bytes();
            while reg.server.log().body_bytes() < before.max(5) {
                tokio::task::yield_now().await;
            }
            match reason {
                Some(reason) => {
                    let reset = frame(RST_STREAM, 0, 1, &reason.to_be_bytes());
                    writes.write_all(&reset).await.unwrap();
                }
                None => drop((reads, writes)),
            }
            let next = reg.ask("PATCH", &location).body(b" second").send().await;
            assert_eq!(next.status, 202, "{reason:?}: {next:?}");
            assert_eq!(next.header("range"), "0-11", "{reason:?}");
            reg.server.log().clear();
        }
    }
}
