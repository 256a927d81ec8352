//! Whether a repository is an OCI image layout, as anybody would read it.

use std::{fs, path::Path};

use oci::{Descriptor, Digest};
use serde::Deserialize;

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// A descriptor's content, which must be what it says.
fn content(layout: &Path, descriptor: &Descriptor) -> Vec<u8> {
    let content = fs::read(layout.join(oci::layout::blob_path(&descriptor.digest))).unwrap();
    assert_eq!(Digest::of(&content), descriptor.digest);
    assert_eq!(content.len() as u64, descriptor.size);
    content
}

/// Checks a repository's layout, which shows every tag that there is and all that it leads to.
/// How many tags it shows.
pub(crate) fn check(store: &Path, name: &str) -> usize {
    let repository = store.join("repositories").join(name);
    let tags = repository.join("_tags");
    if !tags.exists() {
        return 0;
    }
    let layout = repository.join("_layout");
    let marker = fs::read(layout.join("oci-layout")).unwrap();
    let marker: oci::layout::Marker = serde_json::from_slice(&marker).unwrap();
    assert_eq!(marker.image_layout_version, oci::layout::VERSION);
    let index = fs::read(layout.join("index.json")).unwrap();
    let index: Index = serde_json::from_slice(&index).unwrap();
    let mut shown = Vec::new();
    for entry in &index.manifests {
        let manifest: Manifest = serde_json::from_slice(&content(&layout, entry)).unwrap();
        for child in manifest.layers.iter().chain([&manifest.config]) {
            content(&layout, child);
        }
        if let Some(tag) = entry.ref_name() {
            shown.push((tag.to_owned(), entry.digest.to_string()));
        }
    }
    let mut there: Vec<_> = fs::read_dir(tags)
        .unwrap()
        .map(|it| it.unwrap())
        .map(|it| {
            let digest = fs::read_to_string(it.path()).unwrap();
            (it.file_name().into_string().unwrap(), digest)
        })
        .collect();
    there.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, there);
    there.len()
}
