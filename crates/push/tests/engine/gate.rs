//! Plans, and the limit on what a push may send.

use longshore_push::{
    Action, Destination, Engine, Foreign, Options, Plan, PushError, Reason,
    compose::ManifestBuilder,
    recording::{Call, Operation, RecordingTarget},
};
use oci::{MediaType, PushTarget};

use crate::fixture::{
    Image, count, image, is_put, is_upload, one_at_a_time, repository, tag, tagged, target,
};

fn limited(bytes: u64) -> Engine {
    Engine::new(Options {
        max_upload_bytes: Some(bytes),
        ..Options::default()
    })
}

fn writes(call: &Call) -> bool {
    !matches!(call.operation, Operation::HasBlob | Operation::HasManifest)
}

/// One blob there, one at a sibling, one foreign, the rest nowhere.
fn mixed() -> (Image, RecordingTarget, Destination) {
    let mut image = image(&["there", "sibling", "nowhere"]);
    let foreign = oci::Descriptor::of(MediaType::DOCKER_FOREIGN_LAYER, b"foreign");
    let builder = ManifestBuilder::new(image.config.clone()).layer(foreign.clone());
    let builder = image
        .layers
        .iter()
        .cloned()
        .fold(builder, ManifestBuilder::layer);
    image.root = builder.build().unwrap();
    image.source = image.source.with_root(image.root.clone());
    let target = target().holding_blob(&image.layers[0].digest);
    (image, target, tagged(&["1"]))
}

#[tokio::test(start_paused = true)]
async fn k10_a_plan_asks_and_writes_nothing() {
    let (image, target, destination) = mixed();
    let plan = one_at_a_time()
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    let blobs = [
        &image.config,
        &image.layers[0],
        &image.layers[1],
        &image.layers[2],
    ];
    let mut expected = vec![
        "has manifest 1".to_owned(),
        format!("has manifest {}", image.root.digest()),
    ];
    expected.extend(blobs.iter().map(|it| format!("has blob {}", it.digest)));
    assert_eq!(target.lines(), expected);
    let steps: Vec<_> = plan
        .steps()
        .iter()
        .map(|it| (&it.action, &it.because))
        .collect();
    let put = Action::Put {
        tag: Some(tag("1")),
    };
    assert_eq!(
        steps,
        [
            (&Action::Upload, &Reason::Absent),
            (&Action::Point, &Reason::Foreign),
            (&Action::Skip, &Reason::Held),
            (&Action::Upload, &Reason::Absent),
            (&Action::Upload, &Reason::Absent),
            (&put, &Reason::Absent),
        ]
    );
    let totals = plan.totals();
    assert_eq!(totals.bytes.present, image.layers[0].size);
    assert_eq!(totals.bytes.foreign, 7);
    assert_eq!(
        totals.bytes.unique,
        totals.bytes.present + totals.bytes.foreign + totals.bytes.uploaded
    );
    assert!(!plan.is_empty());
}

/// A plan of what is there says so, and is empty.
#[tokio::test(start_paused = true)]
async fn k10_a_plan_of_what_is_there_has_nothing_to_do() {
    let image = image(&["base"]);
    let target = target().holding_manifest(&image.root, &[tag("1")]);
    let plan = one_at_a_time()
        .plan(&image.source, &target, &tagged(&["1"]))
        .await
        .unwrap();
    assert_eq!(target.lines(), ["has manifest 1"]);
    assert!(plan.is_empty());
    assert!(
        plan.steps()[..2]
            .iter()
            .all(|it| it.because == Reason::HeldByParent)
    );
    assert_eq!(
        (plan.totals().requests.total(), plan.totals().depth),
        (1, 1)
    );
    assert_eq!(plan.held_tags(), [tag("1")]);
}

/// The same push, at once or by its plan: exactly the bytes, at most the requests.
#[tokio::test(start_paused = true)]
async fn p3_a_push_sends_exactly_the_planned_bytes_in_at_most_the_planned_requests() {
    for by_plan in [false, true] {
        for gated in [false, true] {
            for sibling in [false, true] {
                let (image, target, mut destination) = mixed();
                if sibling {
                    let base = target.sibling(repository("base"));
                    let _ = base
                        .holding_blob(&image.layers[1].digest)
                        .holding_blob(&image.layers[2].digest)
                        .holding_blob(&image.config.digest);
                    destination = destination.mounting_from(repository("base"));
                }
                let engine = if gated {
                    limited(1 << 20)
                } else {
                    one_at_a_time()
                };
                let plan = engine
                    .plan(&image.source, &target, &destination)
                    .await
                    .unwrap();
                let planned = plan.totals();
                adds_up(&plan);
                if !by_plan {
                    target.clear();
                }
                let report = if by_plan {
                    engine
                        .execute(plan, &image.source, &target, &())
                        .await
                        .unwrap()
                } else {
                    engine
                        .push(&image.source, &target, &destination, &())
                        .await
                        .unwrap()
                };
                let row = format!("by plan {by_plan}, gated {gated}, sibling {sibling}");
                assert_eq!(target.blob_bytes(), planned.bytes.uploaded, "{row}");
                assert_eq!(report.bytes, planned.bytes, "{row}");
                if !by_plan {
                    let (made, planned) = (target.requests(), planned.requests);
                    assert!(
                        made.total() <= planned.total(),
                        "{row}: {made:?} {planned:?}"
                    );
                    assert!(
                        made.post <= planned.post && made.put <= planned.put,
                        "{row}"
                    );
                }
                assert_eq!(report.surprises().count(), 0, "{row}");
            }
        }
    }
}

/// What a plan says of requests by method comes to what it says of all.
#[track_caller]
fn adds_up(plan: &Plan) {
    let text = plan.explain();
    let (_, requests) = text.split_once("at most ").unwrap();
    let (total, methods) = requests.split_once(" requests (").unwrap();
    let (methods, _) = methods.split_once(')').unwrap();
    let counts = methods.split(", ").map(|it| {
        let (_, count) = it.split_once(' ').unwrap();
        count.parse::<u64>().unwrap()
    });
    let counts: Vec<u64> = counts.collect();
    assert_eq!(counts.iter().sum::<u64>().to_string(), total, "{text}");
    assert!(counts.iter().all(|it| *it > 0), "{text}");
}

/// Without siblings the forecast is exact, not only a bound.
#[tokio::test(start_paused = true)]
async fn p3_where_nobody_is_asked_for_mounts_the_requests_are_exactly_the_planned() {
    let (image, target, destination) = mixed();
    let engine = one_at_a_time();
    let plan = engine
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    target.clear();
    engine
        .push(&image.source, &target, &destination, &())
        .await
        .unwrap();
    assert_eq!(target.requests(), plan.totals().requests);
    assert_eq!(plan.totals().depth, 3, "open, send, put");
    let (image, target, destination) = mixed();
    let gated = limited(1 << 20);
    let plan = gated
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    assert_eq!(
        plan.totals().depth,
        6,
        "the blobs are asked for in a round of their own"
    );
    target.clear();
    gated
        .push(&image.source, &target, &destination, &())
        .await
        .unwrap();
    assert_eq!(target.requests(), plan.totals().requests);
}

#[tokio::test(start_paused = true)]
async fn p3_a_plan_over_the_limit_ends_before_any_write() {
    let image = image(&["base", "app"]);
    let target = target();
    let engine = limited(image.bytes() - 1);
    let error = engine
        .push(&image.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap_err();
    match error {
        PushError::Gate { planned, limit } => {
            assert_eq!((planned, limit), (image.bytes(), image.bytes() - 1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(count(&target, writes), 0);

    let engine = limited(image.bytes());
    engine
        .push(&image.source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert_eq!(
        target.blob_bytes(),
        image.bytes(),
        "the limit itself is allowed"
    );
}

/// A mount that was hoped for is refused: the run stops before the first byte over the limit.
#[tokio::test(start_paused = true)]
async fn p3_a_refused_mount_that_would_cross_the_limit_stops_the_run() {
    let image = image(&["base", "app"]);
    let target = target();
    let engine = limited(image.layers[0].size);
    let destination = tagged(&["1"]).mounting_from(repository("empty"));
    let error = engine
        .push(&image.source, &target, &destination, &())
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::Gate { limit, .. } if limit == image.layers[0].size));
    assert!(target.blob_bytes() <= image.layers[0].size);
    assert_eq!(count(&target, is_put), 0);
    assert_eq!(target.open_sessions(), [""; 0]);
}

/// What a plan says is what a person reads, and what a program does.
#[tokio::test(start_paused = true)]
async fn p3_a_plan_explains_itself_as_text_and_as_json() {
    let (image, target, destination) = mixed();
    let base = target
        .sibling(repository("base"))
        .holding_blob(&image.layers[1].digest);
    assert_eq!(base.repository().path(), "base");
    let plan = one_at_a_time()
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    let short = |digest: &oci::Digest| digest.encoded()[..12].to_owned();
    let text = plan.explain();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 9, "{text}");
    assert_eq!(
        lines[0],
        format!("{} -> registry.test/app:1", image.root.digest())
    );
    assert!(lines[1].starts_with(&format!("  config {}", short(&image.config.digest))));
    assert!(lines[2].contains("foreign, kept"));
    assert!(lines[3].contains("present") && lines[3].ends_with("the repository holds it"));
    assert!(lines[4].contains("upload"));
    assert!(lines[6].contains("put as 1"));
    assert!(
        lines[8].starts_with("at most 8 requests (POST 4, PUT 4"),
        "{text}"
    );

    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["repository"], "registry.test/app");
    assert_eq!(json["steps"][0]["action"]["do"], "upload");
    assert_eq!(json["steps"][0]["because"]["reason"], "absent");
    assert_eq!(json["totals"]["requests"]["total"], 8);
    assert_eq!(json["totals"]["bytes"]["foreign"], 7);
    assert_eq!(json["tags"][0], "1");
}

#[tokio::test(start_paused = true)]
async fn p3_a_plan_names_the_repository_a_blob_would_be_mounted_from() {
    let image = image(&["base"]);
    let destination = tagged(&["1"]).mounting_from(repository("team/base"));
    let plan = one_at_a_time()
        .plan(&image.source, &target(), &destination)
        .await
        .unwrap();
    let text = plan.explain();
    for blob in image.blobs() {
        let name = &blob.digest.encoded()[..12];
        let line = text.lines().find(|it| it.contains(name)).unwrap();
        assert!(line.contains("mount from team/base"), "{text}");
        assert!(line.ends_with("may be in team/base"), "{text}");
    }
    assert_eq!(plan.totals().bytes.mounted, image.bytes());
    assert_eq!(plan.totals().bytes.uploaded, 0);
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_for_the_repository_it_was_made_for() {
    let image = image(&["base"]);
    let target = target();
    let engine = one_at_a_time();
    let plan = engine
        .plan(&image.source, &target, &tagged(&["1"]))
        .await
        .unwrap();
    target.clear();
    let other = target.sibling(repository("other"));
    let error = engine
        .execute(plan, &image.source, &other, &())
        .await
        .unwrap_err();
    assert!(matches!(error, PushError::OtherTarget { .. }));
    assert_eq!(target.calls(), []);
}

/// Planned as mounted, done as uploaded: the report puts both side by side.
#[tokio::test(start_paused = true)]
async fn a_report_tells_what_went_otherwise_than_planned() {
    let image = image(&["base"]);
    let target = target().refusing_mounts();
    let engine = one_at_a_time();
    let destination = tagged(&["1"]).mounting_from(repository("base"));
    let plan = engine
        .plan(&image.source, &target, &destination)
        .await
        .unwrap();
    assert_eq!(plan.totals().bytes.mounted, image.bytes());
    let report = engine
        .execute(plan, &image.source, &target, &())
        .await
        .unwrap();
    assert_eq!(report.surprises().count(), 2);
    assert_eq!(report.bytes.uploaded, image.bytes());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_layer_that_is_included_is_planned_and_sent_like_any_other() {
    let (source, layer) = image(&["base"])
        .source
        .with_blob(MediaType::DOCKER_FOREIGN_LAYER, "foreign");
    let (source, config) = source.with_blob(MediaType::OCI_CONFIG, "{}");
    let manifest = ManifestBuilder::new(config)
        .layer(layer.clone())
        .build()
        .unwrap();
    let source = source.with_root(manifest);
    let target = target();
    let engine = Engine::new(Options {
        foreign: Foreign::Include,
        ..Options::default()
    });
    let report = engine
        .push(&source, &target, &tagged(&["1"]), &())
        .await
        .unwrap();
    assert!(target.holds_blob(&layer.digest));
    assert_eq!(report.bytes.foreign, 0);
    assert_eq!(count(&target, is_upload), 2);
}
