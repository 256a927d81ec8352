//! The memory `build` takes: bounded, however large the context is and however many threads
//! compress.

use std::{
    fs::{self, File},
    path::Path,
};

use oci::{Digest, layout};
use serde_json::json;

use crate::{
    longshore::{finished, longshore},
    memory::peak_of,
    sink::Sink,
};

/// What a build may have in memory, in KiB, exclusive.
const BOUND: u64 = 64 * 1024;

/// 10,000 files of noise, which takes the most room when it is compressed, and a sparse one of 1 GiB.
fn context(directory: &Path) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0..10_000 {
        let unit = directory.join(format!("app/unit-{:03}", number % 400));
        fs::create_dir_all(&unit).unwrap();
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let noise: Vec<u8> = noise.take(1000).flatten().collect();
        fs::write(unit.join(format!("file-{number:05}.bin")), noise).unwrap();
    }
    let sparse = File::create(directory.join("large.bin")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    fs::write(directory.join("Dockerfile"), "FROM scratch\nCOPY . /srv/\n").unwrap();
}

/// The most memory a build took, in KiB.
fn peak_of_build(context: &Path, more: &[&str]) -> u64 {
    let sink = Sink::start();
    let home = tempfile::tempdir().unwrap();
    let to = sink.reference("app:1");
    let mut command = longshore(home.path());
    command.args(["build", context.to_str().unwrap(), "-t", &to, "--push"]);
    command.args(["--platform", "linux/amd64", "--json", "--no-state"]);
    let (peak, _) = peak_of(&sink, command.args(more));
    assert!(sink.body_bytes() > 75 << 20, "the noise is in it");
    peak
}

#[test]
fn a_build_of_10_000_files_and_one_of_1_gib_stays_within_64_mib_with_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    context(directory.path());
    for format in ["gzip", "zstd"] {
        // As on a machine with as many processors.
        let peak = peak_of_build(
            directory.path(),
            &["--compression", format, "--compression-threads", "64"],
        );
        println!("{format}: {peak} KiB at most");
        assert!(peak < BOUND, "{format}: {peak} KiB");
    }
}

/// How many files are many.
const MANY: usize = 100_000;

/// So many empty files, and a layout that images for Windows are built on. In memory, if this machine
/// has a place for that.
fn many_files() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let directory = directory.unwrap();
    for unit in 0..MANY / 500 {
        let unit = directory.path().join(format!("context/app/unit-{unit:03}"));
        fs::create_dir_all(&unit).unwrap();
        for number in 0..500 {
            File::create(unit.join(format!("file-{number:03}.bin"))).unwrap();
        }
    }
    let base = directory.path().join("base");
    fs::create_dir_all(base.join("blobs/sha256")).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(base.join(layout::blob_path(&digest)), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let layer = put("application/vnd.oci.image.layer.v1.tar", &[0; 10240]);
    let config = json!({
        "architecture": "amd64", "os": "windows", "os.version": "10.0.20348.5256", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer],
    });
    let root = put(media_type, manifest.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [root] });
    fs::write(base.join("index.json"), index.to_string()).unwrap();
    fs::write(base.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    directory
}

/// The most memory it took, in KiB, to build an image as this Dockerfile says, and how it ended.
fn peak_of_many(directory: &Path, platform: &str, dockerfile: &str) -> u64 {
    let file = directory.join("Dockerfile");
    fs::write(
        &file,
        dockerfile.replace("BASE", directory.join("base").to_str().unwrap()),
    )
    .unwrap();
    let sink = Sink::start();
    let home = tempfile::tempdir().unwrap();
    let mut command = longshore(home.path());
    command.args([
        "build",
        directory.join("context").to_str().unwrap(),
        "--push",
    ]);
    command.args([
        "--file",
        file.to_str().unwrap(),
        "-t",
        &sink.reference("app:1"),
    ]);
    command.args(["--platform", platform, "--json", "--no-state"]);
    let (peak, run) = peak_of(&sink, &mut command);
    assert_eq!(run.json()["cause"], "done");
    peak
}

#[test]
fn b13_a_build_of_100_000_files_stays_within_64_mib_however_often_they_are_copied() {
    let directory = many_files();
    for (platform, dockerfile) in [
        (
            "linux/amd64",
            "FROM scratch AS one\nCOPY . /srv/\nFROM scratch\nCOPY --from=one /srv /opt/\nCOPY app /opt/app/\n",
        ),
        (
            "windows/amd64",
            "FROM BASE\nCOPY . C:/srv/\nCOPY app C:/SRV/app/\n",
        ),
    ] {
        let peak = peak_of_many(directory.path(), platform, dockerfile);
        println!("{platform}: {peak} KiB at most");
        assert!(peak < BOUND, "{platform}: {peak} KiB");
    }
}

#[test]
fn b13_more_files_than_a_build_keeps_track_of_are_an_error_that_says_what_to_do() {
    let directory = many_files();
    let file = directory.path().join("Dockerfile");
    let copies = [0, 1, 2, 3, 4].map(|it| format!("COPY . /srv-{it}/\n"));
    fs::write(&file, format!("FROM scratch\n{}", copies.concat())).unwrap();
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("out");
    let mut command = longshore(home.path());
    command.args(["build", directory.path().join("context").to_str().unwrap()]);
    command.args(["--file", file.to_str().unwrap(), "--no-state"]);
    command.args([
        "--platform",
        "linux/amd64",
        "--output",
        output.to_str().unwrap(),
    ]);
    let run = finished(command.output().unwrap());
    assert_ne!(run.code, Some(0));
    for said in [
        "Dockerfile:5",
        "more than a build keeps track of",
        ".dockerignore",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
}
