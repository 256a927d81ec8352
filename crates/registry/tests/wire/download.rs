//! Files from URLs: what comes, what is said of what does not, and who is never asked.

use std::io;

use http::{HeaderMap, HeaderValue};
use longshore_registry::{Client, CredentialStore, Credentials, DownloadError, Elsewhere};
use oci::PushTarget as _;
use server::{Action, Answer, Endpoint, Rule, Server};

use crate::fixture::{Blobs, Double, blob, quick, repository, start, upload};

const SECRET: &str = "canary-download-31";
const LIMIT: u64 = 1 << 20;

/// A host that has a file, and a client with credentials for it.
struct Stage {
    host: Double,
    client: Client,
    url: String,
    content: bytes::Bytes,
}

impl Stage {
    async fn new() -> Self {
        let host = start(Server::builder().memory().keep_headers(true)).await;
        let (layer, content) = blob(3, 300_000);
        let mut headers = HeaderMap::new();
        headers.insert("x-own", HeaderValue::from_static(SECRET));
        let login = Credentials::password("alice", SECRET);
        let store = CredentialStore::default().with(host.registry(), login);
        let client = quick().credentials(store).registry_headers(headers);
        let client = client.build().unwrap();
        let target = client.push_target(&repository(&host, "files"));
        let memory = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &memory)).await.unwrap();
        host.log().clear();
        let url = format!("{}/v2/files/blobs/{}", host.url(), layer.digest);
        Self {
            host,
            client,
            url,
            content,
        }
    }

    fn on_get(&self, action: Action) {
        let rule = Rule::on(Endpoint::BlobGet).nth(1);
        self.host.faults().add(rule.act(action));
    }

    async fn download(&self, limit: u64) -> (Result<u64, DownloadError>, Vec<u8>) {
        let elsewhere = Elsewhere::new().trust(self.host.addr().to_string());
        let mut bytes = Vec::new();
        let done = elsewhere.download(&self.client, &self.url, limit, &mut bytes);
        (done.await, bytes)
    }

    /// The statuses that were answered, in order.
    fn answers(&self) -> Vec<String> {
        let lines = self.host.log().lines().into_iter();
        let status = lines.map(|it| it.rsplit(' ').next().unwrap_or_default().to_owned());
        status.collect()
    }
}

#[tokio::test]
async fn b8_a_download_has_the_urls_bytes_and_no_credentials() {
    let stage = Stage::new().await;
    let (done, bytes) = stage.download(LIMIT).await;
    assert_eq!(done.unwrap(), 300_000);
    assert_eq!(bytes, stage.content);
    assert_eq!(stage.answers(), ["200"]);
    assert!(!stage.host.log().saw_secret(SECRET));
    assert!(!stage.host.log().saw_secret("authorization"));
}

#[tokio::test]
async fn b8_a_download_that_breaks_is_gone_on_with() {
    let stage = Stage::new().await;
    stage.on_get(Action::TruncateAnswer(150_000));
    let (done, bytes) = stage.download(LIMIT).await;
    assert_eq!(done.unwrap(), 300_000);
    assert_eq!(bytes, stage.content);
    assert_eq!(stage.answers().last().unwrap(), "206");
    assert_eq!(stage.answers().len(), 2);
}

#[tokio::test]
async fn b8_an_answer_of_404_is_told_and_not_asked_for_again() {
    let stage = Stage::new().await;
    stage.on_get(Action::Answer(Answer::new(404)));
    let (done, bytes) = stage.download(LIMIT).await;
    assert!(matches!(done, Err(DownloadError::Status(404))), "{done:?}");
    assert_eq!(bytes, b"");
    assert_eq!(stage.answers(), ["404"]);
}

#[tokio::test]
async fn b8_more_than_was_wanted_is_not_kept() {
    let stage = Stage::new().await;
    let (done, bytes) = stage.download(100_000).await;
    assert!(
        matches!(done, Err(DownloadError::TooLong(100_000))),
        "{done:?}"
    );
    assert!(bytes.len() <= 100_000);
    assert_eq!(stage.host.log().requests(), 1);
}

/// Nobody trusted the host: no plain http, no private address.
#[tokio::test]
async fn b8_only_https_and_public_addresses_are_downloaded_from() {
    let mut stage = Stage::new().await;
    let port = stage.host.addr().port();
    for (url, expected) in [
        (format!("http://127.0.0.1:{port}/file"), "not one of https"),
        (format!("https://127.0.0.1:{port}/file"), "private"),
        (format!("https://localhost:{port}/file"), "private"),
        ("file:///etc/passwd".to_owned(), ""),
    ] {
        stage.url = url;
        let mut to = io::sink();
        let nobody = Elsewhere::new();
        let done = nobody.download(&stage.client, &stage.url, LIMIT, &mut to);
        let error = done.await.unwrap_err();
        let mut text = String::new();
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(it) = next {
            text = format!("{text}: {it}");
            next = it.source();
        }
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(stage.host.log().connections(), 0);
}
