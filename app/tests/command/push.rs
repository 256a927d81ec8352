//! `push`, from the sources people have to the bytes that arrive.

use std::{collections::BTreeSet, process::Command};

use longshore::push::source::sample::SampleOptions;
use oci::{Digest, Platform};
use serde_json::Value;

use crate::stage::{Image, Stage, small};

/// What a cold push says on the wire, one request after another, largest blob first.
fn cold(image: &Image, repository: &str, tag: &str) -> Vec<String> {
    let base = format!("/v2/{repository}");
    let mut lines = Vec::new();
    for (at, blob) in image.blobs().iter().enumerate() {
        let (number, digest) = (at + 1, &blob.digest);
        lines.push(format!(
            "POST {base}/blobs/uploads/?mount={digest}&from={repository} → 202"
        ));
        lines.push(format!(
            "PUT {base}/blobs/uploads/<{number}>?digest={digest} → 201"
        ));
    }
    lines.push(format!("PUT {base}/manifests/{tag} → 201"));
    lines
}

/// Percent-encoding differs by taste; what is said does not.
pub(crate) fn readable(lines: &[String]) -> Vec<String> {
    let decode = |it: &String| it.replace("%3A", ":").replace("%2F", "/");
    lines.iter().map(decode).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_push_sends_each_blob_in_two_requests() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1.2");
    let run = stage
        .longshore(&[
            "push",
            image.path(),
            &reference,
            "--json",
            "--concurrency",
            "1",
        ])
        .await
        .succeeded();
    assert_eq!(
        readable(&stage.server.log().lines()),
        cold(&image, "team/app", "1.2")
    );
    assert_eq!(stage.server.log().blob_bytes(), image.blob_bytes());
    let report = run.json();
    assert_eq!(report["digest"], image.digest().to_string());
    assert_eq!(report["verified"], true);
    assert_eq!(report["bytes"]["uploaded"], image.blob_bytes());
    assert_eq!(report["requests"]["total"], stage.server.log().requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn n1_the_same_push_again_is_one_request_and_no_byte() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1.2");
    let args = ["push", image.path(), &reference, "--json"];
    stage.longshore(&args).await.succeeded();
    let run = stage.longshore(&args).await.succeeded();
    assert_eq!(
        stage.server.log().lines(),
        ["HEAD /v2/team/app/manifests/1.2 → 200"]
    );
    assert_eq!(run.json()["bytes"]["present"], image.blob_bytes());
    assert_eq!(run.json()["bytes"]["uploaded"], 0);
}

/// What is asked before anything is sent can be chosen.
#[tokio::test(flavor = "multi_thread")]
async fn p8_ask_first_says_what_a_push_asks_before_it_sends_anything() {
    let large = SampleOptions {
        layer_bytes: 1024 * 1024,
        ..SampleOptions::default()
    };
    for (size, when, questions) in [
        (&small(), "never", 0),
        (&small(), "auto", 0),
        (&small(), "always", 2),
        (&large, "never", 0),
        (&large, "auto", 1),
        (&large, "always", 2),
    ] {
        let stage = Stage::new().await;
        let image = stage.image(size);
        let reference = stage.reference("team/app:1");
        let args = ["push", image.path(), &reference, "--ask-first", when];
        stage.longshore(&args).await.succeeded();
        let lines = readable(&stage.server.log().lines());
        let asked = lines.iter().filter(|it| it.starts_with("HEAD "));
        assert_eq!(asked.count(), questions, "{lines:#?}");
        let blobs = image.blobs().len();
        assert_eq!(lines.len(), questions + 2 * blobs + 1, "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m11_a_push_to_a_sibling_mounts_every_blob_once_and_sends_none() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let (first, second) = (
        stage.reference("team/app:1"),
        stage.reference("team/other:1"),
    );
    let sibling = stage.reference("team/app");
    stage
        .longshore(&["push", image.path(), &first])
        .await
        .succeeded();
    let run = stage
        .longshore(&[
            "push",
            image.path(),
            &second,
            "--mount-from",
            &sibling,
            "--json",
            "--concurrency",
            "1",
        ])
        .await
        .succeeded();
    let mount =
        |digest| format!("POST /v2/team/other/blobs/uploads/?mount={digest}&from=team/app → 201");
    let blobs = image.blobs();
    let mut expected: Vec<String> = blobs.iter().map(|it| mount(&it.digest)).collect();
    expected.push("PUT /v2/team/other/manifests/1 → 201".to_owned());
    assert_eq!(readable(&stage.server.log().lines()), expected);
    assert_eq!(stage.server.log().blob_bytes(), 0);
    assert_eq!(run.json()["bytes"]["mounted"], image.blob_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn z23_two_tags_send_each_blob_once_and_a_third_later_sends_none() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1.2");
    stage
        .longshore(&["push", image.path(), &reference, "-t", "latest"])
        .await
        .succeeded();
    let log = stage.server.log();
    assert_eq!(log.blob_bytes(), image.blob_bytes());
    let lines = log.lines();
    let puts = lines.iter();
    let puts: Vec<&String> = puts
        .filter(|it| it.starts_with("PUT /v2/team/app/manifests/"))
        .collect();
    let digest = image.digest();
    let both = format!("PUT /v2/team/app/manifests/{digest}?tag=1.2&tag=latest → 201");
    assert_eq!(puts, [&both]);

    let later = stage.reference("team/app:stable");
    stage
        .longshore(&["push", image.path(), &later])
        .await
        .succeeded();
    assert_eq!(
        stage.server.log().lines(),
        [
            format!("HEAD /v2/team/app/manifests/{} → 200", image.digest()),
            "PUT /v2/team/app/manifests/stable → 201".to_owned(),
        ]
    );
}

/// Packs a layout as GNU tar does, in the ways people do.
fn packed(stage: &Stage, image: &Image, name: &str, compression: &[&str]) -> String {
    let archive = stage.path(name);
    let status = Command::new("tar")
        .args(compression)
        .arg("-cf")
        .arg(&archive)
        .args(["-C", image.path(), "."])
        .status()
        .unwrap();
    assert!(status.success());
    archive.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn z26_a_layout_and_its_archives_arrive_as_the_same_image() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let sources = [
        image.path().to_owned(),
        packed(&stage, &image, "image.tar", &[]),
        packed(&stage, &image, "image.tar.gz", &["--gzip"]),
    ];
    for (at, source) in sources.iter().enumerate() {
        let reference = stage.reference(&format!("from/{at}:1"));
        let run = stage
            .longshore(&["push", source, &reference, "--json", "--no-index"])
            .await
            .succeeded();
        assert_eq!(run.json()["digest"], image.digest().to_string(), "{source}");
        assert_eq!(
            stage.server.log().blob_bytes(),
            image.blob_bytes(),
            "{source}"
        );
    }
}

/// Two platforms that share all layers but the first.
fn multi_platform() -> SampleOptions {
    SampleOptions {
        platforms: vec![
            Platform::new("linux", "amd64"),
            Platform::new("linux", "arm64"),
        ],
        ..small()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z20_an_index_goes_up_children_first_by_digest_and_last_itself_by_tag() {
    let stage = Stage::new().await;
    let image = stage.image(&multi_platform());
    let reference = stage.reference("team/app:1");
    let args = ["push", image.path(), &reference, "--json"];
    let run = stage.longshore(&args).await.succeeded();
    let puts: Vec<String> = stage
        .server
        .log()
        .lines()
        .into_iter()
        .filter(|it| it.contains("PUT /v2/team/app/manifests/"))
        .collect();
    let children: BTreeSet<String> = image
        .document
        .children()
        .map(|it| format!("PUT /v2/team/app/manifests/{} → 201", it.digest))
        .collect();
    let (last, first) = puts.split_last().unwrap();
    assert_eq!(last, "PUT /v2/team/app/manifests/1 → 201");
    assert_eq!(first.iter().cloned().collect::<BTreeSet<_>>(), children);
    assert_eq!(first.len(), 2);
    assert_eq!(
        run.json()["bytes"]["uploaded"],
        stage.server.log().blob_bytes()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_platform_of_an_index_is_pushed_as_the_image_it_is() {
    let stage = Stage::new().await;
    let image = stage.image(&multi_platform());
    let reference = stage.reference("team/app:1");
    let child: Digest = image.document.as_index().unwrap().manifests[1]
        .digest
        .clone();
    let run = stage
        .longshore(&[
            "push",
            image.path(),
            &reference,
            "--platform",
            "linux/arm64",
            "--json",
        ])
        .await
        .succeeded();
    assert_eq!(run.json()["digest"], child.to_string());
    let log = stage.server.log();
    assert!(
        !log.lines()
            .iter()
            .any(|it| it.contains(&image.digest().to_string()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_for_people_names_digest_bytes_and_requests() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1.2");
    let run = stage
        .longshore(&["push", image.path(), &reference])
        .await
        .succeeded();
    let pushed = format!("{reference}@{}\n", image.digest());
    assert!(run.stdout.ends_with(&pushed), "{run:#?}");
    assert!(run.stdout.contains("9 requests: POST 4, PUT 5"), "{run:#?}");
    assert!(run.stderr.starts_with("pushing sha256:"), "{run:#?}");
    let quiet = stage
        .longshore(&["push", image.path(), &reference, "--quiet"])
        .await
        .succeeded();
    assert_eq!(quiet.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_the_reports_sums_are_the_logs() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let reference = stage.reference("team/app:1");
    let run = stage
        .longshore(&["push", image.path(), &reference, "--json"])
        .await
        .succeeded();
    let bytes = run.json()["bytes"].clone();
    let sum = |names: &[&str]| -> u64 { names.iter().map(|it| bytes[it].as_u64().unwrap()).sum() };
    assert_eq!(
        sum(&["uploaded", "resent"]),
        stage.server.log().blob_bytes()
    );
    assert_eq!(
        sum(&["present", "mounted", "uploaded", "foreign"]),
        sum(&["unique"])
    );
    let blobs = run.json()["blobs"].as_array().unwrap().len();
    assert_eq!(blobs, image.blobs().len());
    let states: BTreeSet<String> = run.json()["blobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it: &Value| it["mount"]["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states.into_iter().collect::<Vec<_>>(), ["skipped"]);
}
