//! Mounts that do not say where from: asked for only if that is wanted, found out with one blob.

use server::{Endpoint, Server, UploadOptions};

use crate::{
    push::readable,
    stage::{Image, Stage, small},
};

/// A registry that links from anywhere, or does not.
async fn stage(from_anywhere: bool) -> Stage {
    let uploads = UploadOptions {
        anonymous_mounts: from_anywhere,
        ..UploadOptions::default()
    };
    let server = Server::builder().memory().uploads(uploads).start().await;
    Stage::with(server.unwrap())
}

/// Pushes with nothing known of where blobs are, and says which requests that took.
async fn push(stage: &Stage, image: &Image, name: &str, more: &[&str]) -> Vec<String> {
    stage.server.log().clear();
    let reference = stage.reference(name);
    let mut args = vec!["push", image.path(), &reference, "--no-index"];
    args.extend(more);
    stage.longshore(&args).await.succeeded();
    readable(&stage.server.log().lines())
}

/// Mounts that name nobody, by what was answered.
fn from_anywhere(lines: &[String], status: &str) -> usize {
    let unnamed = |it: &&String| it.contains("?mount=") && !it.contains("from=");
    let unnamed = lines.iter().filter(unnamed);
    unnamed.filter(|it| it.ends_with(status)).count()
}

const WANTED: &str = "--mount-from-anywhere";

#[tokio::test(flavor = "multi_thread")]
async fn m12_a_blob_that_only_the_registry_knows_of_is_mounted_and_that_it_does_so_is_remembered() {
    let stage = stage(true).await;
    let image = stage.image(&small());
    push(&stage, &image, "team/one:1", &["--no-state"]).await;
    for name in ["team/two", "team/three"] {
        let mut lines = push(&stage, &image, &format!("{name}:1"), &[WANTED]).await;
        lines.sort();
        let mut expected = vec![format!(
            "HEAD /v2/{name}/manifests/{} → 404",
            image.digest()
        )];
        let mount = |digest| format!("POST /v2/{name}/blobs/uploads/?mount={digest} → 201");
        expected.extend(image.blobs().iter().map(|it| mount(it.digest.clone())));
        expected.push(format!("PUT /v2/{name}/manifests/1 → 201"));
        expected.sort();
        assert_eq!(lines, expected);
        assert_eq!(stage.server.log().blob_bytes(), 0);
    }
    // What it has not is sent in the session that the refusal came with.
    let other = stage.other_image();
    let lines = push(&stage, &other, "team/four:1", &[WANTED]).await;
    let sent = stage.server.log().calls(Endpoint::UploadPut);
    assert!(sent > 0);
    assert_eq!(from_anywhere(&lines, "202"), sent, "{lines:#?}");
    assert_eq!(from_anywhere(&lines, "201") + sent, other.blobs().len());
    assert_eq!(
        lines.len(),
        1 + other.blobs().len() + sent + 1,
        "{lines:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn m12_where_it_does_not_one_blob_finds_out_and_the_next_process_does_not_try() {
    let stage = stage(false).await;
    let image = stage.image(&small());
    // Its blobs are there, and no manifest: nothing spares the questions.
    push(&stage, &image, "team/app:1", &["--no-state"]).await;
    let path = format!("/v2/team/app/manifests/{}", image.digest());
    crate::floor::raw(&stage.server, "DELETE", &path).await;
    let blobs = image.blobs().len();
    let lines = push(&stage, &image, "team/app:2", &[WANTED]).await;
    assert_eq!(from_anywhere(&lines, "202"), 1, "{lines:#?}");
    // That one is there: the registry could have linked it, and says so to nobody.
    let heads = stage.server.log().calls(Endpoint::BlobHead);
    assert_eq!(
        (heads, stage.server.log().calls(Endpoint::UploadPut)),
        (1, 0)
    );
    assert_eq!(stage.server.log().blob_bytes(), 0);
    assert_eq!(
        stage.server.log().calls(Endpoint::Mount),
        blobs,
        "{lines:#?}"
    );

    let lines = push(&stage, &image, "team/other:1", &[WANTED]).await;
    assert_eq!(from_anywhere(&lines, ""), 0, "{lines:#?}");
    let host = stage.server.registry().to_string();
    let known = stage
        .longshore(&["profile", "show", &host])
        .await
        .succeeded();
    assert!(
        known
            .stdout
            .contains("only from repositories that are named"),
        "{known:#?}"
    );
}

/// It is not done unasked; and where there is nothing to find out with, nothing is known afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn m12_nobody_is_asked_so_unless_that_is_wanted() {
    for supported in [true, false] {
        let stage = stage(supported).await;
        let image = stage.image(&small());
        let lines = push(&stage, &image, "team/app:1", &[]).await;
        assert_eq!(from_anywhere(&lines, ""), 0, "{lines:#?}");
        let other = stage.other_image();
        let lines = push(&stage, &other, "team/new:1", &[WANTED]).await;
        assert_eq!(from_anywhere(&lines, "202"), 1, "{lines:#?}");
        let host = stage.server.registry().to_string();
        let known = stage
            .longshore(&["profile", "show", &host])
            .await
            .succeeded();
        assert!(
            !known
                .stdout
                .contains("only from repositories that are named")
        );
    }
}
