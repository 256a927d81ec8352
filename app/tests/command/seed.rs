//! `seed`: base layers into a registry once, and what is pushed to it afterwards.

use std::{
    fs,
    path::{Path, PathBuf},
};

use longshore::push::source::sample::{self, SampleOptions};
use oci::{Descriptor, Document, MediaType, layout};
use serde_json::json;
use server::{Action, Auth, Endpoint, Rule, RunningServer, Server};

use crate::{
    longshore::{Run, run_beside},
    stage::{NOBODY, Stage, small},
};

/// Two registries: where the base is, and where images are pushed.
struct Two {
    stage: Stage,
    far: RunningServer,
}

/// An image, as it was written.
struct Written {
    path: PathBuf,
    document: Document,
}

impl Two {
    async fn new() -> Self {
        Self {
            stage: Stage::new().await,
            far: Server::builder().memory().start().await.unwrap(),
        }
    }

    /// Writes a sample image; those of one seed have their first layers in common.
    fn image(&self, name: &str, layers: usize, platforms: &[&str]) -> Written {
        let options = SampleOptions {
            layers,
            platforms: platforms.iter().map(|it| it.parse().unwrap()).collect(),
            ..small()
        };
        let path = self.stage.path(name);
        let root = sample::write_layout(&path, &options).unwrap();
        let bytes = fs::read(path.join(layout::blob_path(&root.digest))).unwrap();
        let document = Document::new(bytes.into(), Some(&root.media_type)).unwrap();
        Written { path, document }
    }

    /// Puts an image where bases are; its reference.
    async fn base(&self, image: &Written, more: &[&str]) -> String {
        let reference = format!("{}/os/base:1", self.far.registry());
        let args = [&["push", image.path.to_str().unwrap(), &reference], more].concat();
        self.run(&args).await.succeeded();
        reference
    }

    /// Runs the command; both logs then hold this run's requests only.
    async fn run(&self, args: &[&str]) -> Run {
        self.far.log().clear();
        self.stage.server.log().clear();
        run_beside(self.stage.home(), args.iter().copied()).await
    }

    async fn seed(&self, base: &str, more: &[&str]) -> Run {
        let to = self.stage.reference("bases");
        self.run(&[&["seed", base, "--to", &to], more].concat())
            .await
    }

    /// What went to the registry that is pushed to.
    fn sent(&self) -> u64 {
        self.stage.server.log().blob_bytes()
    }

    /// How often blobs were read from the registry of the base.
    fn read(&self) -> usize {
        self.far.log().calls(Endpoint::BlobGet)
    }
}

impl Written {
    fn layers(&self) -> &[Descriptor] {
        &self.document.as_manifest().unwrap().layers
    }
}

fn bytes(blobs: &[Descriptor]) -> u64 {
    blobs.iter().map(|it| it.size).sum()
}

/// The empty config of what holds the layers.
const EMPTY: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn p15_base_layers_are_streamed_once_and_an_image_on_that_base_sends_none_of_them() {
    let two = Two::new().await;
    let image = two.image("base", 3, &[]);
    let base = two.base(&image, &[]).await;
    let run = two.seed(&base, &["--json"]).await.succeeded();
    let seed = &run.json()["seeds"][0];
    assert_eq!(two.sent(), bytes(image.layers()) + EMPTY);
    assert_eq!(
        (
            two.read(),
            two.stage.server.log().calls(Endpoint::ManifestPut)
        ),
        (3, 1)
    );
    assert_eq!(two.far.log().requests(), 4, "{:#?}", two.far.log().lines());
    assert_eq!(seed["base"]["digest"], image.document.digest().to_string());
    assert_eq!(
        (&seed["base"]["layers"], &seed["base"]["images"]),
        (&json!(3), &json!(1))
    );
    let tag = seed["tags"][0].as_str().unwrap();
    assert!(tag.starts_with("os-base-1-"), "{run:#?}");

    // Nothing of it is on a disk here.
    assert!(!two.stage.path(".cache").exists());

    // To any repository, and nobody says where the layers are: that was remembered. What the first
    // of the two was sent, the second has mounted, too.
    let app = two.image("app", 4, &[]);
    let own = app.layers()[3].size + app.document.as_manifest().unwrap().config.size;
    for (repository, sent) in [("team/app", own), ("other/place", 0)] {
        let reference = two.stage.reference(&format!("{repository}:1"));
        two.run(&["push", app.path.to_str().unwrap(), &reference])
            .await
            .succeeded();
        assert_eq!(two.sent(), sent, "{repository}");
        let lines = two.stage.server.log().lines();
        for layer in image.layers() {
            let digest = layer.digest.encoded();
            let about: Vec<&String> = lines.iter().filter(|it| it.contains(digest)).collect();
            assert_eq!(about.len(), 1, "{lines:#?}");
            assert!(about[0].starts_with("POST ") && about[0].contains("&from="));
            assert!(about[0].ends_with("→ 201"), "{lines:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_seeding_again_reads_the_manifest_and_asks_one_question() {
    let two = Two::new().await;
    let base = two.base(&two.image("base", 3, &[]), &[]).await;
    two.seed(&base, &[]).await.succeeded();
    let run = two.seed(&base, &["--json"]).await.succeeded();
    let tag = run.json()["seeds"][0]["tags"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(two.far.log().lines(), ["GET /v2/os/base/manifests/1 → 200"]);
    assert_eq!(
        two.stage.server.log().lines(),
        [format!("HEAD /v2/bases/manifests/{tag} → 200")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_new_revision_of_the_base_moves_only_its_new_layers() {
    let two = Two::new().await;
    let base = two.base(&two.image("base", 3, &[]), &[]).await;
    let first = two.seed(&base, &["--json"]).await.succeeded();
    let revision = two.image("revision", 5, &[]);
    two.base(&revision, &[]).await;
    let second = two.seed(&base, &["--json"]).await.succeeded();
    assert_eq!(two.sent(), bytes(&revision.layers()[3..]));
    assert_eq!(two.read(), 2);
    let tags = |run: &Run| run.json()["seeds"][0]["tags"].clone();
    assert_eq!(tags(&first), tags(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_of_a_multi_platform_base_all_images_are_seeded_or_those_asked_for() {
    let two = Two::new().await;
    let platforms = ["linux/amd64", "linux/arm64", "linux/s390x"];
    let index = two.image("base", 2, &platforms);
    let base = two.base(&index, &[]).await;
    // Of each platform's two layers one is the same for all.
    let two_of_them = [
        "--platform",
        "linux/arm64",
        "--platform",
        "linux/s390x",
        "--json",
    ];
    let run = two.seed(&base, &two_of_them).await.succeeded();
    assert_eq!(two.read(), 3, "{:#?}", two.far.log().lines());
    assert_eq!(run.json()["seeds"][0]["base"]["images"], 2);
    two.seed(&base, &[]).await.succeeded();
    assert_eq!(two.read(), 1, "{:#?}", two.far.log().lines());
    let run = two.seed(&base, &["--platform", "windows/amd64"]).await;
    assert_eq!(run.code, Some(4), "{run:#?}");
    assert!(run.stderr.contains("linux/s390x"), "{run:#?}");
    assert_eq!(two.stage.server.log().requests(), 0);
}

/// An image of one ordinary and one foreign layer.
fn with_foreign_layer(two: &Two) -> (Written, Descriptor) {
    let image = two.image("base", 1, &[]);
    let mut manifest: serde_json::Value = serde_json::from_slice(image.document.bytes()).unwrap();
    let mut foreign = Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"foreign");
    foreign.urls = vec!["https://far.test/layer".to_owned()];
    fs::write(
        image.path.join(layout::blob_path(&foreign.digest)),
        "foreign",
    )
    .unwrap();
    manifest["layers"]
        .as_array_mut()
        .unwrap()
        .push(json!(foreign));
    let document = relisted(&image.path, &manifest);
    let path = image.path;
    (Written { path, document }, foreign)
}

/// Writes a manifest into a layout, as the one image there.
fn relisted(path: &Path, manifest: &serde_json::Value) -> Document {
    let manifest = manifest.to_string();
    let root = Descriptor::of(MediaType::OCI_MANIFEST, manifest.as_bytes());
    fs::write(path.join(layout::blob_path(&root.digest)), &manifest).unwrap();
    let index = json!({ "schemaVersion": 2, "manifests": [root] });
    fs::write(path.join(layout::INDEX), index.to_string()).unwrap();
    Document::new(manifest.into(), None).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_foreign_layers_are_pointed_at_or_uploaded_with_their_type_as_it_is() {
    let two = Two::new().await;
    let (image, foreign) = with_foreign_layer(&two);
    let base = two.base(&image, &["--foreign", "include"]).await;
    two.seed(&base, &[]).await.succeeded();
    assert_eq!(
        (two.read(), two.sent()),
        (1, image.layers()[0].size + EMPTY)
    );
    let named = |it: &String| it.contains(foreign.digest.encoded());
    assert!(!two.stage.server.log().lines().iter().any(named));

    let other = Two::new().await;
    let (image, foreign) = with_foreign_layer(&other);
    let base = other.base(&image, &["--foreign", "include"]).await;
    let run = other
        .seed(&base, &["--foreign", "include", "--json"])
        .await
        .succeeded();
    assert_eq!(other.sent(), bytes(image.layers()) + EMPTY);
    let blobs = run.json()["seeds"][0]["blobs"].to_string();
    assert!(blobs.contains(foreign.media_type.as_str()), "{blobs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_layer_that_is_altered_on_the_way_is_not_committed_and_nothing_is_held() {
    let two = Two::new().await;
    let image = two.image("base", 1, &[]);
    let base = two.base(&image, &[]).await;
    two.far
        .faults()
        .add(Rule::on(Endpoint::BlobGet).act(Action::WrongBodyByte(9)));
    let run = two.seed(&base, &[]).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert!(run.stderr.contains("is altered"), "{run:#?}");
    let log = two.stage.server.log();
    assert_eq!(log.calls(Endpoint::ManifestPut), 0);
    assert_eq!(two.stage.server.open_sessions(), 0, "{:#?}", log.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_on_the_bases_own_registry_nothing_is_streamed() {
    let two = Two::new().await;
    let image = two.image("base", 3, &[]);
    let base = two.stage.reference("os/base:1");
    two.run(&["push", image.path.to_str().unwrap(), &base])
        .await
        .succeeded();
    let run = two.seed(&base, &["--json"]).await.succeeded();
    assert_eq!(two.sent(), EMPTY);
    assert_eq!(two.stage.server.log().calls(Endpoint::BlobGet), 0);
    assert_eq!(
        run.json()["seeds"][0]["bytes"]["mounted"],
        bytes(image.layers())
    );

    let own = two.stage.reference("os/base");
    let run = two.run(&["seed", &base, "--to", &own]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("holds the base's layers already"),
        "{run:#?}"
    );
    assert_eq!(two.stage.server.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_plan_of_a_seed_reads_manifests_and_writes_nothing() {
    let two = Two::new().await;
    let image = two.image("base", 3, &[]);
    let base = two.base(&image, &[]).await;
    let run = two.seed(&base, &["--plan"]).await.succeeded();
    assert!(
        run.stdout.contains("os/base:1: 3 layers of 1 image\n"),
        "{run:#?}"
    );
    assert_eq!(two.read(), 0);
    let lines = two.stage.server.log().lines();
    assert!(lines.iter().all(|it| it.starts_with("HEAD ")), "{lines:#?}");
    let run = two.seed(&base, &["--max-upload-bytes", "1000"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    assert_eq!(two.sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_base_that_cannot_be_read_is_told_by_why() {
    let two = Two::new().await;
    let base = two.base(&two.image("base", 1, &[]), &[]).await;
    let absent = base.replace("base:1", "base:2");
    let tagged = two.stage.reference("bases:1");
    let closed = Server::builder()
        .memory()
        .auth(Auth::basic("user", "right"));
    let closed = closed.start().await.unwrap();
    let forbidden = format!("{}/os/base:1", closed.registry());
    let unreachable = format!("{NOBODY}/os/base:1");
    let cases = [
        (absent.as_str(), 4, "there is no image"),
        (&forbidden, 3, "the base"),
        (&unreachable, 7, "the base"),
        ("./image", 2, "longshore copy"),
        ("oci:image", 2, "longshore copy"),
    ];
    for (base, code, words) in cases {
        let run = two.seed(base, &[]).await;
        assert_eq!(run.code, Some(code), "{run:#?}");
        assert!(run.stderr.contains(words), "{run:#?}");
        assert_eq!(two.stage.server.log().requests(), 0);
    }
    let run = two.run(&["seed", &base, "--to", &tagged]).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("give a repository"), "{run:#?}");
}

/// Writes an image of the base's layers and one more, that says what it was built on.
fn on_base(two: &Two, annotations: serde_json::Value) -> Written {
    let image = two.image("app", 4, &[]);
    let mut manifest: serde_json::Value = serde_json::from_slice(image.document.bytes()).unwrap();
    manifest["annotations"] = annotations;
    let document = relisted(&image.path, &manifest);
    let path = image.path;
    Written { path, document }
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_plan_without_seeding_names_the_bytes_that_seeding_would_save() {
    let two = Two::new().await;
    let image = two.image("base", 3, &["linux/amd64", "linux/arm64"]);
    let base = two.base(&image, &[]).await;
    let name = "org.opencontainers.image.base.name";
    let app = on_base(&two, json!({ name: base }));
    let (path, reference) = (
        app.path.to_str().unwrap(),
        two.stage.reference("team/app:1"),
    );
    let run = two
        .run(&["plan", path, &reference, "--json"])
        .await
        .succeeded();
    let of_base = json!([{
        "name": base, "on_this_registry": false, "bytes_to_upload": bytes(&app.layers()[..3]),
    }]);
    assert_eq!(run.json()["bases"], of_base);
    // The index, and the one image of it that is for the app's platform.
    let read = two.far.log().lines();
    assert_eq!(read.len(), 2, "{read:#?}");
    assert!(
        read.iter()
            .all(|it| it.starts_with("GET /v2/os/base/manifests/"))
    );
    let run = two.run(&["plan", path, &reference]).await.succeeded();
    let words = format!("layers of {base}: after longshore seed {base} --to ");
    assert!(run.stdout.contains(&words), "{run:#?}");

    two.seed(&base, &[]).await.succeeded();
    let run = two
        .run(&["plan", path, &reference, "--json"])
        .await
        .succeeded();
    assert_eq!(run.json()["bases"], json!(null), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_plan_claims_nothing_of_a_base_that_it_cannot_read() {
    let two = Two::new().await;
    let base = format!("{}/os/none:1", two.far.registry());
    let app = on_base(&two, json!({ "org.opencontainers.image.base.name": base }));
    let (path, reference) = (
        app.path.to_str().unwrap(),
        two.stage.reference("team/app:1"),
    );
    let run = two.run(&["plan", path, &reference]).await.succeeded();
    assert!(
        run.stdout
            .contains("what seeding it would save is not known"),
        "{run:#?}"
    );
    assert!(!run.stdout.contains("of the upload"), "{run:#?}");
    // What says nothing of a base is planned without a question to anybody else.
    let plain = two.image("plain", 2, &[]);
    let args = ["plan", plain.path.to_str().unwrap(), &reference];
    let run = two.run(&args).await.succeeded();
    assert!(!run.stdout.contains("seed"), "{run:#?}");
    assert_eq!(two.far.log().requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p15_a_plan_of_an_image_in_another_registry_names_its_layers() {
    let two = Two::new().await;
    let image = two.image("base", 3, &[]);
    let base = two.base(&image, &[]).await;
    let (source, reference) = (
        format!("docker://{base}"),
        two.stage.reference("team/app:1"),
    );
    let run = two
        .run(&["plan", &source, &reference, "--json"])
        .await
        .succeeded();
    let expected = json!([{
        "name": base, "on_this_registry": false, "bytes_to_upload": bytes(image.layers()),
    }]);
    assert_eq!(run.json()["bases"], expected);
}

/// What becomes of one base says nothing about the next; each is told of, and how many failed.
#[tokio::test(flavor = "multi_thread")]
async fn p15_a_base_that_cannot_be_seeded_does_not_keep_others_from_it() {
    let two = Two::new().await;
    let (one, other) = (two.image("one", 1, &[]), two.image("two", 2, &[]));
    let first = two.base(&one, &[]).await;
    let [last, absent] = ["other", "absent"].map(|it| first.replace("base", it));
    let push = ["push", other.path.to_str().unwrap(), &last];
    two.run(&push).await.succeeded();
    let to = two.stage.reference("bases");
    let given = ["seed", &first, &absent, &last, "--to", &to];
    let run = two.run(&[&given[..], &["--json"]].concat()).await;
    assert_eq!(run.code, Some(10), "{run:#?}");
    let told = run.json();
    assert_eq!(told["cause"], "partly");
    let seeds = told["seeds"].as_array().unwrap();
    let names: Vec<_> = seeds
        .iter()
        .map(|it| it["base"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, [&first, &absent, &last]);
    let causes: Vec<_> = seeds.iter().map(|it| &it["cause"]).collect();
    assert_eq!(causes[1], "source-not-found", "{causes:?}");
    assert!(run.stderr.contains(&format!("{absent}: ")), "{run:#?}");
    assert!(run.stderr.contains("there is no image"), "{run:#?}");
    // The first layer of both is one.
    assert_eq!(two.sent(), bytes(other.layers()) + EMPTY);
    assert_eq!(two.stage.server.log().calls(Endpoint::ManifestPut), 2);
    assert!(
        run.stderr.contains("1 of 3 bases were not seeded"),
        "{run:#?}"
    );
    // All of them: how it ends is how the first did.
    let run = two.run(&["seed", &absent, &absent, "--to", &to]).await;
    assert_eq!(run.code, Some(4), "{run:#?}");
}
