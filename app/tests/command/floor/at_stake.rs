//! What is asked before anything is sent: what it would cost to leave the question out decides, where
//! a registry may not say by a mount what is there.

use std::sync::Arc;

use longshore::{
    oci::Tag,
    push::{
        AskFirst, Destination, Engine, LayerRepos, ManifestDone, MountableLayers, Options, State,
    },
};
use server::{Action, Answer, Endpoint, Rule, Validation};

use super::{Image, Scene, asking, engine, image, in_two, large, open, sized, sorted, tokens};

/// What a first push of an image with three layers says after its question for the image, and what
/// it is asked to show first.
fn first_push(image: &Image, said: &[String]) -> Vec<String> {
    let blobs = image.blobs.iter();
    let mut expected: Vec<String> = blobs.flat_map(|it| in_two("team/app", it)).collect();
    expected.push("PUT /v2/team/app/manifests/1 → 201".to_owned());
    expected
        .push("GET /token?service=longshore&scope=repository:team/app:pull,push → 200".to_owned());
    let challenged: Vec<&String> = said.iter().filter(|it| it.ends_with("→ 401")).collect();
    assert_eq!(challenged.len(), 1, "{said:#?}");
    expected.push(challenged[0].clone());
    expected
}

/// A small image may be there, and a mount may not tell: to ask costs more than to send it again.
#[tokio::test]
async fn p8_a_first_push_with_nothing_known_is_eleven_requests_five_deep() {
    let scene = tokens(false).await.unknown();
    let image = sized("a", AskFirst::STAKE);
    scene
        .push((&engine(), &scene.client()), &image, ("team/app", "1"))
        .await;
    let said = scene.said();
    assert_eq!(said, sorted(first_push(&image, &said)));
    assert_eq!(scene.cost(), (11, 5));
}

/// Of a byte more the image is asked for: one question, by its digest, so that it is found whatever it
/// is called.
#[tokio::test]
async fn p8_a_large_image_that_nothing_is_known_of_is_asked_for_in_one_request_more() {
    let scene = tokens(false).await.unknown();
    let image = large("a");
    scene
        .push((&engine(), &scene.client()), &image, ("team/app", "1"))
        .await;
    let said = scene.said();
    let mut expected = first_push(&image, &said);
    let root = image.root.digest();
    expected.push(format!("HEAD /v2/team/app/manifests/{root} → 404"));
    assert_eq!(said, sorted(expected));
    assert_eq!(scene.cost(), (12, 6));
}

#[tokio::test]
async fn p8_a_first_push_that_is_not_to_ask_first_is_eleven_requests_five_deep() {
    let scene = tokens(false).await.unknown();
    let image = large("a");
    let engine = asking(AskFirst::Never);
    scene
        .push((&engine, &scene.client()), &image, ("team/app", "1"))
        .await;
    let said = scene.said();
    assert_eq!(said, sorted(first_push(&image, &said)));
    assert_eq!(scene.cost(), (11, 5));
}

/// Another machine has pushed it. Whether a mount would tell is not known: no byte goes twice, under
/// whatever tag, and a registry that has no mounts at all is asked the same.
#[tokio::test]
async fn p8_an_image_that_another_machine_pushed_is_not_sent_again_where_mounts_do_not_tell() {
    let mut scene = open(Validation::All).await.unknown();
    let image = image("a", 200);
    scene
        .push((&engine(), &scene.client()), &image, ("app", "1"))
        .await;
    let no_mounts = Rule::on(Endpoint::Mount).act(Action::RefuseMount);
    scene.server.faults().add(no_mounts);
    let root = image.root.digest();
    let asked = |tag: &str, status: u16| {
        vec![
            format!("HEAD /v2/app/manifests/{root} → 200"),
            format!("HEAD /v2/app/manifests/{tag} → {status}"),
        ]
    };
    for (tag, status) in [("1", 200), ("2", 404)] {
        scene = scene.unknown();
        let with = (&engine(), &scene.client());
        scene.push(with, &image, ("app", tag)).await;
        let mut expected = asked(tag, status);
        if status == 404 {
            expected.push(format!("PUT /v2/app/manifests/{tag} → 201"));
        }
        assert_eq!(scene.server.log().lines(), expected);
    }
}

/// A mount from the repository itself that is answered 202 says nothing: many answer so always. Only 201 does.
#[tokio::test]
async fn p8_the_question_is_left_out_once_a_mount_has_found_a_blob_that_was_there() {
    let scene = open(Validation::All).await.unknown();
    let client = scene.client();
    let no_mounts = Rule::on(Endpoint::Mount).act(Action::RefuseMount);
    let fault = scene.server.faults().add(no_mounts);
    let heads = || scene.server.log().calls(Endpoint::ManifestHead);
    for name in ["a", "b"] {
        let with = (&engine(), &client);
        scene.push(with, &large(name), ("app", name)).await;
        assert_eq!(heads(), 1, "{name}: 202 is no yes");
    }
    fault.remove();
    // Its layers are there.
    let changed = large("a").with_config("{\"changed\":1}");
    let with = (&engine(), &client);
    scene.push(with, &changed, ("app", "c")).await;
    assert_eq!(heads(), 1);
    let said = scene.said().into_iter();
    let found = said.filter(|it| it.ends_with("→ 201") && it.contains("mount="));
    assert_eq!(found.count(), 3, "{:#?}", scene.said());
    let with = (&engine(), &client);
    scene.push(with, &large("d"), ("app", "d")).await;
    assert_eq!(heads(), 0);
}

/// A registry that refuses every mount, from the repository itself too, with a session, as many do; and
/// holds what somebody else has pushed there.
async fn refusing(image: &Image) -> Scene {
    let scene = open(Validation::All).await.unknown();
    let with = (&engine(), &scene.client());
    scene.push(with, image, ("app", "1")).await;
    let no_mounts = Rule::on(Endpoint::Mount).act(Action::RefuseMount);
    scene.server.faults().add(no_mounts);
    scene
}

/// An engine that has seen these blobs in a repository of the registry, and no image.
fn having_seen(scene: &Scene, image: &Image, path: &str) -> Engine {
    let layers = LayerRepos::new();
    for blob in &image.blobs {
        layers.add_source(&blob.digest, &scene.repository(path));
    }
    Engine::with_layers(Options::default(), Arc::new(layers))
}

/// Another machine has pushed it, a mount does not tell, and it is not asked for: what is sent again is no
/// more than was put at stake, and the next process knows of it.
#[tokio::test]
async fn n1_what_was_put_at_stake_is_sent_again_once_and_not_by_the_next_process() {
    let image = sized("a", AskFirst::STAKE);
    let scene = refusing(&image).await;
    let directory = tempfile::tempdir().unwrap();
    let next_process = || {
        let (state, notice) = State::open(&directory.path().join("state.db"));
        assert!(notice.is_none());
        let layers = LayerRepos::builder().index(Arc::new(state.clone()));
        let builder = Engine::builder().layers(Arc::new(layers.build()));
        builder.sightings(&state).build()
    };
    scene
        .push((&next_process(), &scene.client()), &image, ("app", "1"))
        .await;
    let blobs = image.blobs.iter();
    let mut expected: Vec<String> = blobs.flat_map(|it| in_two("app", it)).collect();
    expected.push("PUT /v2/app/manifests/1 → 201".to_owned());
    assert_eq!(scene.said(), sorted(expected));
    assert_eq!(scene.server.log().blob_bytes(), AskFirst::STAKE);

    let scene = scene.unknown();
    scene
        .push((&next_process(), &scene.client()), &image, ("app", "1"))
        .await;
    assert_eq!(scene.said(), ["HEAD /v2/app/manifests/1 → 200"]);

    // Nor are its layers, in an image that nobody has seen.
    let changed = image.with_config("{\"changed\":2}");
    let scene = scene.unknown();
    scene
        .push((&next_process(), &scene.client()), &changed, ("app", "2"))
        .await;
    let config = changed.blobs.last().unwrap();
    assert_eq!(scene.server.log().blob_bytes(), config.size);
}

/// What was seen there is not sent on the word of a refused mount: it is asked for plainly.
#[tokio::test]
async fn n1_a_blob_that_was_seen_there_is_not_sent_again_where_mounts_do_not_tell() {
    let image = large("a");
    let mut scene = refusing(&image).await;
    for seen_in in ["app", "elsewhere"] {
        let engine = having_seen(&scene, &image, seen_in);
        scene = scene.unknown();
        scene
            .push((&engine, &scene.client()), &image, ("app", "1"))
            .await;
        let mut expected = vec!["PUT /v2/app/manifests/1 → 201".to_owned()];
        for blob in &image.blobs {
            let digest = &blob.digest;
            let base = "/v2/app/blobs";
            expected.push(format!(
                "POST {base}/uploads/?mount={digest}&from={seen_in} → 202"
            ));
            expected.push(format!("HEAD {base}/{digest} → 200"));
            expected.push(format!("DELETE {base}/uploads/<> → 204"));
        }
        assert_eq!(scene.said(), sorted(expected));
    }
}

/// A repository that gives nothing out leaves what it was thought to hold in doubt.
#[tokio::test]
async fn n1_a_blob_whose_source_is_denied_is_asked_for_before_it_is_sent() {
    let image = large("a");
    let scene = refusing(&image).await;
    let denied = Rule::on(Endpoint::Mount)
        .nth(1)
        .act(Action::Answer(Answer::new(403)));
    scene.server.faults().add(denied);
    let engine = Engine::with_layers(
        Options {
            concurrency: 1.try_into().unwrap(),
            ..Options::default()
        },
        having_seen(&scene, &image, "closed").layers().clone(),
    );
    scene
        .push((&engine, &scene.client()), &image, ("app", "1"))
        .await;
    let log = scene.server.log();
    let (mounts, heads) = (log.calls(Endpoint::Mount), log.calls(Endpoint::BlobHead));
    assert_eq!((mounts, heads), (4, 4), "{:#?}", scene.said());
    assert_eq!(log.calls(Endpoint::ManifestHead), 0);
    assert_eq!(log.blob_bytes(), 0);
}

/// Every blob was seen next door: no question for the image, whatever its size and whether the
/// registry is known to mount.
#[tokio::test]
async fn p8_a_push_to_a_sibling_is_a_mount_a_blob_and_the_manifest() {
    for blobs in [4, 201] {
        let scene = open(Validation::All).await.unknown();
        let image = if blobs == 4 {
            large("a")
        } else {
            image("a", blobs - 1)
        };
        let (engine, client) = (engine(), scene.client());
        scene.push((&engine, &client), &image, ("app", "1")).await;
        let report = scene
            .push((&engine, &client), &image, ("sibling", "1"))
            .await;
        let mount =
            |digest| format!("POST /v2/sibling/blobs/uploads/?mount={digest}&from=app → 201");
        let mut expected: Vec<String> = image.blobs.iter().map(|it| mount(&it.digest)).collect();
        expected.push("PUT /v2/sibling/manifests/1 → 201".to_owned());
        assert_eq!(scene.said(), sorted(expected));
        assert_eq!(report.bytes.mounted, image.bytes());
    }
}

/// A tag that the registry lets nobody make again is not made again: it names the image already.
#[tokio::test]
async fn p8_a_tag_that_is_refused_and_names_the_image_already_is_no_failure() {
    for (there, refused) in [(true, false), (false, true)] {
        let scene = open(Validation::All).await.unknown();
        let image = image("a", 3);
        let engine = engine();
        if there {
            let with = (&engine, &scene.client());
            scene.push(with, &image, ("app", "1")).await;
        }
        let immutable = Answer::error(400, "TAG_INVALID", "the tag is immutable");
        let put = Rule::on(Endpoint::ManifestPut).act(Action::Answer(immutable));
        scene.server.faults().add(put);
        scene.server.log().clear();
        let scene = scene.unknown();
        let client = scene.client();
        let target = client.push_target(&scene.repository("app"));
        let destination = Destination::tagged(["1".parse::<Tag>().unwrap()]);
        let pushing = super::engine();
        let pushing = pushing.push(&image.source, &target, &destination, &());
        let report = pushing.await;
        let lines = scene.server.log().lines();
        let status = if there { 200 } else { 404 };
        assert_eq!(
            lines[lines.len() - 2..],
            [
                "PUT /v2/app/manifests/1 → 400".to_owned(),
                format!("HEAD /v2/app/manifests/1 → {status}"),
            ]
        );
        assert_eq!(report.is_err(), refused, "{report:?}");
        if let Ok(report) = report {
            assert_eq!(report.manifests[0].done, ManifestDone::Present);
            assert_eq!(report.bytes.uploaded, 0);
        }
    }
}
