//! `build`: images for Windows out of a Dockerfile, on a base that stands in for nanoserver.

use std::{collections::BTreeSet, fs, path::PathBuf};

use oci::{Descriptor, Digest, MediaType, layout};
use serde_json::{Value, json};
use server::{Endpoint, RunningServer, Server};

use crate::{
    longshore::{Run, run_beside},
    stage::Stage,
};

/// Two registries: where bases are, and where images are pushed. And a context.
struct Yard {
    stage: Stage,
    far: RunningServer,
}

const NEW: &str = "10.0.26100.32995";
const OLD: &str = "10.0.20348.5256";
const AT_DIGEST: &str =
    "r.test/a@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

impl Yard {
    async fn new() -> Self {
        Self::with(Server::builder().memory().start().await.unwrap()).await
    }

    /// With this registry to push to.
    async fn with(near: RunningServer) -> Self {
        let yard = Self {
            stage: Stage::with(near),
            far: Server::builder().memory().start().await.unwrap(),
        };
        fs::create_dir_all(yard.context()).unwrap();
        yard.file("app/hello.exe", "MZ hello");
        yard.file("app/settings.json", "{}");
        yard.dockerfile(&format!(
            "# escape=`\nFROM {}:ltsc2022\nWORKDIR C:\\app\nCOPY app/ C:\\app\\\n\
             ENTRYPOINT [\"C:\\\\app\\\\hello.exe\"]\n",
            yard.nanoserver()
        ));
        yard
    }

    fn context(&self) -> PathBuf {
        self.stage.path("context")
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.context().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn dockerfile(&self, text: &str) {
        self.file("Dockerfile", text);
    }

    fn nanoserver(&self) -> String {
        format!("{}/windows/nanoserver", self.far.registry())
    }

    /// Puts a base where bases are, of the shape that Microsoft's have.
    async fn base(&self, tag: &str, version: &str) -> Base {
        self.base_at(&format!("{}:{tag}", self.nanoserver()), version)
            .await
    }

    async fn base_at(&self, reference: &str, version: &str) -> Base {
        let base = Base::of(version);
        let path = self
            .stage
            .path(&format!("base-{}", reference.replace(['/', ':'], "-")));
        base.write(&path);
        let args = ["push", path.to_str().unwrap(), reference, "--no-state"];
        run_beside(self.stage.home(), args).await.succeeded();
        base
    }

    /// Runs a build in the context; both logs then hold this run's requests only.
    async fn build(&self, args: &[&str]) -> Run {
        self.far.log().clear();
        self.stage.server.log().clear();
        let context = self.context();
        let args = [&["build", context.to_str().unwrap()], args].concat();
        run_beside(self.stage.home(), args).await
    }

    /// The digests of the blobs that were read from where bases are.
    fn read(&self) -> BTreeSet<String> {
        let lines = self.far.log().lines();
        let blobs = lines
            .iter()
            .filter(|it| it.starts_with("GET ") && it.contains("/blobs/"));
        let digest = |it: &String| {
            it.split("/blobs/")
                .nth(1)?
                .split_whitespace()
                .next()
                .map(str::to_owned)
        };
        blobs.filter_map(digest).collect()
    }

    fn sent(&self) -> u64 {
        self.stage.server.log().blob_bytes()
    }
}

/// A base as it was written.
struct Base {
    layer: Vec<u8>,
    config: String,
    manifest: String,
    list: String,
}

impl Base {
    fn of(version: &str) -> Self {
        let layer: Vec<u8> = version.bytes().cycle().take(300_000).collect();
        let config = json!({
            "architecture": "amd64",
            "config": {
                "Hostname": "", "Domainname": "", "User": "ContainerUser", "AttachStdin": false,
                "AttachStdout": false, "AttachStderr": false, "Tty": false, "OpenStdin": false,
                "StdinOnce": false, "Env": null, "Cmd": ["c:\\windows\\system32\\cmd.exe"],
                "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null,
                "OnBuild": null, "Labels": null,
            },
            "created": "2024-07-06T05:41:17.1234567Z",
            "history": [{
                "created": "2024-07-06T05:41:17.1234567Z",
                "created_by": format!("Apply image {version}"),
            }],
            "os": "windows",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(version.as_bytes())]},
            "os.version": version,
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
            "config": Descriptor::of(MediaType::DOCKER_CONFIG, config.as_bytes()),
            "layers": [Descriptor::of(MediaType::DOCKER_LAYER_GZIP, &layer)],
        })
        .to_string();
        let mut entry = json!(Descriptor::of(
            MediaType::DOCKER_MANIFEST,
            manifest.as_bytes()
        ));
        entry["platform"] =
            json!({"architecture": "amd64", "os": "windows", "os.version": version});
        let list = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST, "manifests": [entry],
        })
        .to_string();
        Self {
            layer,
            config,
            manifest,
            list,
        }
    }

    fn write(&self, path: &std::path::Path) {
        let root = Descriptor::of(MediaType::DOCKER_LIST, self.list.as_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [root]}).to_string();
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        fs::write(path.join("index.json"), index).unwrap();
        for blob in [
            self.config.as_bytes(),
            self.manifest.as_bytes(),
            self.list.as_bytes(),
            &self.layer,
        ] {
            fs::write(path.join(layout::blob_path(&Digest::of(blob))), blob).unwrap();
        }
    }

    fn layer(&self) -> String {
        Digest::of(&self.layer).to_string()
    }

    fn config(&self) -> String {
        Digest::of(self.config.as_bytes()).to_string()
    }
}

/// The sizes of the layers that are new, of the first image.
fn new_bytes(build: &Value) -> u64 {
    let layers = build["images"][0]["layers"].as_array().unwrap();
    layers.iter().map(|it| it["size"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn p29_two_releases_are_one_shared_layer_two_manifests_and_one_index() {
    let yard = Yard::new().await;
    let bases = [
        yard.base("ltsc2022", OLD).await,
        yard.base("ltsc2025", NEW).await,
    ];
    let to = yard.stage.reference("team/app:1.2");
    let releases = [
        "--base-version",
        "ltsc2022",
        "--base-version",
        "ltsc2025",
        "-t",
        &to,
        "--json",
    ];
    // What is read while assembling, and nothing is sent.
    let plan = yard
        .build(&[&releases[..], &["--plan"]].concat())
        .await
        .succeeded();
    let configs: BTreeSet<String> = bases.iter().map(Base::config).collect();
    assert_eq!(yard.read(), configs, "no layer of a base");
    assert_eq!(
        (
            yard.sent(),
            yard.stage.server.log().calls(Endpoint::ManifestPut)
        ),
        (0, 0)
    );
    let pushed = yard
        .build(&[&releases[..], &["--push"]].concat())
        .await
        .succeeded()
        .json();
    assert_eq!(pushed["build"], plan.json()["build"], "the same twice");
    // Each layer was uploaded once, each image has its manifest, and the index has the newest first.
    let images = pushed["build"]["images"].as_array().unwrap();
    assert_eq!(images[0]["layers"], images[1]["layers"]);
    let platforms: Vec<_> = images
        .iter()
        .map(|it| it["platform"].as_str().unwrap())
        .collect();
    assert_eq!(
        platforms,
        [
            format!("windows/amd64:{NEW}"),
            format!("windows/amd64:{OLD}")
        ]
    );
    assert_eq!(yard.stage.server.log().calls(Endpoint::ManifestPut), 3);
    let of_bases: u64 = bases.iter().map(|it| it.layer.len() as u64).sum();
    let configs: u64 = yard.configs(&pushed["build"]).await;
    assert_eq!(
        yard.sent(),
        of_bases + new_bytes(&pushed["build"]) + configs
    );
    let versions = yard.versions("team/app:1.2").await;
    assert_eq!(versions, [NEW, OLD]);
}

impl Yard {
    /// A manifest or an index where images are pushed.
    async fn document(&self, name: &str) -> Value {
        let path = self
            .stage
            .path(&format!("pulled-{}", name.replace(['/', ':', '@'], "-")));
        let from = format!("docker://{}", self.stage.reference(name));
        let to = format!("oci:{}", path.display());
        run_beside(self.stage.home(), ["copy", &from, &to, "--no-state"])
            .await
            .succeeded();
        let index: Value =
            serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
        blob(&path, index["manifests"][0]["digest"].as_str().unwrap())
    }

    /// The versions that a list of Docker's has, in its order.
    async fn versions(&self, name: &str) -> Vec<String> {
        let index = self.document(name).await;
        assert_eq!(index["mediaType"], MediaType::DOCKER_LIST.as_str());
        let entries = index["manifests"].as_array().unwrap().iter();
        let version = |it: &Value| it["platform"]["os.version"].as_str().unwrap().to_owned();
        entries.map(version).collect()
    }

    /// How many bytes the configs of the images have.
    async fn configs(&self, build: &Value) -> u64 {
        let mut sum = 0;
        for image in build["images"].as_array().unwrap() {
            let name = format!("team/app@{}", image["digest"].as_str().unwrap());
            let manifest = self.document(&name).await;
            sum += manifest["config"]["size"].as_u64().unwrap();
        }
        sum
    }
}

/// A blob of a layout, as JSON.
fn blob(layout: &std::path::Path, digest: &str) -> Value {
    let path = layout.join(layout::blob_path(&digest.parse().unwrap()));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_image_on_a_base_moves_only_its_own_layers_config_and_manifest() {
    let yard = Yard::new().await;
    let base = yard.base("ltsc2022", OLD).await;
    let first = yard.stage.reference("team/app:1");
    yard.build(&["-t", &first, "--push"]).await.succeeded();
    assert_eq!(yard.read(), [base.layer(), base.config()].into());
    yard.file("app/hello.exe", "MZ hello again");
    let second = yard.stage.reference("team/app:2");
    let run = yard
        .build(&["-t", &second, "--push", "--json"])
        .await
        .succeeded();
    assert_eq!(
        yard.read(),
        [base.config()].into(),
        "no byte of the base's layer"
    );
    let sent = yard.sent();
    assert_eq!(yard.stage.server.log().calls(Endpoint::ManifestPut), 1);
    // The working directory's layer is there already.
    let layers = run.json()["build"]["images"][0]["layers"].clone();
    let new = layers[1]["size"].as_u64().unwrap();
    let config = yard.document("team/app:2").await["config"]["size"]
        .as_u64()
        .unwrap();
    assert_eq!((layers.as_array().unwrap().len(), sent), (2, new + config));
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_a_base_on_the_same_registry_are_mounted() {
    let yard = Yard::new().await;
    let base = yard.stage.reference("windows/nanoserver");
    yard.base_at(&format!("{base}:ltsc2022"), OLD).await;
    yard.dockerfile(&format!("FROM {base}:ltsc2022\nCOPY app/hello.exe /app/\n"));
    let to = yard.stage.reference("team/app:1");
    let run = yard
        .build(&["-t", &to, "--push", "--json"])
        .await
        .succeeded()
        .json();
    let config = yard.document("team/app:1").await["config"]["size"]
        .as_u64()
        .unwrap();
    let layer = run["build"]["images"][0]["base"]["layer_bytes"]
        .as_u64()
        .unwrap();
    assert_eq!(layer, 300_000);
    assert_eq!(run["bytes"]["mounted"], json!(layer), "{run:#}");
    assert_eq!(
        run["bytes"]["uploaded"].as_u64().unwrap(),
        new_bytes(&run["build"]) + config
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_how_much_of_it_is_the_bases_and_what_seeding_would_save() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let to = yard.stage.reference("team/app:1");
    let run = yard.build(&["-t", &to, "--plan"]).await.succeeded();
    assert!(
        run.stdout.contains("292.9 KiB of the upload are layers of"),
        "{run:#?}"
    );
    assert!(run.stdout.contains("longshore seed"), "{run:#?}");
    assert_eq!(
        (
            yard.sent(),
            yard.stage.server.log().calls(Endpoint::UploadPost)
        ),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn b2_a_rule_for_from_is_shown() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    yard.dockerfile("FROM node:20\nCOPY app/ /app/\n");
    let rule = format!("node={}:{{version}}", yard.nanoserver());
    let out = yard.stage.path("out");
    let args = [
        "--output",
        out.to_str().unwrap(),
        "--base-version",
        "ltsc2022",
        "--map-from",
        &rule,
    ];
    let run = yard.build(&args).await.succeeded();
    let line = format!("FROM node:20 is {}:ltsc2022 here", yard.nanoserver());
    assert!(run.stderr.contains(&line), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_linux_is_pushed_under_all_its_tags() {
    let yard = Yard::new().await;
    yard.dockerfile("FROM scratch\nENV PATH=/app:$PATH\nCOPY app/hello.exe /app/\nUSER 65532\nCMD [\"hello.exe\"]\n");
    let (one, other) = (
        yard.stage.reference("team/tool:1"),
        yard.stage.reference("team/tool:latest"),
    );
    let args = [
        "--platform",
        "linux/arm64",
        "-t",
        &one,
        "-t",
        &other,
        "--push",
        "--json",
    ];
    let run = yard.build(&args).await.succeeded().json();
    assert_eq!(run["build"]["images"][0]["platform"], "linux/arm64");
    for name in ["team/tool:1", "team/tool:latest"] {
        let manifest = yard.document(name).await;
        assert_eq!(manifest["mediaType"], MediaType::OCI_MANIFEST.as_str());
        assert_eq!(
            manifest["layers"][0]["mediaType"],
            MediaType::OCI_LAYER_GZIP.as_str()
        );
    }
    assert_eq!(yard.far.log().requests(), 0, "scratch is nowhere");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn links_stay_links_for_linux_and_become_files_for_windows() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    std::os::unix::fs::symlink("hello.exe", yard.context().join("app/latest")).unwrap();
    for (platform, from, kind) in [
        ("linux/amd64", "scratch".to_owned(), tar::EntryType::Symlink),
        (
            "windows/amd64",
            format!("{}:ltsc2022", yard.nanoserver()),
            tar::EntryType::Regular,
        ),
    ] {
        yard.dockerfile(&format!("FROM {from}\nCOPY app/ /app/\n"));
        let name = format!("team/links-{}:1", platform.replace('/', "-"));
        let to = yard.stage.reference(&name);
        let args = ["--platform", platform, "-t", &to, "--push"];
        yard.build(&args).await.succeeded();
        let manifest = yard.document(&name).await;
        let layer = manifest["layers"].as_array().unwrap().last().unwrap();
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        let pulled = yard
            .stage
            .path(&format!("pulled-{}", name.replace(['/', ':'], "-")));
        let packed = fs::File::open(pulled.join(layout::blob_path(&digest))).unwrap();
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(packed));
        let found = archive.entries().unwrap().find_map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().into_owned();
            path.ends_with("app/latest")
                .then(|| entry.header().entry_type())
        });
        assert_eq!(found, Some(kind), "{platform}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_may_be_a_layout_on_this_machine() {
    let yard = Yard::new().await;
    let path = yard.stage.path("nanoserver");
    Base::of(OLD).write(&path);
    yard.dockerfile(&format!("FROM oci:{}\nCOPY app/ /app/\n", path.display()));
    let to = yard.stage.reference("team/app:1");
    let run = yard
        .build(&["-t", &to, "--push", "--json"])
        .await
        .succeeded()
        .json();
    assert_eq!(
        run["build"]["images"][0]["platform"],
        format!("windows/amd64:{OLD}")
    );
    let layer = Base::of(OLD).layer();
    assert_eq!(
        yard.document("team/app:1").await["layers"][0]["digest"],
        layer
    );
}

#[cfg(test)]
mod downloads;
#[cfg(test)]
mod image_copy;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod several;
