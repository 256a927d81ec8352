//! Memory, whatever the blob's size.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Stdio,
    sync::{Arc, OnceLock, mpsc},
};

use oci::{Algorithm, Descriptor, Digest, Hasher, MediaType};

use crate::{
    longshore::{finished, longshore},
    sink::Sink,
};

const GIB: u64 = 1 << 30;

/// A layout of one layer of zeros, which takes no room on the disk.
fn sparse_layout(directory: &Path, layer_bytes: u64) -> Digest {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let zeros = vec![0; 1 << 20];
    for _ in 0..layer_bytes >> 20 {
        hasher.update(&zeros);
    }
    let layer = Descriptor::new(MediaType::OCI_LAYER, hasher.finish(), layer_bytes);
    let file = File::create(blobs.join(layer.digest.encoded())).unwrap();
    file.set_len(layer_bytes).unwrap();
    let write = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.encoded()), bytes).unwrap();
        digest
    };
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        layer.digest
    );
    let config = Descriptor::new(
        MediaType::OCI_CONFIG,
        write(config.as_bytes()),
        config.len() as u64,
    );
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [layer],
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

/// Peak resident memory of a process so far, in KiB.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|it| it.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Pushes a layer of `bytes`, and says the most memory that took, in KiB.
fn push_and_measure(bytes: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let digest = sparse_layout(&image, bytes);
    let sink = Sink::start();
    let mut command = longshore(directory.path());
    command
        .args([
            "push",
            image.to_str().unwrap(),
            &sink.reference("app:1"),
            "--json",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The manifest comes last: when it is there, all the memory there will be was taken.
    let (sender, peak) = mpsc::channel();
    let process = Arc::new(OnceLock::new());
    let of = process.clone();
    sink.on_manifest(move || sender.send(peak_kib(*of.wait())).unwrap());
    let child = command.spawn().unwrap();
    process.set(child.id()).unwrap();
    let run = finished(child.wait_with_output().unwrap()).succeeded();
    assert_eq!(run.json()["digest"], digest.to_string());
    assert!(sink.body_bytes() > bytes);
    peak.recv().unwrap()
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
