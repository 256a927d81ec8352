//! A registry that refused every mount long ago: one blob of a push finds out whether it still does.

use std::time::Duration;

use longshore::{
    oci::{Mounting, PushTarget as _},
    push::{AskFirst, Engine, LayerRepos, Options},
    registry::Client,
};
use server::{Action, Endpoint, Rule, Server, UploadOptions};

use super::{Image, Scene, image, large, validation::Aged};

const HOUR: Duration = Duration::from_hours(1);

/// A registry where `base` holds the image, and three blobs were refused so long ago.
async fn refused(image: &Image, ago: Duration, refuses: bool) -> (Scene, Client) {
    let uploads = UploadOptions {
        single_post: false,
        ..UploadOptions::default()
    };
    let server = Server::builder().memory().uploads(uploads).start().await;
    let scene = Scene::of(server.unwrap()).await.unknown();
    let filler = Engine::new(Options::default());
    scene
        .push((&filler, &scene.client()), image, ("base", "1"))
        .await;
    if refuses {
        let refusal = Rule::on(Endpoint::Mount).act(Action::RefuseMount);
        scene.server.faults().add(refusal);
    }
    let three: Vec<String> = image.blobs[..3]
        .iter()
        .map(|it| it.digest.to_string())
        .collect();
    let three = serde_json::to_string(&three).unwrap();
    scene.known("refused-mounts", &three).await;
    scene.known("single-post", "false").await;
    let aged = Aged(scene.profiles.clone(), ago);
    let client = Client::builder().profiles(aged).build().unwrap();
    (scene, client)
}

/// One blob at a time, each known to be in `base`.
fn engine(scene: &Scene, image: &Image) -> Engine {
    let base = scene.repository("base");
    let layers = image
        .blobs
        .iter()
        .fold(LayerRepos::builder(), |layers, it| {
            layers.source(&it.digest, &base)
        });
    let options = Options {
        concurrency: std::num::NonZeroUsize::MIN,
        ask_first: AskFirst::Never,
        ..Options::default()
    };
    Engine::with_layers(options, std::sync::Arc::new(layers.build()))
}

/// How many mounts were asked for, and how many blobs.
fn asked(scene: &Scene) -> (usize, usize) {
    let log = scene.server.log();
    (log.calls(Endpoint::Mount), log.calls(Endpoint::BlobHead))
}

#[tokio::test]
async fn p9_a_registry_that_refused_mounts_is_doubted_after_a_day_by_one_blob_of_a_push() {
    let image = image("a", 5);
    let blobs = image.blobs.len();
    // Within the day nobody doubts it; later one does, and is asked about; after a week nobody knows.
    for (ago, questions) in [(HOUR, 0), (25 * HOUR, 1), (8 * 24 * HOUR, 3)] {
        let (scene, client) = refused(&image, ago, true).await;
        let engine = engine(&scene, &image);
        scene.push((&engine, &client), &image, ("app", "1")).await;
        assert_eq!(asked(&scene), (blobs, questions), "{ago:?}");
        assert!(!scene.server.log().by_method().contains_key("DELETE"));
        // Believed for another day.
        scene.push((&engine, &client), &image, ("other", "1")).await;
        assert_eq!(asked(&scene).1, 0, "{ago:?}");
        client.close(Duration::from_mins(1)).await;
        let kept = Client::builder().profiles(scene.profiles.clone()).build();
        let target = kept.unwrap().push_target(&scene.repository("app"));
        assert_eq!(target.mounting().await, Mounting::Refused);
    }
}

/// What would be sent for nothing is asked for, if it is much.
#[tokio::test]
async fn p9_a_large_blob_is_asked_for_before_it_is_sent_where_mounts_are_refused() {
    let image = large("a");
    let (scene, client) = refused(&image, HOUR, true).await;
    let engine = engine(&scene, &image);
    scene.push((&engine, &client), &image, ("app", "1")).await;
    assert_eq!(asked(&scene).1, 0, "each of them is small");

    let image = super::image_of("b", ["x".repeat(1024 * 1024 + 1)].into_iter());
    let (scene, client) = refused(&super::image("a", 3), HOUR, true).await;
    let filler = (Engine::new(Options::default()), scene.client());
    for path in ["base", "app"] {
        scene
            .push((&filler.0, &filler.1), &image, (path, "1"))
            .await;
    }
    let path = format!("/v2/app/manifests/{}", image.root.digest());
    super::raw(&scene.server, "DELETE", &path).await;
    let engine = self::engine(&scene, &image);
    let report = scene.push((&engine, &client), &image, ("app", "2")).await;
    assert_eq!(report.bytes.present, image.blobs[0].size);
    assert_eq!(
        asked(&scene),
        (1, 1),
        "the config is sent, the layer is there"
    );
}
