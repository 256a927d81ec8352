//! An image of which only what was changed is at hand: the rest is mounted, or comes from where it
//! was seen.

use std::fs;

use longshore::{
    push::{
        Destination, Engine, Options,
        compose::{ManifestBuilder, MemorySource},
    },
    registry::Client,
};
use oci::{Descriptor, MediaType, layout};
use server::{Action, Answer, Endpoint, Rule, RunningServer, Server};

use crate::stage::Stage;

/// Two images with three layers in common, each with a layer and a config of its own.
struct Edited {
    shared: Vec<Descriptor>,
    /// Bytes that only the second has.
    new_bytes: u64,
    all_bytes: u64,
}

async fn registry() -> RunningServer {
    Server::builder().memory().start().await.unwrap()
}

/// Writes both into layouts, `whole` and `edited`; the second has lost what it shares.
async fn written(stage: &Stage) -> Edited {
    let mut source = MemorySource::new();
    let mut shared = Vec::new();
    for name in ["base", "runtime", "libraries"] {
        let (next, blob) = source.with_blob(MediaType::OCI_LAYER, name.repeat(30_000));
        source = next;
        shared.push(blob);
    }
    let scratch = registry().await;
    let mut own = Vec::new();
    for name in ["whole", "edited"] {
        let (next, layer) = source
            .clone()
            .with_blob(MediaType::OCI_LAYER, name.repeat(1000));
        let text = format!("{{\"name\":\"{name}\"}}");
        let (next, config) = next.with_blob(MediaType::OCI_CONFIG, text);
        let builder = ManifestBuilder::new(config.clone());
        let builder = shared.iter().cloned().fold(builder, ManifestBuilder::layer);
        let root = builder.layer(layer.clone()).build().unwrap();
        let image = next.with_root(root);
        let client = Client::builder().build().unwrap();
        let target = client.push_target(&scratch.registry().repository(name).unwrap());
        let to = Destination::tagged(["1".parse().unwrap()]);
        let engine = Engine::new(Options::default());
        engine.push(&image, &target, &to, &()).await.unwrap();
        let from = format!("{}/{name}:1", scratch.registry());
        let to = format!("oci:{}", stage.path(name).display());
        let args = ["copy", &from, &to, "--no-state", "--no-store"];
        stage.longshore(&args).await.succeeded();
        own = vec![layer.size, config.size];
    }
    for blob in &shared {
        let path = stage.path("edited").join(layout::blob_path(&blob.digest));
        fs::remove_file(path).unwrap();
    }
    let new_bytes = own.iter().sum();
    let all_bytes = new_bytes + shared.iter().map(|it| it.size).sum::<u64>();
    Edited {
        shared,
        new_bytes,
        all_bytes,
    }
}

/// All files below a directory but the state's, with their sizes.
fn files(directory: &std::path::Path, found: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            files(&path, found);
        } else if !name.contains("state.db") {
            found.push((name, path.metadata().unwrap().len()));
        }
    }
    found.sort();
}

async fn push(stage: &Stage, image: &str, to: &str) -> crate::longshore::Run {
    let path = stage.path(image).display().to_string();
    stage.longshore(&["push", &path, to, "--json"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn v5_what_is_not_at_hand_is_mounted_or_streamed_from_where_it_was_seen() {
    let stage = Stage::new().await;
    let edited = written(&stage).await;
    let shared = edited.shared.len();
    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();

    // The same registry: nothing of it moves.
    let to = stage.reference("team/other:2");
    push(&stage, "edited", &to).await.succeeded();
    assert_eq!(stage.server.log().blob_bytes(), edited.new_bytes);
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);

    // Another one: streamed from the first, and nothing of it stays on the disk.
    let there = registry().await;
    let mut before = Vec::new();
    files(stage.home(), &mut before);
    let to = format!("{}/team/app:2", there.registry());
    let run = push(&stage, "edited", &to).await.succeeded();
    assert_eq!(there.log().blob_bytes(), edited.all_bytes);
    assert_eq!(run.json()["bytes"]["uploaded"], edited.all_bytes);
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), shared);
    let mut after = Vec::new();
    files(stage.home(), &mut after);
    assert_eq!(before, after);
    let verify = format!("{}/team/app:2", there.registry());
    let copy = format!("oci:{}", stage.path("read-back").display());
    let args = ["copy", &verify, &copy, "--no-state", "--no-store"];
    stage.longshore(&args).await.succeeded();
}

/// The place it was seen at last is gone, the one before is not.
#[tokio::test(flavor = "multi_thread")]
async fn v5_where_the_last_recorded_place_is_gone_the_one_before_is_asked() {
    let stage = Stage::new().await;
    let edited = written(&stage).await;
    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();
    let gone = registry().await;
    let to = format!("{}/team/app:1", gone.registry());
    push(&stage, "whole", &to).await.succeeded();
    gone.faults()
        .add(Rule::on(Endpoint::BlobHead).act(Action::Answer(Answer::new(404))));
    let there = registry().await;
    let to = format!("{}/team/app:2", there.registry());
    push(&stage, "edited", &to).await.succeeded();
    assert_eq!(there.log().blob_bytes(), edited.all_bytes);
    assert!(gone.log().calls(Endpoint::BlobHead) >= edited.shared.len());
    assert_eq!(
        stage.server.log().calls(Endpoint::BlobGet),
        edited.shared.len()
    );
}

/// What is nowhere, or may not be looked for, is an error before the first write; bytes that are not
/// what they should be are never committed.
#[tokio::test(flavor = "multi_thread")]
async fn v5_what_is_nowhere_or_altered_ends_the_push_with_no_tag() {
    let stage = Stage::new().await;
    written(&stage).await;
    let there = registry().await;
    let to = format!("{}/team/app:2", there.registry());
    let run = push(&stage, "edited", &to).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert_eq!(there.log().requests(), 0);

    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();
    let path = stage.path("edited").display().to_string();
    let run = stage.longshore(&["push", &path, &to, "--no-index"]).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert_eq!(there.log().requests(), 0);
    assert_eq!(stage.server.log().requests(), 0);

    let altered = Rule::on(Endpoint::BlobGet).act(Action::WrongBodyByte(1000));
    stage.server.faults().add(altered);
    let run = push(&stage, "edited", &to).await;
    assert_eq!(run.code, Some(5), "{run:#?}");
    assert!(run.stderr.contains(" is altered: "), "{run:#?}");
    assert_eq!(there.log().calls(Endpoint::ManifestPut), 0);
}

/// Of two destinations one has it all, in another repository: there it is mounted, and the other gets
/// it from there. A layout gets it, too.
#[tokio::test(flavor = "multi_thread")]
async fn v5_a_copy_to_several_places_mounts_or_streams_what_is_not_at_hand() {
    let stage = Stage::new().await;
    let edited = written(&stage).await;
    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();
    let there = registry().await;
    let places = [
        stage.reference("team/other:2"),
        format!("{}/team/app:2", there.registry()),
        format!("oci:{}", stage.path("read-back").display()),
    ];
    let mut before = Vec::new();
    files(&stage.path("edited"), &mut before);
    let path = stage.path("edited").display().to_string();
    let args = ["copy", &path, &places[0], &places[1], &places[2]];
    stage.longshore(&args).await.succeeded();
    assert_eq!(stage.server.log().blob_bytes(), edited.new_bytes);
    assert_eq!(there.log().blob_bytes(), edited.all_bytes);
    let read = stage.server.log().calls(Endpoint::BlobGet);
    assert_eq!(read, edited.shared.len(), "once for both that need it");
    for blob in &edited.shared {
        let kept = stage
            .path("read-back")
            .join(layout::blob_path(&blob.digest));
        assert!(blob.digest.matches(&fs::read(kept).unwrap()));
    }
    let mut after = Vec::new();
    files(&stage.path("edited"), &mut after);
    assert_eq!(before, after);
}

/// Who was seen last to have it breaks off in the middle, and has it no more: the one before goes on
/// from there, and what arrives is whole.
#[tokio::test(flavor = "multi_thread")]
async fn v5_a_stream_that_breaks_off_is_gone_on_with_by_the_next_place() {
    let stage = Stage::new().await;
    let edited = written(&stage).await;
    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();
    let breaking = registry().await;
    let to = format!("{}/team/app:1", breaking.registry());
    push(&stage, "whole", &to).await.succeeded();
    for blob in &edited.shared {
        let asked = || Rule::on(Endpoint::BlobGet).path_contains(blob.digest.encoded());
        let breaks = asked().nth(1).act(Action::TruncateAnswer(40_000));
        breaking.faults().add(breaks);
        let gone = Action::Answer(Answer::new(404));
        breaking
            .faults()
            .add(asked().numbers(2..=u64::MAX).act(gone));
    }
    let there = registry().await;
    let to = format!("{}/team/app:2", there.registry());
    stage.server.log().clear();
    let path = stage.path("edited").display().to_string();
    let run = stage.longshore(&["push", &path, &to, "--json"]).await;
    run.succeeded();
    assert_eq!(there.log().blob_bytes(), edited.all_bytes);
    let shared = edited.shared.len();
    assert_eq!(breaking.log().calls(Endpoint::BlobGet), 2 * shared);
    let lines = stage.server.log().lines();
    let read = lines
        .iter()
        .filter(|it| it.starts_with("GET ") && it.contains("/blobs/"));
    let parts = read.clone().filter(|it| it.ends_with(" → 206"));
    assert_eq!(
        (read.count(), parts.count()),
        (shared, shared),
        "{lines:#?}"
    );
}

/// Who was seen last to have it gives other bytes: none of them becomes a blob, the one before is read
/// from the first byte on, the answer says whose bytes were wrong, and no later push reads there.
#[tokio::test(flavor = "multi_thread")]
async fn v5_a_place_that_gives_altered_bytes_is_left_for_the_one_before_and_not_read_again() {
    let stage = Stage::new().await;
    let edited = written(&stage).await;
    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();
    let lying = lying(&stage).await;
    let there = registry().await;
    stage.server.log().clear();
    let to = format!("{}/team/app:2", there.registry());
    let run = push(&stage, "edited", &to).await.succeeded();

    let shared = edited.shared.len();
    assert_eq!(there.log().calls(Endpoint::ManifestPut), 1);
    assert_eq!(committed(&there), shared + 2, "{:#?}", there.log().lines());
    assert_eq!(there.open_sessions(), 0, "{:#?}", there.log().lines());
    assert_eq!(lying.log().calls(Endpoint::BlobGet), shared);
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), shared);
    let json = run.json();
    let blobs = json["blobs"].as_array().unwrap();
    for blob in &edited.shared {
        let digest = blob.digest.to_string();
        let place = format!("{}/team/app@{digest}", lying.registry());
        let told = blobs.iter().find(|it| it["blob"]["digest"] == *digest);
        assert_eq!(told.unwrap()["altered"], serde_json::json!([place]));
        assert!(
            run.stderr.contains(&format!("{place} gave other bytes")),
            "{run:#?}"
        );
    }
    let others = blobs.iter().filter(|it| it["altered"].is_null());
    assert_eq!(others.count(), 2, "{json:#}");
    read_back(&stage, &to).await;

    // The next push knows.
    let asked = lying.log().requests();
    let third = registry().await;
    let to = format!("{}/team/app:2", third.registry());
    push(&stage, "edited", &to).await.succeeded();
    assert_eq!(lying.log().requests(), asked, "{:#?}", lying.log().lines());
    assert_eq!(third.log().blob_bytes(), edited.all_bytes);
}

/// Of several destinations each gets the right bytes, whoever finds out first that others were wrong.
#[tokio::test(flavor = "multi_thread")]
async fn v5_several_destinations_leave_a_place_that_gives_altered_bytes_and_all_arrive() {
    let stage = Stage::new().await;
    let edited = written(&stage).await;
    push(&stage, "whole", &stage.reference("team/app:1"))
        .await
        .succeeded();
    let lying = lying(&stage).await;
    let there = [registry().await, registry().await];
    let places = there
        .each_ref()
        .map(|it| format!("{}/team/app:2", it.registry()));
    let path = stage.path("edited").display().to_string();
    let args = ["copy", &path, &places[0], &places[1]];
    stage.longshore(&args).await.succeeded();
    assert!(lying.log().calls(Endpoint::BlobGet) >= edited.shared.len());
    for (registry, place) in there.iter().zip(&places) {
        assert_eq!(committed(registry), edited.shared.len() + 2);
        assert_eq!(registry.open_sessions(), 0);
        read_back(&stage, place).await;
    }
}

/// A registry that is the last to be seen with all of the image, and gives none of it as it is.
async fn lying(stage: &Stage) -> RunningServer {
    let lying = registry().await;
    let to = format!("{}/team/app:1", lying.registry());
    push(stage, "whole", &to).await.succeeded();
    lying.log().clear();
    let altered = Rule::on(Endpoint::BlobGet).act(Action::WrongBodyByte(1000));
    lying.faults().add(altered);
    lying
}

/// How many uploads came to a blob.
fn committed(registry: &RunningServer) -> usize {
    let entries = registry.log().entries();
    let closing = [Endpoint::UploadPut, Endpoint::UploadSingle];
    let puts = entries.iter().filter(|it| closing.contains(&it.endpoint));
    puts.filter(|it| it.status() == Some(201)).count()
}

/// What is there is whole: each byte is verified on its way into a layout.
async fn read_back(stage: &Stage, reference: &str) {
    let name = reference.replace(['/', ':'], "-");
    let copy = format!("oci:{}", stage.path(&name).display());
    let args = ["copy", reference, &copy, "--no-state", "--no-store"];
    stage.longshore(&args).await.succeeded();
}
