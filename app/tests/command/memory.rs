//! Gigabytes: the memory they take, and the time they may take.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use oci::{Algorithm, Descriptor, Digest, Hasher, MediaType};

use crate::{
    longshore::{Run, finished, longshore, run},
    resident,
    served::Served,
    sink::Sink,
};

const GIB: u64 = 1 << 30;

/// A layer of zeros, which takes no room on the disk.
fn sparse_layer(blobs: &Path, layer_bytes: u64) -> Descriptor {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let zeros = vec![0; 1 << 20];
    for _ in 0..layer_bytes >> 20 {
        hasher.update(&zeros);
    }
    let layer = Descriptor::new(MediaType::OCI_LAYER, hasher.finish(), layer_bytes);
    let file = File::create(blobs.join(layer.digest.encoded())).unwrap();
    file.set_len(layer_bytes).unwrap();
    layer
}

/// A layout of layers of zeros of these lengths, each a multiple of 1 MiB.
fn sparse_layout(directory: &Path, layers: &[u64]) -> Digest {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let layers: Vec<Descriptor> = layers.iter().map(|it| sparse_layer(&blobs, *it)).collect();
    let diff_ids: Vec<&Digest> = layers.iter().map(|it| &it.digest).collect();
    let write = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.encoded()), bytes).unwrap();
        digest
    };
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string();
    let config = Descriptor::new(
        MediaType::OCI_CONFIG,
        write(config.as_bytes()),
        config.len() as u64,
    );
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers,
    }))
    .unwrap();
    let digest = write(&manifest);
    let descriptor = Descriptor::of(MediaType::OCI_MANIFEST, &manifest);
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] });
    fs::write(directory.join("index.json"), index.to_string()).unwrap();
    File::create(directory.join("oci-layout"))
        .unwrap()
        .write_all(br#"{"imageLayoutVersion":"1.0.0"}"#)
        .unwrap();
    digest
}

/// An OCI archive of as many layers of 1 GiB as said, which takes no room on the disk: each is
/// its own number and zeros.
fn sparse_archive(path: &Path, layers: u64) -> Digest {
    let zeros = vec![0; 1 << 20];
    let hash = |number: u64| {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&number.to_be_bytes());
        hasher.update(&zeros[8..]);
        (1..1024).for_each(|_| hasher.update(&zeros));
        Descriptor::new(MediaType::OCI_LAYER, hasher.finish(), GIB)
    };
    let layers: Vec<Descriptor> = thread::scope(|scope| {
        let hashing: Vec<_> = (0..layers)
            .map(|it| scope.spawn(move || hash(it)))
            .collect();
        hashing.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": Descriptor::of(MediaType::OCI_CONFIG, config), "layers": layers,
    }))
    .unwrap();
    let root = Descriptor::of(MediaType::OCI_MANIFEST, &manifest);
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [root] }).to_string();

    let mut file = File::create(path).unwrap();
    let mut entry = |name: &str, size: u64, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        file.write_all(header.as_bytes()).unwrap();
        file.write_all(content).unwrap();
        let rest = size.next_multiple_of(512) - content.len() as u64;
        file.seek(SeekFrom::Current(rest.try_into().unwrap()))
            .unwrap();
    };
    let whole = [
        (
            "oci-layout".to_owned(),
            &br#"{"imageLayoutVersion":"1.0.0"}"#[..],
        ),
        ("index.json".to_owned(), index.as_bytes()),
        (oci::layout::blob_path(&root.digest), &manifest),
        (oci::layout::blob_path(&Digest::of(config)), config),
    ];
    for (name, content) in &whole {
        entry(name, content.len() as u64, content);
    }
    for (number, layer) in (0_u64..).zip(&layers) {
        entry(
            &oci::layout::blob_path(&layer.digest),
            GIB,
            &number.to_be_bytes(),
        );
    }
    file.write_all(&[0; 1024]).unwrap();
    root.digest
}

/// Pushes a layer of `bytes`, and says the most memory that took, in KiB.
fn push_and_measure(bytes: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let digest = sparse_layout(&image, &[bytes]);
    peak_of_push(&image, &digest, bytes)
}

/// Pushes the image at `image`, which has `digest` and over `bytes` bytes of blobs, and says the
/// most memory that took, in KiB.
fn peak_of_push(image: &Path, digest: &Digest, bytes: u64) -> u64 {
    peak_of_push_to(&Sink::start(), image, digest, bytes)
}

fn peak_of_push_to(sink: &Sink, image: &Path, digest: &Digest, bytes: u64) -> u64 {
    let to = sink.reference("app:1");
    let args = ["push", image.to_str().unwrap(), &to, "--json"];
    let home = tempfile::tempdir().unwrap();
    let (peak, run) = peak_of(sink, longshore(home.path()).args(args));
    assert_eq!(run.json()["digest"], digest.to_string());
    assert!(sink.body_bytes() > bytes);
    peak
}

/// Runs a command that puts one manifest into the sink; the most memory that took, in KiB.
pub(crate) fn peak_of(sink: &Sink, command: &mut Command) -> (u64, Run) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // The manifest comes last: when it is there, all the memory there will be was taken.
    let (sender, peak) = mpsc::channel();
    let process = Arc::new(OnceLock::new());
    let of = process.clone();
    sink.on_manifest(move || sender.send(resident::peak_kib(*of.wait())).unwrap());
    let child = command.spawn().unwrap();
    process.set(child.id()).unwrap();
    let run = finished(child.wait_with_output().unwrap()).succeeded();
    (peak.recv().unwrap(), run)
}

/// Eight layers at once, of 1 GiB together: they pass through, and leave nothing in a file.
#[cfg(target_os = "linux")]
#[test]
fn k2_a_copy_between_registries_of_1_gib_stays_within_64_mib_and_writes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let layers: Vec<u64> = (125..133).map(|it| it << 20).collect();
    let digest = sparse_layout(&image, &layers);
    let from = Served::start(
        directory.path(),
        &[&format!("app={}", image.to_str().unwrap())],
    );
    let home = directory.path().join("home");
    fs::create_dir(&home).unwrap();
    let sink = Sink::start();
    let from = format!("{}/app:latest", from.address);
    let mut command = longshore(&home);
    command.env("TMPDIR", &home);
    let to = sink.reference("app:1");
    let args = ["copy", &from, &to, "--json", "--no-state", "--no-store"];
    let (peak, run) = peak_of(&sink, command.args(args));
    assert_eq!(run.json()["digest"], digest.to_string());
    assert!(sink.body_bytes() > GIB);
    assert!(peak < 64 * 1024, "{peak} KiB");
    let left: Vec<_> = fs::read_dir(&home).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The whole blob passes through; next to none of it stays.
#[cfg(target_os = "linux")]
#[test]
fn z8_a_blob_of_4_gib_raises_peak_memory_by_less_than_32_mib() {
    let small = push_and_measure(1 << 20);
    let large = push_and_measure(4 * GIB);
    assert!(
        large < small + 32 * 1024,
        "{small} KiB for 1 MiB, {large} KiB for 4 GiB"
    );
    assert!(large < 64 * 1024, "{large} KiB");
}

/// One body whatever its size: a POST and a PUT. 2 GiB here; `just large` does it with 20 GB.
#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::disallowed_methods, reason = "a test is told how much to send")]
fn p26_a_very_large_blob_is_two_requests_and_stays_within_64_mib() {
    let told = std::env::var("LONGSHORE_LARGE_BLOB_MIB").ok();
    let bytes = told.map_or(2 << 10, |mib| mib.parse::<u64>().unwrap()) << 20;
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let digest = sparse_layout(&image, &[bytes]);
    let layer = fs::read_dir(image.join("blobs/sha256")).unwrap().flatten();
    let layer = layer
        .max_by_key(|it| it.metadata().unwrap().len())
        .and_then(|it| it.file_name().into_string().ok())
        .unwrap();
    let layer: Digest = format!("sha256:{layer}").parse().unwrap();
    let sink = Sink::start();
    let began = Instant::now();
    let peak = peak_of_push_to(&sink, &image, &digest, bytes);
    println!("{bytes} bytes in {:?}, {peak} KiB at most", began.elapsed());
    assert!(peak < 64 * 1024, "{peak} KiB");
    let expected = [("POST".to_owned(), 0), ("PUT".to_owned(), bytes)];
    assert_eq!(sink.requests_about(&layer), expected);
}

/// As many bodies as there may be requests in flight, each with its own buffers.
#[cfg(target_os = "linux")]
#[test]
fn z8_thirty_two_large_bodies_at_once_stay_within_64_mib() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let layers: Vec<u64> = (32..64).map(|it| it << 20).collect();
    let digest = sparse_layout(&image, &layers);
    let peak = peak_of_push(&image, &digest, layers.iter().sum());
    assert!(peak < 64 * 1024, "{peak} KiB");
}

/// Ten layers at once, read where they lie in the archive.
#[cfg(target_os = "linux")]
#[test]
fn z26_an_archive_of_10_gib_takes_no_more_memory_than_a_blob() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    let digest = sparse_archive(&archive, 10);
    let peak = peak_of_push(&archive, &digest, 10 * GIB);
    assert!(peak < 64 * 1024, "{peak} KiB");
}

/// It takes many times the idle limit, and is never still for that long.
#[test]
fn z16_a_slow_body_of_1_gib_that_moves_passes_no_limit() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let digest = sparse_layout(&image, &[GIB]);
    let sink = Sink::pausing(Duration::from_millis(4));
    let began = Instant::now();
    let reference = sink.reference("app:1");
    let image = image.to_str().unwrap();
    let args = ["push", image, &reference, "--idle-timeout", "1s", "--json"];
    let pushed = run(directory.path(), args).succeeded();
    assert!(began.elapsed() > Duration::from_secs(4));
    assert_eq!(pushed.json()["digest"], digest.to_string());
    let sent = pushed.json()["bytes"].clone();
    assert_eq!(
        (&sent["resent"], &sent["unique"]),
        (&0.into(), &sent["uploaded"])
    );
}
