use super::*;

#[test]
fn the_same_options_give_the_same_image_and_another_seed_another() {
    let digest = |seed| {
        let directory = tempfile::tempdir().unwrap();
        let options = SampleOptions {
            layer_bytes: 5000,
            seed,
            ..SampleOptions::default()
        };
        write_layout(directory.path(), &options).unwrap().digest
    };
    assert_eq!(digest(0), digest(0));
    assert_ne!(digest(0), digest(1));
}

#[test]
fn diff_ids_are_those_of_the_inflated_layers() {
    let directory = tempfile::tempdir().unwrap();
    let root = write_layout(directory.path(), &SampleOptions::default()).unwrap();
    let blob =
        |digest: &Digest| fs::read(directory.path().join(layout::blob_path(digest))).unwrap();
    let manifest = oci::Document::verified(blob(&root.digest).into(), &root).unwrap();
    let manifest = manifest.as_manifest().unwrap();
    let config = oci::ImageConfig::from_slice(&blob(&manifest.config.digest)).unwrap();
    assert_eq!(manifest.layers.len(), 3);
    for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
        let mut inflated = Vec::new();
        flate2::read::GzDecoder::new(&blob(&layer.digest)[..])
            .read_to_end(&mut inflated)
            .unwrap();
        assert!(layer.digest.matches(&blob(&layer.digest)));
        assert!(diff_id.matches(&inflated));
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_program_runs_and_says_its_line() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(program::NAME);
    let program = program::for_platform(&Platform::new("linux", "amd64")).unwrap();
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&path).output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(output.stdout, b"Hello from an image pushed by longshore\n");
}
