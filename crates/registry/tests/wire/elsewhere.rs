//! Foreign layers from their `urls`: who is asked, for what, and who never is.

use std::{io, net::IpAddr};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue};
use longshore_registry::{
    Client, CredentialStore, Credentials, Elsewhere, Resolver, WithElsewhere,
};
use oci::{Descriptor, MediaType, PushTarget as _, Source, SourceError, Tag};
use server::{Action, Answer, Endpoint, Rule, Server};

use crate::{
    fixture::{Blobs, Double, blob, quick, registry, repository, start, upload},
    set_up::SET_UP,
};

const SECRET: &str = "canary-elsewhere-77";

/// A registry that has not got the layer, a host that has, and a client with credentials for both.
struct Stage {
    near: Double,
    far: Double,
    client: Client,
    layer: Descriptor,
    content: Bytes,
}

impl Stage {
    /// With a layer that is at so many `urls`, all of them on the far host.
    async fn new(urls: usize) -> Self {
        let near = registry().await;
        let far = start(Server::builder().memory().keep_headers(true)).await;
        let (mut layer, content) = blob(7, 300_000);
        layer.media_type = MediaType::DOCKER_FOREIGN_LAYER;
        let base = format!("{}/v2/base/blobs/{}", far.url(), layer.digest);
        layer.urls = (1..=urls).map(|it| format!("{base}?n={it}")).collect();
        let mut headers = HeaderMap::new();
        headers.insert("x-own", HeaderValue::from_static(SECRET));
        let login = Credentials::password("alice", SECRET);
        let store = CredentialStore::default()
            .with(near.registry(), login.clone())
            .with(far.registry(), login);
        let client = quick().credentials(store).registry_headers(headers);
        let client = client.build().unwrap();
        let target = client.push_target(&repository(&far, "base"));
        let memory = Blobs::one(&layer, &content);
        target.upload_blob(upload(&layer, &memory)).await.unwrap();
        far.log().clear();
        Self {
            near,
            far,
            client,
            layer,
            content,
        }
    }

    /// The image's own registry, and the far host if that may be gone to.
    fn source(&self, elsewhere: Elsewhere) -> WithElsewhere {
        let at = repository(&self.near, "app").with_tag(Tag::latest());
        let own = self.client.source(&at, None);
        WithElsewhere::new(Box::new(own), &self.client, elsewhere)
    }

    fn trusting(&self) -> WithElsewhere {
        self.source(Elsewhere::new().trust(self.far.addr().to_string()))
    }

    fn on_url(&self, number: usize, action: Action) {
        let rule = Rule::on(Endpoint::BlobGet).query_contains(format!("n={number}"));
        self.far.faults().add(rule.act(action));
    }

    /// Which of the `urls` were asked for, in order.
    fn asked(&self) -> Vec<String> {
        let lines = self.far.log().lines().into_iter();
        let urls = lines.map(|it| {
            let (_, query) = it.split_once('?').unwrap_or_default();
            query.replace("n=", "")
        });
        urls.collect()
    }

    #[track_caller]
    fn assert_nobody_was_asked(&self, error: &SourceError, text: &str) {
        assert_eq!(self.far.log().requests(), 0);
        assert_eq!(self.far.log().connections(), 0);
        let told = told(error);
        assert!(told.contains(text), "{told}");
    }
}

fn told(error: &SourceError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

async fn read(source: &dyn Source, blob: &Descriptor, offset: u64) -> Result<Bytes, SourceError> {
    let pieces: Vec<Bytes> = source.open(blob, offset).await?.try_collect().await?;
    Ok(pieces.concat().into())
}

/// Not one byte of the first is given away; and what was fetched is not fetched again.
#[tokio::test]
async fn b4_the_first_url_whose_bytes_are_the_layers_gives_them_without_credentials() {
    let stage = Stage::new(3).await;
    stage.on_url(1, Action::WrongBodyByte(17));
    let source = stage.trusting();
    source.check_blob(&stage.layer).await.unwrap();
    let read_back = read(&source, &stage.layer, 0).await.unwrap();
    assert_eq!(read_back, stage.content);
    assert_eq!(stage.asked(), ["1 → 200", "2 → 200"]);
    let near = stage.near.log().lines();
    let is_about_it =
        |it: &String| it.contains(stage.layer.digest.encoded()) && it.ends_with("404");
    assert!(
        !near.is_empty() && near.iter().all(is_about_it),
        "{near:#?}"
    );
    let rest = read(&source, &stage.layer, 299_000).await.unwrap();
    assert_eq!(rest, stage.content.slice(299_000..));
    assert_eq!(stage.asked().len(), 2);
    assert!(!stage.far.log().saw_secret(SECRET));
    assert!(!stage.far.log().saw_secret("authorization"));
}

#[tokio::test]
async fn b4_a_sixth_url_is_never_contacted() {
    let stage = Stage::new(6).await;
    for number in 1..=5 {
        stage.on_url(number, Action::Answer(Answer::new(404)));
    }
    let error = read(&stage.trusting(), &stage.layer, 0).await.unwrap_err();
    let asked: Vec<String> = (1..=5).map(|it| format!("{it} → 404")).collect();
    assert_eq!(stage.asked(), asked);
    let told = told(&error);
    assert!(told.contains("404") && told.contains("1 more"), "{told}");
}

/// A length is as good a reason as a digest, and is known earlier.
#[tokio::test]
async fn b4_bytes_of_another_length_are_not_the_layer() {
    for body in ["short".to_owned(), "long".repeat(100_000)] {
        let stage = Stage::new(2).await;
        stage.on_url(1, Action::Answer(Answer::new(200).body(body)));
        let read_back = read(&stage.trusting(), &stage.layer, 0).await.unwrap();
        assert_eq!(read_back, stage.content);
    }
}

/// It goes on where it stopped.
#[tokio::test]
async fn b4_a_fetch_that_breaks_is_gone_on_with() {
    let stage = Stage::new(1).await;
    let rule = Rule::on(Endpoint::BlobGet).nth(1);
    let broken = rule.act(Action::TruncateAnswer(150_000));
    stage.far.faults().add(broken);
    let read_back = read(&stage.trusting(), &stage.layer, 0).await.unwrap();
    assert_eq!(read_back, stage.content);
    assert_eq!(stage.asked().len(), 2);
    assert_eq!(stage.asked()[1], "1 → 206");
}

/// What the user did not name: no plain http, no private address, whatever a URL or a redirect says.
#[tokio::test]
async fn b4_only_https_and_public_addresses_are_gone_to_but_for_named_hosts() {
    let mut stage = Stage::new(1).await;
    let port = stage.far.addr().port();
    stage.layer.urls = vec![format!("http://127.0.0.1:{port}/layer")];
    let error = read(&stage.source(Elsewhere::new()), &stage.layer, 0).await;
    stage.assert_nobody_was_asked(&error.unwrap_err(), "not one of https");

    for url in [
        format!("https://127.0.0.1:{port}/layer"),
        format!("https://[::1]:{port}/layer"),
        format!("https://localhost:{port}/layer"),
        format!("https://[::ffff:127.0.0.1]:{port}/layer"),
    ] {
        stage.layer.urls = vec![url];
        let error = read(&stage.source(Elsewhere::new()), &stage.layer, 0).await;
        stage.assert_nobody_was_asked(&error.unwrap_err(), "private");
    }
    for url in [
        format!("ftp://127.0.0.1:{port}/layer"),
        format!("{}://user:{SECRET}@127.0.0.1:{port}/layer", SET_UP.scheme()),
        "nonsense".to_owned(),
    ] {
        stage.layer.urls = vec![url];
        let error = read(&stage.trusting(), &stage.layer, 0).await.unwrap_err();
        stage.assert_nobody_was_asked(&error, "");
        assert!(!told(&error).contains(SECRET));
    }
}

/// A named host leads to no other one.
#[tokio::test]
async fn b4_a_redirect_leads_nowhere_that_a_url_would_not() {
    for to in ["http://localhost", "https://localhost", "https://10.1.2.3"] {
        let stage = Stage::new(1).await;
        let other = registry().await;
        let to = if to.contains("localhost") {
            format!("{to}:{}/layer", other.addr().port())
        } else {
            format!("{to}/layer")
        };
        stage.on_url(1, Action::Answer(Answer::redirect(307, to)));
        let error = read(&stage.trusting(), &stage.layer, 0).await.unwrap_err();
        assert_eq!(other.log().connections(), 0, "{}", told(&error));
        assert_eq!(stage.asked(), ["1 → 307"]);
    }
}

/// Names that stand for private addresses.
#[derive(Debug)]
struct Inside;

#[async_trait]
impl Resolver for Inside {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![[127, 0, 0, 1].into(), [10, 0, 0, 1].into()])
    }
}

#[tokio::test]
async fn b4_a_name_that_stands_for_a_private_address_is_not_connected_to() {
    let mut stage = Stage::new(1).await;
    let port = stage.far.addr().port();
    stage.layer.urls = vec![format!("https://layers.example:{port}/layer")];
    stage.client = quick().resolver(Inside).build().unwrap();
    let error = read(&stage.source(Elsewhere::new()), &stage.layer, 0).await;
    stage.assert_nobody_was_asked(&error.unwrap_err(), "private");
}

/// `urls` of an ordinary layer mean nothing, and a source that has the layer is not passed by.
#[tokio::test]
async fn b4_urls_are_for_foreign_layers_that_the_source_has_not_got() {
    let mut stage = Stage::new(1).await;
    stage.layer.media_type = MediaType::OCI_LAYER_GZIP;
    let error = read(&stage.trusting(), &stage.layer, 0).await.unwrap_err();
    assert!(matches!(error, SourceError::Missing { .. }), "{error:?}");
    assert_eq!(stage.far.log().requests(), 0);

    stage.layer.media_type = MediaType::DOCKER_FOREIGN_LAYER;
    let target = stage.client.push_target(&repository(&stage.near, "app"));
    let memory = Blobs::one(&stage.layer, &stage.content);
    let sent = target.upload_blob(upload(&stage.layer, &memory)).await;
    sent.unwrap();
    let read_back = read(&stage.trusting(), &stage.layer, 0).await.unwrap();
    assert_eq!(read_back, stage.content);
    assert_eq!(stage.far.log().requests(), 0);
}
