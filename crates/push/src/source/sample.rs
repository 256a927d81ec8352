//! A small sample image, written as a layout: for demonstrations and tests.
//!
//! Everything about it is real (gzip layers of tar files, diff ids, history, a
//! program that runs on linux/amd64 and linux/arm64) and everything is
//! deterministic: the same options give the same digests. The layers' content
//! does not compress, so a layer is as long as it was asked for, give or take a
//! few hundred bytes a mebibyte.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use oci::{
    Algorithm, Descriptor, Digest, Hasher, MediaType, Platform, descriptor::REF_NAME, layout,
};
use serde_json::{Value, json};

mod program;

/// What the sample is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleOptions {
    /// How many layers each platform's image has; the first holds the program and
    /// differs from platform to platform, the others are the same on all.
    pub layers: usize,
    /// The length of the file in each layer, in bytes.
    pub layer_bytes: u64,
    /// The platforms. One gives an image, several an index of images, none the same as linux/amd64.
    pub platforms: Vec<Platform>,
    /// The name written into `index.json`.
    pub name: Option<String>,
    /// Other seeds give other layers.
    pub seed: u64,
}

impl Default for SampleOptions {
    /// Three layers of 1 MiB for linux/amd64, named `latest`.
    fn default() -> Self {
        Self {
            layers: 3,
            layer_bytes: 1024 * 1024,
            platforms: vec![Platform::new("linux", "amd64")],
            name: Some("latest".to_owned()),
            seed: 0,
        }
    }
}

/// Writes the sample as an OCI image layout into `directory`, which is created if
/// need be, and returns the descriptor that its `index.json` lists. Blocks.
///
/// Blobs already there stay; `index.json` is replaced.
pub fn write_layout(directory: &Path, options: &SampleOptions) -> io::Result<Descriptor> {
    let blobs = directory.join(layout::BLOBS).join(Algorithm::Sha256.name());
    fs::create_dir_all(&blobs)?;
    let default = [Platform::new("linux", "amd64")];
    let platforms = match &options.platforms[..] {
        [] => &default[..],
        platforms => platforms,
    };
    let shared: Vec<Layer> = (1..options.layers)
        .map(|number| write_layer(&blobs, options, number, None))
        .collect::<io::Result<_>>()?;
    let mut images = Vec::new();
    for platform in platforms {
        images.push(write_image(&blobs, options, platform, &shared)?);
    }
    let mut root = match &images[..] {
        [image] => image.clone(),
        images => write_json(
            &blobs,
            MediaType::OCI_INDEX,
            &json!({
                "schemaVersion": 2,
                "mediaType": MediaType::OCI_INDEX,
                "manifests": images,
            }),
        )?,
    };
    if let Some(name) = &options.name {
        root.annotations.insert(REF_NAME.to_owned(), name.clone());
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [root],
    });
    let marker = json!({ "imageLayoutVersion": layout::VERSION });
    fs::write(directory.join(layout::MARKER), marker.to_string())?;
    fs::write(directory.join(layout::INDEX), index.to_string())?;
    Ok(root)
}

/// A layer that was written.
#[derive(Clone)]
struct Layer {
    descriptor: Descriptor,
    diff_id: Digest,
}

fn write_image(
    blobs: &Path,
    options: &SampleOptions,
    platform: &Platform,
    shared: &[Layer],
) -> io::Result<Descriptor> {
    let mut layers = Vec::new();
    if options.layers > 0 {
        layers.push(write_layer(blobs, options, 0, Some(platform))?);
    }
    layers.extend_from_slice(shared);
    let config = write_json(blobs, MediaType::OCI_CONFIG, &config(platform, &layers))?;
    let descriptors: Vec<&Descriptor> = layers.iter().map(|it| &it.descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": config,
        "layers": descriptors,
    });
    let mut image = write_json(blobs, MediaType::OCI_MANIFEST, &manifest)?;
    image.platform = Some(platform.clone());
    Ok(image)
}

fn config(platform: &Platform, layers: &[Layer]) -> Value {
    const CREATED: &str = "1970-01-01T00:00:00Z";
    let diff_ids: Vec<&Digest> = layers.iter().map(|it| &it.diff_id).collect();
    let history: Vec<Value> = (0..layers.len())
        .map(|number| json!({ "created": CREATED, "created_by": format!("sample layer {number}") }))
        .collect();
    let mut config = json!({
        "created": CREATED,
        "config": {
            "Cmd": [format!("/{}", program::NAME)],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    // os, architecture, variant, os.version: as the platform writes itself.
    if let (Some(config), Ok(Value::Object(platform))) =
        (config.as_object_mut(), serde_json::to_value(platform))
    {
        config.extend(platform);
    }
    config
}

/// Writes layer `number`, with the program for `platform` in it if one is given.
fn write_layer(
    blobs: &Path,
    options: &SampleOptions,
    number: usize,
    platform: Option<&Platform>,
) -> io::Result<Layer> {
    let blob = Hashing::new(tempfile::NamedTempFile::new_in(blobs)?);
    let gzip = GzBuilder::new().mtime(0).write(blob, Compression::none());
    let mut layer = tar::Builder::new(Hashing::new(gzip));
    layer.mode(tar::HeaderMode::Deterministic);
    if let Some(program) = platform.and_then(program::for_platform) {
        append(
            &mut layer,
            program::NAME,
            0o755,
            &program[..],
            program.len() as u64,
        )?;
    }
    let name = format!("sample/layer-{number}.bin");
    let seed = options.seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let content = Noise::new(seed).take(options.layer_bytes);
    append(&mut layer, &name, 0o644, content, options.layer_bytes)?;
    let (gzip, diff_id, _): (GzEncoder<_>, _, _) = layer.into_inner()?.finish();
    let (file, digest, size) = gzip.finish()?.finish();
    keep(file, blobs, &digest)?;
    Ok(Layer {
        descriptor: Descriptor::new(MediaType::OCI_LAYER_GZIP, digest, size),
        diff_id,
    })
}

fn append(
    layer: &mut tar::Builder<impl Write>,
    name: &str,
    mode: u32,
    content: impl Read,
    length: u64,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(length);
    header.set_mtime(0);
    layer.append_data(&mut header, name, content)
}

fn write_json(blobs: &Path, media_type: MediaType, content: &Value) -> io::Result<Descriptor> {
    let content = content.to_string();
    let mut file = tempfile::NamedTempFile::new_in(blobs)?;
    file.write_all(content.as_bytes())?;
    let descriptor = Descriptor::of(media_type, content.as_bytes());
    keep(file, blobs, &descriptor.digest)?;
    Ok(descriptor)
}

/// Gives a finished blob its name.
fn keep(file: tempfile::NamedTempFile, blobs: &Path, digest: &Digest) -> io::Result<()> {
    let kept: File = file.persist(blobs.join(digest.encoded()))?;
    readable_by_all(&kept)
}

#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> io::Result<()> {
    Ok(())
}

/// A writer that hashes what goes through it.
struct Hashing<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        let hasher = Hasher::new(Algorithm::Sha256);
        Self { inner, hasher }
    }

    /// The writer, the digest of what went through, and how many bytes it was.
    fn finish(self) -> (W, Digest, u64) {
        let bytes = self.hasher.bytes();
        (self.inner, self.hasher.finish(), bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes without a pattern, the same for the same seed
/// ([`SplitMix64`](https://prng.di.unimi.it/splitmix64.c)).
struct Noise {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Noise {
    fn new(seed: u64) -> Self {
        Self {
            state: seed,
            word: [0; 8],
            used: 8,
        }
    }

    fn next_word(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.used == self.word.len() {
                self.word = self.next_word();
                self.used = 0;
            }
            let count = (self.word.len() - self.used).min(buffer.len() - filled);
            buffer[filled..filled + count]
                .copy_from_slice(&self.word[self.used..self.used + count]);
            self.used += count;
            filled += count;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests;
