//! Foreign layers that are fetched from their `urls`, and pushed.

use longshore::push::Foreign;
use oci::Document;
use serde_json::json;
use server::Endpoint;

use super::FarBase;
use crate::{
    copy::{manifest, registry},
    stage::Stage,
};

/// From the urls into the registry, by a file and by another registry; nothing of it unasked.
#[tokio::test(flavor = "multi_thread")]
async fn b4_included_and_embedded_layers_come_from_their_urls_where_that_is_allowed() {
    let stage = Stage::new().await;
    let far = registry().await;
    let url = far.url();
    let probe = FarBase::new();
    let digests: Vec<String> = probe
        .foreign
        .iter()
        .map(|it| it.digest.to_string())
        .collect();
    let image = FarBase::with(|at| vec![format!("{url}/v2/base/blobs/{}", digests[at])]);
    let held = probe.layout(&stage, Foreign::Include).await;
    let base = format!("{}/base:1", far.registry());
    let args = ["push", held.to_str().unwrap(), &base, "--push-foreign"];
    stage.longshore(&args).await.succeeded();
    let path = image.layout(&stage, Foreign::Keep).await;
    let path = path.to_str().unwrap();
    let host = far.addr().to_string();
    let fetching = ["--allow-foreign-fetch", "--foreign-host", &host];

    let to = stage.reference("app:1");
    let unasked = stage
        .longshore(&["push", path, &to, "--push-foreign"])
        .await;
    assert_eq!(unasked.code, Some(5), "{unasked:#?}");
    assert!(
        unasked.stderr.contains("--allow-foreign-fetch"),
        "{unasked:#?}"
    );
    let kept = [&["push", path, &to], &fetching[..]].concat();
    let kept = stage.longshore(&kept).await;
    assert_eq!(kept.code, Some(2), "{kept:#?}");
    let unnamed = ["push", path, &to, "--push-foreign", "--allow-foreign-fetch"];
    let unnamed = stage.longshore(&unnamed).await;
    assert_eq!(unnamed.code, Some(5), "{unnamed:#?}");
    assert!(unnamed.stderr.contains("https"), "{unnamed:#?}");
    far.log().clear();

    let args = ["push", path, &to, "--foreign=include", "--json"];
    let run = stage.longshore(&[&args, &fetching[..]].concat()).await;
    assert_eq!(run.succeeded().json()["bytes"]["foreign"], json!(0));
    assert_eq!(far.log().calls(Endpoint::BlobGet), 6);
    assert_eq!(far.log().requests(), 6);
    let put = manifest(&stage.server, "app", "1").await.unwrap();
    assert_eq!(put, &image.document.bytes()[..]);

    // From a registry that has the manifest and not the layers.
    let sparse = stage.reference("sparse:1");
    stage.longshore(&["push", path, &sparse]).await.succeeded();
    let there = registry().await;
    let to = format!("{}/app:1", there.registry());
    let args = ["copy", &sparse, &to, "--foreign=embed", "--no-store"];
    let run = stage.longshore(&[&args, &fetching[..]].concat()).await;
    run.succeeded();
    let put = manifest(&there, "app", "1").await.unwrap();
    let put = Document::new(put.into(), None).unwrap();
    assert!(put.children().all(|it| !it.is_foreign()));
}
