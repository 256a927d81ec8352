//! Graphs: what is about an image goes along, and a tag shows nothing unfinished.

use std::{fs, path::Path, time::Duration};

use longshore::{
    oci::{Descriptor, Digest, MediaType, Repository, TagOrDigest, layout},
    registry::{Client, RetryPolicy},
};
use serde_json::json;
use server::{Action, Endpoint, Rule};

use crate::stage::{Image, Stage, small};

fn write(image: &Image, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    fs::write(image.path.join(layout::blob_path(&digest)), content).unwrap();
    digest
}

/// Puts a signature of the image into its layout, as signing tools do.
fn sign(image: &Image) -> Digest {
    let empty = Descriptor::of(MediaType::OCI_EMPTY, b"{}");
    write(image, b"{}");
    let payload = Descriptor::of("application/vnd.example.signature".into(), b"signed");
    write(image, b"signed");
    let signature = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": empty, "layers": [payload], "subject": image.document.descriptor(),
    })
    .to_string();
    let digest = write(image, signature.as_bytes());
    let descriptor = Descriptor::of(MediaType::OCI_MANIFEST, signature.as_bytes());
    list(&image.path, &descriptor);
    digest
}

fn list(layout: &Path, descriptor: &Descriptor) {
    let path = layout.join("index.json");
    let mut index: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    index["manifests"]
        .as_array_mut()
        .unwrap()
        .push(json!(descriptor));
    fs::write(path, index.to_string()).unwrap();
}

fn position(lines: &[String], line: &str) -> usize {
    let found = lines.iter().position(|it| it == line);
    found.unwrap_or_else(|| panic!("no {line} in {lines:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_a_signature_goes_along_after_its_subject_and_before_the_tag() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    let signature = sign(&image);
    let reference = stage.reference("team/app:1");
    stage
        .longshore(&["push", image.path(), &reference, "-r"])
        .await
        .succeeded();
    let lines = stage.server.log().lines();
    let put = |at: &str| format!("PUT /v2/team/app/manifests/{at} → 201");
    let subject = position(&lines, &put(&image.digest().to_string()));
    let about = position(&lines, &put(&signature.to_string()));
    let tag = position(&lines, &put("1"));
    assert!(subject < about && about < tag, "{lines:#?}");
    assert_eq!(tag, lines.len() - 1);
    // The registry validates: nothing was refused for a missing child.
    assert!(!lines.iter().any(|it| it.ends_with("→ 400")), "{lines:#?}");

    let again = stage.reference("team/bare:1");
    stage
        .longshore(&["push", image.path(), &again])
        .await
        .succeeded();
    let lines = stage.server.log().lines();
    assert!(!lines.iter().any(|it| it.contains(&signature.to_string())));
}

/// Uploads and manifests are held up, so that there is something to see too early.
#[tokio::test(flavor = "multi_thread")]
async fn v2_a_reader_of_the_tag_never_gets_a_manifest_with_a_missing_child() {
    let stage = Stage::new().await;
    let image = stage.image(&small());
    for endpoint in [Endpoint::UploadPut, Endpoint::ManifestPut] {
        let wait = Action::Delay(Duration::from_millis(500));
        stage.server.faults().add(Rule::on(endpoint).act(wait));
    }
    let here: Repository = stage.reference("team/app").parse().unwrap();
    let client = Client::builder()
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let reader = client.repository(&here);
    let tag = TagOrDigest::Tag("1".parse().unwrap());
    let (reference, mut early) = (stage.reference("team/app:1"), 0);
    let args = ["push", image.path(), &reference];
    let mut pushing = std::pin::pin!(stage.longshore(&args));
    loop {
        tokio::select! {
            run = &mut pushing => {
                run.succeeded();
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
        let Some(found) = reader.manifest(&tag).await.unwrap() else {
            early += 1;
            continue;
        };
        for child in found.children() {
            let held = reader.has_blob(child).await.unwrap();
            assert_eq!(held, oci::Presence::Held(child.digest.clone()));
        }
    }
    assert!(
        early > 3,
        "the tag was looked at {early} times before it was there"
    );
    assert!(reader.manifest(&tag).await.unwrap().is_some());
}
