use std::time::{Duration, Instant};

use super::*;

/// An entry that was under way from one millisecond to another.
fn entry(began: Instant, from: u64, to: Option<u64>) -> Entry {
    let request = Request::get("/v2/").body(()).unwrap();
    let mut entry = Entry::begin(0, &request, Endpoint::Ping, 0);
    entry.started = began + Duration::from_millis(from);
    entry.ended = to.map(|to| began + Duration::from_millis(to));
    entry
}

fn depth_of(spans: &[(u64, Option<u64>)]) -> (usize, usize) {
    let began = Instant::now();
    let entries: Vec<Entry> = spans
        .iter()
        .map(|(from, to)| entry(began, *from, *to))
        .collect();
    (lines::depth(&entries), lines::peak_in_flight(&entries))
}

#[test]
fn depth_is_the_longest_chain_of_answers_waited_for() {
    let span = |from, to| (from, Some(to));
    assert_eq!(depth_of(&[]), (0, 0));
    assert_eq!(depth_of(&[span(0, 1)]), (1, 1));
    assert_eq!(depth_of(&[span(0, 5), span(1, 6), span(2, 7)]), (1, 3));
    assert_eq!(depth_of(&[span(0, 1), span(2, 3), span(4, 5)]), (3, 1));
    // One long request beside a chain of two, and one that stands on the shorter.
    assert_eq!(
        depth_of(&[span(0, 9), span(0, 1), span(2, 3), span(4, 5)]),
        (3, 2)
    );
    // A request that arrives as an answer leaves stands on it.
    assert_eq!(depth_of(&[span(0, 1), span(1, 2)]), (2, 1));
    // Nothing stands on what was never answered.
    assert_eq!(depth_of(&[(0, None), span(2, 3), (4, None)]), (2, 2));
}

#[test]
fn an_entry_ends_after_it_began_and_ends_once() {
    let log = RequestLog::new(DEFAULT_ENTRIES, true, None);
    let request = Request::get("/v2/").body(()).unwrap();
    let record = log.begin(&request, Endpoint::Ping, 0);
    assert_eq!(log.lines(), ["GET /v2/ → …"]);
    record.answered(axum::http::StatusCode::OK);
    record.end();
    let first = log.entries()[0].ended.unwrap();
    assert!(first > log.entries()[0].started);
    record.end();
    assert_eq!(log.entries()[0].ended, Some(first));
    assert_eq!(log.lines(), ["GET /v2/ → 200"]);
}

#[test]
fn lines_say_how_requests_ended_without_an_answer() {
    let log = RequestLog::new(DEFAULT_ENTRIES, true, None);
    for outcome in [Outcome::Reset, Outcome::Gone] {
        let request = Request::put("/v2/a/blobs/uploads/x?digest=y%3Az&_state=7");
        let request = request.body(()).unwrap();
        let record = log.begin(&request, Endpoint::UploadPut, 0);
        record.unanswered(outcome);
    }
    assert_eq!(
        log.lines(),
        [
            "PUT /v2/a/blobs/uploads/<1>?digest=y:z → reset",
            "PUT /v2/a/blobs/uploads/<1>?digest=y:z → gone",
        ]
    );
}

#[test]
fn raw_headers_have_an_end_and_then_everything_may_have_been_seen() {
    let mut kept = Kept::default();
    let piece = "x".repeat(MAX_RAW_BYTES / 4);
    for _ in 0..4 {
        kept.keep_raw(piece.clone());
    }
    assert!(!kept.raw_was_dropped);
    kept.keep_raw("one more".to_owned());
    assert!(kept.raw_was_dropped);
    assert!(kept.raw_bytes <= MAX_RAW_BYTES);
    assert_eq!(kept.raw.len(), 4);
}

/// The client that has the last byte must find the entry finished, so it ends before
/// that byte is handed on.
#[tokio::test]
async fn an_entry_ends_with_the_last_piece_of_its_answer() {
    use axum::{body::Body, response::Response};
    use http_body_util::BodyExt as _;

    let log = RequestLog::new(DEFAULT_ENTRIES, true, None);
    let request = Request::get("/v2/").body(()).unwrap();
    let record = log.begin(&request, Endpoint::BlobGet, 0);
    let pieces = ["one", "two"].map(|it| Ok::<_, std::io::Error>(bytes::Bytes::from(it)));
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let mut response = Response::new(body);
    crate::answer::set(&mut response, axum::http::header::CONTENT_LENGTH, 6);
    let mut body = record.follow(response).into_body();
    let ended = || log.entries()[0].ended.is_some();
    assert!(!ended());
    body.frame().await.unwrap().unwrap();
    assert!(!ended());
    body.frame().await.unwrap().unwrap();
    assert!(ended());
}
