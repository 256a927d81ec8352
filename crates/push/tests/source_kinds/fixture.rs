//! Images as every tool writes them, with real digests.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use longshore_push::source::{
    Selection,
    sample::{SampleOptions, write_layout},
};
use oci::{Descriptor, Digest, MediaType, Platform, layout};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for several pieces of a stream, and not a multiple of one.
pub(crate) const LAYER_BYTES: usize = 3_700_001;

/// An image at a path, and what must come out of it.
pub(crate) struct Fixture {
    pub(crate) path: PathBuf,
    pub(crate) root: Descriptor,
    /// Config and layers: descriptors and bytes.
    pub(crate) blobs: Vec<(Descriptor, Vec<u8>)>,
    _directory: TempDir,
}

pub(crate) fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

pub(crate) fn named(name: &str) -> Selection {
    Selection {
        name: Some(name.to_owned()),
        platform: None,
    }
}

pub(crate) fn for_platform(text: &str) -> Selection {
    Selection {
        name: None,
        platform: Some(platform(text)),
    }
}

/// A layout in a directory.
pub(crate) fn layout_directory() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let root = write_layout(&path, &sample()).unwrap();
    let read = |it: &Descriptor| fs::read(path.join(layout::blob_path(&it.digest))).unwrap();
    let document = oci::Document::verified(read(&root).into(), &root).unwrap();
    let blobs = document.children().map(|it| (it.clone(), read(it)));
    Fixture {
        blobs: blobs.collect(),
        path,
        root,
        _directory: directory,
    }
}

/// An archive of a layout.
pub(crate) fn oci_archive() -> Fixture {
    let it = layout_directory();
    let path = it.path.with_extension("tar");
    fs::write(&path, tar_of_directory(&it.path)).unwrap();
    Fixture { path, ..it }
}

pub(crate) fn gzipped(it: Fixture) -> Fixture {
    let path = it.path.with_extension("anything");
    fs::write(&path, gzip(&fs::read(&it.path).unwrap())).unwrap();
    Fixture { path, ..it }
}

pub(crate) fn zstandard(it: Fixture) -> Fixture {
    let path = it.path.with_extension("anything");
    fs::write(&path, zstd(&fs::read(&it.path).unwrap())).unwrap();
    Fixture { path, ..it }
}

/// What Docker 1.10 to 24 wrote: the second layer's file is a link to the first's
/// namesake elsewhere, as it deduplicated layers.
pub(crate) fn docker_save_old() -> Fixture {
    let (config, layers) = saved_image("amd64");
    let mut tar = Tar::default();
    let id = config_name(&config);
    tar.file("0aa/VERSION", b"1.0")
        .file("0aa/layer.tar", &layers[0]);
    tar.file("0bb/VERSION", b"1.0")
        .link("0bb/layer.tar", "../0cc/layer.tar");
    tar.file("0cc/layer.tar", &layers[1]);
    tar.file(&format!("{id}.json"), &config);
    let manifest = json!([{
        "Config": format!("{id}.json"),
        "RepoTags": ["team/app:1.2"],
        "Layers": ["0aa/layer.tar", "0bb/layer.tar"],
    }]);
    tar.file("manifest.json", manifest.to_string().as_bytes());
    tar.file("repositories", b"{}");
    saved(&tar.finish(), config, layers)
}

/// The same in Docker 25's paths, without what would make it a layout.
pub(crate) fn docker_save_blobs_only() -> Fixture {
    let (config, layers) = saved_image("amd64");
    let mut tar = Tar::default();
    let paths: Vec<String> = layers.iter().map(|it| blob_path(it)).collect();
    for (path, layer) in paths.iter().zip(&layers) {
        tar.file(path, layer);
    }
    tar.file(&blob_path(&config), &config);
    let manifest = json!([{
        "Config": blob_path(&config),
        "RepoTags": ["team/app:1.2"],
        "Layers": paths,
    }]);
    tar.file("manifest.json", manifest.to_string().as_bytes());
    saved(&tar.finish(), config, layers)
}

/// What Docker 25 and later write: a layout, with a `manifest.json` beside it.
pub(crate) fn docker_save_new() -> Fixture {
    let it = layout_directory();
    let layers: Vec<String> = it.blobs[1..]
        .iter()
        .map(|(layer, _)| layout::blob_path(&layer.digest))
        .collect();
    let manifest = json!([{
        "Config": layout::blob_path(&it.blobs[0].0.digest),
        "RepoTags": ["team/app:1.2"],
        "Layers": layers,
    }]);
    fs::write(it.path.join("manifest.json"), manifest.to_string()).unwrap();
    let path = it.path.with_extension("tar");
    fs::write(&path, tar_of_directory(&it.path)).unwrap();
    Fixture { path, ..it }
}

fn sample() -> SampleOptions {
    SampleOptions {
        layers: 2,
        layer_bytes: LAYER_BYTES as u64,
        name: Some("team/app:1.2".to_owned()),
        ..SampleOptions::default()
    }
}

/// A config and two plain layers.
pub(crate) fn saved_image(architecture: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let layers: Vec<Vec<u8>> = ["one", "two"]
        .map(|name| {
            let content: Vec<u8> = name.bytes().cycle().take(LAYER_BYTES).collect();
            let mut tar = Tar::default();
            tar.file(name, &content);
            tar.finish()
        })
        .to_vec();
    let diff_ids: Vec<Digest> = layers.iter().map(|it| Digest::of(it)).collect();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    (config.to_string().into_bytes(), layers)
}

pub(crate) fn config_name(config: &[u8]) -> String {
    Digest::of(config).encoded().to_owned()
}

fn blob_path(content: &[u8]) -> String {
    layout::blob_path(&Digest::of(content))
}

/// The fixture of an archive that must give this image as a schema 2 manifest, to
/// the byte.
fn saved(archive: &[u8], config: Vec<u8>, layers: Vec<Vec<u8>>) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved.tar");
    fs::write(&path, archive).unwrap();
    let mut blobs = vec![(Descriptor::of(MediaType::DOCKER_CONFIG, &config), config)];
    for layer in layers {
        blobs.push((Descriptor::of(MediaType::DOCKER_LAYER, &layer), layer));
    }
    let entry = |it: &Descriptor| {
        let (kind, digest, size) = (&it.media_type, &it.digest, it.size);
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let layers: Vec<String> = blobs[1..].iter().map(|(it, _)| entry(it)).collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{},"layers":[{}]}}"#,
        entry(&blobs[0].0),
        layers.join(","),
    );
    Fixture {
        path,
        root: Descriptor::of(MediaType::DOCKER_MANIFEST, manifest.as_bytes()),
        blobs,
        _directory: directory,
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

/// As the command of that name writes it: with a checksum.
pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(content).unwrap();
    zstd.finish().unwrap()
}

/// A tar archive, entry by entry; names go in as they are, legal or not.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        self.entry(name, tar::EntryType::Regular, "", content)
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) -> &mut Self {
        self.entry(name, tar::EntryType::Symlink, target, b"")
    }

    pub(crate) fn entry(
        &mut self,
        name: &str,
        kind: tar::EntryType,
        target: &str,
        content: &[u8],
    ) -> &mut Self {
        let mut header = tar::Header::new_ustar();
        let fields = header.as_old_mut();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        let mut content = self.0.clone();
        content.resize(content.len() + 1024, 0);
        content
    }

    pub(crate) fn write(&self) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.tar");
        fs::write(&path, self.finish()).unwrap();
        (directory, path)
    }
}

pub(crate) fn tar_of_directory(directory: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", directory).unwrap();
    tar.into_inner().unwrap()
}

/// A layout made piece by piece.
pub(crate) struct Layout {
    pub(crate) directory: TempDir,
    listed: Vec<Value>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        fs::write(
            directory.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        let mut it = Self {
            directory,
            listed: Vec::new(),
        };
        it.write_index();
        it
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path().join(layout::blob_path(digest))
    }

    pub(crate) fn blob(&self, media_type: MediaType, content: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, content);
        let mut file = File::create(self.blob_path(&descriptor.digest)).unwrap();
        file.write_all(content).unwrap();
        descriptor
    }

    /// An image of one layer, told apart by `content`.
    pub(crate) fn image(&self, architecture: &str, content: &str) -> Descriptor {
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "content": content,
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let config = self.blob(MediaType::OCI_CONFIG, config.to_string().as_bytes());
        let layer = self.blob(MediaType::OCI_LAYER, content.as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": config,
            "layers": [layer],
        });
        self.blob(MediaType::OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    pub(crate) fn referrer(&self, subject: &Descriptor, artifact_type: &str) -> Descriptor {
        let empty = self.blob(MediaType::OCI_EMPTY, b"{}");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": empty,
            "layers": [empty],
            "subject": subject,
        });
        self.blob(MediaType::OCI_MANIFEST, manifest.to_string().as_bytes())
    }

    pub(crate) fn index(&self, children: &[Descriptor]) -> Descriptor {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": children,
        });
        self.blob(MediaType::OCI_INDEX, index.to_string().as_bytes())
    }

    /// Lists `descriptor` in `index.json` under each of `names`, or without a name.
    pub(crate) fn list(&mut self, descriptor: &Descriptor, names: &[&str]) -> &mut Self {
        if names.is_empty() {
            self.listed.push(serde_json::to_value(descriptor).unwrap());
        }
        for name in names {
            let mut entry = descriptor.clone();
            let annotation = oci::descriptor::REF_NAME.to_owned();
            entry.annotations = BTreeMap::from([(annotation, (*name).to_owned())]);
            self.listed.push(serde_json::to_value(entry).unwrap());
        }
        self.write_index();
        self
    }

    fn write_index(&mut self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.listed });
        fs::write(self.path().join("index.json"), index.to_string()).unwrap();
    }
}
