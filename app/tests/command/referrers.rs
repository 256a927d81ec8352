//! Referrers and digest tags, from registry to registry, with and without a list of them.

use std::{collections::BTreeSet, fs, path::PathBuf};

use longshore::{
    oci::{Descriptor, Digest, Document, MediaType, Repository, Tag, TagOrDigest, layout},
    push::{
        Destination, Engine, Options,
        compose::{ManifestBuilder, MemorySource},
    },
    registry::Client,
};
use serde_json::json;
use server::{Action, Endpoint, Latency, Rule, RunningServer, Server};

use crate::{
    longshore::run_beside,
    stage::{Stage, small},
};

const FROM: &str = "from/app";

/// An artifact of one blob, in front of `source`.
fn artifact(
    source: MemorySource,
    note: &str,
    subject: Option<&Document>,
) -> (MemorySource, Document) {
    let (source, config) = source.with_blob(MediaType::OCI_EMPTY, note.to_owned());
    let mut builder = ManifestBuilder::new(config)
        .artifact_type("application/vnd.example.note")
        .annotation("note", note);
    if let Some(subject) = subject {
        builder = builder.subject(subject);
    }
    (source, builder.build().unwrap())
}

/// What is about what.
struct Tree {
    root: Document,
    note: Document,
    about_note: Document,
    signature: Document,
    name: Tag,
}

/// A tree, pushed to a registry by the library.
async fn plant(server: &RunningServer) -> Tree {
    let (source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
    let root = ManifestBuilder::new(config).build().unwrap();
    let (source, note) = artifact(source, "note", Some(&root));
    let (source, about_note) = artifact(source, "about the note", Some(&note));
    let (source, signature) = artifact(source, "signature", None);
    let name = root.digest().digest_tags().next().unwrap();
    let source = source
        .with_root(root.clone())
        .with_document(note.clone())
        .with_document(about_note.clone())
        .with_digest_tag(root.digest(), name.clone(), signature.clone());
    let here: Repository = format!("{}/{FROM}", server.registry()).parse().unwrap();
    let client = Client::builder().build().unwrap();
    let engine = Engine::new(Options {
        referrers: true,
        ..Options::default()
    });
    let destination = Destination::tagged([Tag::latest()]);
    engine
        .push(&source, &client.push_target(&here), &destination, &())
        .await
        .unwrap();
    Tree {
        root,
        note,
        about_note,
        signature,
        name,
    }
}

async fn listed(server: &RunningServer, path: &str, subject: &Document) -> BTreeSet<Digest> {
    let here: Repository = format!("{}/{path}", server.registry()).parse().unwrap();
    let client = Client::builder().build().unwrap();
    let found = client
        .repository(&here)
        .referrers(subject.digest(), None)
        .await;
    found.unwrap().into_iter().map(|it| it.digest).collect()
}

async fn without_lists() -> RunningServer {
    Server::builder()
        .memory()
        .referrers(false)
        .start()
        .await
        .unwrap()
}

async fn with_lists() -> RunningServer {
    Server::builder().memory().start().await.unwrap()
}

fn sends(lines: &[String]) -> Vec<&String> {
    let reads = ["GET ", "HEAD "];
    lines
        .iter()
        .filter(|it| !reads.iter().any(|method| it.starts_with(method)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_the_tree_and_the_digest_tags_travel_between_registries_with_and_without_lists() {
    for (from_lists, to_lists) in [(true, true), (true, false), (false, true), (false, false)] {
        let kind = |lists| async move {
            if lists {
                with_lists().await
            } else {
                without_lists().await
            }
        };
        let from = kind(from_lists).await;
        let tree = plant(&from).await;
        let stage = Stage::with(kind(to_lists).await);
        let source = format!("docker://{}/{FROM}:latest", from.registry());
        let reference = stage.reference("to/app:1");
        let args = ["push", &source, &reference, "-r", "--json"];
        let report = stage.longshore(&args).await.succeeded().json();
        let row = format!(
            "from {from_lists} to {to_lists}: {:#?}",
            stage.server.log().lines()
        );
        let to = &stage.server;
        assert_eq!(
            listed(to, "to/app", &tree.root).await,
            [tree.note.digest().clone()].into(),
            "{row}"
        );
        assert_eq!(
            listed(to, "to/app", &tree.note).await,
            [tree.about_note.digest().clone()].into(),
            "{row}"
        );
        let here: Repository = stage.reference("to/app").parse().unwrap();
        let client = Client::builder().build().unwrap();
        let at = TagOrDigest::Tag(tree.name.clone());
        let stored = client.repository(&here).manifest(&at).await.unwrap();
        assert_eq!(stored.unwrap().bytes(), tree.signature.bytes(), "{row}");
        let tags = report["referrers_tags"].as_array().map_or(0, Vec::len);
        assert_eq!(tags, if to_lists { 0 } else { 2 }, "{row}");

        stage.longshore(&args).await.succeeded();
        let lines = stage.server.log().lines();
        assert_eq!(
            sends(&lines),
            [""; 0],
            "a second run sends nothing: {row} {lines:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_without_the_switch_nothing_is_asked_for_and_nothing_goes_along() {
    let from = with_lists().await;
    let tree = plant(&from).await;
    from.log().clear();
    let stage = Stage::new().await;
    let source = format!("docker://{}/{FROM}:latest", from.registry());
    let reference = stage.reference("to/app:1");
    stage
        .longshore(&["push", &source, &reference])
        .await
        .succeeded();
    assert_eq!(from.log().calls(Endpoint::Referrers), 0);
    assert_eq!(from.log().calls(Endpoint::TagList), 0);
    assert_eq!(
        listed(&stage.server, "to/app", &tree.root).await,
        BTreeSet::new()
    );
}

/// A layout that holds an image, and one manifest that is about it.
fn noted(stage: &Stage, n: usize) -> (PathBuf, Digest) {
    let image = stage.image_at(&format!("image-{n}"), &small());
    let write = |content: &[u8]| {
        let digest = Digest::of(content);
        fs::write(image.path.join(layout::blob_path(&digest)), content).unwrap();
        digest
    };
    write(b"{}");
    let note = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "a/note",
        "config": Descriptor::of(MediaType::OCI_EMPTY, b"{}"),
        "layers": [], "annotations": {"of": n.to_string()},
        "subject": image.document.descriptor(),
    })
    .to_string();
    let digest = write(note.as_bytes());
    let path = image.path.join("index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let entry = Descriptor::of(MediaType::OCI_MANIFEST, note.as_bytes());
    index["manifests"]
        .as_array_mut()
        .unwrap()
        .push(json!(entry));
    fs::write(path, index.to_string()).unwrap();
    (image.path.clone(), digest)
}

/// Eight processes at the same time, of which none knows of the others, and a registry that takes
/// whatever list is put last.
#[tokio::test(flavor = "multi_thread")]
async fn p7_eight_processes_that_attach_to_one_image_lose_no_entry() {
    for conditions in [true, false] {
        let stage = Stage::with(without_lists().await);
        let put = || Rule::on(Endpoint::ManifestPut).path_contains("/manifests/sha256-");
        if !conditions {
            stage
                .server
                .faults()
                .add(put().act(Action::IgnoreConditions));
        }
        let wait = Latency {
            from: std::time::Duration::ZERO,
            to: std::time::Duration::from_millis(20),
            seed: 3,
        };
        stage
            .server
            .faults()
            .add(put().act(Action::DelayWithin(wait)));
        let layouts: Vec<(PathBuf, Digest)> = (0..8).map(|n| noted(&stage, n)).collect();
        let image = stage.image(&small());
        let reference = stage.reference("team/app:1");
        let mut runs = tokio::task::JoinSet::new();
        for (path, _) in &layouts {
            let args = ["push", path.to_str().unwrap(), &reference, "-r"];
            let args = args.map(str::to_owned);
            let home = stage.home().to_owned();
            runs.spawn(async move {
                let args = args.iter().map(String::as_str);
                run_beside(&home, args).await.succeeded();
            });
        }
        while let Some(run) = runs.join_next().await {
            run.unwrap();
        }
        let all: BTreeSet<Digest> = layouts.into_iter().map(|(_, digest)| digest).collect();
        let found = listed(&stage.server, "team/app", &image.document).await;
        assert_eq!(found, all, "{:#?}", stage.server.log().lines());
    }
}
