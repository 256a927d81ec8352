//! What the builder makes, to the byte.

use std::fs;

use futures_util::TryStreamExt as _;
use oci::{Source as _, SourceError, TagOrDigest};

use super::*;
use crate::{Destination, Engine, Options, recording::RecordingTarget};

/// As another tool for artifacts writes it, given the same files, type and time.
const GOLDEN: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.a","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"layers":[{"mediaType":"text/plain","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"org.opencontainers.image.title":"a.txt"}},{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"annotations":{"org.opencontainers.image.title":"empty.bin"}}],"annotations":{"org.opencontainers.image.created":"2020-01-01T00:00:00Z"}}"#;
const NO_FILES: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.a","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"layers":[{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}],"annotations":{"org.opencontainers.image.created":"2020-01-01T00:00:00Z"}}"#;
const ABOUT: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.a","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"org.opencontainers.image.title":"a.txt"}}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:96de4fdd75289c819b7a45f24a40d8ff3e5e974f89c48281893ba82ca4b66183","size":753},"annotations":{"org.opencontainers.image.created":"2020-01-01T00:00:00Z"}}"#;
const CONFIGURED: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.unknown.config.v1+json","digest":"sha256:bb157861a164e35cdde9d726b0af9ce2765a8f530c35d9e45732b94ee65e9557","size":8},"layers":[{"mediaType":"x/y","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"k":"v","org.opencontainers.image.title":"a.txt"}}],"annotations":{"org.opencontainers.image.created":"2020-01-01T00:00:00Z"}}"#;
const WASM_GOLDEN: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.wasm.config.v0+json","digest":"sha256:bb157861a164e35cdde9d726b0af9ce2765a8f530c35d9e45732b94ee65e9557","size":8},"layers":[{"mediaType":"application/wasm","digest":"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"annotations":{"org.opencontainers.image.title":"a.txt"}}]}"#;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let it = Self(tempfile::tempdir().unwrap());
        for (name, content) in [
            ("a.txt", "hello"),
            ("empty.bin", ""),
            ("cfg.json", "{\"x\":1}\n"),
        ] {
            fs::write(it.path(name), content).unwrap();
        }
        it
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str) -> ArtifactFile {
        ArtifactFile::new(self.path(name))
    }
}

fn typed() -> ArtifactBuilder {
    ArtifactBuilder::new("application/vnd.example.a").annotation(CREATED, "2020-01-01T00:00:00Z")
}

async fn text(builder: ArtifactBuilder) -> String {
    let built = builder.build().await.unwrap();
    String::from_utf8(built.manifest().bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn z21_the_manifest_is_the_golden_one_with_an_empty_config_and_a_file_of_no_bytes() {
    let files = Files::new();
    let it = typed()
        .file(files.file("a.txt").media_type("text/plain"))
        .file(files.file("empty.bin"));
    assert_eq!(text(it).await, GOLDEN);
    assert_eq!(text(typed()).await, NO_FILES);
}

#[tokio::test]
async fn z21_the_manifest_is_the_golden_one_with_a_subject_and_with_a_config() {
    let files = Files::new();
    let subject = Document::new(GOLDEN.into(), None).unwrap();
    let it = typed().file(files.file("a.txt")).subject(&subject);
    assert_eq!(text(it).await, ABOUT);
    let config = files.file("cfg.json");
    let config = config.media_type("application/vnd.unknown.config.v1+json");
    let it = ArtifactBuilder::with_config(config)
        .file(files.file("a.txt").media_type("x/y").annotation("k", "v"))
        .annotation(CREATED, "2020-01-01T00:00:00Z");
    assert_eq!(text(it).await, CONFIGURED);
}

#[tokio::test]
async fn z22_a_config_a_module_and_a_type_give_the_conventions_media_types() {
    let files = Files::new();
    let wasm = |it| ArtifactBuilder::wasm(files.path("cfg.json"), files.path("a.txt"), it);
    assert_eq!(text(wasm(None)).await, WASM_GOLDEN);
    let typed = WASM_GOLDEN.replacen(
        r#""config""#,
        r#""artifactType":"application/vnd.example.app","config""#,
        1,
    );
    assert_eq!(text(wasm(Some("application/vnd.example.app"))).await, typed);
    let generic = ArtifactBuilder::with_config(files.file("cfg.json").media_type(WASM_CONFIG))
        .file(files.file("a.txt").media_type(WASM));
    assert_eq!(text(generic).await, WASM_GOLDEN);
}

#[tokio::test]
async fn z21_two_builds_from_other_directories_are_equal() {
    let (here, there) = (Files::new(), Files::new());
    let build = |files: &Files| {
        let it = ArtifactBuilder::new("a/b").file(files.file("a.txt"));
        text(it)
    };
    let (one, other) = (build(&here).await, build(&there).await);
    assert_eq!(one, other);
    assert!(!one.contains(here.0.path().to_str().unwrap()) && !one.contains("created"));
}

async fn content(it: &Artifact, blob: &Descriptor, offset: u64) -> Result<Vec<u8>, SourceError> {
    let pieces: Vec<_> = it.open(blob, offset).await?.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn every_part_of_an_artifact_is_read_from_any_offset() {
    let files = Files::new();
    let it = typed()
        .file(files.file("a.txt"))
        .file(files.file("empty.bin"));
    let it = it.build().await.unwrap();
    for (blob, expected) in it.manifest().children().zip(["{}", "hello", ""]) {
        it.check_blob(blob).await.unwrap();
        for offset in 0..=expected.len() {
            let read = content(&it, blob, offset as u64).await.unwrap();
            assert_eq!(read, &expected.as_bytes()[offset..]);
        }
    }
    let other = Descriptor::of(MediaType::OCI_LAYER, b"other");
    assert!(matches!(
        content(&it, &other, 0).await,
        Err(SourceError::Missing { .. })
    ));
}

#[tokio::test]
async fn a_file_that_is_gone_or_has_another_length_is_found_before_it_is_read() {
    let files = Files::new();
    let it = typed().file(files.file("a.txt")).build().await.unwrap();
    let blob = it.manifest().as_manifest().unwrap().layers[0].clone();
    fs::write(files.path("a.txt"), "longer than it was").unwrap();
    assert!(matches!(
        it.check_blob(&blob).await,
        Err(SourceError::WrongSize {
            expected: 5,
            actual: 18,
            ..
        })
    ));
    fs::remove_file(files.path("a.txt")).unwrap();
    assert!(matches!(
        it.check_blob(&blob).await,
        Err(SourceError::Missing { .. })
    ));
}

#[tokio::test]
async fn what_cannot_be_an_artifact_is_told_by_what_is_wrong_with_it() {
    let files = Files::new();
    let a = || files.file("a.txt");
    let directory = ArtifactFile::new(files.0.path());
    let renamed = a().annotation(TITLE, "../up");
    let cases: [(ArtifactBuilder, &str); 7] = [
        (
            ArtifactBuilder::default().file(a()),
            "an artifact without a config of its own",
        ),
        (
            ArtifactBuilder::new("report"),
            "the artifact type \"report\" is no media type",
        ),
        (
            typed().file(a().media_type("text")),
            "the type of a file \"text\"",
        ),
        (
            typed().file(a()).file(a()),
            "would both be called \"a.txt\"",
        ),
        (typed().file(renamed), "cannot be called \"../up\""),
        (typed().file(files.file("none")), "none cannot be read"),
        (typed().file(directory), "cannot be read"),
    ];
    for (builder, expected) in cases {
        let error = builder.build().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Hashed once to make the manifest, and verified on the one read that is sent.
#[tokio::test]
async fn z21_a_file_that_is_altered_after_it_was_hashed_fails_the_push() {
    let files = Files::new();
    let it = typed().file(files.file("a.txt")).build().await.unwrap();
    let engine = Engine::new(Options::default());
    let tag = || "1".parse().unwrap();
    let push = async || {
        let target = RecordingTarget::new("r.test/a".parse().unwrap());
        let destination = Destination::tagged([tag()]);
        let done = engine.push(&it, &target, &destination, &()).await;
        (done, target.manifest(&TagOrDigest::Tag(tag())).is_some())
    };
    fs::write(files.path("a.txt"), "jello").unwrap();
    let (done, put) = push().await;
    let error = done.unwrap_err();
    assert!(
        matches!(error.source_error(), Some(SourceError::Altered { .. })),
        "{error:?}"
    );
    assert!(!put);
    fs::write(files.path("a.txt"), "hello").unwrap();
    let (done, put) = push().await;
    assert_eq!(done.unwrap().digest, *it.manifest().digest());
    assert!(put);
}
