//! The fewest requests, and the fewest that wait for one another: from the engine through the
//! client to a registry, whole conversations counted by its log.

use std::time::Duration;

use longshore::{
    oci::{Descriptor, Document, MediaType, Repository, Tag},
    push::{
        AskFirst, Destination, Engine, Options, Report,
        compose::{IndexBuilder, ManifestBuilder, MemorySource},
    },
    registry::{Client, CredentialStore, Credentials, MemoryProfiles, ProfileStore},
};
use server::{
    Action, Auth, Bearer, Endpoint, Rule, RunningServer, Server, UploadOptions, Validation,
};

mod at_stake;
mod refused;
mod validation;

const PASSWORD: &str = "canary-password";

/// An image in memory.
struct Image {
    source: MemorySource,
    root: Document,
    blobs: Vec<Descriptor>,
}

/// An image of so many layers of 10,000 bytes and more, and a config; another one for every name.
fn image(name: &str, layers: usize) -> Image {
    let layers = (0..layers).map(|layer| format!("{name} {layer} ").repeat(2000 + layer));
    image_of(name, layers)
}

/// One of three layers and a config that are so many bytes together.
fn sized(name: &str, bytes: u64) -> Image {
    let config = u64::try_from(format!("{{\"name\":\"{name}\"}}").len()).unwrap();
    let layers = bytes - config;
    let sizes = [layers / 2, layers / 4, layers - layers / 2 - layers / 4];
    let layer = |(layer, size): (usize, u64)| {
        let size = usize::try_from(size).unwrap();
        let mut text = format!("{name} {layer} ").repeat(size / 4 + 1);
        text.truncate(size);
        text
    };
    let image = image_of(name, sizes.into_iter().enumerate().map(layer));
    assert_eq!(image.bytes(), bytes);
    image
}

/// One that is worth a question: more than what is put at stake.
fn large(name: &str) -> Image {
    sized(name, AskFirst::STAKE + 1)
}

fn image_of(name: &str, layers: impl Iterator<Item = String>) -> Image {
    let mut source = MemorySource::new();
    let mut blobs = Vec::new();
    for content in layers {
        let (next, blob) = source.with_blob(MediaType::OCI_LAYER_GZIP, content);
        source = next;
        blobs.push(blob);
    }
    let text = format!("{{\"name\":\"{name}\"}}");
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, text);
    let builder = ManifestBuilder::new(config.clone());
    let builder = blobs.iter().cloned().fold(builder, ManifestBuilder::layer);
    let root = builder.build().unwrap();
    blobs.push(config);
    Image {
        source: source.with_root(root.clone()),
        root,
        blobs,
    }
}

impl Image {
    fn bytes(&self) -> u64 {
        self.blobs.iter().map(|it| it.size).sum()
    }

    /// The same layers with another config.
    fn with_config(&self, text: &'static str) -> Self {
        let (source, config) = self.source.clone().with_blob(MediaType::OCI_CONFIG, text);
        let (_, layers) = self.blobs.split_last().unwrap();
        let layers = layers.iter().cloned();
        let builder = layers.fold(ManifestBuilder::new(config.clone()), ManifestBuilder::layer);
        let root = builder.build().unwrap();
        let mut blobs = self.blobs.clone();
        *blobs.last_mut().unwrap() = config;
        Self {
            source: source.with_root(root.clone()),
            root,
            blobs,
        }
    }
}

/// A registry, and the state of whoever pushes to it: what is known of hosts.
struct Scene {
    server: RunningServer,
    profiles: MemoryProfiles,
}

/// A registry that wants tokens.
async fn tokens(single_post: bool) -> Scene {
    let uploads = UploadOptions {
        single_post,
        ..UploadOptions::default()
    };
    let auth = Auth::Bearer(Bearer::new().user("alice", PASSWORD));
    let builder = Server::builder().memory().uploads(uploads).auth(auth);
    let server = builder.start().await.unwrap();
    // Long enough for what is sent at once to be under way at once.
    let every = Rule::any().act(Action::Delay(Duration::from_millis(300)));
    server.faults().add(every);
    Scene::of(server).await
}

/// One that lets everybody in, and checks manifests so.
async fn open(validation: Validation) -> Scene {
    let builder = Server::builder().memory().validation(validation);
    Scene::of(builder.start().await.unwrap()).await
}

impl Scene {
    /// One that is known to find by a mount what is there.
    async fn of(server: RunningServer) -> Self {
        let profiles = MemoryProfiles::default();
        let scene = Self { server, profiles };
        scene.known("finds-by-mount", "true").await;
        scene
    }

    /// The same, and nothing is known of it.
    fn unknown(self) -> Self {
        let profiles = MemoryProfiles::default();
        Self { profiles, ..self }
    }

    fn client(&self) -> Client {
        let alice = Credentials::password("alice", PASSWORD);
        let store = CredentialStore::new().with(self.server.registry(), alice);
        let builder = Client::builder().credentials(store);
        builder.profiles(self.profiles.clone()).build().unwrap()
    }

    fn repository(&self, path: &str) -> Repository {
        self.server.registry().repository(path).unwrap()
    }

    /// Pushes, with a log of its own.
    async fn push(
        &self,
        (engine, client): (&Engine, &Client),
        image: &Image,
        (path, tag): (&str, &str),
    ) -> Report {
        self.server.log().clear();
        let target = client.push_target(&self.repository(path));
        let destination = Destination::tagged([tag.parse::<Tag>().unwrap()]);
        let pushing = engine.push(&image.source, &target, &destination, &());
        pushing.await.unwrap()
    }

    /// Requests, and how many of them one after another.
    fn cost(&self) -> (u64, usize) {
        (self.server.log().requests(), self.server.log().depth())
    }

    /// Request lines in the order of their text, without session ids and answers.
    fn said(&self) -> Vec<String> {
        let lines = self.server.log().lines().into_iter();
        let said = lines.map(|line| {
            let mut line = line.replace("%3A", ":").replace("%2F", "/");
            if let (Some(from), Some(to)) = (line.find('<'), line.find('>')) {
                line.replace_range(from..=to, "<>");
            }
            line
        });
        let mut said: Vec<String> = said.collect();
        said.sort();
        said
    }

    async fn known(&self, key: &str, value: &str) {
        let host = format!("http://{}", self.server.registry());
        let facts = vec![(key.to_owned(), value.to_owned())];
        self.profiles.keep(&host, facts).await;
    }
}

fn engine() -> Engine {
    Engine::new(Options::default())
}

fn asking(ask_first: AskFirst) -> Engine {
    Engine::new(Options {
        ask_first,
        ..Options::default()
    })
}

/// An engine that has pushed to the registry before.
async fn familiar(scene: &Scene) -> Engine {
    let engine = engine();
    let before = image("before", 1);
    scene
        .push((&engine, &scene.client()), &before, ("before", "1"))
        .await;
    engine
}

/// A blob in two requests: a question that opens its upload, and its bytes.
fn in_two(path: &str, blob: &Descriptor) -> [String; 2] {
    let digest = &blob.digest;
    let base = format!("/v2/{path}/blobs/uploads/");
    [
        format!("POST {base}?mount={digest}&from={path} → 202"),
        format!("PUT {base}<>?digest={digest} → 201"),
    ]
}

/// A blob in one.
fn in_one(path: &str, blob: &Descriptor, status: u16) -> String {
    let digest = &blob.digest;
    format!("POST /v2/{path}/blobs/uploads/?digest={digest} → {status}")
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// Where mounts tell, nothing is asked first: a config that is there has its image
/// asked for, and no more blobs are asked for than go at once.
#[tokio::test]
async fn p8_of_a_large_image_that_another_machine_pushed_no_more_is_asked_than_goes_at_once() {
    for (single_post, at_once) in [("false", 32), ("true", 32), ("false", 4)] {
        let scene = open(Validation::All).await;
        scene.known("single-post", single_post).await;
        let image = image("a", 200);
        scene
            .push((&engine(), &scene.client()), &image, ("app", "1"))
            .await;
        let engine = Engine::new(Options {
            concurrency: at_once.try_into().unwrap(),
            ..Options::default()
        });
        let client = scene.client();
        let before = self::image("before", 1);
        scene
            .push((&engine, &client), &before, ("before", "1"))
            .await;
        let report = scene.push((&engine, &client), &image, ("app", "1")).await;
        let mut said = scene.said();
        let root = image.root.digest();
        let head = format!("HEAD /v2/app/manifests/{root} → 200");
        let last = "PUT /v2/app/manifests/1 → 201".to_owned();
        assert_eq!(scene.server.log().lines().last(), Some(&last));
        assert!(said.contains(&head), "{said:#?}");
        said.retain(|it| *it != head && *it != last);
        let config = &image.blobs[200].digest;
        let found = |digest| format!("POST /v2/app/blobs/uploads/?mount={digest}&from=app → 201");
        assert!(said.contains(&found(config)), "{said:#?}");
        let all: Vec<String> = image.blobs.iter().map(|it| found(&it.digest)).collect();
        assert!(said.iter().all(|it| all.contains(it)), "{said:#?}");
        assert_eq!(said.len(), at_once);
        assert_eq!(scene.server.log().blob_bytes(), 0);
        let size: u64 = image.blobs.iter().map(|it| it.size).sum();
        assert_eq!((report.bytes.present, report.bytes.uploaded), (size, 0));
    }
}

/// Layers are shared by many images, and so say nothing of one: what has another config is new. A
/// config that two images share costs one question.
#[tokio::test]
async fn p8_a_config_that_is_there_is_a_sign_and_not_a_proof() {
    let scene = open(Validation::All).await;
    scene.known("single-post", "false").await;
    let there = image("a", 40);
    scene
        .push((&engine(), &scene.client()), &there, ("app", "1"))
        .await;
    for (same_config, questions) in [(false, 0), (true, 1)] {
        let text = "{\"changed\":true}";
        let (source, config) = there.source.clone().with_blob(MediaType::OCI_CONFIG, text);
        let content = format!("a layer more, {same_config}");
        let (source, layer) = source.with_blob(MediaType::OCI_LAYER, content);
        let config = if same_config {
            there.blobs[40].clone()
        } else {
            config
        };
        let builder = ManifestBuilder::new(config).layer(layer.clone());
        let layers = there.blobs[..40].iter().cloned();
        let root = layers
            .fold(builder, ManifestBuilder::layer)
            .build()
            .unwrap();
        let changed = Image {
            source: source.with_root(root.clone()),
            root,
            blobs: Vec::new(),
        };
        let report = scene
            .push((&engine(), &scene.client()), &changed, ("app", "2"))
            .await;
        let log = scene.server.log();
        assert_eq!(log.calls(Endpoint::ManifestHead), questions);
        assert_eq!(log.calls(Endpoint::Mount), 42);
        let sent = 1 + usize::from(!same_config);
        let requests = usize::try_from(log.requests()).unwrap();
        assert_eq!(requests, 42 + sent + questions + 1, "{:#?}", scene.said());
        assert_eq!(report.bytes.uploaded, log.blob_bytes());
    }
}

#[tokio::test]
async fn p8_a_challenge_that_is_remembered_leaves_the_token_and_a_token_leaves_nothing() {
    let scene = tokens(false).await;
    let first = scene.client();
    scene
        .push((&engine(), &first), &image("a", 3), ("team/app", "1"))
        .await;
    first.close(Duration::from_mins(1)).await;

    let (engine, client) = (engine(), scene.client());
    scene
        .push((&engine, &client), &image("b", 3), ("team/app", "2"))
        .await;
    assert_eq!(scene.cost(), (10, 4), "{:#?}", scene.said());
    assert_eq!(scene.server.log().calls(Endpoint::Token), 1);

    let third = image("c", 3);
    scene
        .push((&engine, &client), &third, ("team/app", "3"))
        .await;
    let (layers, config) = third.blobs.split_at(3);
    let layers = layers.iter();
    let mut expected: Vec<String> = layers.flat_map(|it| in_two("team/app", it)).collect();
    // The config finds out whether one request is enough: it opens a session like any other.
    expected.push(in_one("team/app", &config[0], 202));
    expected.push(in_two("team/app", &config[0])[1].clone());
    expected.push("PUT /v2/team/app/manifests/3 → 201".to_owned());
    assert_eq!(scene.said(), sorted(expected));
    assert_eq!(scene.cost(), (9, 3));
}

#[tokio::test]
async fn p8_where_one_request_takes_a_blob_a_first_push_is_five_two_deep() {
    let scene = tokens(true).await;
    let (engine, client) = (engine(), scene.client());
    scene
        .push((&engine, &client), &image("a", 3), ("team/app", "1"))
        .await;
    assert_eq!(scene.cost(), (11, 5), "{:#?}", scene.said());
    scene
        .push((&engine, &client), &image("b", 3), ("team/app", "2"))
        .await;
    assert_eq!(scene.cost(), (8, 3), "the config has shown that it works");
    let third = image("c", 3);
    let report = scene
        .push((&engine, &client), &third, ("team/new", "3"))
        .await;
    let tokens = scene.server.log().calls(Endpoint::Token);
    assert_eq!(tokens, 1, "for another repository");
    let mut expected: Vec<String> = third
        .blobs
        .iter()
        .map(|it| in_one("team/new", it, 201))
        .collect();
    expected.push("PUT /v2/team/new/manifests/3 → 201".to_owned());
    let mut said = scene.said();
    said.retain(|it| !it.starts_with("GET /token"));
    assert_eq!(said, sorted(expected));
    assert_eq!(scene.cost(), (5 + 1, 2 + 1));
    assert_eq!(report.bytes_sent(), scene.server.log().blob_bytes());
}

/// What could not be gone on with is not sent so: a large blob has its session.
#[tokio::test]
async fn p9_a_large_blob_is_not_sent_in_one_request() {
    let scene = open(Validation::All).await;
    scene.known("single-post", "true").await;
    let content = "x".repeat(256 * 1024 + 1);
    let (source, layer) = MemorySource::new().with_blob(MediaType::OCI_LAYER, content);
    let (source, small) = source.with_blob(MediaType::OCI_LAYER, "y".repeat(256 * 1024));
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, "{\"large\":1}");
    let builder = ManifestBuilder::new(config.clone()).layer(layer.clone());
    let root = builder.layer(small.clone()).build().unwrap();
    let image = Image {
        source: source.with_root(root.clone()),
        root,
        blobs: vec![layer.clone(), small.clone(), config.clone()],
    };
    let engine = familiar(&scene).await;
    scene
        .push((&engine, &scene.client()), &image, ("app", "1"))
        .await;
    let mut expected = in_two("app", &layer).to_vec();
    expected.push(in_one("app", &small, 201));
    expected.push(in_one("app", &config, 201));
    expected.push("PUT /v2/app/manifests/1 → 201".to_owned());
    assert_eq!(scene.said(), sorted(expected));
}

/// A registry that takes blobs so no longer costs the bytes of small ones, and is believed.
#[tokio::test]
async fn p9_a_registry_that_takes_no_blob_in_one_request_any_more_is_gone_on_with() {
    let scene = open(Validation::All).await;
    scene.known("single-post", "true").await;
    let refuse = Rule::on(Endpoint::UploadSingle).act(Action::RefuseSinglePost);
    let (engine, client) = (familiar(&scene).await, scene.client());
    scene.server.faults().add(refuse);
    let first = image("a", 3);
    let report = scene.push((&engine, &client), &first, ("app", "1")).await;
    assert_eq!(scene.cost().0, 2 * 4 + 1, "{:#?}", scene.said());
    let size: u64 = first.blobs.iter().map(|it| it.size).sum();
    assert_eq!(report.bytes.uploaded, size);
    scene
        .push((&engine, &client), &image("b", 3), ("app", "2"))
        .await;
    assert_eq!(scene.server.log().calls(Endpoint::UploadSingle), 0);
    assert_eq!(scene.cost().0, 9);
}

/// The answer is lost: whether the blob is there is asked before it goes again.
#[tokio::test]
async fn p10_a_blob_whose_single_request_has_no_answer_is_looked_for_first() {
    let scene = open(Validation::All).await;
    scene.known("single-post", "true").await;
    let reset = Rule::on(Endpoint::UploadSingle)
        .nth(1)
        .act(Action::ResetBeforeAnswer);
    let engine = familiar(&scene).await;
    scene.server.faults().add(reset);
    let image = image("a", 1);
    scene
        .push((&engine, &scene.client()), &image, ("app", "1"))
        .await;
    let size: u64 = image.blobs.iter().map(|it| it.size).sum();
    assert_eq!(scene.server.log().blob_bytes(), size, "{:#?}", scene.said());
    assert_eq!(scene.server.log().calls(Endpoint::BlobHead), 1);
    assert_eq!(scene.server.log().calls(Endpoint::UploadPut), 0);
}

#[tokio::test]
async fn p8_what_is_there_is_one_request_and_a_new_tag_two() {
    let scene = tokens(true).await;
    let (engine, client) = (engine(), scene.client());
    let image = image("a", 3);
    let with = (&engine, &client);
    scene.push(with, &image, ("team/app", "1")).await;
    scene.push(with, &image, ("team/app", "1")).await;
    assert_eq!(scene.said(), ["HEAD /v2/team/app/manifests/1 → 200"]);
    scene.push(with, &image, ("team/app", "2")).await;
    assert_eq!(
        scene.said(),
        [
            format!("HEAD /v2/team/app/manifests/{} → 200", image.root.digest()),
            "PUT /v2/team/app/manifests/2 → 201".to_owned(),
        ]
    );
    assert_eq!(scene.cost(), (2, 2));
}

/// Of an image elsewhere on the registry every blob is mounted at once: one question for its
/// manifest there, and five requests here.
#[tokio::test]
async fn p8_a_copy_within_a_registry_is_a_mount_a_blob_and_the_manifest() {
    let scene = tokens(true).await.unknown();
    let client = scene.client();
    let image = large("a");
    scene
        .push((&engine(), &client), &image, ("team/app", "1"))
        .await;
    scene.server.log().clear();
    let from = format!("{}/team/app:1", scene.server.registry());
    let source = client.source(&from.parse().unwrap(), None);
    let target = client.push_target(&scene.repository("team/copy"));
    let destination = Destination::tagged(["1".parse::<Tag>().unwrap()]);
    engine()
        .push(&source, &target, &destination, &())
        .await
        .unwrap();
    let mount = |it: &Descriptor| {
        let digest = &it.digest;
        format!("POST /v2/team/copy/blobs/uploads/?mount={digest}&from=team/app → 201")
    };
    let mut expected: Vec<String> = image.blobs.iter().map(mount).collect();
    expected.push("PUT /v2/team/copy/manifests/1 → 201".to_owned());
    expected.push("GET /v2/team/app/manifests/1 → 200".to_owned());
    let said = scene.said();
    let (tokens, said): (Vec<_>, Vec<_>) = said
        .into_iter()
        .partition(|it| it.starts_with("GET /token"));
    assert_eq!(said, sorted(expected));
    assert_eq!(
        tokens.len(),
        1,
        "one for all that the copy may do: {tokens:?}"
    );
    assert_eq!(scene.server.log().blob_bytes(), 0);
}

/// The question at the source goes first; then all mounts at once, and the manifest.
#[tokio::test]
async fn p8_a_copy_within_a_registry_is_two_deep_at_the_destination() {
    let scene = open(Validation::All).await.unknown();
    let (client, image) = (scene.client(), large("a"));
    scene
        .push((&engine(), &client), &image, ("team/app", "1"))
        .await;
    scene.server.log().clear();
    // Long enough for what is asked at once to be under way at once.
    let every = Rule::any().act(Action::Delay(Duration::from_millis(300)));
    scene.server.faults().add(every);
    let from = format!("{}/team/app:1", scene.server.registry());
    let source = client.source(&from.parse().unwrap(), None);
    let target = client.push_target(&scene.repository("team/copy"));
    let destination = Destination::tagged(["1".parse::<Tag>().unwrap()]);
    let pushing = engine().push(&source, &target, &destination, &()).await;
    pushing.unwrap();
    assert_eq!(scene.cost(), (1 + 5, 1 + 2), "{:#?}", scene.said());
    let log = scene.server.log();
    assert_eq!(log.lines()[0], "GET /v2/team/app/manifests/1 → 200");
    assert_eq!(log.peak_in_flight(), 4, "every blob at once");
}

#[tokio::test]
async fn p8_many_pushes_at_once_are_one_challenge_and_one_token() {
    let scene = tokens(false).await;
    let (engine, client) = (engine(), scene.client());
    let images: Vec<Image> = (0..16).map(|it| image(&format!("i{it}"), 2)).collect();
    let mut pushes = tokio::task::JoinSet::new();
    for (number, image) in images.into_iter().enumerate() {
        let (engine, target) = (
            engine.clone(),
            client.push_target(&scene.repository("team/app")),
        );
        pushes.spawn(async move {
            let tag: Tag = format!("t{number}").parse().unwrap();
            let destination = Destination::tagged([tag]);
            engine.push(&image.source, &target, &destination, &()).await
        });
    }
    for report in pushes.join_all().await {
        report.unwrap();
    }
    let refused = scene.said().into_iter().filter(|it| it.ends_with("→ 401"));
    assert_eq!(refused.count(), 1);
    assert_eq!(scene.server.log().calls(Endpoint::Token), 1);
}

/// Two hundred blobs: two requests each and one for the manifest.
#[tokio::test]
async fn p8_the_floor_holds_for_many_blobs() {
    let scene = open(Validation::All).await;
    scene.known("single-post", "false").await;
    let image = image("a", 200);
    scene
        .push((&engine(), &scene.client()), &image, ("app", "1"))
        .await;
    assert_eq!(scene.server.log().requests(), 403);
    let heads = scene.server.log().calls(Endpoint::BlobHead);
    assert_eq!(
        (heads, scene.server.log().calls(Endpoint::ManifestHead)),
        (0, 0)
    );
}

/// A manifest is there and a layer of it is not any more: that one goes again, and nothing else.
#[tokio::test]
async fn k12_what_an_interrupted_graph_lacks_is_pushed_again_once() {
    let scene = open(Validation::All).await;
    let (engine, client) = (engine(), scene.client());
    let image = image("a", 3);
    let with = (&engine, &client);
    scene.push(with, &image, ("app", "1")).await;
    scene.known("single-post", "false").await;
    let lost = image.blobs[1].clone();
    let path = format!("/v2/app/blobs/{}", lost.digest);
    raw(&scene.server, "DELETE", &path).await;
    let report = scene.push(with, &image, ("app", "2")).await;
    let root = image.root.digest();
    let said = scene.server.log().lines();
    let said: Vec<String> = said.iter().map(|it| it.replace("%3A", ":")).collect();
    assert_eq!(said[0], format!("HEAD /v2/app/manifests/{root} → 200"));
    assert_eq!(said[1], "PUT /v2/app/manifests/2 → 400");
    assert_eq!(said.last().unwrap(), "PUT /v2/app/manifests/2 → 201");
    assert!(
        said[2..said.len() - 1]
            .iter()
            .all(|it| it.contains("/blobs/uploads/"))
    );
    assert_eq!(scene.server.log().blob_bytes(), lost.size);
    assert_eq!(report.bytes.uploaded, lost.size);
}

/// A request by hand, for what no client of ours does.
pub(crate) async fn raw(server: &RunningServer, method: &str, path: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

/// Two images of an index share their layers: one question for each blob, whoever lists it, and
/// what was found in one push is asked anew in the next.
#[tokio::test]
async fn k9_a_blob_is_asked_for_once_in_a_push_and_anew_in_the_next() {
    let scene = open(Validation::All).await;
    scene.known("single-post", "false").await;
    let client = scene.client();
    let shared = image("shared", 3);
    let mut index = IndexBuilder::new();
    let mut source = shared.source.clone();
    for name in ["one", "two"] {
        let text = format!("{{\"name\":\"{name}\"}}");
        let (next, config) = source.with_blob(MediaType::OCI_CONFIG, text);
        let layers = shared.blobs[..3].iter().cloned();
        let builder = layers.fold(ManifestBuilder::new(config), ManifestBuilder::layer);
        let child = builder.build().unwrap();
        source = next.with_document(child.clone());
        index = index.manifest(&child, None);
    }
    let root = index.build().unwrap();
    let image = Image {
        source: source.with_root(root.clone()),
        root,
        blobs: Vec::new(),
    };
    let asked = || {
        let calls = |of| scene.server.log().calls(of);
        calls(Endpoint::Mount) + calls(Endpoint::BlobHead)
    };
    scene.push((&engine(), &client), &image, ("app", "1")).await;
    assert_eq!(asked(), 5, "{:#?}", scene.said());
    assert_eq!(scene.server.log().requests(), 5 * 2 + 3);
    // Another engine has seen nothing: what this repository held a while ago is asked for.
    scene.push((&engine(), &client), &image, ("app", "2")).await;
    assert_eq!(asked(), 5);
    assert_eq!(scene.server.log().requests(), 5 + 3);
}
