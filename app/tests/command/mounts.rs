//! What comes of mounting, blob by blob: the state, who was asked, and what must not be sent.

use longshore::push::source::sample::SampleOptions;
use oci::Digest;
use serde_json::Value;
use server::{Action, Answer, Endpoint, Rule};

use crate::{
    longshore::Run,
    push::readable,
    stage::{Image, Stage},
};

/// One layer and a config: the layer is the first to be asked for.
fn image(stage: &Stage) -> Image {
    stage.image(&SampleOptions {
        layers: 1,
        layer_bytes: 64 * 1024,
        ..SampleOptions::default()
    })
}

/// A stage whose repository `base` holds the image, and nobody knows.
async fn stage() -> (Stage, Image) {
    let stage = Stage::new().await;
    let image = image(&stage);
    push(&stage, &image, "base:1", &[]).await.succeeded();
    (stage, image)
}

async fn push(stage: &Stage, image: &Image, name: &str, more: &[&str]) -> Run {
    let reference = stage.reference(name);
    let mut args = vec!["push", image.path(), &reference, "--json", "--no-index"];
    args.extend(["--concurrency", "1"]);
    args.extend(more);
    stage.longshore(&args).await
}

/// The same from `base`, and `more`.
async fn from_base(stage: &Stage, image: &Image, name: &str, more: &[&str]) -> Run {
    let base = stage.reference("base");
    push(
        stage,
        image,
        name,
        &[&["--mount-from", &base], more].concat(),
    )
    .await
}

fn states(report: &Value) -> Vec<String> {
    let blobs = report["blobs"].as_array().unwrap().iter();
    blobs
        .map(|it| it["mount"]["state"].as_str().unwrap().to_owned())
        .collect()
}

fn on_mounts_from(path: &str, action: Action) -> Rule {
    let from = format!("from={path}");
    Rule::on(Endpoint::Mount).query_contains(from).act(action)
}

fn refused(status: u16) -> Action {
    Action::Answer(Answer::error(status, "DENIED", "no"))
}

/// A row: what the registry does to mounts from `base`, and what comes of it.
async fn outcome(action: Option<Action>, more: &[&str]) -> (Run, Stage, Image) {
    let (stage, image) = stage().await;
    if let Some(action) = action {
        stage.server.faults().add(on_mounts_from("base", action));
    }
    let run = from_base(&stage, &image, "app:1", more).await;
    assert_eq!(stage.server.open_sessions(), 0, "{run:#?}");
    (run, stage, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_every_blob_of_a_report_has_one_of_six_states_with_a_stable_name() {
    let (stage, image) = stage().await;
    let skipped = push(&stage, &image, "skipped:1", &[]).await.succeeded();
    assert_eq!(states(&skipped.json()), ["skipped"; 2]);
    let elsewhere = ["--mount-from", "other.test/base"];
    let run = push(&stage, &image, "unavailable:1", &elsewhere)
        .await
        .succeeded();
    assert_eq!(states(&run.json()), ["unavailable"; 2]);
    let rows = [
        (None, "mounted"),
        (Some(Action::RefuseMount), "push-started"),
        (Some(refused(404)), "failure"),
    ];
    for (action, state) in rows {
        let (run, ..) = outcome(action, &[]).await;
        assert_eq!(states(&run.succeeded().json()), [state; 2]);
    }
    let (run, ..) = outcome(Some(Action::RefuseMount), &["--must-mount"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let error = &run.json()["error"];
    assert_eq!(error["cause"], "gate");
    let not_mounted = error["not_mounted"].as_array().unwrap();
    assert_eq!(not_mounted.len(), 2);
    for blob in not_mounted {
        assert_eq!(blob["mount"]["state"], "mount-required");
        assert_eq!(blob["reason"], "refused");
    }
    // Wherever from: also where the registry was told nobody's name.
    let wanted = ["--mount-from-anywhere"];
    let run = push(&stage, &image, "anywhere:1", &wanted).await;
    assert_eq!(states(&run.succeeded().json()), ["mounted"; 2]);
}

/// What was asked of the registry, with `<session>` for the names of uploads; questions for what may
/// be there are left out: which come first is another matter.
fn said(stage: &Stage) -> Vec<String> {
    let lines = readable(&stage.server.log().lines()).into_iter();
    let lines = lines.filter(|it| !it.starts_with("HEAD "));
    lines
        .map(|line| match line.split_once("/blobs/uploads/") {
            Some((start, rest)) if !rest.starts_with('?') => {
                let end = rest.find(['?', ' ']).unwrap_or(rest.len());
                format!("{start}/blobs/uploads/<session>{}", &rest[end..])
            }
            _ => line,
        })
        .collect()
}

fn mount(blob: &Digest, from: &str, status: u16) -> String {
    format!("POST /v2/app/blobs/uploads/?mount={blob}&from={from} → {status}")
}

fn sent(blob: &Digest) -> String {
    format!("PUT /v2/app/blobs/uploads/<session>?digest={blob} → 201")
}

const CANCELLED: &str = "DELETE /v2/app/blobs/uploads/<session> → 204";
const TAGGED: &str = "PUT /v2/app/manifests/1 → 201";

/// What is said for each blob, and then the manifest.
fn each(image: &Image, of: impl Fn(&Digest) -> Vec<String>) -> Vec<String> {
    let blobs = image.blobs();
    let said = blobs.iter().flat_map(|it| of(&it.digest));
    said.chain([TAGGED.to_owned()]).collect()
}

/// The body goes to the session that the refusal opened: no other is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn m2_a_refused_mount_sends_the_body_to_the_session_it_came_with() {
    let (run, stage, image) = outcome(Some(Action::RefuseMount), &[]).await;
    run.succeeded();
    let expected = each(&image, |it| vec![mount(it, "base", 202), sent(it)]);
    assert_eq!(said(&stage), expected);
    assert_eq!(stage.server.log().blob_bytes(), image.blob_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn m2_a_session_that_a_later_candidate_makes_needless_is_cancelled() {
    let (stage, image) = stage().await;
    let (empty, base) = (stage.reference("empty"), stage.reference("base"));
    let more = ["--mount-from", &empty, "--mount-from", &base];
    push(&stage, &image, "app:1", &more).await.succeeded();
    let expected = each(&image, |it| {
        vec![
            mount(it, "empty", 202),
            mount(it, "base", 201),
            CANCELLED.to_owned(),
        ]
    });
    assert_eq!(said(&stage), expected);
    assert_eq!(stage.server.log().blob_bytes(), 0);
    assert_eq!(stage.server.open_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn m2_must_mount_and_a_refusal_send_nothing_and_leave_no_session() {
    let (run, stage, image) = outcome(Some(Action::RefuseMount), &["--must-mount"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let refused_and_cancelled = |it: &Digest| [mount(it, "base", 202), CANCELLED.to_owned()];
    let expected: Vec<String> = image
        .blobs()
        .iter()
        .flat_map(|it| refused_and_cancelled(&it.digest))
        .collect();
    assert_eq!(said(&stage), expected, "and no manifest");
    for status in [401, 403, 404, 500] {
        let (run, stage, image) = outcome(Some(refused(status)), &[]).await;
        assert_eq!(states(&run.succeeded().json()), ["failure"; 2], "{status}");
        assert_eq!(stage.server.log().blob_bytes(), image.blob_bytes());
        assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 1);
        let (run, stage, _) = outcome(Some(refused(status)), &["--must-mount"]).await;
        assert_eq!(run.code, Some(9), "{status}: {run:#?}");
        // Whatever is asked besides, a session that is opened is given up, and nothing is sent.
        let said = said(&stage);
        let as_often = |end: &str| said.iter().filter(|it| it.ends_with(end)).count();
        assert_eq!(as_often(" → 202"), as_often(CANCELLED), "{said:#?}");
        assert!(
            said.iter()
                .all(|it| !it.starts_with('P') || it.starts_with("POST"))
        );
        assert!(as_often(&format!("&from=base → {status}")) > 0, "{said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_what_is_there_or_mounted_is_enough_and_sends_nothing() {
    let (stage, image) = stage().await;
    let must = ["--must-mount"];
    from_base(&stage, &image, "app:1", &must).await.succeeded();
    let log = stage.server.log();
    assert_eq!(log.blob_bytes(), 0);
    let mounted = log
        .lines()
        .iter()
        .filter(|it| it.contains("&from=") && it.ends_with("201"))
        .count();
    assert_eq!(mounted, image.blobs().len());
    push(&stage, &image, "app:2", &must).await.succeeded();
    assert_eq!(stage.server.log().blob_bytes(), 0);
    // Of listed digests the others may be sent, but not before.
    let config = image.document.as_manifest().unwrap().config.digest.clone();
    let listed = format!("--must-mount={config}");
    let run = push(&stage, &image, "third:1", &[&listed]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    assert_eq!(stage.server.log().blob_bytes(), 0);
    assert_eq!(stage.server.log().calls(Endpoint::ManifestPut), 0);
    let not_mounted = run.json()["error"]["not_mounted"].clone();
    assert_eq!(not_mounted[0]["digest"], config.to_string());
    assert_eq!(not_mounted.as_array().unwrap().len(), 1);
    let listed = format!("--must-mount={}", image.blobs()[0].digest);
    let run = from_base(&stage, &image, "third:1", &[&listed])
        .await
        .succeeded();
    assert_eq!(run.json()["bytes"]["uploaded"], 0);
    let wrong = push(&stage, &image, "third:2", &["--must-mount=sha256:12"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    // One that is a digest, but of no blob of the image: nobody is asked anything.
    stage.server.log().clear();
    let strange = format!("--must-mount={}", Digest::of(b"of another image"));
    let wrong = push(&stage, &image, "third:2", &[&listed, &strange]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
    assert!(
        wrong.stderr.contains("none of the image's blobs"),
        "{wrong:#?}"
    );
    assert!(
        !wrong.stderr.contains(&listed["--must-mount=".len()..]),
        "{wrong:#?}"
    );
    assert_eq!(stage.server.log().lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_each_candidate_is_listed_with_its_status_and_a_reason() {
    let rows = [
        (Action::RefuseMount, "refused", 202),
        (refused(401), "denied", 401),
        (refused(403), "denied", 403),
        (refused(404), "not-found", 404),
        (refused(500), "server-error", 500),
        (refused(400), "other", 400),
    ];
    for (action, answer, status) in rows {
        let (run, ..) = outcome(Some(action), &[]).await;
        let report = run.succeeded().json();
        let layer = report["blobs"]
            .as_array()
            .unwrap()
            .iter()
            .max_by_key(|it| it["blob"]["size"].as_u64());
        let layer = layer.unwrap();
        assert_eq!(layer["tried"][0]["answer"], answer, "{report:#}");
        assert_eq!(layer["tried"][0]["status"], status);
        assert_eq!(layer["reason"], answer);
        let other = report["blobs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| *it != layer);
        let next = if answer == "denied" {
            "on-hold"
        } else {
            answer
        };
        assert_eq!(other.unwrap()["reason"], next);
    }
    let (run, ..) = outcome(Some(Action::ResetBefore), &[]).await;
    let report = run.succeeded().json();
    assert_eq!(report["blobs"][0]["reason"], "unreachable", "{report:#}");
    assert_eq!(report["blobs"][0]["tried"][0].get("status"), None);

    let (stage, image) = stage().await;
    let none = push(&stage, &image, "none:1", &[]).await.succeeded().json();
    assert_eq!(none["blobs"][0]["reason"], "no-source");
    let more = ["--mount-from", "other.test/base"];
    let other = push(&stage, &image, "other:1", &more)
        .await
        .succeeded()
        .json();
    assert_eq!(other["blobs"][0]["reason"], "other-registry");
    assert_eq!(other["blobs"][0]["tried"][0]["from"], "other.test/base");
}

/// A result says so too where the push stops: of the blobs that were not mounted and of the others.
#[tokio::test(flavor = "multi_thread")]
async fn p2_where_a_push_stops_each_candidate_is_listed_and_mounted_are_as_many_as_the_log_has() {
    let (stage, image) = stage().await;
    let denied = Action::Answer(Answer::error(403, "DENIED", "no"));
    let config = image.document.as_manifest().unwrap().config.digest.clone();
    let rule = Rule::on(Endpoint::Mount).query_contains(config.to_string());
    stage.server.faults().add(rule.act(denied));
    let run = from_base(&stage, &image, "app:1", &["--must-mount"]).await;
    assert_eq!(run.code, Some(9), "{run:#?}");
    let error = &run.json()["error"];
    let base = stage.reference("base");
    assert_eq!(
        error["not_mounted"],
        serde_json::json!([{
            "digest": config,
            "mount": { "state": "mount-required" },
            "reason": "denied",
            "tried": [{ "from": base, "answer": "denied", "status": 403 }],
        }])
    );
    let settled = error["settled"].as_array().unwrap();
    let mounted = |it: &&Value| it["mount"]["state"] == "mounted";
    let log = stage.server.log();
    let lines = log.lines();
    let answers = lines
        .iter()
        .filter(|it| it.contains("?mount=") && it.ends_with("201"));
    assert_eq!(settled.iter().filter(mounted).count(), answers.count());
    assert_eq!(settled.len(), image.blobs().len() - 1);
    for blob in settled {
        assert_eq!(blob["tried"][0]["from"], base);
        assert_eq!(blob["tried"][0]["status"], 201);
    }
    assert_eq!(log.blob_bytes(), 0);
    assert_eq!(log.calls(Endpoint::ManifestPut), 0);
}
