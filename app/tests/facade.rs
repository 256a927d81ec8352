//! The façade: what a Rust program sees of all this.

use std::process::Command;

use longshore::{
    Error, Pusher,
    push::source::sample::{self, SampleOptions},
};
use server::Server;

#[tokio::test]
async fn a_path_and_a_reference_are_all_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let image = sample::write_layout(directory.path(), &SampleOptions::default()).unwrap();
    let server = Server::builder().memory().start().await.unwrap();
    let reference = format!("{}/team/app:1.2", server.registry());
    let pusher = Pusher::new().unwrap();

    let plan = pusher.plan(directory.path(), &reference).await.unwrap();
    assert_eq!(server.log().body_bytes(), 0);
    let report = pusher.push(directory.path(), &reference).await.unwrap();
    assert_eq!(report.digest, image.digest);
    assert_eq!(report.bytes.uploaded, plan.totals().bytes.uploaded);
    assert_eq!(report.bytes.uploaded, server.log().blob_bytes());

    server.log().clear();
    let again = pusher.push(directory.path(), &reference).await.unwrap();
    assert_eq!(again.bytes.uploaded, 0);
    assert_eq!(
        server.log().lines(),
        ["HEAD /v2/team/app/manifests/1.2 → 200"]
    );
}

#[tokio::test]
async fn what_cannot_be_pushed_is_told_by_its_variant_with_nothing_sent() {
    let directory = tempfile::tempdir().unwrap();
    sample::write_layout(directory.path(), &SampleOptions::default()).unwrap();
    let server = Server::builder().memory().start().await.unwrap();
    let host = server.registry();
    let pusher = Pusher::new().unwrap();
    let push =
        async |path: &str, reference: String| pusher.push(path, &reference).await.unwrap_err();
    let image = directory.path().to_str().unwrap();

    let error = push(image, format!("{host}/Team")).await;
    assert!(matches!(error, Error::Reference { .. }), "{error:?}");
    let error = push("/no/such/image", format!("{host}/team/app")).await;
    assert!(matches!(error, Error::Open(_)), "{error:?}");
    let other = oci::Digest::of(b"other");
    let error = push(image, format!("{host}/team/app@{other}")).await;
    assert!(
        matches!(&error, Error::OtherDigest { expected, .. } if *expected == other),
        "{error:?}"
    );
    assert_eq!(server.log().requests(), 0);
}

/// What the README promises a library's author: nothing of the command comes along.
#[test]
fn without_its_default_features_the_library_needs_nothing_of_the_command() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "longshore", "--no-default-features"])
        .args(["--edges", "normal", "--prefix", "none", "--offline"])
        .output()
        .unwrap();
    assert!(tree.status.success(), "{tree:?}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    assert!(tree.lines().any(|it| it.starts_with("longshore-push ")));
    for unwanted in [
        "clap",
        "indicatif",
        "toml",
        "axum",
        "longshore-server",
        "tracing-subscriber",
    ] {
        let found = tree
            .lines()
            .find(|it| it.split(' ').next() == Some(unwanted));
        assert_eq!(found, None);
    }
}
