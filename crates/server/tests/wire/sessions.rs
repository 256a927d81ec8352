//! Upload sessions: how many, for how long, and what is left of them.

use std::{fs, time::Duration};

use longshore_server::{Limits, Server};
use tempfile::TempDir;

use crate::client::TestReg;

const SHORT: Duration = Duration::from_millis(200);

async fn in_directory(directory: &TempDir, limits: Limits) -> TestReg {
    let builder = Server::builder().directory(directory.path());
    TestReg::with(builder.limits(limits)).await
}

fn uploads(directory: &TempDir) -> usize {
    fs::read_dir(directory.path().join("uploads"))
        .unwrap()
        .count()
}

/// However often it is asked for, and also where another process goes on with it.
#[tokio::test]
async fn a_session_ends_by_its_age() {
    let directory = TempDir::new().unwrap();
    let aged = Limits {
        session_age: SHORT,
        ..Limits::default()
    };
    let reg = in_directory(&directory, aged.clone()).await;
    let location = reg.open("app").await;
    while reg.get(&location).await.status == 204 {
        tokio::time::sleep(SHORT / 20).await;
    }
    assert_eq!(reg.get(&location).await.codes(), ["BLOB_UPLOAD_UNKNOWN"]);
    assert_eq!((reg.server.open_sessions(), uploads(&directory)), (0, 0));
    reg.server.shutdown().await;

    let reg = in_directory(&directory, Limits::default()).await;
    let location = reg.open("app").await;
    reg.server.shutdown().await;
    tokio::time::sleep(SHORT).await;
    let reg = in_directory(&directory, aged).await;
    assert_eq!(reg.get(&location).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_opened_at_once_are_no_more_than_the_limit() {
    let directory = TempDir::new().unwrap();
    let few = Limits {
        sessions: 3,
        ..Limits::default()
    };
    let reg = in_directory(&directory, few).await;
    let all = (0..40).map(|_| reg.ask("POST", "/v2/app/blobs/uploads/").send());
    let replies = futures_util::future::join_all(all).await;
    let opened = replies.iter().filter(|it| it.status == 202).count();
    assert_eq!((opened, reg.server.open_sessions()), (3, 3));
    assert!(replies.iter().all(|it| [202, 429].contains(&it.status)));
    assert_eq!(uploads(&directory), 3);
}

/// Without a length the end of the body is all that tells.
#[tokio::test]
async fn no_more_is_kept_than_content_range_says() {
    for reg in TestReg::each().await {
        let location = reg.open("app").await;
        let long = vec![b'x'; 300_000];
        for (body, status, range) in [
            (&b"abcdef"[..], 400, "0-3"),
            (b"efgh", 202, "0-7"),
            (&long, 400, "0-11"),
        ] {
            let first: u64 = reg.get(&location).await.header("range")[2..]
                .parse()
                .unwrap();
            let first = if first == 0 { 0 } else { first + 1 };
            let patch = reg.ask("PATCH", &location).body(body).chunked();
            let patch = patch.header("content-range", format!("{first}-{}", first + 3));
            let reply = patch.send().await;
            assert_eq!(reply.status, status, "{reply:?}");
            if status == 400 {
                assert_eq!(reply.codes(), ["BLOB_UPLOAD_INVALID"]);
            }
            assert_eq!(reg.get(&location).await.header("range"), range);
        }
    }
}

/// What it received is gone when the server is, also where somebody was still writing.
#[tokio::test]
async fn a_server_that_stops_waits_for_what_is_discarded() {
    let directory = TempDir::new().unwrap();
    let reg = in_directory(&directory, Limits::default()).await;
    let location = reg.open("app").await;
    let writing = reg.ask("PATCH", &location).body(&[0; 100]).begin(10).await;
    while reg.server.log().body_bytes() < 10 {
        tokio::time::sleep(SHORT / 40).await;
    }
    assert_eq!(reg.delete(&location).await.status, 204);
    assert_eq!(uploads(&directory), 1);
    drop(writing);
    reg.server.shutdown().await;
    assert_eq!(uploads(&directory), 0);
}
