//! Foreign layers: what stays where it is, what is pushed, and what the wire sees of either.

use std::path::PathBuf;

use longshore::{
    Pusher,
    push::{
        Destination, Engine, Foreign, LayoutTarget, Options,
        compose::{ManifestBuilder, MemorySource},
    },
};
use oci::{Descriptor, Document, MediaType};
use server::{Endpoint, RunningServer};

use crate::{
    copy::{manifest, registry},
    longshore::Run,
    stage::Stage,
};

/// Every type that is foreign: Docker's and OCI's, as a plain tar and compressed.
pub(super) const TYPES: [&str; 6] = [
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// An image with a layer of each foreign type at the bottom and one ordinary layer on top.
pub(super) struct FarBase {
    pub(super) source: MemorySource,
    pub(super) document: Document,
    pub(super) foreign: Vec<Descriptor>,
    /// The layer, and the config.
    pub(super) own: Vec<Descriptor>,
}

impl FarBase {
    /// With `urls` that say where its foreign layers are.
    pub(super) fn new() -> Self {
        Self::with(|at| vec![format!("https://far.test/layers/{at}")])
    }

    pub(super) fn with(urls: impl Fn(usize) -> Vec<String>) -> Self {
        let (mut source, config) = MemorySource::new().with_blob(MediaType::OCI_CONFIG, "{}");
        let mut builder = ManifestBuilder::new(config.clone());
        let mut foreign = Vec::new();
        for (at, media_type) in TYPES.into_iter().enumerate() {
            let content = format!("base layer {at} {}", "=".repeat(200 - at));
            let (next, mut layer) = source.with_blob(media_type, content);
            source = next;
            layer.urls = urls(at);
            builder = builder.layer(layer.clone());
            foreign.push(layer);
        }
        let (source, own) = source.with_blob(MediaType::OCI_LAYER_GZIP, "the app's own layer");
        let document = builder.layer(own.clone()).build().unwrap();
        Self {
            source: source.with_root(document.clone()),
            document,
            foreign,
            own: vec![own, config],
        }
    }

    /// Writes it as a layout, with the bytes of its foreign layers or without them.
    pub(super) async fn layout(&self, stage: &Stage, foreign: Foreign) -> PathBuf {
        let path = stage.path(&format!("{foreign:?}"));
        let engine = Engine::new(Options {
            foreign,
            ..Options::default()
        });
        let to = Destination::tagged(["1".parse().unwrap()]);
        let target = LayoutTarget::new(&path);
        engine.push(&self.source, &target, &to, &()).await.unwrap();
        path
    }

    /// Whether a line of a request log, or anything else, names one of the foreign layers.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let foreign = self.foreign.iter();
        foreign
            .map(|it| it.digest.encoded())
            .any(|it| text.contains(it))
    }

    #[track_caller]
    pub(super) fn assert_unnamed(&self, server: &RunningServer, road: &str) {
        let lines = server.log().lines();
        assert!(!lines.is_empty(), "{road}");
        assert!(
            !lines.iter().any(|it| self.is_named(it)),
            "{road}: {lines:#?}"
        );
    }

    pub(super) fn foreign_bytes(&self) -> u64 {
        self.foreign.iter().map(|it| it.size).sum()
    }
}

/// What is written in percent, as it is meant.
pub(super) fn lines(server: &RunningServer) -> Vec<String> {
    let lines = server.log().lines().into_iter();
    lines
        .map(|it| it.replace("%3A", ":").replace("%2F", "/"))
        .collect()
}

/// What is asked and sent for blobs that nobody holds, one after the other.
fn sent(repository: &str, blobs: &[Descriptor]) -> Vec<String> {
    let mut blobs: Vec<&Descriptor> = blobs.iter().collect();
    blobs.sort_by_key(|it| std::cmp::Reverse(it.size));
    let mut lines = Vec::new();
    for (number, it) in (1..).zip(blobs) {
        let digest = &it.digest;
        lines.push(format!(
            "POST /v2/{repository}/blobs/uploads/?mount={digest}&from={repository} → 202"
        ));
        lines.push(format!(
            "PUT /v2/{repository}/blobs/uploads/<{number}>?digest={digest} → 201"
        ));
    }
    lines
}

async fn one_at_a_time(stage: &Stage, args: &[&str]) -> Run {
    let more = ["--json", "--no-state", "--concurrency", "1"];
    stage.longshore(&[args, &more].concat()).await.succeeded()
}

#[tokio::test(flavor = "multi_thread")]
async fn z4_by_default_a_push_names_no_foreign_layer_and_puts_the_manifest_as_it_is() {
    let stage = Stage::new().await;
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Keep).await;
    let to = stage.reference("app:1");
    let run = one_at_a_time(&stage, &["push", path.to_str().unwrap(), &to]).await;
    let mut expected = vec!["HEAD /v2/app/manifests/1 → 404".to_owned()];
    expected.push(format!(
        "HEAD /v2/app/manifests/{} → 404",
        image.document.digest()
    ));
    expected.extend(sent("app", &image.own));
    expected.push("PUT /v2/app/manifests/1 → 201".to_owned());
    assert_eq!(lines(&stage.server), expected);
    assert_eq!(run.json()["bytes"]["foreign"], image.foreign_bytes());
    let put = manifest(&stage.server, "app", "1").await.unwrap();
    assert_eq!(put, &image.document.bytes()[..]);
}

/// The same through the library.
#[tokio::test(flavor = "multi_thread")]
async fn z4_the_library_names_no_foreign_layer_either_and_its_plan_says_so() {
    let stage = Stage::new().await;
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Keep).await;
    let to = stage.reference("app:1");
    let pusher = Pusher::new().unwrap();
    let plan = pusher.plan(&path, &to).await.unwrap();
    assert_eq!(plan.totals().bytes.foreign, image.foreign_bytes());
    let report = pusher.push(&path, &to).await.unwrap();
    image.assert_unnamed(&stage.server, "plan and push");
    assert_eq!(report.bytes.foreign, image.foreign_bytes());
    let put = manifest(&stage.server, "app", "1").await.unwrap();
    assert_eq!(put, &image.document.bytes()[..]);
}

/// Included, they go like any other layer, and the manifest stays what it was.
#[tokio::test(flavor = "multi_thread")]
async fn z4_included_foreign_layers_are_uploaded_with_type_and_urls_unchanged() {
    let image = FarBase::new();
    for switch in ["--foreign=include", "--push-foreign"] {
        let stage = Stage::new().await;
        let path = image.layout(&stage, Foreign::Include).await;
        let to = stage.reference("app:1");
        let run = one_at_a_time(&stage, &["push", path.to_str().unwrap(), &to, switch]).await;
        let mut expected = vec!["HEAD /v2/app/manifests/1 → 404".to_owned()];
        expected.push(format!(
            "HEAD /v2/app/manifests/{} → 404",
            image.document.digest()
        ));
        let all = [&image.foreign[..], &image.own].concat();
        expected.extend(sent("app", &all));
        expected.push("PUT /v2/app/manifests/1 → 201".to_owned());
        assert_eq!(lines(&stage.server), expected, "{switch}");
        let report = run.json();
        assert_eq!(report["bytes"]["foreign"], 0);
        for layer in &image.foreign {
            let blobs = report["blobs"].as_array().unwrap();
            let of_layer =
                |it: &&serde_json::Value| it["blob"]["digest"] == layer.digest.to_string();
            let outcome = blobs.iter().find(of_layer).unwrap();
            assert_eq!(outcome["done"], "uploaded", "{switch}");
            assert_eq!(outcome["blob"]["mediaType"], layer.media_type.as_str());
            assert_eq!(outcome["blob"]["urls"], serde_json::json!(layer.urls));
        }
        let put = manifest(&stage.server, "app", "1").await.unwrap();
        assert_eq!(put, &image.document.bytes()[..]);
    }
}

/// That the manifest is there says nothing of them: an image that was pushed without its foreign
/// layers gets them when they are included.
#[tokio::test(flavor = "multi_thread")]
async fn z4_an_image_that_is_there_without_its_foreign_layers_gets_them_when_they_are_included() {
    let stage = Stage::new().await;
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Include).await;
    let path = path.to_str().unwrap();
    let to = stage.reference("app:1");
    one_at_a_time(&stage, &["push", path, &to]).await;
    let run = one_at_a_time(&stage, &["push", path, &to, "--push-foreign"]).await;
    let mut expected = vec!["HEAD /v2/app/manifests/1 → 200".to_owned()];
    expected.extend(sent("app", &image.foreign));
    assert_eq!(lines(&stage.server), expected);
    assert_eq!(run.json()["bytes"]["uploaded"], image.foreign_bytes());
    let args = ["plan", path, &to, "--push-foreign"];
    let plan = one_at_a_time(&stage, &args).await.json();
    assert_eq!(plan["totals"]["bytes"]["uploaded"], 0);
}

/// By whatever road an image goes: neither end is asked for a foreign layer.
#[tokio::test(flavor = "multi_thread")]
async fn z4_copy_promote_fan_out_and_what_an_index_knows_name_no_foreign_layer() {
    let stage = Stage::new().await;
    let (there, other) = (registry().await, registry().await);
    let image = FarBase::new();
    let path = image.layout(&stage, Foreign::Include).await;
    let path = path.to_str().unwrap();
    let here = |name: &str| stage.reference(name);
    let far = |name: &str| format!("{}/{name}", there.registry());
    let farther = format!("{}/app:1", other.registry());
    // The registry holds them, and what earlier runs saw is known.
    let included = ["push", path, &here("base:1"), "--foreign=include"];
    stage.longshore(&included).await.succeeded();
    let roads: [&[&str]; 7] = [
        &["push", path, &here("app:1"), "--mount-from", &here("base")],
        &["push", path, &here("app:2"), "--no-index", "--referrers"],
        &["plan", path, &here("app:3")],
        &["promote", &here("base:1"), &here("prod:1")],
        &["copy", &here("base:1"), &far("app:1"), "--referrers"],
        &["copy", &here("base:1"), &here("again:1"), &farther],
        &["copy", path, &far("more:1"), &here("more:1")],
    ];
    for road in roads {
        there.log().clear();
        other.log().clear();
        let run = stage.longshore(road).await.succeeded();
        image.assert_unnamed(&stage.server, &format!("{road:?}"));
        let lines = [there.log().lines(), other.log().lines()].concat();
        assert!(
            !lines.iter().any(|it| image.is_named(it)),
            "{road:?}: {run:#?}"
        );
    }
    for (server, repository) in [(&there, "app"), (&other, "app"), (&stage.server, "prod")] {
        let put = manifest(server, repository, "1").await.unwrap();
        assert_eq!(put, &image.document.bytes()[..]);
    }
}

/// What is nowhere is found before anything is sent, and only where it would have to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn z4_a_foreign_layer_without_urls_and_bytes_stops_an_inclusion_before_the_first_write() {
    let stage = Stage::new().await;
    let image = FarBase::with(|_| Vec::new());
    let path = image.layout(&stage, Foreign::Keep).await;
    let path = path.to_str().unwrap();
    let to = stage.reference("app:1");
    let run = stage
        .longshore(&["push", path, &to, "--foreign=include"])
        .await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert!(image.is_named(&run.stderr), "{run:#?}");
    assert!(run.stderr.contains("--foreign=keep"), "{run:#?}");
    assert_eq!(stage.server.log().requests(), 0);
    stage.longshore(&["push", path, &to]).await.succeeded();

    // The same where the source is a registry that has not got them: it is asked, and no other.
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let from = stage.reference("app:1");
    let args = ["copy", &from, &to, "--foreign=include"];
    let run = stage.longshore(&args).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert!(run.stderr.contains("--foreign=keep"), "{run:#?}");
    assert_eq!(there.log().requests(), 0);
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);
    stage.longshore(&["copy", &from, &to]).await.succeeded();
    image.assert_unnamed(&there, "copied");
}

#[cfg(test)]
mod bases;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod policy;
