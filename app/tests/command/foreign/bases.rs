//! Foreign layers of bases, for `build` and for `seed`: fetched from their `urls` if that is asked
//! for, by the rules of every other fetch.

use std::fs;

use oci::{Descriptor, Digest, MediaType, layout};
use serde_json::{Value, json};
use server::{Endpoint, RunningServer};

use crate::{
    copy::{manifest, registry},
    longshore::Run,
    stage::Stage,
};

/// A base whose only layer is foreign: its manifest in one registry, its bytes in another.
struct FarAway {
    stage: Stage,
    /// Where the base is.
    far: RunningServer,
    /// Where its layer is.
    mirror: RunningServer,
    layer: Descriptor,
}

const LAYER: &[u8] = b"what Windows has, and nobody may hand on";

impl FarAway {
    async fn new() -> Self {
        let (stage, far, mirror) = (Stage::new().await, registry().await, registry().await);
        let mut layer = Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, LAYER);
        layer.urls = vec![format!("{}/v2/held/blobs/{}", mirror.url(), layer.digest)];
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "history": [{"created_by": "Apply image"}],
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"uncompressed")]},
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
            "config": Descriptor::of(MediaType::DOCKER_CONFIG, config.as_bytes()),
            "layers": [layer],
        });
        let manifest = manifest.to_string();
        let root = Descriptor::of(MediaType::DOCKER_MANIFEST, manifest.as_bytes());
        let path = stage.path("base");
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let index = json!({"schemaVersion": 2, "manifests": [root]});
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        for blob in [config.as_bytes(), manifest.as_bytes(), LAYER] {
            fs::write(path.join(layout::blob_path(&Digest::of(blob))), blob).unwrap();
        }
        let it = Self {
            stage,
            far,
            mirror,
            layer,
        };
        let path = path.to_str().unwrap();
        let held = format!("{}/held:1", it.mirror.registry());
        it.run(&["push", path, &held, "--push-foreign"])
            .await
            .succeeded();
        it.run(&["push", path, &it.base()]).await.succeeded();
        fs::create_dir(it.stage.path("context")).unwrap();
        fs::write(it.stage.path("context/a.txt"), "a").unwrap();
        let text = format!("FROM {}\nCOPY a.txt /\n", it.base());
        fs::write(it.stage.path("context/Dockerfile"), text).unwrap();
        it
    }

    fn base(&self) -> String {
        format!("{}/base:1", self.far.registry())
    }

    /// Runs a command; all logs then hold this run's requests only.
    async fn run(&self, args: &[&str]) -> Run {
        self.far.log().clear();
        self.mirror.log().clear();
        self.stage
            .longshore(&[args, &["--no-state"]].concat())
            .await
    }

    /// What the mirror was asked for.
    fn fetched(&self) -> (usize, u64) {
        let log = self.mirror.log();
        (log.calls(Endpoint::BlobGet), log.requests())
    }

    /// Goes through what has to be said before the layer is fetched, and what follows.
    async fn says_no_until_asked(&self, command: &[&str]) -> Run {
        let host = self.mirror.addr().to_string();
        let kept = [command, &["--allow-foreign-fetch"]].concat();
        let kept = self.run(&kept).await;
        assert_eq!(kept.code, Some(2), "{kept:#?}");
        assert!(kept.stderr.contains("--foreign=include"), "{kept:#?}");
        assert_eq!(self.far.log().requests(), 0, "before anything is asked");

        let include = [command, &["--foreign=include"]].concat();
        let unasked = self.run(&include).await;
        assert_eq!(unasked.code, Some(5), "{unasked:#?}");
        assert!(
            unasked.stderr.contains("--allow-foreign-fetch"),
            "{unasked:#?}"
        );
        assert_eq!(self.fetched(), (0, 0));

        let unnamed = [&include[..], &["--allow-foreign-fetch"]].concat();
        let unnamed = self.run(&unnamed).await;
        assert_eq!(unnamed.code, Some(5), "{unnamed:#?}");
        assert!(unnamed.stderr.contains("https"), "{unnamed:#?}");
        assert_eq!(self.fetched(), (0, 0));

        let named = ["--allow-foreign-fetch", "--foreign-host", &host];
        let run = self.run(&[&include[..], &named].concat()).await;
        assert_eq!(self.fetched(), (1, 1), "{run:#?}");
        run.succeeded()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_builds_base_has_foreign_layers_fetched_where_that_is_allowed() {
    let it = FarAway::new().await;
    let (context, to) = (it.stage.path("context"), it.stage.reference("app:1"));
    let context = context.to_str().unwrap();
    let args = [
        "build",
        context,
        "--platform",
        "linux/amd64",
        "-t",
        &to,
        "--push",
    ];
    it.says_no_until_asked(&args).await;
    let put = manifest(&it.stage.server, "app", "1").await.unwrap();
    let put: Value = serde_json::from_slice(&put).unwrap();
    assert_eq!(put["layers"][0], json!(it.layer), "type and urls stay");
    // Byte for byte: what is taken out of the registry again is the layer.
    let (from, path) = (format!("docker://{to}"), it.stage.path("out"));
    let out = format!("oci:{}", path.display());
    it.run(&["copy", &from, &out, "--foreign=include", "--no-store"])
        .await
        .succeeded();
    let blob = fs::read(path.join(layout::blob_path(&it.layer.digest))).unwrap();
    assert_eq!(blob, LAYER);
    assert_eq!(it.fetched(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_so_it_is_where_a_build_writes_a_layout() {
    let it = FarAway::new().await;
    let (context, path) = (it.stage.path("context"), it.stage.path("out"));
    let output = path.to_str().unwrap();
    let args = [
        "build",
        context.to_str().unwrap(),
        "--platform",
        "linux/amd64",
        "--output",
        output,
    ];
    it.says_no_until_asked(&args).await;
    let blob = fs::read(path.join(layout::blob_path(&it.layer.digest))).unwrap();
    assert_eq!(blob, LAYER);
}

#[tokio::test(flavor = "multi_thread")]
async fn b4_a_seed_has_foreign_layers_fetched_where_that_is_allowed() {
    let it = FarAway::new().await;
    let to = it.stage.reference("bases");
    let run = it
        .says_no_until_asked(&["seed", &it.base(), "--to", &to, "--json"])
        .await;
    let blobs = run.json()["seeds"][0]["blobs"].clone();
    let digest = it.layer.digest.to_string();
    let told = blobs.as_array().unwrap().iter();
    let told = told.filter(|it| it["blob"]["digest"] == digest.as_str());
    let sent: Vec<_> = told.map(|it| &it["sent"]).collect();
    assert_eq!(sent, [LAYER.len()], "{blobs}");
}
