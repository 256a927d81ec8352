//! `COPY --from` of an image, and of a stage whose base has what is copied.

use std::{fs, path::Path};

use flate2::{Compression, write::GzEncoder};
use oci::{Descriptor, Digest, MediaType, layout};
use serde_json::{Value, json};

use super::{OLD, Yard};
use crate::longshore::{Run, run_beside};

const SECURITY: &str = "AQAAgBQAAAAkAAAAAAAAAAAAAAABAgAAAAAABSAAAAAhAgAAAQIAAAAAAAUgAAAAIQIAAA==";
const FROM_SERVERCORE: &str = "COPY --from=SERVERCORE C:\\Windows\\System32\\netapi32.dll C:\\app\\\n\
     COPY --from=SERVERCORE C:\\Windows\\System32\\other.dll C:\\app\\\n";

/// An image with layers that are what they say, lowest first.
struct Image {
    layers: Vec<Vec<u8>>,
    config: String,
    manifest: String,
}

impl Image {
    fn of(platform: &Value, tars: &[Vec<u8>], layer_type: &MediaType) -> Self {
        let diff_ids: Vec<Digest> = tars.iter().map(|it| Digest::of(it)).collect();
        let layers: Vec<Vec<u8>> = tars.iter().map(|it| packed(it)).collect();
        let mut config = platform.clone();
        config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        config["config"] = json!({});
        let config = config.to_string();
        let described: Vec<Value> = layers
            .iter()
            .map(|it| {
                let mut layer = json!(Descriptor::of(layer_type.clone(), it));
                if layer_type.is_foreign() {
                    layer["urls"] = json!(["https://127.0.0.1:1/layer"]);
                }
                layer
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
            "config": Descriptor::of(MediaType::DOCKER_CONFIG, config.as_bytes()),
            "layers": described,
        })
        .to_string();
        Self {
            layers,
            config,
            manifest,
        }
    }

    /// What servercore is like: an update over a base.
    fn servercore() -> Self {
        Self::of(
            &windows(),
            &servercore_tars(),
            &MediaType::DOCKER_LAYER_GZIP,
        )
    }

    fn write(&self, path: &Path) {
        let root = Descriptor::of(MediaType::DOCKER_MANIFEST, self.manifest.as_bytes());
        let index = json!({"schemaVersion": 2, "manifests": [root]}).to_string();
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        fs::write(path.join("index.json"), index).unwrap();
        let documents = [self.config.as_bytes(), self.manifest.as_bytes()];
        for blob in documents
            .into_iter()
            .chain(self.layers.iter().map(|it| &it[..]))
        {
            fs::write(path.join(layout::blob_path(&Digest::of(blob))), blob).unwrap();
        }
    }

    fn layer(&self, number: usize) -> String {
        Digest::of(&self.layers[number]).to_string()
    }

    fn bytes(&self) -> usize {
        self.layers.iter().map(Vec::len).sum()
    }
}

fn windows() -> Value {
    json!({"architecture": "amd64", "os": "windows", "os.version": OLD})
}

fn servercore_tars() -> Vec<Vec<u8>> {
    let directories = [
        "Files/",
        "Files/Windows/",
        "Files/Windows/System32/",
        "Hives/",
    ];
    let with = |files: &[(&str, &str)]| {
        let directories = directories.iter().map(|it| (*it, ""));
        tar_of(&directories.chain(files.iter().copied()).collect::<Vec<_>>())
    };
    vec![
        with(&[
            ("Files/Windows/System32/netapi32.dll", "MZ old netapi32"),
            ("Files/Windows/System32/below.dll", "MZ below"),
        ]),
        with(&[
            ("Files/Windows/System32/netapi32.dll", "MZ netapi32"),
            ("Files/Windows/System32/other.dll", "MZ other"),
        ]),
    ]
}

/// A tar of names and contents; a name that ends in a slash is a directory.
fn tar_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        let is_directory = name.ends_with('/');
        header.set_entry_type(if is_directory {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        header.set_mtime(1_600_000_000);
        if !is_directory {
            let records = [
                ("MSWINDOWS.rawsd", SECURITY.as_bytes()),
                ("MSWINDOWS.fileattr", b"33".as_slice()),
            ];
            tar.append_pax_extensions(records).unwrap();
        }
        tar.append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

fn packed(tar: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(tar).unwrap();
    out.finish().unwrap()
}

impl Yard {
    fn servercore(&self) -> String {
        format!("{}/windows/servercore:ltsc2022", self.far.registry())
    }

    async fn image(&self, reference: &str, image: &Image) {
        let path = self.stage.path(&reference.replace(['/', ':'], "-"));
        image.write(&path);
        let args = ["push", path.to_str().unwrap(), reference, "--no-state"];
        run_beside(self.stage.home(), args).await.succeeded();
    }

    /// A yard with nanoserver and servercore, and a Dockerfile on nanoserver with these lines.
    async fn copying(lines: &str) -> (Self, Image) {
        let yard = Self::new().await;
        yard.base("ltsc2022", OLD).await;
        let image = Image::servercore();
        yard.image(&yard.servercore(), &image).await;
        let lines = lines.replace("SERVERCORE", &yard.servercore());
        let from = format!("# escape=`\nFROM {}:ltsc2022\n", yard.nanoserver());
        yard.dockerfile(&format!("{from}{lines}"));
        (yard, image)
    }

    async fn build_to(&self, more: &[&str]) -> Run {
        let to = self.stage.reference("team/app:1");
        self.build(&[&["-t", to.as_str(), "--no-state"][..], more].concat())
            .await
    }

    /// The files of the layers that the build added, as `name=content`, with their records.
    async fn added(&self, build: &Value) -> Vec<(String, Vec<String>)> {
        self.document("team/app:1").await;
        let pulled = self.stage.path("pulled-team-app-1");
        let mut all = Vec::new();
        for layer in build["build"]["images"][0]["layers"].as_array().unwrap() {
            let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
            let packed = fs::File::open(pulled.join(layout::blob_path(&digest))).unwrap();
            let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(packed));
            for entry in archive.entries().unwrap() {
                let mut entry = entry.unwrap();
                let records = entry.pax_extensions().unwrap().into_iter().flatten();
                let records = records.map(|it| {
                    let it = it.unwrap();
                    format!("{}={}", it.key().unwrap(), it.value().unwrap())
                });
                let records: Vec<String> = records.collect();
                let name = entry.path().unwrap().display().to_string();
                if entry.header().entry_type().is_file() {
                    let mut content = String::new();
                    std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
                    all.push((format!("{name}={content}"), records));
                }
            }
        }
        all
    }

    /// How often a blob was read from where bases are.
    fn reads(&self, digest: &str) -> usize {
        let lines = self.far.log().lines();
        let read = lines
            .iter()
            .filter(|it| it.starts_with("GET ") && it.contains(digest));
        read.count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_of_an_image_that_is_copied_from_unless_that_is_allowed() {
    let (yard, image) = Yard::copying(FROM_SERVERCORE).await;
    for mode in ["--push", "--plan"] {
        let run = yard.build_to(&[mode]).await;
        assert_eq!(run.code, Some(9), "{}", run.stderr);
        let error = &run.stderr;
        for said in [
            "Dockerfile:3: COPY --from=",
            &yard.servercore(),
            &format!("up to {} bytes", image.bytes()),
            "--allow-base-download",
        ] {
            assert!(error.contains(said), "{said}: {error}");
        }
        for number in 0..2 {
            assert_eq!(yard.reads(&image.layer(number)), 0, "{mode}");
        }
        assert_eq!(yard.sent(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_image_is_copied_as_it_is_and_its_layer_fetched_once() {
    let (yard, image) = Yard::copying(FROM_SERVERCORE).await;
    let args = ["--push", "--json", "--allow-base-download"];
    let first = yard.build_to(&args).await.succeeded().json();
    // The newer layer has both, so the older one cannot matter.
    assert_eq!(yard.reads(&image.layer(1)), 1);
    assert_eq!(yard.reads(&image.layer(0)), 0);
    let fetched = json!([{
        "reference": yard.servercore(), "digest": image.layer(1), "size": image.layers[1].len(),
    }]);
    assert_eq!(first["build"]["fetched"], fetched);
    let added = yard.added(&first).await;
    let names: Vec<&str> = added.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(
        names,
        [
            "Files/app/netapi32.dll=MZ netapi32",
            "Files/app/other.dll=MZ other"
        ]
    );
    for (name, records) in &added {
        for kept in [
            &format!("MSWINDOWS.rawsd={SECURITY}"),
            "MSWINDOWS.fileattr=33",
        ] {
            assert!(records.iter().any(|it| it == kept), "{name}: {records:?}");
        }
    }
    let config = yard.document("team/app:1").await["config"]["digest"].clone();
    let config = super::blob(
        &yard.stage.path("pulled-team-app-1"),
        config.as_str().unwrap(),
    );
    let history = config["history"].as_array().unwrap();
    let said = history.last().unwrap()["created_by"].as_str().unwrap();
    assert!(said.starts_with("COPY --from="), "{said}");
    let again = yard.build_to(&args).await.succeeded().json();
    assert_eq!(again["build"]["digest"], first["build"]["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_it_fetched_and_sends_nothing() {
    let (yard, image) = Yard::copying(FROM_SERVERCORE).await;
    let run = yard
        .build_to(&["--plan", "--allow-base-download"])
        .await
        .succeeded();
    assert!(run.stderr.contains("is fetched from"), "{}", run.stderr);
    let run = yard
        .build_to(&["--plan", "--json", "--allow-base-download"])
        .await;
    let plan = run.succeeded().json();
    assert_eq!(plan["build"]["fetched"][0]["size"], image.layers[1].len());
    assert_eq!(yard.sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stages_base_has_is_taken_where_that_is_allowed() {
    let lines = "COPY --from=core C:\\Windows\\System32\\below.dll C:\\app\\\n";
    let (yard, image) = Yard::copying("").await;
    yard.dockerfile(&format!(
        "# escape=`\nFROM {} AS core\nCOPY app/hello.exe C:\\tools\\\nFROM {}:ltsc2022\n\
         COPY --from=core C:\\tools\\hello.exe C:\\app\\\n{lines}",
        yard.servercore(),
        yard.nanoserver()
    ));
    let run = yard.build_to(&["--push"]).await;
    assert_eq!(run.code, Some(9), "{}", run.stderr);
    let error = &run.stderr;
    let said = format!(
        "It may be in its base {}, of whose layers up to {} bytes",
        yard.servercore(),
        image.bytes()
    );
    assert!(
        error.contains("Dockerfile:6: ") && error.contains(&said),
        "{error}"
    );
    assert_eq!(yard.reads(&image.layer(0)) + yard.reads(&image.layer(1)), 0);
    let args = ["--push", "--json", "--allow-base-download"];
    let build = yard.build_to(&args).await.succeeded().json();
    let added = yard.added(&build).await;
    let names: Vec<&str> = added.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(
        names,
        [
            "Files/app/hello.exe=MZ hello",
            "Files/app/below.dll=MZ below"
        ]
    );
    // What the stage copied itself needs nothing of its base.
    let text = fs::read_to_string(yard.context().join("Dockerfile")).unwrap();
    yard.dockerfile(&text.replace(lines, ""));
    yard.build_to(&args).await.succeeded();
    assert_eq!(yard.reads(&image.layer(0)) + yard.reads(&image.layer(1)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_on_this_machine_needs_no_leave_and_an_altered_layer_is_refused() {
    let (yard, _) = Yard::copying("").await;
    let path = yard.stage.path("servercore");
    let image = Image::servercore();
    image.write(&path);
    yard.dockerfile(&format!(
        "# escape=`\nFROM {}:ltsc2022\nCOPY --from=oci:{} /Windows/System32/*.dll C:\\app\\\n",
        yard.nanoserver(),
        path.display()
    ));
    let build = yard
        .build_to(&["--push", "--json"])
        .await
        .succeeded()
        .json();
    let names: Vec<String> = yard
        .added(&build)
        .await
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(
        names,
        [
            "Files/app/below.dll=MZ below",
            "Files/app/netapi32.dll=MZ netapi32",
            "Files/app/other.dll=MZ other"
        ]
    );
    assert_eq!(build["build"]["fetched"], Value::Null);
    let blob = path.join(layout::blob_path(&Digest::of(&image.layers[0])));
    fs::write(blob, vec![0; image.layers[0].len()]).unwrap();
    let run = yard.build_to(&["--push"]).await;
    assert_eq!(run.code, Some(5), "{}", run.stderr);
    let error = &run.stderr;
    assert!(error.contains("its bytes have digest"), "{error}");
    assert_eq!(yard.sent(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_layer_that_is_not_beside_its_image_needs_a_leave_of_its_own() {
    let (yard, _) = Yard::copying("").await;
    let foreign = Image::of(
        &windows(),
        &servercore_tars(),
        &MediaType::DOCKER_FOREIGN_LAYER,
    );
    let name = format!("{}/windows/foreign:1", yard.far.registry());
    yard.image(&name, &foreign).await;
    let lines = FROM_SERVERCORE.replace("SERVERCORE", &name);
    let from = format!("# escape=`\nFROM {}:ltsc2022\n", yard.nanoserver());
    yard.dockerfile(&format!("{from}{lines}"));
    let run = yard.build_to(&["--push", "--allow-base-download"]).await;
    assert_ne!(run.code, Some(0));
    let error = &run.stderr;
    assert!(
        error.contains("is foreign") && error.contains("--allow-foreign-fetch"),
        "{error}"
    );
    // With it, by its rules: not to an address of this machine.
    let args = ["--push", "--allow-base-download", "--allow-foreign-fetch"];
    let run = yard.build_to(&args).await;
    assert_ne!(run.code, Some(0));
    assert!(
        run.stderr.contains("none of its urls gave it"),
        "{}",
        run.stderr
    );
    assert_eq!(yard.sent(), 0);
}
