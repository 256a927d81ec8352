//! Several repositories in one build, of one registry and of two.

use oci::Digest;
use serde_json::{Value, json};
use server::{Action, Answer, Endpoint, Rule, RunningServer};

use super::{Base, OLD, Yard, new_bytes};
use crate::{
    copy::{manifest, registry},
    longshore::{Run, run_beside},
};

/// Three repositories in two registries, one of them under two tags.
struct Three {
    yard: Yard,
    base: Base,
    there: RunningServer,
}

impl Three {
    async fn new() -> Self {
        let yard = Yard::new().await;
        let base = yard.base("ltsc2022", OLD).await;
        let there = registry().await;
        Self { yard, base, there }
    }

    fn repositories(&self) -> [String; 3] {
        [
            self.yard.stage.reference("team/app"),
            self.yard.stage.reference("other/app"),
            format!("{}/third", self.there.registry()),
        ]
    }

    async fn build(&self, more: &[&str]) -> Run {
        self.there.log().clear();
        let [one, other, third] = self.repositories();
        let names = [
            format!("{one}:1"),
            format!("{one}:latest"),
            format!("{other}:1"),
            format!("{third}:2"),
        ];
        let tags: Vec<&str> = names.iter().flat_map(|it| ["-t", it.as_str()]).collect();
        self.yard.build(&[&tags[..], more].concat()).await
    }
}

fn told(report: &Value) -> Vec<&str> {
    let all = report["destinations"].as_array().unwrap().iter();
    all.map(|it| it["repository"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_several_repositories_shows_each_and_writes_nothing() {
    let three = Three::new().await;
    let plan = three.build(&["--plan", "--json"]).await.succeeded().json();
    assert_eq!(told(&plan), three.repositories());
    assert!(plan["build"]["digest"].is_string(), "{plan:#}");
    for server in [&three.yard.stage.server, &three.there] {
        assert_eq!(server.log().body_bytes(), 0);
        assert_eq!(server.log().calls(Endpoint::ManifestPut), 0);
    }
    let text = three.build(&["--plan"]).await.succeeded().stdout;
    let shown = |it: &String| text.contains(it.as_str());
    assert!(three.repositories().iter().all(shown), "{text}");
    // What is of the base, and how it need not be sent, is told of each.
    let [near, other, there] = [0, 1, 2].map(|it| &plan["destinations"][it]["bases"]);
    for bases in [near, other, there] {
        assert_eq!(bases[0]["on_this_registry"], false, "{plan:#}");
        assert_eq!(bases[0]["bytes_to_upload"], near[0]["bytes_to_upload"]);
        assert!(
            bases[0]["bytes_to_upload"].as_u64().unwrap() > 0,
            "{plan:#}"
        );
    }
    let [one, _, third] = three.repositories();
    for to in [one, third] {
        let registry = to.split('/').next().unwrap();
        let said = format!("--to {registry}/REPOSITORY they are mounted and not sent");
        assert!(text.contains(&said), "{said}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_build_goes_to_several_repositories_under_several_tags() {
    let three = Three::new().await;
    let run = three.build(&["--push", "--json"]).await;
    let (near, there) = (&three.yard.stage.server, &three.there);
    let (sent, sent_there) = (three.yard.sent(), there.log().blob_bytes());
    let report = run.succeeded().json();
    assert_eq!(report["cause"], "done");
    assert_eq!(told(&report), three.repositories());
    let build = &report["build"];
    for report in report["destinations"].as_array().unwrap() {
        assert_eq!(report["digest"], build["digest"]);
    }
    let put = manifest(there, "third", "2").await.unwrap();
    for (repository, tag) in [
        ("team/app", "1"),
        ("team/app", "latest"),
        ("other/app", "1"),
    ] {
        let same = manifest(near, repository, tag).await.unwrap();
        assert_eq!(same, put, "{repository}:{tag}");
    }
    assert!(manifest(near, "other/app", "latest").await.is_none());
    // Each registry has each byte once, and the base's layer is read once for all of them.
    let config: Value = serde_json::from_slice(&put).unwrap();
    let config = config["config"]["size"].as_u64().unwrap();
    let all = three.base.layer.len() as u64 + new_bytes(build) + config;
    assert_eq!((sent, sent_there), (all, all));
    let of_layer = format!("/blobs/{}", three.base.layer());
    let lines = three.yard.far.log().lines();
    let gets = lines
        .iter()
        .filter(|it| it.starts_with("GET ") && it.contains(&of_layer));
    assert_eq!(gets.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_repository_that_fails_does_not_keep_the_image_from_others() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let there = registry().await;
    let refused = Rule::on(Endpoint::ManifestPut).act(Action::Answer(Answer::new(403)));
    there.faults().add(refused);
    let (one, other) = (
        yard.stage.reference("team/app:1"),
        format!("{}/app:1", there.registry()),
    );
    let args = ["-t", &one, "-t", &other, "--push", "--json"];
    let events = yard.stage.path("events");
    let told = ["--events", events.to_str().unwrap()];
    let run = yard.build(&[&args[..], &told].concat()).await;
    assert_ne!(run.code, Some(0), "{run:#?}");
    let report = run.json();
    assert_eq!(report["cause"], "partly", "{report:#}");
    assert!(
        manifest(&yard.stage.server, "team/app", "1")
            .await
            .is_some()
    );
    assert!(manifest(&there, "app", "1").await.is_none());
    let told = std::fs::read_to_string(events).unwrap();
    let failed = told.lines().filter(|it| it.contains("\"failed\"")).count();
    assert_eq!(failed, 1, "{told}");
    assert_eq!(report["destinations"].as_array().unwrap().len(), 2);
    assert_ne!(report["destinations"][1]["error"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_has_each_tag_once_whatever_the_repositories_are() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let out = yard.stage.path("out");
    let names = ["team/app:1", "other/app:1", "other/app:2"].map(|it| yard.stage.reference(it));
    let tags: Vec<&str> = names.iter().flat_map(|it| ["-t", it.as_str()]).collect();
    let args = [&tags[..], &["--output", out.to_str().unwrap()]].concat();
    yard.build(&args).await.succeeded();
    let index: Value =
        serde_json::from_slice(&std::fs::read(out.join("index.json")).unwrap()).unwrap();
    let name = |it: &Value| it["annotations"]["org.opencontainers.image.ref.name"].clone();
    let entries = index["manifests"].as_array().unwrap().iter();
    let mut names: Vec<Value> = entries.map(name).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["1", "2"]);
    assert_eq!(yard.stage.server.log().requests(), 0);
}

/// The whole of it counts: here the base does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_ends_at_its_timeout_whether_it_is_pushed_or_written() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let wait = std::time::Duration::from_mins(1);
    yard.far.faults().add(Rule::any().act(Action::Delay(wait)));
    let (one, other) = (
        yard.stage.reference("team/app:1"),
        yard.stage.reference("other/app:1"),
    );
    let out = yard.stage.path("out");
    let out = out.to_str().unwrap();
    for args in [
        &["-t", &one, "--push"][..],
        &["-t", &one, "-t", &other, "--push"],
        &["--output", out],
    ] {
        let began = std::time::Instant::now();
        let run = yard
            .build(&[args, &["--timeout=300ms", "--json"]].concat())
            .await;
        assert!(began.elapsed() < wait / 2, "{args:?}");
        assert_eq!(run.code, Some(7), "{run:#?}");
        assert!(run.stderr.contains("--timeout"), "{run:#?}");
    }
    assert!(!std::path::Path::new(out).join("index.json").exists());
}

/// Manifests of Docker's have no place for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_ocis_says_which_base_it_has_and_one_of_dockers_does_not() {
    let yard = Yard::new().await;
    let base = yard.base("ltsc2022", OLD).await;
    let to = yard.stage.reference("team/app:1");
    yard.build(&["-t", &to, "--push"]).await.succeeded();
    let put = manifest(&yard.stage.server, "team/app", "1").await.unwrap();
    let put: Value = serde_json::from_slice(&put).unwrap();
    assert_eq!(put["annotations"], Value::Null);
    yard.build(&["-t", &to, "--push", "--oci"])
        .await
        .succeeded();
    let put = manifest(&yard.stage.server, "team/app", "1").await.unwrap();
    let put: Value = serde_json::from_slice(&put).unwrap();
    let expected = json!({
        "org.opencontainers.image.base.digest": Digest::of(base.manifest.as_bytes()),
        "org.opencontainers.image.base.name": format!("{}:ltsc2022", yard.nanoserver()),
    });
    assert_eq!(put["annotations"], expected);
}

/// What is peculiar to Windows stands under that, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn the_help_has_what_is_of_windows_and_nothing_else_under_windows() {
    let yard = Yard::new().await;
    let run = run_beside(yard.stage.home(), ["build", "--help"]).await;
    let text = run.succeeded().stdout;
    let of_windows = text.split("\nWindows:\n").nth(1).unwrap();
    let of_windows = of_windows.split("\nConnection:\n").next().unwrap();
    let flags = of_windows
        .lines()
        .filter_map(|it| it.trim_start().strip_prefix("--"));
    let flags: Vec<&str> = flags.filter_map(|it| it.split(' ').next()).collect();
    let expected = [
        "windows-names",
        "windows-symlinks",
        "windows-owner",
        "windows-path-default",
        "os-version",
        "force-os-version",
    ];
    assert_eq!(flags, expected);
}
