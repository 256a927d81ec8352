//! `serve PATH`: layouts and archives as a registry, through the binary.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::Command,
};

use longshore::push::source::sample::{SampleOptions, write_layout};
use oci::{Descriptor, Digest, Platform, layout};

use crate::{longshore::run, served::Served};

/// The status, the head and the body of the answer to a GET; nothing where the connection
/// broke before there was a head.
fn get(served: &Served, target: &str) -> (u16, String, Vec<u8>) {
    let mut stream = served.ask("GET", target, "connection: close\r\n");
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw);
    let Some(end) = raw.windows(4).position(|it| it == b"\r\n\r\n") else {
        return (0, String::new(), Vec::new());
    };
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let status = head[9..12].parse().unwrap();
    (status, head, raw[end + 4..].to_vec())
}

fn sample(directory: &Path, name: Option<&str>) -> Descriptor {
    let options = SampleOptions {
        layers: 2,
        layer_bytes: 2_000_000,
        platforms: vec![
            Platform::new("linux", "amd64"),
            Platform::new("linux", "arm64"),
        ],
        name: name.map(str::to_owned),
        ..SampleOptions::default()
    };
    write_layout(directory, &options).unwrap()
}

fn archive(directory: &Path, path: &Path) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    tar.append_dir_all(".", directory).unwrap();
    tar.finish().unwrap();
}

/// The blobs of a layout, by digest.
fn blobs(directory: &Path) -> Vec<(Digest, Vec<u8>)> {
    let all = fs::read_dir(directory.join("blobs/sha256")).unwrap();
    let all = all.map(|it| it.unwrap().path());
    all.map(|path| {
        let hex = path.file_name().unwrap().to_str().unwrap();
        let digest = format!("sha256:{hex}").parse().unwrap();
        (digest, fs::read(&path).unwrap())
    })
    .collect()
}

#[test]
fn every_byte_of_layouts_and_archives_is_served_at_their_names() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("My Image");
    let root = sample(&image, Some("docker.io/library/app:1.2"));
    let tar = home.path().join("saved.tar");
    archive(&image, &tar);
    let given = format!("given={}", tar.display());
    let served = Served::start(home.path(), &[image.to_str().unwrap(), &given]);
    let (_, _, catalog) = get(&served, "/v2/_catalog");
    assert_eq!(
        String::from_utf8(catalog).unwrap(),
        r#"{"repositories":["app","given","library/app"]}"#
    );
    for name in ["app", "given", "library/app"] {
        let (status, _, index) = get(&served, &format!("/v2/{name}/manifests/1.2"));
        assert_eq!((status, Digest::of(&index)), (200, root.digest.clone()));
        for (digest, bytes) in blobs(&image) {
            let kinds = ["manifests", "blobs"].map(|kind| {
                let (status, _, body) = get(&served, &format!("/v2/{name}/{kind}/{digest}"));
                (status == 200).then_some(body)
            });
            let served: Vec<Vec<u8>> = kinds.into_iter().flatten().collect();
            assert!(served == [bytes], "{digest} in {name}");
        }
    }
    let said = served.killed();
    assert!(said.contains("/given:1.2@sha256:"), "{said}");
    assert!(said.contains("read-only"), "{said}");
}

#[test]
fn a_nameless_image_is_the_latest_of_a_repository_called_after_its_file() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("My Image.oci");
    let root = sample(&image, None);
    let served = Served::start(home.path(), &[image.to_str().unwrap()]);
    let (status, head, _) = get(&served, "/v2/my-image/manifests/latest");
    assert_eq!(status, 200);
    assert!(head.contains(&root.digest.to_string()), "{head}");
}

#[test]
fn damage_breaks_the_answer_off_and_is_told_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("image");
    sample(&image, Some("1"));
    let (digest, bytes) = blobs(&image)
        .into_iter()
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    let tar = home.path().join("image.tar");
    archive(&image, &tar);
    // The same length: only the digest tells.
    let path = image.join(layout::blob_path(&digest));
    let mut damaged = bytes.clone();
    damaged[1_000_000] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let in_tar = format!("tar={}", tar.display());
    let served = Served::start(home.path(), &[image.to_str().unwrap(), &in_tar]);
    let target = format!("/v2/image/blobs/{digest}");
    let (_, _, got) = get(&served, &target);
    assert!(got.len() < bytes.len(), "{} bytes", got.len());
    let intact = format!("/v2/tar/blobs/{digest}");
    assert!(get(&served, &intact).2 == bytes);
    // The archive changes while it is served.
    let mut file = fs::File::options().write(true).open(&tar).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(&[0; 512]).unwrap();
    let (_, _, got) = get(&served, &intact);
    assert!(got.len() < bytes.len(), "{} bytes", got.len());
    // A blob that vanishes is absent.
    fs::remove_file(&path).unwrap();
    assert_eq!(get(&served, &target).0, 404);
    let said = served.killed();
    assert!(said.contains(&digest.to_string()), "{said}");
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    assert!(said.contains("is altered"), "{said}");
    assert!(said.contains("it changed while it was read"), "{said}");
}

#[test]
fn what_is_missing_from_a_layout_is_noted_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("image");
    sample(&image, Some("1"));
    let (digest, _) = blobs(&image)
        .into_iter()
        .max_by_key(|(_, bytes)| bytes.len())
        .unwrap();
    fs::remove_file(image.join(layout::blob_path(&digest))).unwrap();
    let served = Served::start(home.path(), &[image.to_str().unwrap()]);
    assert_eq!(get(&served, "/v2/image/manifests/1").0, 200);
    assert_eq!(get(&served, &format!("/v2/image/blobs/{digest}")).0, 404);
    let said = served.killed();
    let notes: Vec<&str> = said.lines().filter(|it| it.starts_with("note: ")).collect();
    assert_eq!(notes.len(), 1, "{said}");
    assert!(notes[0].contains(&format!("{digest} is missing")), "{said}");
}

#[test]
fn a_compressed_archive_is_served_and_said_to_be_decompressed() {
    let home = tempfile::tempdir().unwrap();
    let image = home.path().join("image");
    let root = sample(&image, Some("1"));
    let tar = home.path().join("image.tar");
    archive(&image, &tar);
    let zipped = Command::new("gzip").arg(&tar).status().unwrap();
    assert!(zipped.success());
    let path = format!("{}.gz", tar.display());
    let served = Served::start(home.path(), &[&path]);
    let (status, _, index) = get(&served, "/v2/image/manifests/1");
    assert_eq!((status, Digest::of(&index)), (200, root.digest));
    let said = served.killed();
    assert!(
        said.starts_with(&format!("decompressing {path} (gzip)")),
        "{said}"
    );
}

#[test]
fn what_cannot_be_served_ends_with_the_code_that_says_why() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text"), "no archive").unwrap();
    fs::create_dir(path("empty")).unwrap();
    fs::create_dir(path("store")).unwrap();
    fs::write(path("store/longshore-store.json"), r#"{"version":1}"#).unwrap();
    sample(Path::new(&path("one")), Some("1"));
    let root = sample(Path::new(&path("broken")), Some("1"));
    fs::remove_file(Path::new(&path("broken")).join(layout::blob_path(&root.digest))).unwrap();
    let upper = format!("Upper={}", path("one"));
    for (args, code, told) in [
        (vec![path("missing")], 4, "there is nothing at"),
        (vec![path("text")], 5, "is no image"),
        (vec![path("empty")], 5, "without oci-layout"),
        (vec![path("broken")], 5, "is missing"),
        (vec![path("store")], 2, "longshore serve --store"),
        (vec![upper], 2, "is not a repository's name"),
        (vec!["a=".into()], 2, "expected PATH or NAME=PATH"),
        (
            vec![path("one"), "--store".into(), path("x")],
            2,
            "cannot be used with",
        ),
    ] {
        let args = ["serve", "--listen", "127.0.0.1:0"]
            .into_iter()
            .chain(args.iter().map(String::as_str));
        let ended = run(home.path(), args);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}
