//! Images that are written to this machine, and the same digest wherever they are made.

use std::{fs, process::Command};

use oci::{Digest, layout};
use serde_json::Value;

use super::{OLD, Yard, blob};
use crate::longshore::{finished, longshore, run_beside};

#[tokio::test(flavor = "multi_thread")]
async fn an_output_directory_is_a_whole_layout_with_the_tags() {
    let yard = Yard::new().await;
    let base = yard.base("ltsc2022", OLD).await;
    let path = yard.stage.path("out");
    let to = yard.stage.reference("team/app:1.2");
    let run = yard
        .build(&["-t", &to, "--output", path.to_str().unwrap(), "--json"])
        .await;
    let run = run.succeeded().json();
    assert_eq!(
        yard.stage.server.log().requests(),
        0,
        "no push unless it is asked for"
    );
    let index: Value = serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], run["build"]["digest"]);
    assert_eq!(
        entry["annotations"]["org.opencontainers.image.ref.name"],
        "1.2"
    );
    let manifest = blob(&path, entry["digest"].as_str().unwrap());
    let config = blob(&path, manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["os.version"], OLD);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers[0]["digest"], base.layer());
    for layer in layers {
        let file = path.join(layout::blob_path(
            &layer["digest"].as_str().unwrap().parse().unwrap(),
        ));
        assert_eq!(
            fs::metadata(file).unwrap().len(),
            layer["size"].as_u64().unwrap()
        );
    }
}

/// A layer is one file from when it was compressed to when it is a blob, on one file system; what it
/// is there is the same as where it has to be copied.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn b13_a_layer_of_an_output_directory_is_as_other_files_are_there() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let out = yard.stage.path("out");
    let run = yard
        .build(&["--output", out.to_str().unwrap(), "--json"])
        .await;
    let run = run.succeeded().json();
    let manifest = blob(&out, run["build"]["digest"].as_str().unwrap());
    let all = fs::read_dir(out.join("blobs/sha256")).unwrap();
    let modes: Vec<u32> = all
        .map(|it| it.unwrap().metadata().unwrap())
        .inspect(|it| assert_eq!(it.nlink(), 1, "nothing else has it any more"))
        .map(|it| it.permissions().mode())
        .collect();
    assert!(modes.iter().all(|it| *it == modes[0]), "{modes:?}");
    for layer in manifest["layers"].as_array().unwrap() {
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        let bytes = fs::read(out.join(layout::blob_path(&digest))).unwrap();
        assert_eq!(Digest::of(&bytes), digest);
    }
    let left = fs::read_dir(&out).unwrap().flatten();
    let left = left.filter(|it| it.file_name().to_string_lossy().starts_with(".longshore-"));
    assert_eq!(left.count(), 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn e10_another_umask_locale_zone_and_directory_make_the_same_digest() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let digest = |number: usize, umask: &str, variables: &[(&str, &str)]| {
        // A checkout of its own, made with this umask.
        let (home, context) = (yard.stage.home(), yard.context());
        let copy = yard.stage.path(&format!("checkout-{number}"));
        let script = format!(
            "umask {umask}; cp -r \"$1\" \"$2\"; exec \"$0\" build \"$2\" --output \"$2/../out-{number}\" --json"
        );
        let mut command = Command::new("sh");
        let inherited = longshore(home);
        command
            .args(["-c", &script])
            .arg(inherited.get_program())
            .args([&context, &copy]);
        command
            .env_clear()
            .env("HOME", home)
            .env("PATH", "/usr/bin:/bin")
            .envs(variables.iter().copied());
        let run = finished(command.output().unwrap()).succeeded();
        run.json()["build"]["digest"].as_str().unwrap().to_owned()
    };
    let epoch = ("SOURCE_DATE_EPOCH", "1700000000");
    let one = digest(1, "022", &[epoch, ("LANG", "C"), ("TZ", "UTC")]);
    let other = digest(
        2,
        "077",
        &[epoch, ("LANG", "tr_TR.UTF-8"), ("TZ", "Asia/Tokyo")],
    );
    assert_eq!(one, other);
    let later = digest(3, "022", &[("SOURCE_DATE_EPOCH", "1700000001")]);
    assert_ne!(one, later, "the time counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_ends_in_tar_is_an_archive_with_the_same_image() {
    let yard = Yard::new().await;
    yard.base("ltsc2022", OLD).await;
    let path = yard.stage.path("image.tar");
    let (to, out) = (yard.stage.reference("team/app:1"), path.to_str().unwrap());
    let run = yard.build(&["-t", &to, "--output", out, "--json"]).await;
    let built = run.succeeded().json()["build"]["digest"].clone();
    let args = ["push", out, &to, "--no-state", "--json"];
    let pushed = run_beside(yard.stage.home(), args).await.succeeded().json();
    assert_eq!(pushed["manifests"][0]["digest"], built, "{pushed:#}");
    yard.file("there", "a file");
    for name in ["image.tar.gz", "context/there"] {
        let path = yard.stage.path(name);
        let run = yard.build(&["--output", path.to_str().unwrap()]).await;
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains("ends in .tar"), "{run:#?}");
        assert_eq!(yard.far.log().requests(), 0);
    }
}
