//! `artifact push`: files that are no image, from the command line to the bytes that arrive.

use std::{fs, io::Write as _, net::TcpStream};

use longshore::{
    oci::{Descriptor, Digest, Document, MediaType, Repository, TagOrDigest, layout},
    registry::Client,
};
use server::Endpoint;

use crate::{
    longshore::{Run, finished, longshore},
    served::read,
    stage::Stage,
};

/// As other tools for artifacts write it, given the same files, type and time.
const GOLDEN: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.a","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"layers":[{"mediaType":"text/plain","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"org.opencontainers.image.title":"a.txt"}},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":{"org.opencontainers.image.title":"empty.bin"}}],"annotations":{"org.opencontainers.image.created":"2020-01-01T00:00:00Z"}}"#;
const CREATED: &str = "2020-01-01T00:00:00Z";
const TYPE: &str = "application/vnd.example.a";

/// A stage with three files.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    for (name, content) in [
        ("a.txt", "hello"),
        ("empty.bin", ""),
        ("config.json", "{\"x\":1}\n"),
    ] {
        fs::write(stage.path(name), content).unwrap();
    }
    stage
}

fn at(stage: &Stage, name: &str) -> String {
    stage.path(name).display().to_string()
}

async fn push(stage: &Stage, args: &[&str]) -> Run {
    let mut all = vec!["artifact", "push", "--concurrency", "1"];
    all.extend(args);
    stage.longshore(&all).await
}

async fn stored(stage: &Stage, repository: &str, reference: &str) -> Option<Document> {
    let repository: Repository = stage.reference(repository).parse().unwrap();
    let client = Client::builder().build().unwrap();
    let reference: TagOrDigest = reference.parse().unwrap();
    client
        .repository(&repository)
        .manifest(&reference)
        .await
        .unwrap()
}

async fn text(stage: &Stage, repository: &str, reference: &str) -> String {
    let document = stored(stage, repository, reference).await.unwrap();
    String::from_utf8(document.bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_files_arrive_under_the_golden_manifest_and_again_in_one_request() {
    let stage = stage().await;
    let (a, empty) = (at(&stage, "a.txt"), at(&stage, "empty.bin"));
    let a = format!("{a}:text/plain");
    let reference = stage.reference("team/report:1");
    let args = [
        &a,
        &empty,
        &reference,
        "--artifact-type",
        TYPE,
        "--created",
        CREATED,
        "--json",
    ];
    let run = push(&stage, &args).await.succeeded();
    let conversation = stage.server.log().lines();
    assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 1);
    assert_eq!(stage.server.log().blob_bytes(), 7);
    let digest = Digest::of(GOLDEN.as_bytes());
    assert_eq!(run.json()["digest"], digest.to_string());
    assert_eq!(text(&stage, "team/report", "1").await, GOLDEN);

    push(&stage, &args).await.succeeded();
    assert_eq!(
        stage.server.log().lines(),
        ["HEAD /v2/team/report/manifests/1 → 200"]
    );

    // The same engine: what is said is what is said when the same content comes from elsewhere.
    let other = Stage::new().await;
    let layout = layout(&other, GOLDEN, &["hello", "{}", ""]);
    let reference = other.reference("team/report:1");
    let args = ["push", &layout, &reference, "--concurrency", "1"];
    other.longshore(&args).await.succeeded();
    assert_eq!(conversation, other.server.log().lines());
}

/// Writes an image layout of a manifest and blobs; its path.
fn layout(stage: &Stage, manifest: &str, blobs: &[&str]) -> String {
    let path = stage.path("layout");
    fs::create_dir_all(path.join("blobs/sha256")).unwrap();
    for content in blobs.iter().chain([&manifest]) {
        let digest = Digest::of(content.as_bytes());
        fs::write(path.join(layout::blob_path(&digest)), content).unwrap();
    }
    let root = Descriptor::of(MediaType::OCI_MANIFEST, manifest.as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [root] });
    fs::write(path.join(layout::INDEX), index.to_string()).unwrap();
    let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(path.join(layout::MARKER), marker).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_annotations_come_from_flags_and_a_file_and_paths_do_not_show() {
    let stage = stage().await;
    let file = stage.path("annotations.json");
    let annotations = r#"{
        "$manifest": {"org.example.m": "file", "org.example.n": "file"},
        "$config": {"org.example.c": "1"},
        "a.txt": {"org.example.f": "file"}
    }"#;
    fs::write(&file, annotations).unwrap();
    let (a, config) = (at(&stage, "a.txt"), at(&stage, "config.json"));
    let config = format!("{config}:application/vnd.example.config.v1+json");
    let reference = stage.reference("team/report:1");
    let file = file.display().to_string();
    let args = [
        &a,
        &reference,
        "--config",
        &config,
        "--annotation-file",
        &file,
        "-a",
        "org.example.m=flag",
        "--file-annotation",
        &a,
        "org.example.g=flag=1",
    ];
    push(&stage, &args).await.succeeded();
    let expected = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.example.config.v1+json","digest":"sha256:bb157861a164e35cdde9d726b0af9ce2765a8f530c35d9e45732b94ee65e9557","size":8,"annotations":{"org.example.c":"1"}},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"org.example.f":"file","org.example.g":"flag=1","org.opencontainers.image.title":"a.txt"}}],"annotations":{"org.example.m":"flag","org.example.n":"file"}}"#;
    assert_eq!(text(&stage, "team/report", "1").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_what_is_about_a_manifest_is_listed_there_and_takes_no_tag() {
    let stage = stage().await;
    let a = at(&stage, "a.txt");
    let reference = stage.reference("team/app:1");
    push(&stage, &[&a, &reference, "--artifact-type", TYPE])
        .await
        .succeeded();
    let subject = stored(&stage, "team/app", "1").await.unwrap();

    let repository = stage.reference("team/app");
    let digest = subject.digest().to_string();
    for named in ["1", digest.as_str(), reference.as_str()] {
        let kind = "application/vnd.example.sbom";
        let args = [
            &a,
            &repository,
            "--artifact-type",
            kind,
            "--subject",
            named,
            "--json",
        ];
        let run = push(&stage, &args).await.succeeded();
        let about = run.json()["digest"].as_str().unwrap().to_owned();
        let document = stored(&stage, "team/app", &about).await.unwrap();
        assert_eq!(document.subject(), Some(subject.descriptor()));
        assert_eq!(
            run.json()["tags"].as_array().map(Vec::len),
            Some(0),
            "{run:#?}"
        );
        assert_eq!(stored(&stage, "team/app", "latest").await, None);
        // The first time the manifest is put; the file is there already.
        let log = stage.server.log();
        assert_eq!(log.calls(Endpoint::ManifestPut), usize::from(named == "1"));
        assert_eq!(log.blob_bytes(), 0);
        let listed = get(&stage, &format!("/v2/team/app/referrers/{digest}"));
        assert!(listed.contains(&about) && listed.contains(kind), "{listed}");
    }
}

fn get(stage: &Stage, target: &str) -> String {
    let mut stream = TcpStream::connect(stage.server.addr()).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nhost: r\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    read(&mut stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_the_same_files_make_the_same_manifest_and_a_time_only_if_asked_for() {
    let stage = stage().await;
    let (a, manifest) = (at(&stage, "a.txt"), at(&stage, "manifest.json"));
    let reference = stage.reference("team/report:1");
    let args = [
        "artifact",
        "push",
        &a,
        &reference,
        "--artifact-type",
        TYPE,
        "--export-manifest",
        &manifest,
        "--plan",
        "--json",
    ];
    let exported = |epoch: Option<&str>| {
        let mut command = longshore(stage.home());
        command.args(args);
        if let Some(epoch) = epoch {
            command.env("SOURCE_DATE_EPOCH", epoch);
        }
        let run = finished(command.output().unwrap()).succeeded();
        assert!(run.json()["totals"].is_object(), "{run:#?}");
        fs::read_to_string(&manifest).unwrap()
    };
    let (first, second, timed) = (exported(None), exported(None), exported(Some("1577836800")));
    assert_eq!(first, second);
    assert!(!first.contains("created"), "{first}");
    assert!(timed.ends_with(
        r#""annotations":{"org.opencontainers.image.created":"2020-01-01T00:00:00Z"}}"#
    ));
    let log = stage.server.log();
    assert!(
        log.lines().iter().all(|it| it.starts_with("HEAD ")),
        "{:#?}",
        log.lines()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn z22_a_webassembly_module_is_an_artifact_like_any_other() {
    let stage = stage().await;
    let (module, config) = (at(&stage, "a.txt"), at(&stage, "config.json"));
    let typed = [
        format!("{module}:application/wasm"),
        format!("{config}:application/vnd.wasm.config.v0+json"),
    ];
    let (short, long) = (
        stage.reference("team/app:short"),
        stage.reference("team/app:long"),
    );
    push(&stage, &["--wasm", "--config", &config, &module, &short])
        .await
        .succeeded();
    push(&stage, &["--config", &typed[1], &typed[0], &long])
        .await
        .succeeded();
    let expected = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:bb157861a164e35cdde9d726b0af9ce2765a8f530c35d9e45732b94ee65e9557","size":8},"layers":[{"mediaType":"application/wasm","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"org.opencontainers.image.title":"a.txt"}}]}"#;
    assert_eq!(text(&stage, "team/app", "short").await, expected);
    assert_eq!(text(&stage, "team/app", "long").await, expected);
}

/// Pushes these files with these arguments, and expects an exit code, words in the message, and no
/// request that writes.
async fn refused(stage: &Stage, files: &[&str], args: &[&str], (code, words): (i32, &str)) {
    let reference = stage.reference("team/report:1");
    let all = [files, &[&reference], args].concat();
    let run = push(stage, &all).await;
    assert_eq!(run.code, Some(code), "{all:?} {run:#?}");
    assert!(run.stderr.contains(words), "{all:?} {run:#?}");
    let lines = stage.server.log().lines();
    assert!(lines.iter().all(|it| it.starts_with("GET ")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_what_is_no_artifact_is_told_before_anything_is_written() {
    let stage = stage().await;
    let (a, none) = (at(&stage, "a.txt"), at(&stage, "none"));
    let directory = stage.home().display().to_string();
    let typed = ["--artifact-type", TYPE];
    refused(&stage, &[&a], &[], (2, "--artifact-type")).await;
    let untyped = ["--artifact-type", "report"];
    refused(&stage, &[&a], &untyped, (2, "TYPE/SUBTYPE")).await;
    refused(&stage, &[&a], &["--config", &a], (2, "needs a type")).await;
    refused(&stage, &[&a, &a], &typed, (2, "both be called")).await;
    refused(&stage, &[&none], &typed, (4, "none cannot be read")).await;
    refused(&stage, &[&directory], &typed, (5, "archive the directory")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_annotations_times_and_subjects_that_cannot_be_are_told_before_anything_is_written() {
    let stage = stage().await;
    let a = at(&stage, "a.txt");
    let elsewhere = stage.reference("team/other:1");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["-a", "novalue"], 2, "KEY=VALUE"),
        (&["--created", "yesterday"], 2, "seconds since 1970"),
        (
            &["--file-annotation", "b.txt", "k=v"],
            2,
            "none of the files",
        ),
        (&["--subject", &elsewhere], 2, "team/other"),
        (&["--subject", "no-such-tag"], 4, "the subject"),
    ];
    for (args, code, words) in cases {
        let args = [args, &["--artifact-type", TYPE]].concat();
        refused(&stage, &[&a], &args, (code, words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z21_what_was_pushed_is_pulled_to_the_byte_and_nothing_is_replaced_unasked() {
    let stage = stage().await;
    let (a, empty) = (at(&stage, "a.txt"), at(&stage, "empty.bin"));
    let reference = stage.reference("team/report:1");
    // A type that says that layers are elsewhere says nothing of files that are given.
    let empty = format!("{empty}:application/vnd.oci.image.layer.nondistributable.v1.tar");
    push(&stage, &[&a, &empty, &reference, "--artifact-type", TYPE])
        .await
        .succeeded();
    let output = at(&stage, "out");
    let args = ["artifact", "pull", &reference, "-o", &output, "--json"];
    let run = stage.longshore(&args).await.succeeded();
    let read = |name: &str| fs::read_to_string(stage.path("out").join(name)).unwrap();
    assert_eq!(
        (read("a.txt"), read("empty.bin")),
        ("hello".into(), String::new())
    );
    assert_eq!(
        run.json()["files"].as_array().map(Vec::len),
        Some(2),
        "{run:#?}"
    );

    fs::write(stage.path("out/a.txt"), "mine").unwrap();
    fs::remove_file(stage.path("out/empty.bin")).unwrap();
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("--overwrite"), "{run:#?}");
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);
    assert!(!stage.path("out/empty.bin").exists());
    assert_eq!(read("a.txt"), "mine");
    let args = [&args[..], &["--overwrite"]].concat();
    stage.longshore(&args).await.succeeded();
    assert_eq!(read("a.txt"), "hello");
    let none = stage.reference("team/report:2");
    let run = stage
        .longshore(&["artifact", "pull", &none, "-o", &output])
        .await;
    assert_eq!(run.code, Some(4), "{run:#?}");
}
