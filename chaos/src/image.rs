//! The image that is pushed: some 40 KB in three layers, with a config, a manifest and an index.

use bytes::Bytes;
use oci::{Document, DocumentError, MediaType, Platform};
use push::compose::{IndexBuilder, ManifestBuilder, MemorySource};

/// The layers' lengths, in bytes: none a multiple of a chunk.
const LAYERS: [usize; 3] = [17_003, 12_289, 9_001];

/// An image, with every byte of it at hand to be compared with.
#[derive(Clone, Debug)]
pub struct Image {
    /// To push from.
    pub source: MemorySource,
    /// What a tag has to name.
    pub index: Document,
    /// The manifest that the index names.
    pub manifest: Document,
    /// The layers and the config: digest and content.
    pub blobs: Vec<(oci::Digest, Bytes)>,
}

impl Image {
    /// The same image every time.
    pub fn new() -> Result<Self, DocumentError> {
        let config = Bytes::from_static(
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
        );
        let mut blobs = Vec::new();
        let (mut source, described) =
            MemorySource::new().with_blob(MediaType::OCI_CONFIG, config.clone());
        blobs.push((described.digest.clone(), config));
        let mut manifest = ManifestBuilder::new(described);
        for (seed, length) in LAYERS.into_iter().enumerate() {
            let content = noise(seed as u64 + 1, length);
            let (more, layer) = source.with_blob(MediaType::OCI_LAYER, content.clone());
            source = more;
            blobs.push((layer.digest.clone(), content));
            manifest = manifest.layer(layer);
        }
        let manifest = manifest.build()?;
        let platform = Some(Platform::new("linux", "amd64"));
        let index = IndexBuilder::new().manifest(&manifest, platform).build()?;
        Ok(Self {
            source: source
                .with_document(manifest.clone())
                .with_root(index.clone()),
            index,
            manifest,
            blobs,
        })
    }

    /// The bytes of its blobs together.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, it)| it.len() as u64).sum()
    }

    /// Writes it as an OCI image layout, for the command.
    pub fn write_layout(&self, directory: &std::path::Path) -> std::io::Result<()> {
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        let documents = [&self.index, &self.manifest];
        let documents = documents.map(|it| (it.digest().clone(), it.bytes().clone()));
        for (digest, content) in self.blobs.iter().cloned().chain(documents) {
            std::fs::write(blobs.join(digest.encoded()), content)?;
        }
        let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
        std::fs::write(directory.join("oci-layout"), marker)?;
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": [self.index.descriptor()],
        });
        std::fs::write(directory.join("index.json"), index.to_string())
    }
}

/// Bytes without a pattern, the same for the same seed.
fn noise(seed: u64, length: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..))
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use oci::Source as _;

    use super::*;

    #[test]
    fn the_image_is_the_same_every_time_and_about_forty_kilobytes() {
        let (one, other) = (Image::new().unwrap(), Image::new().unwrap());
        assert_eq!(one.index.digest(), other.index.digest());
        assert!((38_000..42_000).contains(&one.blob_bytes()));
        assert!(one.source.origin().is_none());
    }
}
