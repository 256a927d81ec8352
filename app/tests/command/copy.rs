//! `copy`, between registries: what goes over the wire, and what must not.

use std::fs;

use longshore::push::source::sample::{SampleOptions, write_layout};
use oci::{Digest, Platform, TagOrDigest};
use server::{Action, Answer, Auth, Bearer, Endpoint, Rule, RunningServer, Server};

use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, Stage, small},
};

mod archive;
mod layout;
mod platforms;
mod several;

/// A registry that has the image at `team/staging:1`, and nothing in its log.
pub(super) async fn staged(options: &SampleOptions) -> (Stage, Image) {
    let stage = Stage::new().await;
    let image = stage.image(options);
    let reference = stage.reference("team/staging:1");
    let args = ["push", image.path(), &reference, "--no-state"];
    stage.longshore(&args).await.succeeded();
    stage.server.log().clear();
    (stage, image)
}

pub(super) async fn registry() -> RunningServer {
    Server::builder().memory().start().await.unwrap()
}

/// What is written in percent, as it is meant; questions for manifests are left out.
fn but_questions(server: &RunningServer) -> Vec<String> {
    let lines = server.log().lines().into_iter();
    let lines = lines.filter(|it| !(it.starts_with("HEAD ") && it.contains("/manifests/")));
    lines
        .map(|it| it.replace("%3A", ":").replace("%2F", "/"))
        .collect()
}

/// The bytes of the manifest at a tag or digest of a registry, as a client reads them.
pub(super) async fn manifest(
    server: &RunningServer,
    repository: &str,
    at: &str,
) -> Option<Vec<u8>> {
    let client = registry::Client::builder().build().unwrap();
    let repository = server.registry().repository(repository).unwrap();
    let at: TagOrDigest = at.parse().unwrap();
    let found = client.repository(&repository).manifest(&at).await.unwrap();
    found.map(|it| it.bytes().to_vec())
}

/// Nothing was known of either repository: the first run mounts everything, the config too, and
/// not one byte of a blob is read or sent.
#[tokio::test(flavor = "multi_thread")]
async fn p23_the_first_copy_inside_a_registry_mounts_every_blob_and_moves_none() {
    let (stage, image) = staged(&small()).await;
    let (from, to) = (
        stage.reference("team/staging:1"),
        stage.reference("team/prod:1"),
    );
    let args = [
        "copy",
        &from,
        &to,
        "--json",
        "--no-state",
        "--concurrency",
        "1",
    ];
    let run = stage.longshore(&args).await.succeeded();
    let mut expected = vec!["GET /v2/team/staging/manifests/1 → 200".to_owned()];
    expected.extend(image.blobs().iter().map(|blob| {
        format!(
            "POST /v2/team/prod/blobs/uploads/?mount={}&from=team/staging → 201",
            blob.digest
        )
    }));
    expected.push("PUT /v2/team/prod/manifests/1 → 201".to_owned());
    assert_eq!(but_questions(&stage.server), expected);
    let log = stage.server.log();
    assert_eq!(log.blob_bytes(), 0);
    assert_eq!(
        log.calls(Endpoint::BlobGet) + log.calls(Endpoint::BlobHead),
        0
    );
    let report = run.json();
    assert_eq!(report["bytes"]["mounted"], image.blob_bytes());
    assert_eq!(report["bytes"]["uploaded"], 0);
    assert_eq!(report["digest"], image.digest().to_string());
    let copied = manifest(&stage.server, "team/prod", "1").await.unwrap();
    assert_eq!(copied, fs::read(image.file(image.digest())).unwrap());
}

/// A registry that gives tokens, an image in it, and where that is to go.
async fn tokens_for_a_copy() -> (Stage, Image, String, String) {
    let bearer = Bearer::new().user("someone", "canary-5a1f");
    let server = Server::builder().memory().auth(Auth::Bearer(bearer));
    let stage = Stage::with(server.start().await.unwrap());
    let image = stage.image(&small());
    let registry = stage.server.registry().to_string();
    let config = serde_json::json!({ "auths": { registry: {
        "username": "someone", "password": "canary-5a1f",
    }}});
    fs::create_dir(stage.path(".docker")).unwrap();
    fs::write(stage.path(".docker/config.json"), config.to_string()).unwrap();
    let (from, to) = (
        stage.reference("team/staging:1"),
        stage.reference("team/prod:1"),
    );
    stage
        .longshore(&["push", image.path(), &from])
        .await
        .succeeded();
    (stage, image, from, to)
}

/// One token for both ends, asked for once; both are read and written with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_inside_a_registry_takes_one_token_with_both_scopes() {
    let (stage, _, from, to) = tokens_for_a_copy().await;
    let args = ["copy", &from, &to, "--json"];
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["requests"]["tokens"], 1, "{run:#?}");
    let log = stage.server.log();
    let lines: Vec<String> = log.lines().into_iter().collect();
    let tokens: Vec<String> = lines
        .iter()
        .filter(|it| it.contains("/token"))
        .map(|it| {
            it.replace("%3A", ":")
                .replace("%2F", "/")
                .replace("%2C", ",")
        })
        .collect();
    assert_eq!(tokens.len(), 1, "{lines:#?}");
    for scope in [
        "repository:team/prod:pull,push",
        "repository:team/staging:pull",
    ] {
        assert!(tokens[0].contains(scope), "{tokens:?}");
    }
    assert_eq!(log.blob_bytes(), 0);
}

/// Where a registry gives no token for both, each end has its own: a copy is not lost by it.
#[tokio::test(flavor = "multi_thread")]
async fn where_one_token_does_not_do_for_both_ends_each_gets_its_own() {
    let (stage, image, from, to) = tokens_for_a_copy().await;
    let refused = Action::Answer(Answer::error(400, "UNSUPPORTED", "one scope at a time"));
    stage.server.faults().add(
        Rule::on(Endpoint::Token)
            .query_contains("push&scope=")
            .act(refused),
    );
    let args = ["copy", &from, &to, "--json", "--no-state"];
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["digest"], image.digest().to_string());
}

/// Pushes an image to `app` that has a layer in common with the small one; what it is made of.
async fn pushed_in_part(stage: &Stage, there: &RunningServer) -> Vec<Digest> {
    let alone = format!("{}/app:layer", there.registry());
    let one = SampleOptions {
        layers: 1,
        ..small()
    };
    let part = stage.path("part");
    write_layout(&part, &one).unwrap();
    let args = ["push", part.to_str().unwrap(), &alone, "--no-state"];
    stage.longshore(&args).await.succeeded();
    let part = manifest(there, "app", "layer").await.unwrap();
    let part = oci::Document::new(part.into(), None).unwrap();
    part.children().map(|it| it.digest.clone()).collect()
}

/// What the destination has is not fetched, what it has not is fetched once and sent once, and
/// nothing is left on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn k2_a_copy_between_registries_streams_what_is_missing_and_writes_no_file() {
    let (stage, image) = staged(&small()).await;
    let there = registry().await;
    let whole = image.blobs();
    let held = pushed_in_part(&stage, &there).await;
    let missing: Vec<_> = whole
        .iter()
        .filter(|it| !held.contains(&it.digest))
        .collect();
    assert!(missing.len() < whole.len());
    there.log().clear();
    stage.server.log().clear();

    let home = stage.path("empty-home");
    fs::create_dir(&home).unwrap();
    let mut command = longshore(&home);
    command.env("TMPDIR", &home).args([
        "copy",
        &stage.reference("team/staging:1"),
        &format!("{}/app:1", there.registry()),
        "--json",
        "--no-state",
        "--no-store",
    ]);
    let mut command = tokio::process::Command::from(command);
    let run = finished(command.output().await.unwrap()).succeeded();
    let mut fetched: Vec<String> = stage
        .server
        .log()
        .lines()
        .into_iter()
        .filter(|it| it.contains("/blobs/"))
        .collect();
    let mut expected: Vec<String> = missing
        .iter()
        .map(|it| format!("GET /v2/team/staging/blobs/{} → 200", it.digest))
        .collect();
    fetched.sort();
    expected.sort();
    assert_eq!(fetched, expected);
    let bytes: u64 = missing.iter().map(|it| it.size).sum();
    assert_eq!(there.log().blob_bytes(), bytes);
    assert_eq!(run.json()["bytes"]["uploaded"], bytes);
    let left: Vec<_> = fs::read_dir(&home).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_what_is_there_already_is_success_and_nothing_is_fetched_or_sent() {
    let (stage, _) = staged(&small()).await;
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let from = stage.reference("team/staging:1");
    let args = ["copy", &from, &to, "--no-state", "--no-store"];
    stage.longshore(&args).await.succeeded();
    there.log().clear();
    stage.longshore(&args).await.succeeded();
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);
    assert_eq!(there.log().lines(), ["HEAD /v2/app/manifests/1 → 200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn k2_a_blob_that_is_altered_on_its_way_is_never_committed() {
    let (stage, image) = staged(&small()).await;
    let there = registry().await;
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::BlobGet).act(Action::WrongBodyByte(7)));
    let to = format!("{}/app:1", there.registry());
    let from = stage.reference("team/staging:1");
    let run = stage
        .longshore(&["copy", &from, &to, "--json", "--no-store"])
        .await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert_eq!(there.log().calls(Endpoint::ManifestPut), 0);
    for blob in image.blobs() {
        let held = format!("GET /v2/app/blobs/{}", blob.digest);
        assert!(!there.log().lines().contains(&held));
        let client = registry::Client::builder().build().unwrap();
        let repository = there.registry().repository("app").unwrap();
        let presence = client
            .repository(&repository)
            .has_blob(&blob)
            .await
            .unwrap();
        assert_eq!(presence, oci::Presence::Absent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k10_a_dry_run_of_a_copy_asks_and_writes_nothing() {
    let (stage, image) = staged(&small()).await;
    let there = registry().await;
    let layout = stage.path("there");
    let args = [
        "copy",
        &stage.reference("team/staging:1"),
        &stage.reference("team/prod:1"),
        &format!("{}/app:1", there.registry()),
        layout.to_str().unwrap(),
        "--dry-run",
        "--json",
    ];
    let run = stage.longshore(&args).await.succeeded();
    for server in [&stage.server, &there] {
        let methods = server.log().by_method();
        assert!(
            methods
                .keys()
                .all(|it| matches!(it.as_str(), "GET" | "HEAD")),
            "{methods:?}"
        );
        assert_eq!(server.log().calls(Endpoint::BlobGet), 0);
    }
    assert!(!layout.exists());
    let plans = run.json()["destinations"].as_array().unwrap().clone();
    let uploaded: Vec<_> = plans
        .iter()
        .map(|it| it["totals"]["bytes"]["uploaded"].as_u64().unwrap())
        .collect();
    assert_eq!(uploaded, [0, image.blob_bytes(), image.blob_bytes()]);
    assert_eq!(plans[0]["totals"]["bytes"]["mounted"], image.blob_bytes());
    let text = stage.longshore(&args[..args.len() - 1]).await.succeeded();
    assert!(text.stdout.contains("mount"), "{text:#?}");
}

/// `from=` is what the registry knows the repository by, not what was typed.
#[tokio::test(flavor = "multi_thread")]
async fn r3_mounts_are_asked_from_the_rewritten_repository() {
    let (stage, image) = staged(&small()).await;
    let settings = stage.path(".config/longshore");
    fs::create_dir_all(&settings).unwrap();
    let text = format!(
        "[registry.\"registry.example.test\"]\nendpoint = [\"{}\"]\nrewrite = [{{ from = \"named\", to = \"team\" }}]\n",
        stage.server.url()
    );
    fs::write(settings.join("config.toml"), text).unwrap();
    let args = [
        "copy",
        "registry.example.test/named/staging:1",
        "registry.example.test/named/deeply/nested/prod:1",
        "--json",
    ];
    let run = stage.longshore(&args).await.succeeded();
    let mounts: Vec<String> = stage
        .server
        .log()
        .entries()
        .iter()
        .filter(|it| it.endpoint == Endpoint::Mount)
        .map(|it| format!("{}?{}", it.path, it.query.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(mounts.len(), image.blobs().len());
    for mount in &mounts {
        assert!(
            mount.starts_with("/v2/team/deeply/nested/prod/blobs/uploads/?"),
            "{mount}"
        );
        assert!(mount.ends_with("&from=team%2Fstaging"), "{mount}");
    }
    assert_eq!(run.json()["bytes"]["mounted"], image.blob_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_onto_itself_is_done_already_and_writes_nothing() {
    let (stage, image) = staged(&small()).await;
    let reference = stage.reference("team/staging:1");
    let args = ["copy", &reference, &reference, "--json", "--no-state"];
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["digest"], image.digest().to_string());
    let methods = stage.server.log().by_method();
    assert!(
        methods
            .keys()
            .all(|it| matches!(it.as_str(), "GET" | "HEAD"))
    );
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);
}

/// Each of two registries gets the password that is its own, and never sees the other's.
/// The image was read from there a moment ago: one question for each of its manifests stands for
/// all their blobs, which are neither linked to where they are nor asked for, nothing being known
/// from before.
#[tokio::test(flavor = "multi_thread")]
async fn p23_a_new_tag_within_a_repository_takes_a_question_for_each_manifest_and_one_put() {
    for options in [small(), multi_platform()] {
        let (stage, image) = staged(&options).await;
        let from = stage.reference("team/staging:1");
        let index = image.document.as_index();
        let children = index.map_or(0, |it| it.manifests.len());
        for (command, tag) in [("copy", "2"), ("promote", "3")] {
            stage.server.log().clear();
            let to = stage.reference(&format!("team/staging:{tag}"));
            let kept = stage.path(&format!("{tag}.db"));
            let kept = kept.to_str().unwrap();
            let args = [command, &from, &to, "--json", "--state", kept];
            let run = stage.longshore(&args).await.succeeded();
            let mut lines = stage.server.log().lines();
            let put = format!("PUT /v2/team/staging/manifests/{tag} → 201");
            assert_eq!(lines.pop(), Some(put));
            let questions = lines.iter().filter(|it| it.starts_with("HEAD ")).count();
            let readings = lines.iter().filter(|it| it.starts_with("GET ")).count();
            assert_eq!(questions, 1 + children, "{lines:#?}");
            // What the first copy has fetched is in the store, but for what the tag names.
            assert!((1..=1 + children).contains(&readings), "{lines:#?}");
            assert_eq!(questions + readings, lines.len(), "{lines:#?}");
            let manifests = lines.iter().all(|it| it.contains("/manifests/"));
            assert!(manifests, "{lines:#?}");
            for moved in ["uploaded", "mounted"] {
                assert_eq!(run.json()["bytes"][moved], 0, "{run:#?}");
            }
            let tagged = manifest(&stage.server, "team/staging", tag).await.unwrap();
            assert_eq!(tagged, image.document.bytes().as_ref());
        }
    }
}

/// A rewritten index is not what was read: it was never there, and nobody asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn p23_a_rewritten_index_within_a_repository_is_not_asked_for() {
    let (stage, _) = staged(&multi_platform()).await;
    let from = stage.reference("team/staging:1");
    let to = stage.reference("team/staging:arm");
    let args = ["copy", &from, &to, "--platform", "linux/arm64", "--json"];
    let run = stage.longshore(&args).await.succeeded();
    let digest = run.json()["digest"].as_str().unwrap().to_owned();
    let lines = stage.server.log().lines();
    assert!(!lines.iter().any(|it| it.contains(&digest)), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_two_registries_stay_at_their_own() {
    let secrets = ["canary-source-71b2", "canary-destination-93fe"];
    let with = |secret: &str| {
        let bearer = Bearer::new().user("someone", secret);
        Server::builder()
            .memory()
            .auth(Auth::Bearer(bearer))
            .start()
    };
    let stage = Stage::with(with(secrets[0]).await.unwrap());
    let there = with(secrets[1]).await.unwrap();
    let image = stage.image(&small());
    let auths = serde_json::json!({ "auths": {
        stage.server.registry().to_string(): { "username": "someone", "password": secrets[0] },
        there.registry().to_string(): { "username": "someone", "password": secrets[1] },
    }});
    fs::create_dir(stage.path(".docker")).unwrap();
    fs::write(stage.path(".docker/config.json"), auths.to_string()).unwrap();
    let from = stage.reference("team/staging:1");
    stage
        .longshore(&["push", image.path(), &from])
        .await
        .succeeded();
    there.log().clear();
    let to = format!("{}/app:1", there.registry());
    let run = stage
        .longshore(&["copy", &from, &to, "--json", "-vv"])
        .await
        .succeeded();
    assert_eq!(run.json()["digest"], image.digest().to_string());
    assert!(!stage.server.log().saw_secret(secrets[1]));
    assert!(!there.log().saw_secret(secrets[0]));
    for secret in secrets {
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret));
    }
}

/// What the source registry says decides, before anything is written anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_absent_or_forbidden_ends_the_copy_before_any_write() {
    let (stage, _) = staged(&small()).await;
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let copy = async |from: &str| -> Run {
        stage
            .longshore(&["copy", &stage.reference(from), &to, "--json"])
            .await
    };
    for absent in ["team/nothing:1", "team/staging:2"] {
        let run = copy(absent).await;
        assert_eq!(run.code, Some(4), "{run:#?}");
        assert_eq!(run.json()["error"]["cause"], "source-not-found");
        assert!(run.stderr.contains(absent), "{run:#?}");
    }
    let forbidden = Action::Answer(Answer::error(403, "DENIED", "not you"));
    stage
        .server
        .faults()
        .add(Rule::on(Endpoint::ManifestGet).act(forbidden));
    let run = copy("team/staging:1").await;
    assert_eq!(run.code, Some(3), "{run:#?}");
    assert_eq!(there.log().requests(), 0);
}

/// Two platforms that share all layers but the first.
pub(super) fn multi_platform() -> SampleOptions {
    SampleOptions {
        platforms: vec![
            Platform::new("linux", "amd64"),
            Platform::new("linux", "arm64"),
        ],
        ..small()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_index_is_copied_as_it_is_under_every_tag() {
    let (stage, image) = staged(&multi_platform()).await;
    let (from, to) = (
        stage.reference("team/staging:1"),
        stage.reference("team/prod:1"),
    );
    let args = ["copy", &from, &to, "-t", "latest", "--json"];
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(run.json()["tags"], serde_json::json!(["1", "latest"]));
    assert_eq!(stage.server.log().blob_bytes(), 0);
    let whole = fs::read(image.file(image.digest())).unwrap();
    for tag in ["1", "latest"] {
        let copied = manifest(&stage.server, "team/prod", tag).await.unwrap();
        assert_eq!(copied, whole, "{tag}");
    }
    for child in image.document.children() {
        let at = child.digest.to_string();
        assert!(manifest(&stage.server, "team/prod", &at).await.is_some());
    }
}

/// What a text means is told, not guessed.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_a_path_or_a_reference_is_asked_back() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let to = stage.reference("team/app:1");
    let mut command = longshore(stage.home());
    command
        .current_dir(stage.home())
        .args(["copy", "image", &to]);
    let mut command = tokio::process::Command::from(command);
    let run = finished(command.output().await.unwrap());
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(
        run.stderr.contains("./image") && run.stderr.contains("docker://image"),
        "{run:#?}"
    );
    assert_eq!(stage.server.log().requests(), 0);
    let run = stage
        .longshore(&["copy", image.path(), &to, "--json"])
        .await;
    assert_eq!(run.succeeded().json()["digest"], image.digest().to_string());
}

/// The second copy is read from what the first has kept, through the store that is there without
/// being asked for.
#[tokio::test(flavor = "multi_thread")]
async fn k1_a_copy_to_a_second_registry_fetches_no_blob_again() {
    let (stage, image) = staged(&small()).await;
    let from = stage.reference("team/staging:1");
    let mut fetched = Vec::new();
    for _ in 0..2 {
        let there = registry().await;
        let to = format!("{}/app:1", there.registry());
        let run = stage.longshore(&["copy", &from, &to, "--json"]).await;
        let run = run.succeeded().json();
        assert_eq!(run["bytes"]["uploaded"], image.blob_bytes());
        assert_eq!(there.log().blob_bytes(), image.blob_bytes());
        fetched.push((
            stage.server.log().calls(Endpoint::BlobGet),
            run["store"]["stored_bytes"].as_u64().unwrap(),
        ));
    }
    let blobs = image.blobs().len();
    assert_eq!(fetched, [(blobs, 0), (0, image.blob_bytes())]);
}

/// Whatever reads an image from a registry does so without a store as well.
#[tokio::test(flavor = "multi_thread")]
async fn k7_every_command_that_fetches_works_with_the_store_disabled() {
    let (stage, image) = staged(&small()).await;
    let from = stage.reference("team/staging:1");
    let docker = format!("docker://{from}");
    let there = registry().await;
    let to = |name: &str| format!("{}/{name}:1", there.registry());
    let layout = format!("oci:{}:1", stage.path("there").display());
    let (pushed, copied, planned) = (to("pushed"), to("copied"), to("planned"));
    for args in [
        ["plan", &docker, &planned],
        ["push", &docker, &pushed],
        ["copy", &from, &copied],
        ["copy", &from, &layout],
    ] {
        let args = [&args[..], &["--json", "--no-store", "--no-state"]].concat();
        let run = stage.longshore(&args).await.succeeded();
        let uploaded = &run.json()["bytes"]["uploaded"];
        let planned = &run.json()["totals"]["bytes"]["uploaded"];
        let bytes = uploaded.as_u64().or(planned.as_u64());
        assert_eq!(bytes, Some(image.blob_bytes()), "{args:?}");
    }
    assert!(!stage.path(".cache").exists(), "there is a store");
}
