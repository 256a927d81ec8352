//! The store of what was fetched: by the real command, from one registry to others.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use oci::Digest;
use server::{Endpoint, RunningServer, Server};

use crate::{
    longshore::{Run, finished, longshore, run_beside},
    stage::{Image, Stage, small},
};

/// A registry with an image, and a place for a store.
struct Scene {
    stage: Stage,
    image: Image,
    from: String,
    store: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let image = stage.image(&small());
        let reference = stage.reference("team/app:1");
        let args = ["push", image.path(), &reference];
        stage.longshore(&args).await.succeeded();
        Self {
            from: format!("docker://{reference}"),
            store: stage.path("store"),
            image,
            stage,
        }
    }

    fn store(&self) -> &str {
        self.store.to_str().unwrap()
    }

    /// Pushes from the registry to another; the log then has what the first was asked.
    async fn copy(&self, to: &RunningServer, more: &[&str]) -> Run {
        let to = format!("{}/team/app:1", to.registry());
        let mut args = vec!["push", &self.from, &to, "--json"];
        args.extend(more);
        self.stage.longshore(&args).await
    }

    fn fetched(&self) -> usize {
        self.stage.server.log().calls(Endpoint::BlobGet)
    }

    fn stored(&self, digest: &Digest) -> Vec<u8> {
        fs::read(self.store.join(oci::layout::blob_path(digest))).unwrap()
    }
}

async fn registry() -> RunningServer {
    Server::builder().memory().start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_a_second_copy_to_another_registry_fetches_no_blob_byte_from_the_first() {
    let scene = Scene::new().await;
    let (b, c) = (registry().await, registry().await);
    let blobs = scene.image.blobs();
    let first = scene
        .copy(&b, &["--store", scene.store()])
        .await
        .succeeded();
    assert_eq!(
        scene.fetched(),
        blobs.len(),
        "{:#?}",
        scene.stage.server.log().lines()
    );
    assert_eq!(b.log().calls(Endpoint::UploadPut), blobs.len());
    assert_eq!(b.log().blob_bytes(), scene.image.blob_bytes());
    let kept = &first.json()["store"];
    assert_eq!(kept["fetched_bytes"], scene.image.blob_bytes());
    assert_eq!(kept["stored_bytes"], 0);
    for blob in &blobs {
        assert!(
            blob.digest.matches(&scene.stored(&blob.digest)),
            "verified in the store"
        );
    }
    assert!(
        scene
            .image
            .digest()
            .matches(&scene.stored(scene.image.digest()))
    );

    let second = scene
        .copy(&c, &["--store", scene.store()])
        .await
        .succeeded();
    assert_eq!(
        scene.fetched(),
        0,
        "{:#?}",
        scene.stage.server.log().lines()
    );
    assert_eq!(c.log().blob_bytes(), scene.image.blob_bytes());
    let kept = &second.json()["store"];
    assert_eq!(kept["fetched_bytes"], 0);
    assert_eq!(kept["stored_bytes"], scene.image.blob_bytes());
    assert_eq!(second.json()["digest"], scene.image.digest().to_string());
}

/// By digest, the registry is not even asked for the manifest.
#[tokio::test(flavor = "multi_thread")]
async fn k3_an_image_that_is_in_the_store_is_copied_by_digest_without_a_request_to_its_registry() {
    let scene = Scene::new().await;
    let (b, c) = (registry().await, registry().await);
    scene
        .copy(&b, &["--store", scene.store()])
        .await
        .succeeded();
    let from = format!(
        "{}@{}",
        scene.from.trim_end_matches(":1"),
        scene.image.digest()
    );
    let to = format!("{}/team/app:1", c.registry());
    let run = scene
        .stage
        .longshore(&["push", &from, &to, "--store", scene.store()])
        .await;
    run.succeeded();
    assert_eq!(scene.stage.server.log().lines(), [""; 0]);
    assert_eq!(c.log().blob_bytes(), scene.image.blob_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn k7_every_command_works_with_the_store_disabled() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        let b = registry().await;
        let to = format!("{}/team/app:1", b.registry());
        let plan = ["plan", &scene.from, &to, "--no-store"];
        scene.stage.longshore(&plan).await.succeeded();
        scene
            .copy(&b, &["--no-store", "--dry-run"])
            .await
            .succeeded();
        let run = scene.copy(&b, &["--no-store"]).await.succeeded();
        assert_eq!(
            scene.fetched(),
            scene.image.blobs().len(),
            "nothing was kept"
        );
        assert_eq!(run.json()["store"], serde_json::Value::Null);
    }
    let cache = scene.stage.home().join(".cache");
    assert!(!cache.exists(), "no file was written for it");
    let twice = scene
        .copy(&registry().await, &["--no-store", "--store", "x"])
        .await;
    assert_eq!(twice.code, Some(2), "{twice:#?}");
}

/// Without a word the store is in the cache directory, and only for what a registry gives.
#[tokio::test(flavor = "multi_thread")]
async fn k1_the_store_is_where_caches_are_unless_said_otherwise() {
    let scene = Scene::new().await;
    let default = scene.stage.home().join(".cache/longshore/store");
    assert!(!default.exists(), "a push from a file keeps nothing");
    let nobody = registry().await;
    let to = format!("{}/team/app:1", nobody.registry());
    scene
        .stage
        .longshore(&["plan", &scene.from, &to])
        .await
        .succeeded();
    assert!(!default.exists(), "a plan writes nothing");
    scene.copy(&registry().await, &[]).await.succeeded();
    assert!(default.join("index.json").exists());
    scene
        .copy(&registry().await, &["--dry-run"])
        .await
        .succeeded();

    let by_environment = scene.stage.path("by environment");
    let settings = scene.stage.path("config.toml");
    let by_settings = scene.stage.path("by settings");
    fs::write(
        &settings,
        format!("store = {by_settings:?}\nstore-limit = \"1MiB\"\n"),
    )
    .unwrap();
    for (variable, value, place) in [
        ("LONGSHORE_STORE", &by_environment, &by_environment),
        ("LONGSHORE_CONFIG", &settings, &by_settings),
    ] {
        let b = registry().await;
        let to = format!("{}/team/app:1", b.registry());
        let mut command = tokio::process::Command::from(longshore(scene.stage.home()));
        command
            .env(variable, value)
            .args(["push", &scene.from, &to]);
        finished(command.output().await.unwrap()).succeeded();
        assert!(place.join("index.json").exists(), "{variable}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k8_the_store_is_shown_verified_and_pruned() {
    let scene = Scene::new().await;
    let store = ["--store", scene.store()];
    let command = async |args: &[&str]| scene.stage.longshore(&[args, &store].concat()).await;
    let none = command(&["store", "show"]).await.succeeded();
    assert!(
        none.stdout.starts_with("there is no store at "),
        "{none:#?}"
    );

    scene.copy(&registry().await, &store).await.succeeded();
    let shown = command(&["store", "show"]).await.succeeded();
    let name = scene.stage.reference("team/app:1");
    assert!(shown.stdout.contains(&name), "{shown:#?}");
    let shown = command(&["store", "show", "--json"])
        .await
        .succeeded()
        .json();
    assert_eq!(shown["blobs"], scene.image.blobs().len() + 1);
    assert_eq!(
        shown["images"][0]["digest"],
        scene.image.digest().to_string()
    );
    command(&["store", "verify"]).await.succeeded();

    let altered = &scene.image.blobs()[0].digest;
    let path = scene.store.join(oci::layout::blob_path(altered));
    fs::remove_file(&path).unwrap();
    fs::write(&path, "something else").unwrap();
    let verified = command(&["store", "verify", "--json"]).await;
    assert_eq!(verified.code, Some(5), "{verified:#?}");
    assert_eq!(verified.json()["altered"][0], altered.to_string());
    assert!(verified.stderr.contains("altered"), "{verified:#?}");

    let pruned = command(&["store", "prune", "--limit", "100kB", "--json"]).await;
    let pruned = pruned.succeeded().json();
    assert!(
        pruned["left_bytes"].as_u64().unwrap() <= 100_000,
        "{pruned}"
    );
    let emptied = command(&["store", "prune", "--limit", "0"])
        .await
        .succeeded();
    assert!(emptied.stdout.contains("0 are left"), "{emptied:#?}");
    let shown = command(&["store", "show", "--json"])
        .await
        .succeeded()
        .json();
    assert_eq!(
        (&shown["blobs"], &shown["images"]),
        (&0.into(), &serde_json::json!([]))
    );
}

/// What is known of where blobs are is not what is kept of them.
#[tokio::test(flavor = "multi_thread")]
async fn i9_pruning_the_store_deletes_no_fact_of_where_blobs_are() {
    let scene = Scene::new().await;
    let b = registry().await;
    let store = ["--store", scene.store()];
    scene.copy(&b, &store).await.succeeded();
    let facts = async || {
        let exported = scene.stage.longshore(&["index", "export"]).await;
        exported.succeeded().stdout
    };
    let before = facts().await;
    assert_eq!(before.lines().count(), 1 + 2 * scene.image.blobs().len());

    let prune = [&["store", "prune", "--limit", "0"][..], &store].concat();
    let pruned = scene.stage.longshore(&prune).await.succeeded();
    assert!(pruned.stdout.contains("0 are left"), "{pruned:#?}");
    assert_eq!(facts().await, before);
    let to = format!("{}/team/other:1", b.registry());
    let args = ["push", scene.image.path(), &to, "--json"];
    let pushed = scene.stage.longshore(&args).await.succeeded();
    let mounted = &pushed.json()["bytes"]["mounted"];
    assert_eq!(*mounted, scene.image.blob_bytes());
}

/// The store is an image layout: what is whole in it is pushed from there, with no registry up.
#[tokio::test(flavor = "multi_thread")]
async fn k6_a_store_can_be_pushed_from_as_the_image_layout_that_it_is() {
    let scene = Scene::new().await;
    scene
        .copy(&registry().await, &["--store", scene.store()])
        .await
        .succeeded();
    let name = scene.stage.reference("team/app:1");
    let c = registry().await;
    let to = format!("{}/team/app:1", c.registry());
    let args = ["push", scene.store(), &to, "--image", &name, "--json"];
    let run = scene.stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["digest"], scene.image.digest().to_string());
    assert_eq!(scene.stage.server.log().lines(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k4_a_store_that_cannot_be_made_is_a_warning_and_one_that_is_none_is_refused() {
    let scene = Scene::new().await;
    let file = scene.stage.path("file");
    fs::write(&file, "a file").unwrap();
    let run = scene
        .copy(&registry().await, &["--store", file.to_str().unwrap()])
        .await
        .succeeded();
    let warnings = run
        .stderr
        .lines()
        .filter(|it| it.starts_with("warning: the store is not used"));
    assert_eq!(warnings.count(), 1, "{run:#?}");

    let run = scene
        .copy(&registry().await, &["--store", scene.image.path()])
        .await;
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("there is something else in it"),
        "{run:#?}"
    );
    assert!(run.stderr.contains("--no-store"), "{run:#?}");
}

/// A file may be 32 KiB long at most here, as on a disk that is full from there on: no layer can be
/// kept, and the push goes through with one warning.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn k4_a_full_disk_fails_no_push() {
    let scene = Scene::new().await;
    let b = registry().await;
    let to = format!("{}/team/app:1", b.registry());
    let args = [
        "push",
        &scene.from,
        &to,
        "--no-state",
        "--store",
        scene.store(),
    ];
    let run = crate::longshore::run_on_full_disk(scene.stage.home(), 64, args)
        .await
        .succeeded();
    let warnings: Vec<&str> = run
        .stderr
        .lines()
        .filter(|it| it.starts_with("warning"))
        .collect();
    assert_eq!(warnings.len(), 1, "{run:#?}");
    assert!(
        warnings[0].contains("takes nothing more in this run"),
        "{warnings:?}"
    );
    assert_eq!(b.log().blob_bytes(), scene.image.blob_bytes());
    assert_eq!(files(&scene.store.join("ingest")), 0);
    let verify = ["store", "verify", "--store", scene.store()];
    scene.stage.longshore(&verify).await.succeeded();
}

/// Killed while it fetches: nothing half is seen, nothing stays locked, and the next run cleans up.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn k4_a_killed_writer_leaves_nothing_that_is_seen_or_that_anybody_waits_for() {
    let scene = Scene::new().await;
    let b = registry().await;
    let to = format!("{}/team/app:1", b.registry());
    let mut command = tokio::process::Command::from(longshore(scene.stage.home()));
    command.args(["push", &scene.from, &to, "--store", scene.store()]);
    command
        .args(["--limit-rate", "4KiB", "--no-state"])
        .kill_on_drop(true);
    let mut writer = command.spawn().unwrap();
    let parts = scene.store.join("ingest");
    let looking = async {
        while locked(&parts) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), looking)
        .await
        .unwrap();
    writer.kill().await.unwrap();
    assert!(locked(&parts) > 0, "it left what it was writing");
    let largest = &scene.image.blobs()[0].digest;
    assert!(!scene.store.join(oci::layout::blob_path(largest)).exists());

    scene
        .copy(&b, &["--store", scene.store()])
        .await
        .succeeded();
    assert_eq!(locked(&parts), 0);
    scene
        .stage
        .longshore(&["store", "verify", "--store", scene.store()])
        .await
        .succeeded();
    assert!(largest.matches(&scene.stored(largest)));
}

#[tokio::test(flavor = "multi_thread")]
async fn k1_processes_that_fill_one_store_at_the_same_time_leave_it_whole() {
    let scene = Scene::new().await;
    let targets = [
        registry().await,
        registry().await,
        registry().await,
        registry().await,
    ];
    let store = ["--store", scene.store()];
    let (one, two, three, four) = tokio::join!(
        scene.copy(&targets[0], &store),
        scene.copy(&targets[1], &store),
        scene.copy(&targets[2], &store),
        scene.copy(&targets[3], &store),
    );
    for run in [one, two, three, four] {
        run.succeeded();
    }
    for target in &targets {
        assert_eq!(target.log().blob_bytes(), scene.image.blob_bytes());
    }
    let verify = ["store", "verify", "--json", "--store", scene.store()];
    let verified = run_beside(scene.stage.home(), verify)
        .await
        .succeeded()
        .json();
    assert_eq!(verified["blobs"], scene.image.blobs().len() + 1);
    assert_eq!(files(&scene.store.join("ingest")), 0);
    let show = ["store", "show", "--json", "--store", scene.store()];
    let shown = run_beside(scene.stage.home(), show)
        .await
        .succeeded()
        .json();
    assert_eq!(shown["images"].as_array().unwrap().len(), 1, "{shown}");
}

/// How many files are in a directory; none if it is not there.
fn files(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// How many files in a directory have been locked by who writes them. One that was killed before
/// that leaves a file of another name, which is removed when it is old enough to be nobody's.
fn locked(directory: &Path) -> usize {
    let Ok(files) = fs::read_dir(directory) else {
        return 0;
    };
    let names = files.map(|it| it.unwrap().file_name());
    names
        .filter(|it| it.to_string_lossy().starts_with("part-"))
        .count()
}
