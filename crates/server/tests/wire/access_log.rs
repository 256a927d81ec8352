//! The access log: what it says of real requests, and that it never stands in their way.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use longshore_server::{AccessLog, AccessLogFormat, Auth, Server};
use serde_json::Value;

use crate::client::TestReg;

/// A sink that can be read.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// A sink in which the first write takes until the test ends.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test]
async fn every_request_is_one_line_without_a_secret() {
    let sink = Sink::default();
    let log = AccessLog::new(AccessLogFormat::Text, sink.clone()).unwrap();
    let auth = Auth::basic("ann\nadmin", "canary-password");
    let reg = TestReg::with(Server::builder().auth(auth).access_log(log)).await;
    let ask = |method, target: &str| {
        reg.ask(method, target)
            .header("authorization", basic("ann\nadmin", "canary-password"))
    };
    let location = ask("POST", "/v2/app/blobs/uploads/?_state=canary-state");
    let location = location.send().await.header("location").to_owned();
    let patch = ask("PATCH", &format!("{location}?token=canary-token"));
    assert_eq!(patch.body(b"12345").send().await.status, 202);
    assert_eq!(reg.get("/v2/?canary-key").await.status, 401);
    reg.server.shutdown().await;

    let lines = sink.lines();
    let without_time = |line: &String| {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields.len(), 9, "{line}");
        assert!(fields[0].starts_with("20") && fields[0].ends_with('Z'));
        assert!(fields[1].starts_with("127.0.0.1:"), "{line}");
        assert!(fields[8].parse::<f64>().unwrap() > 0.0);
        fields[2..8].join(" ")
    };
    assert_eq!(
        lines.iter().map(without_time).collect::<Vec<_>>(),
        [
            "ann\\u{a}admin POST /v2/app/blobs/uploads/?_state=[redacted] 202 0 0".to_owned(),
            format!("ann\\u{{a}}admin PATCH {location}?token=[redacted] 202 5 0"),
            format!("- GET /v2/?[redacted] 401 0 {}", unauthorized_bytes()),
        ]
    );
    assert!(!lines.concat().contains("canary"));
}

/// The length of the body of a 401.
fn unauthorized_bytes() -> usize {
    r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#.len()
}

#[tokio::test]
async fn lines_of_json_are_objects() {
    let sink = Sink::default();
    let log = AccessLog::new(AccessLogFormat::Json, sink.clone()).unwrap();
    let reg = TestReg::with(Server::builder().access_log(log)).await;
    let digest = reg.push("team/app", b"content").await;
    reg.get(format!("/v2/team/app/blobs/{digest}")).await;
    reg.server.shutdown().await;
    let objects: Vec<Value> = sink
        .lines()
        .iter()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let shown: Vec<String> = objects
        .iter()
        .map(|it| {
            format!(
                "{} {} {} {} in={} out={}",
                it["method"].as_str().unwrap(),
                it["endpoint"].as_str().unwrap(),
                it["status"],
                it["outcome"].as_str().unwrap(),
                it["bytes_in"],
                it["bytes_out"],
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "POST upload-post 202 answered in=0 out=0",
            "PUT upload-put 201 answered in=7 out=0",
            "GET blob-get 200 answered in=0 out=7",
        ]
    );
}

/// Nobody waits for a log: lines without room are dropped and counted, and the server stops
/// although the sink never comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_holds_up_nobody() {
    let (_held, hangs) = mpsc::channel();
    let log = AccessLog::new(AccessLogFormat::Text, Stuck(hangs)).unwrap();
    let reg = TestReg::with(Server::builder().access_log(log)).await;
    let requests = async {
        for _ in 0..1100 {
            assert_eq!(reg.get("/v2/").await.status, 200);
        }
        reg.get("/metrics").await
    };
    let metrics = tokio::time::timeout(Duration::from_mins(1), requests);
    let metrics = metrics.await.expect("requests that wait for nothing");
    let text = String::from_utf8(metrics.body).unwrap();
    let dropped = text
        .lines()
        .find_map(|it| it.strip_prefix("longshore_access_log_dropped_lines_total "))
        .unwrap();
    // One is being written, 1,024 wait.
    assert_eq!(dropped, "75");
    tokio::time::timeout(Duration::from_mins(1), reg.server.shutdown())
        .await
        .expect("a server that stops");
}
