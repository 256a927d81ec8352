//! Into and out of image layouts.

use std::{fs, path::Path};

use longshore::push::source::sample::{self, SampleOptions};
use oci::{Document, layout};
use serde_json::Value;
use server::Endpoint;

use super::{multi_platform, staged};
use crate::{
    longshore::{Run, finished, longshore},
    stage::{Image, Stage, small},
};

fn index(directory: &Path) -> Document {
    let bytes = fs::read(directory.join(layout::INDEX)).unwrap();
    Document::new(bytes.into(), None).unwrap()
}

/// The names in a layout's index, and what has them.
fn names(directory: &Path) -> Vec<(Option<String>, String)> {
    let index = index(directory);
    let listed = index.as_index().unwrap().manifests.iter();
    listed
        .map(|it| (it.ref_name().map(str::to_owned), it.digest.to_string()))
        .collect()
}

/// Every file below a directory that is not to be there.
fn strays(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().flatten();
    let names = names.map(|it| it.file_name().into_string().unwrap());
    names
        .filter(|it| !["oci-layout", "index.json", "blobs"].contains(&it.as_str()))
        .collect()
}

async fn copy(stage: &Stage, from: &str, to: &str, flags: &[&str]) -> Run {
    let args = [
        &["copy", from, to, "--json", "--no-state", "--no-store"],
        flags,
    ]
    .concat();
    stage.longshore(&args).await
}

fn same_blobs(image: &Image, directory: &Path) {
    for entry in fs::read_dir(image.path.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let copied = directory.join("blobs/sha256").join(entry.file_name());
        assert_eq!(
            fs::read(entry.path()).unwrap(),
            fs::read(copied).unwrap(),
            "{entry:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_copied_into_a_layout_and_from_there_into_a_registry() {
    let (stage, image) = staged(&multi_platform()).await;
    let directory = stage.path("there");
    let to = format!("oci:{}:1.2", directory.display());
    let from = stage.reference("team/staging:1");
    let run = copy(&stage, &from, &to, &[]).await.succeeded();
    assert_eq!(run.json()["digest"], image.digest().to_string());
    assert_eq!(
        run.json()["repository"],
        format!("oci:{}", directory.display())
    );
    let expected = [(Some("1.2".to_owned()), image.digest().to_string())];
    assert_eq!(names(&directory), expected);
    same_blobs(&image, &directory);
    assert_eq!(strays(&directory), Vec::<String>::new());

    // What is there is not fetched again, and the index not written again.
    let written = fs::metadata(directory.join("index.json")).unwrap();
    let again = copy(&stage, &from, &to, &[]).await.succeeded();
    assert_eq!(again.json()["bytes"]["uploaded"], 0);
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);
    let now = fs::metadata(directory.join("index.json")).unwrap();
    assert_eq!(written.modified().unwrap(), now.modified().unwrap());

    let back = stage.reference("from/layout:1");
    let run = copy(&stage, &to, &back, &[]).await.succeeded();
    assert_eq!(run.json()["digest"], image.digest().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_layout_had_stays_and_a_name_goes_to_the_newest() {
    let (stage, image) = staged(&small()).await;
    let directory = stage.path("there");
    let other = SampleOptions { seed: 7, ..small() };
    let known = sample::write_layout(&directory, &other).unwrap();
    // Another tool's, with what only it knows.
    let path = directory.join(layout::INDEX);
    let mut theirs: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    theirs["x-theirs"] = serde_json::json!({ "b": 1, "a": [] });
    theirs["manifests"][0]["annotations"] = serde_json::json!({
        "org.opencontainers.image.ref.name": "theirs", "org.example": "kept",
    });
    fs::write(&path, theirs.to_string()).unwrap();
    let from = stage.reference("team/staging:1");
    let path_alone = directory.to_str().unwrap();
    copy(&stage, &from, path_alone, &[]).await.succeeded();
    let (old, new) = (known.digest.to_string(), image.digest().to_string());
    let theirs = (Some("theirs".to_owned()), old.clone());
    assert_eq!(names(&directory), [theirs.clone(), (None, new.clone())]);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""x-theirs":{"a":[],"b":1}"#), "{text}");
    assert!(text.contains(r#""org.example":"kept""#), "{text}");

    // It gets a name: that is the same entry. Then it takes the other's.
    copy(&stage, &from, path_alone, &["-t", "ours"])
        .await
        .succeeded();
    let ours = (Some("ours".to_owned()), new.clone());
    assert_eq!(names(&directory), [theirs, ours.clone()]);
    copy(&stage, &from, path_alone, &["-t", "theirs"])
        .await
        .succeeded();
    assert_eq!(names(&directory), [ours, (Some("theirs".to_owned()), new)]);
    assert!(directory.join(layout::blob_path(&known.digest)).exists());
}

/// The layout lost a blob that its manifest lists: it is fetched, the rest is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_layout_that_lost_a_blob_or_has_half_of_one_gets_it_again() {
    let (stage, image) = staged(&small()).await;
    let directory = stage.path("there");
    let to = format!("oci:{}:1", directory.display());
    let from = stage.reference("team/staging:1");
    copy(&stage, &from, &to, &[]).await.succeeded();
    let blobs = image.blobs();
    fs::remove_file(directory.join(layout::blob_path(&blobs[0].digest))).unwrap();
    let short = directory.join(layout::blob_path(&blobs[1].digest));
    fs::write(&short, "short").unwrap();
    let run = copy(&stage, &from, &to, &[]).await.succeeded();
    assert_eq!(
        run.json()["bytes"]["uploaded"],
        blobs[0].size + blobs[1].size
    );
    assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 2);
    same_blobs(&image, &directory);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_layout_is_left_alone_and_nothing_is_fetched() {
    let (stage, _) = staged(&small()).await;
    let (file, full) = (stage.path("file"), stage.path("full"));
    fs::write(&file, "kept").unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes.txt"), "kept").unwrap();
    let from = stage.reference("team/staging:1");
    for (path, why) in [
        (file.clone(), "it is a file"),
        (file.join("below"), "below something that is no directory"),
        (full.clone(), "not empty"),
    ] {
        let to = format!("oci:{}:1", path.display());
        let run = copy(&stage, &from, &to, &[]).await;
        assert_eq!(run.code, Some(5), "{run:#?}");
        assert!(run.stderr.contains(why), "{run:#?}");
        assert!(run.stderr.contains(path.to_str().unwrap()), "{run:#?}");
        assert_eq!(stage.server.log().calls(Endpoint::BlobGet), 0);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(strays(&full), ["notes.txt"]);
}

/// No file may grow over so many blocks, as on a disk that is full: what was there is what is
/// there, and with room the copy goes through.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_shows_no_part_of_a_blob() {
    let (stage, image) = staged(&small()).await;
    let directory = stage.path("there");
    let to = format!("oci:{}:1", directory.display());
    let from = stage.reference("team/staging:1");
    let known = sample::write_layout(&directory, &SampleOptions { seed: 7, ..small() }).unwrap();
    let before = fs::read(directory.join(layout::INDEX)).unwrap();
    let args = ["copy", &from, &to, "--json", "--no-state", "--no-store"];
    for blocks in [0, 1, 16] {
        let run = crate::longshore::run_on_full_disk(stage.home(), blocks, args).await;
        assert_eq!(run.code, Some(5), "{blocks}: {run:#?}");
        assert!(run.stderr.contains("there"), "{run:#?}");
        assert_eq!(fs::read(directory.join(layout::INDEX)).unwrap(), before);
        assert_eq!(strays(&directory), Vec::<String>::new());
        for blob in image.blobs() {
            let there = directory.join(layout::blob_path(&blob.digest));
            assert!(!there.exists() || there.metadata().unwrap().len() == blob.size);
        }
    }
    copy(&stage, &from, &to, &[]).await.succeeded();
    assert_eq!(names(&directory).len(), 2);
    assert!(directory.join(layout::blob_path(&known.digest)).exists());
}

/// Eight at once, into a layout that is not there yet: each image is listed, and whole.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_write_one_layout_at_once_do_not_lose_one_another_s_images() {
    let stage = Stage::new().await;
    let directory = stage.path("there");
    let mut running = Vec::new();
    for seed in 0..8_u64 {
        let image = stage.path(&format!("image-{seed}"));
        let options = SampleOptions { seed, ..small() };
        let root = sample::write_layout(&image, &options).unwrap();
        let mut command = longshore(stage.home());
        command
            .args(["copy", image.to_str().unwrap()])
            .arg(format!("oci:{}:image-{seed}", directory.display()))
            .arg("--no-state");
        let child = tokio::process::Command::from(command).output();
        running.push((seed, root, tokio::spawn(child)));
    }
    let mut expected = Vec::new();
    for (seed, root, child) in running {
        finished(child.await.unwrap().unwrap()).succeeded();
        expected.push((Some(format!("image-{seed}")), root.digest.to_string()));
    }
    let mut listed = names(&directory);
    listed.sort();
    assert_eq!(listed, expected);
    assert_eq!(strays(&directory), Vec::<String>::new());
    for seed in 0..8 {
        let from = format!("oci:{}:image-{seed}", directory.display());
        let to = stage.reference(&format!("team/app:{seed}"));
        copy(&stage, &from, &to, &[]).await.succeeded();
    }
}
