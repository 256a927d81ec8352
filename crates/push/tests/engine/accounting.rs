//! What a report says was sent is what was sent.

use longshore_push::{Bytes, Report, recording::RecordingTarget};
use oci::MediaType;

use crate::fixture::{
    Image, image, one_at_a_time, push, repository, tagged, target, with_concurrency,
};

fn check(report: &Report, target: &RecordingTarget, before: u64) {
    let bytes = &report.bytes;
    assert_eq!(bytes.uploaded + bytes.resent, target.blob_bytes() - before);
    assert_eq!(
        bytes.unique,
        bytes.present + bytes.mounted + bytes.uploaded + bytes.resumed + bytes.foreign
    );
    assert!(bytes.total >= bytes.unique);
    assert_eq!(report.bytes_sent(), bytes.uploaded + bytes.resent);
}

/// One layer there, one at a sibling, the rest new.
fn mixed() -> (Image, RecordingTarget) {
    let image = image(&["there", "sibling", "new"]);
    let target = target().holding_blob(&image.layers[0].digest);
    let sibling = target.sibling(repository("base"));
    let _ = sibling.holding_blob(&image.layers[1].digest);
    (image, target)
}

#[tokio::test(start_paused = true)]
async fn k13_the_sums_of_a_report_are_those_of_the_log() {
    let (image, target) = mixed();
    let destination = tagged(&["1"]).mounting_from(repository("base"));
    let report = one_at_a_time()
        .push(&image.source, &target, &destination, &())
        .await
        .unwrap();
    check(&report, &target, 0);
    assert_eq!(
        report.bytes,
        Bytes {
            total: image.bytes(),
            unique: image.bytes(),
            present: image.layers[0].size,
            mounted: image.layers[1].size,
            uploaded: image.layers[2].size + image.config.size,
            resumed: 0,
            resent: 0,
            foreign: 0,
        }
    );
}

/// Uploads that break and begin again: what went twice is counted apart.
#[tokio::test(start_paused = true)]
async fn k13_bytes_sent_again_are_counted_apart() {
    let image = image(&["base", "app"]);
    let target = target().breaking_uploads(2, 1);
    let report = push(&with_concurrency(4), &image, &target, &["1"])
        .await
        .unwrap();
    check(&report, &target, 0);
    assert_eq!(report.bytes.uploaded, image.bytes());
    assert!(report.bytes.resent > 0);
    assert_eq!(report.bytes.resent, target.blob_bytes() - image.bytes());
}

/// A layer that was thought to be there and was lost: it counts as sent, not as there.
#[tokio::test(start_paused = true)]
async fn k13_what_was_pushed_again_counts_as_sent() {
    let image = image(&["base", "app"]);
    let target = target().pretending_to_hold(&image.layers[0].digest);
    let report = push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();
    check(&report, &target, 0);
    assert_eq!(report.bytes.present, 0);
    assert_eq!(report.bytes.uploaded, image.bytes());

    let before = target.blob_bytes();
    let report = push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();
    check(&report, &target, before);
    assert_eq!(report.bytes.present, image.bytes());
}

#[tokio::test(start_paused = true)]
async fn k13_foreign_layers_are_counted_and_not_sent() {
    let mut image = image(&["base"]);
    let foreign = oci::Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"far away");
    let builder = longshore_push::compose::ManifestBuilder::new(image.config.clone())
        .layer(foreign.clone())
        .layer(foreign)
        .layer(image.layers[0].clone());
    image.root = builder.build().unwrap();
    image.source = image.source.with_root(image.root.clone());
    let target = target();
    let report = push(&one_at_a_time(), &image, &target, &["1"])
        .await
        .unwrap();
    check(&report, &target, 0);
    assert_eq!(report.bytes.foreign, 8);
    assert_eq!(report.bytes.total, image.bytes() + 16);
    assert_eq!(report.bytes.uploaded, image.bytes());
}

#[tokio::test(start_paused = true)]
async fn a_report_is_one_json_object_with_stable_names() {
    let (image, target) = mixed();
    let destination = tagged(&["1"]).mounting_from(repository("base"));
    let report = one_at_a_time()
        .push(&image.source, &target, &destination, &())
        .await
        .unwrap();
    let json = serde_json::to_value(&report).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    let mut expected = [
        "digest",
        "repository",
        "tags",
        "verified",
        "bytes",
        "blobs",
        "manifests",
    ];
    expected.sort_unstable();
    let mut keys: Vec<&str> = keys.into_iter().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(json["blobs"][2]["done"], "mounted");
    assert_eq!(json["blobs"][2]["mount"]["state"], "mounted");
    assert_eq!(json["blobs"][2]["mount"]["from"], "registry.test/base");
    assert_eq!(json["manifests"][0]["tag"], "1");
    assert_eq!(json["manifests"][0]["done"], "put");
    assert_eq!(json["bytes"]["resent"], 0);
}
