//! The manifest as a probe, and what is asked first.

use std::collections::HashSet;

use longshore_push::{
    AskFirst, Done, Engine, Event, LayerRepos, MountableLayers, Options, State,
    recording::{Operation, RecordingTarget},
};
use oci::{Descriptor, TargetErrorKind, Validation};

use crate::fixture::{
    Heard, Image, at_tag, count, image, is_put, is_upload, one_at_a_time, push, refusal,
    repository, tagged, target,
};

/// An image of this many layers and a config.
fn large(layers: usize) -> Image {
    let names: Vec<String> = (0..layers).map(|n| format!("layer {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    image(&names)
}

fn holding<'a>(
    target: RecordingTarget,
    blobs: impl IntoIterator<Item = &'a Descriptor>,
) -> RecordingTarget {
    let blobs = blobs.into_iter();
    blobs.fold(target, |target, it| target.holding_blob(&it.digest))
}

/// An engine that has seen these blobs in the repository.
fn having_seen<'a>(blobs: impl IntoIterator<Item = &'a Descriptor>) -> Engine {
    let layers = LayerRepos::new();
    for blob in blobs {
        layers.add_source(&blob.digest, &repository("app"));
    }
    Engine::with_layers(Options::default(), std::sync::Arc::new(layers))
}

/// What is put is put after this many requests, and under a tag only as the very last.
fn put_lines(target: &RecordingTarget) -> Vec<String> {
    let lines = target.lines().into_iter();
    lines.filter(|it| it.starts_with("put manifest")).collect()
}

#[tokio::test(start_paused = true)]
async fn p30_an_image_of_many_layers_under_a_new_tag_takes_two_requests() {
    let image = large(200);
    let target = holding(target(), &image.blobs()).known_to_validate(Validation::Proven);
    let report = push(&one_at_a_time(), &image, &target, &["2"])
        .await
        .unwrap();
    let size = image.root.bytes().len();
    let expected = [
        format!("put manifest {} {size}", image.root.digest()),
        format!("put manifest 2 {size}"),
    ];
    assert_eq!(target.lines(), expected);
    assert_eq!(report.bytes.present, image.bytes());
    assert!(report.blobs.iter().all(|it| it.done == Done::Present));
}

#[tokio::test(start_paused = true)]
async fn p30_what_a_refusal_names_is_pushed_and_nothing_else_is_asked_for() {
    let image = large(40);
    let missing = [&image.layers[7], &image.config];
    let there = image.blobs();
    let there = there.iter().filter(|it| !missing.contains(it));
    let target = holding(target(), there).known_to_validate(Validation::Proven);
    let report = push(&one_at_a_time(), &image, &target, &["2"])
        .await
        .unwrap();
    let size = image.root.bytes().len();
    let by_digest = format!("put manifest {} {size}", image.root.digest());
    let mut expected = vec![by_digest];
    for blob in missing {
        expected.push(format!("upload {} {}", blob.digest, blob.size));
    }
    // Under its tag: the registry has just refused this manifest for want of content.
    expected.push(format!("put manifest 2 {size}"));
    assert_eq!(target.lines(), expected);
    assert_eq!(
        report.bytes.uploaded,
        image.layers[7].size + image.config.size
    );
}

/// What is new is sent at once: the manifest would be refused for it, and says nothing new.
#[tokio::test(start_paused = true)]
async fn p30_what_was_never_seen_there_goes_before_the_manifest() {
    let image = large(200);
    let there: Vec<Descriptor> = image.layers[1..].to_vec();
    let target = holding(target(), &there).known_to_validate(Validation::Proven);
    let engine = having_seen(&there);
    engine
        .push(&image.source, &target, &tagged(&["2"]), &())
        .await
        .unwrap();
    let requests = target.requests();
    assert_eq!((requests.post, requests.put, requests.head), (2, 4, 0));
    let size = image.root.bytes().len();
    let puts = [
        format!("put manifest {} {size}", image.root.digest()),
        format!("put manifest 2 {size}"),
    ];
    assert_eq!(put_lines(&target), puts);
    assert_eq!(target.lines()[4..], puts, "after the blobs");
}

/// It was not said of the others that they are there.
#[tokio::test(start_paused = true)]
async fn p30_a_second_refusal_has_the_rest_asked_for() {
    let image = large(20);
    let target = holding(target(), &image.layers[2..])
        .known_to_validate(Validation::Proven)
        .naming_the_first_only();
    push(&one_at_a_time(), &image, &target, &["2"])
        .await
        .unwrap();
    let size = image.root.bytes().len();
    let by_digest = format!("put manifest {} {size}", image.root.digest());
    let under_tag = format!("put manifest 2 {size}");
    assert_eq!(
        put_lines(&target),
        [by_digest, under_tag.clone(), under_tag],
        "the second under its tag, which a refusal does not move"
    );
    assert_eq!(count(&target, is_upload), 3);
    let asked: Vec<_> = target
        .calls()
        .into_iter()
        .filter(|it| matches!(it.operation, Operation::Mount { .. }))
        .map(|it| it.subject)
        .collect();
    let each: HashSet<_> = asked.iter().collect();
    assert_eq!((asked.len(), each.len()), (20, 20), "one question each");
}

/// A registry that once refused for want of content, and takes anything now.
#[tokio::test(start_paused = true)]
async fn p30_a_registry_that_takes_anything_is_found_out_before_the_tag_moves() {
    let image = large(20);
    let target = RecordingTarget::new(repository("app")).known_to_validate(Validation::Dated);
    let heard = Heard::default();
    let engine = one_at_a_time();
    engine
        .push(&image.source, &target, &tagged(&["2"]), &heard)
        .await
        .unwrap();
    let lines = target.lines();
    let size = image.root.bytes().len();
    let by_digest = format!("put manifest {} {size}", image.root.digest());
    assert_eq!(
        put_lines(&target),
        [by_digest.clone(), format!("put manifest 2 {size}")]
    );
    assert_eq!(lines.first(), Some(&by_digest));
    assert_eq!(count(&target, is_upload), 21, "it had nothing");
    let warned =
        |it: &Event| matches!(it, Event::Warning { message } if message.contains("missing"));
    assert_eq!(heard.events().iter().filter(|it| warned(it)).count(), 1);

    target.clear();
    let other = large(19);
    push(&engine, &other, &target, &["3"]).await.unwrap();
    assert_eq!(put_lines(&target).len(), 1, "never asked so again");
}

/// A manifest refused without a word about what is missing was a question for nothing.
#[tokio::test(start_paused = true)]
async fn p30_a_refusal_that_names_nothing_costs_one_request() {
    let image = large(20);
    let there = image.blobs();
    let target = holding(target(), &there)
        .known_to_validate(Validation::Proven)
        .failing_when(1, is_put, || refusal(TargetErrorKind::Refused, 400));
    push(&one_at_a_time(), &image, &target, &["2"])
        .await
        .unwrap();
    let requests = target.requests();
    assert_eq!((requests.put, requests.post, requests.total()), (2, 21, 23));
}

#[tokio::test(start_paused = true)]
async fn p30_few_blobs_or_an_unknown_registry_are_asked_blob_by_blob() {
    for (layers, validation) in [
        (5, Validation::Proven),
        (40, Validation::Unknown),
        (40, Validation::Lacking),
    ] {
        let image = large(layers);
        let target = target().known_to_validate(validation);
        push(&one_at_a_time(), &image, &target, &["1"])
            .await
            .unwrap();
        let blobs = layers as u64 + 1;
        assert_eq!(target.requests().total(), 2 * blobs + 1, "{validation:?}");
        assert_eq!(put_lines(&target).len(), 1);
    }
}

/// What a plan says of all this is what a push then does.
#[tokio::test(start_paused = true)]
async fn p3_a_push_that_begins_with_its_manifest_is_foreseen_exactly() {
    for missing in [0, 1, 3] {
        for seen in [false, true] {
            let image = large(40);
            let there: Vec<Descriptor> = image.blobs()[missing..].to_vec();
            let target = holding(target(), &there).known_to_validate(Validation::Proven);
            let engine = if seen {
                having_seen(&there)
            } else {
                one_at_a_time()
            };
            let plan = engine
                .plan(&image.source, &target, &tagged(&["2"]))
                .await
                .unwrap();
            target.clear();
            let report = push(&engine, &image, &target, &["2"]).await.unwrap();
            assert_eq!(
                target.requests(),
                plan.totals().requests,
                "{missing} {seen}"
            );
            assert_eq!(report.bytes, plan.totals().bytes);
        }
    }
}

/// Also where the config is there, which has the image asked for: it may be there or not.
#[tokio::test(start_paused = true)]
async fn p3_a_push_that_begins_with_its_config_is_foreseen_exactly() {
    for (missing, whole) in [(0, true), (0, false), (3, false), (41, false)] {
        let image = large(40);
        let mut there = vec![image.config.clone()];
        there.extend(image.layers.iter().cloned());
        there.rotate_left(usize::from(missing != 41));
        let target = holding(target(), &there[missing..]);
        let target = if whole {
            target.holding_manifest(&image.root, &[])
        } else {
            target
        };
        let engine = || {
            Engine::builder()
                .layers(std::sync::Arc::new(LayerRepos::new()))
                .sightings(&State::unmade())
                .build()
        };
        let plan = engine()
            .plan(&image.source, &target, &tagged(&["2"]))
            .await
            .unwrap();
        target.clear();
        let report = push(&engine(), &image, &target, &["2"]).await.unwrap();
        let requests = target.requests();
        assert_eq!(requests, plan.totals().requests, "{missing} {whole}");
        assert_eq!(requests.head, u64::from(missing < 41));
        assert_eq!(requests.post, if whole { 32 } else { 41 });
        assert_eq!(report.bytes, plan.totals().bytes);
    }
}

/// An image that was pushed is asked for under its name; another is not asked for at all.
#[tokio::test(start_paused = true)]
async fn p8_only_what_was_seen_is_asked_for_first() {
    let (seen, new) = (image(&["base", "app"]), image(&["base", "newer"]));
    let target = target();
    let engine = one_at_a_time();
    push(&engine, &seen, &target, &["1"]).await.unwrap();
    target.clear();
    push(&engine, &seen, &target, &["1"]).await.unwrap();
    assert_eq!(target.lines(), ["has manifest 1"]);
    target.clear();
    push(&engine, &new, &target, &["1"]).await.unwrap();
    assert_eq!(target.requests().head, 0);
    // The tag names another image now, and that is known.
    target.clear();
    push(&engine, &seen, &target, &["1"]).await.unwrap();
    let by_digest = format!("has manifest {}", seen.root.digest());
    let size = seen.root.bytes().len();
    assert_eq!(
        target.lines(),
        [by_digest, format!("put manifest 1 {size}")]
    );
}

/// What was seen there and is gone costs the question, once.
#[tokio::test(start_paused = true)]
async fn p8_what_is_gone_is_pushed_and_not_asked_for_twice() {
    let image = image(&["base"]);
    let engine = one_at_a_time();
    push(&engine, &image, &target(), &["1"]).await.unwrap();
    let emptied = target();
    push(&engine, &image, &emptied, &["1"]).await.unwrap();
    assert_eq!(emptied.requests().head, 2, "by tag and by digest");
    assert!(emptied.manifest(&at_tag("1")).is_some());
}

/// What a process has seen the next one knows, by the state they share; where nothing is kept, a
/// push that is to ask first does.
#[tokio::test(start_paused = true)]
async fn p8_an_unchanged_image_is_one_request_in_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let image = image(&["base"]);
    let target = target();
    for (round, expected) in [(1, 5), (2, 1)] {
        let (state, notice) = State::open(&directory.path().join("state.db"));
        assert!(notice.is_none());
        let layers = std::sync::Arc::new(LayerRepos::new());
        let engine = Engine::builder().layers(layers).sightings(&state).build();
        target.clear();
        push(&engine, &image, &target, &["1"]).await.unwrap();
        assert_eq!(target.requests().total(), expected, "round {round}");
        drop((engine, state));
    }
    let layers = std::sync::Arc::new(LayerRepos::new());
    let forgetful = Engine::builder()
        .layers(layers)
        .sightings(&State::memory())
        .build();
    assert_eq!(forgetful.options().ask_first, AskFirst::Always);
    target.clear();
    push(&forgetful, &image, &target, &["1"]).await.unwrap();
    assert_eq!(target.lines(), ["has manifest 1"]);
}

/// A plan made where nothing outlives the process foresees what another process will do.
#[tokio::test(start_paused = true)]
async fn p3_a_plan_that_nobody_will_know_of_counts_on_nothing_it_has_seen() {
    let image = image(&["base"]);
    let target = holding(target(), &image.blobs()).holding_manifest(&image.root, &[]);
    let engine = || {
        let layers = std::sync::Arc::new(LayerRepos::new());
        Engine::builder()
            .layers(layers)
            .sightings(&State::unmade())
            .build()
    };
    let plan = engine()
        .plan(&image.source, &target, &tagged(&["1"]))
        .await
        .unwrap();
    target.clear();
    push(&engine(), &image, &target, &["1"]).await.unwrap();
    assert_eq!(target.requests(), plan.totals().requests);
    assert_eq!(plan.totals().requests.post, 2);
}

/// One question for a blob in one push, however many manifests list it.
#[tokio::test(start_paused = true)]
async fn k9_a_blob_is_asked_for_once_in_a_push_and_again_in_the_next() {
    let image = image(&["base", "app"]);
    let target = holding(target(), [&image.layers[0]]);
    let engine = one_at_a_time();
    let asks = |target: &RecordingTarget| {
        count(target, |it| {
            matches!(it.operation, Operation::Mount { .. } | Operation::HasBlob)
        })
    };
    push(&engine, &image, &target, &["1", "2"]).await.unwrap();
    assert_eq!(asks(&target), 3);
    // It was there a while ago: that proves nothing.
    let emptied = target.sibling(repository("other"));
    emptied.clear();
    let layer = &image.layers[0];
    let again = longshore_push::Destination::tagged(["1".parse().unwrap()]);
    engine
        .push(&image.source, &emptied, &again, &())
        .await
        .unwrap();
    assert!(asks(&emptied) >= 3, "{}", layer.digest);
}
