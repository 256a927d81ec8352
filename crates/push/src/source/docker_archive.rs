//! What `docker save` writes: a tar archive with a `manifest.json`.
//!
//! Such an archive holds no image manifest, only a config and layers, most of
//! them plain tar. A manifest is made of them once, at opening, and is a document
//! like any other from there on. It describes the layers **as they stand**: they
//! are not compressed, so that what is pushed is what was saved, and pushing the
//! same archive twice gives the same digest. Layers are hashed at opening, several
//! at a time, because a manifest needs their digests and because the config says
//! what those of plain layers must be.
//!
//! An archive that is a layout as well (Docker 25 and later) is taken as a layout:
//! see [`open`](super::open).

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::atomic::AtomicBool,
};

use async_trait::async_trait;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, ImageConfig, MAX_MANIFEST_BYTES,
    MediaType, Platform, Repository, Reread, Source, SourceError,
};
use serde::{Deserialize, Serialize};

use super::{
    Contents, ListedImage, OpenError, Selection, Spool,
    archive::Archive,
    blocking::{blocking, blocking_until_dropped},
    choice::{Candidate, choose},
    image::sized,
    range::FileRange,
};

mod layers;

/// The entry that lists the images.
const MANIFEST: &str = "manifest.json";

/// The longest `manifest.json` and config read, in bytes.
const MAX_JSON_BYTES: u64 = MAX_MANIFEST_BYTES as u64;

/// How many images an archive may list.
const MAX_IMAGES: usize = 1000;

/// An image of an archive that `docker save` or `podman save` wrote, plain or compressed
/// ([Docker's image spec 1.2](https://github.com/moby/docker-image-spec/blob/v1.2.0/v1.2.md#combined-image-json--filesystem-changeset-format)).
///
/// Its root is a Docker schema 2 manifest.
#[derive(Debug)]
pub struct DockerArchive {
    root: Document,
    /// The manifests that the root lists, where it is the whole archive that is meant.
    listed: Vec<Document>,
    blobs: HashMap<Digest, FileRange>,
    place: String,
}

/// An image as `manifest.json` lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    /// Layers that are distributed from elsewhere, by diff id.
    #[serde(default)]
    layer_sources: Option<BTreeMap<Digest, Descriptor>>,
}

/// An image's config, verbatim, and what was read out of it.
struct Config {
    bytes: Vec<u8>,
    digest: Digest,
    view: ImageConfig,
    range: FileRange,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: MediaType,
    config: Descriptor,
    layers: &'a [Descriptor],
}

impl DockerArchive {
    /// Opens the image that `selection` means; a compressed archive goes through `spool`.
    ///
    /// The name is one of the image's tags, or its id, the config's digest. Fails if
    /// the archive is none of Docker's, if a plain layer is not what the config says,
    /// if there are several images and `selection` does not tell them apart, or if
    /// there is none of that name or platform.
    pub async fn open(
        path: &Path,
        selection: &Selection,
        spool: &Spool,
    ) -> Result<Self, OpenError> {
        let (path, spool) = (path.to_owned(), spool.clone());
        let archive =
            blocking_until_dropped(move |abandoned| Archive::open(&path, &spool, abandoned));
        Self::within(archive.await??, selection).await
    }

    /// The image in `archive` that `selection` means.
    pub(super) async fn within(archive: Archive, selection: &Selection) -> Result<Self, OpenError> {
        let selection = selection.clone();
        blocking_until_dropped(move |abandoned| read(&archive, &selection, abandoned)).await?
    }

    /// All of `archive`: the root is an index, made here, of all its images' manifests.
    pub(super) async fn whole(archive: Archive) -> Result<Contents, OpenError> {
        let read = blocking_until_dropped(move |abandoned| read_all(&archive, abandoned));
        let (it, images) = read.await??;
        Ok(Contents::new(it, images))
    }

    /// Whether `archive` has what makes it Docker's.
    pub(super) fn is_in(archive: &Archive) -> bool {
        archive.has(MANIFEST)
    }

    fn found(&self, blob: &Descriptor) -> Result<FileRange, SourceError> {
        let missing = || SourceError::Missing {
            digest: blob.digest.clone(),
            place: self.place.clone(),
        };
        let range = self.blobs.get(&blob.digest).ok_or_else(missing)?;
        sized(range.clone(), blob)
    }
}

fn read(
    archive: &Archive,
    selection: &Selection,
    abandoned: &AtomicBool,
) -> Result<DockerArchive, OpenError> {
    if !DockerArchive::is_in(archive) {
        return Err(OpenError::NotAnImage {
            path: archive.path().to_owned(),
            found: "an archive without manifest.json".to_owned(),
        });
    }
    let image = chosen(archive, selection)?;
    let config = config(archive, &image.config)?;
    if let Some(platform) = &selection.platform {
        check_platform(archive, &config.view.platform(), platform)?;
    }
    let mut hashed = layers::Hashed::default();
    let (root, blobs) = composed(archive, &image, config, &mut hashed, abandoned)?;
    Ok(DockerArchive {
        root,
        listed: Vec::new(),
        blobs,
        place: archive.path().display().to_string(),
    })
}

/// Every image; a layer that several share is hashed once.
fn read_all(
    archive: &Archive,
    abandoned: &AtomicBool,
) -> Result<(DockerArchive, Vec<ListedImage>), OpenError> {
    let place = archive.path().display().to_string();
    let mut hashed = layers::Hashed::default();
    let (mut blobs, mut documents, mut images) = (HashMap::new(), Vec::new(), Vec::new());
    for image in listed(archive)? {
        let config = config(archive, &image.config)?;
        let platform = config.view.platform();
        let (document, found) = composed(archive, &image, config, &mut hashed, abandoned)?;
        blobs.extend(found);
        let mut root = document.descriptor().clone();
        root.platform = Some(platform);
        documents.push(document);
        images.push(ListedImage {
            names: image.repo_tags.unwrap_or_default(),
            root,
            subject: None,
        });
    }
    let roots: Vec<&Descriptor> = images.iter().map(|it| &it.root).collect();
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": roots,
    });
    let root = Document::new(index.to_string().into(), None).map_err(|error| {
        let place = place.clone();
        SourceError::Document { place, error }
    })?;
    let it = DockerArchive {
        root,
        listed: documents,
        blobs,
        place,
    };
    Ok((it, images))
}

/// The manifest of `image`, and where everything it names is.
fn composed(
    archive: &Archive,
    image: &Listed,
    config: Config,
    hashed: &mut layers::Hashed,
    abandoned: &AtomicBool,
) -> Result<(Document, HashMap<Digest, FileRange>), SourceError> {
    let (layers, mut blobs) = layers::described(archive, image, &config.view, hashed, abandoned)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: MediaType::DOCKER_MANIFEST,
        config: Descriptor::new(
            MediaType::DOCKER_CONFIG,
            config.digest.clone(),
            config.bytes.len() as u64,
        ),
        layers: &layers,
    };
    let place = archive.path().display().to_string();
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| SourceError::invalid(&place, error.to_string()))?;
    let root = Document::new(bytes.into(), None)
        .map_err(|error| SourceError::Document { place, error })?;
    blobs.insert(config.digest, config.range);
    Ok((root, blobs))
}

/// The images that `manifest.json` lists; at least one.
fn listed(archive: &Archive) -> Result<Vec<Listed>, SourceError> {
    let place = archive.entry_place(MANIFEST);
    let content = archive.read(MANIFEST, MAX_JSON_BYTES)?;
    let images: Vec<Listed> = serde_json::from_slice(&content)
        .map_err(|error| SourceError::invalid(&place, format!("it is malformed: {error}")))?;
    if images.is_empty() || images.len() > MAX_IMAGES {
        let reason = format!(
            "it lists {} images, 1 to {MAX_IMAGES} are read",
            images.len()
        );
        return Err(SourceError::invalid(place, reason));
    }
    Ok(images)
}

/// The image that `selection` means.
fn chosen(archive: &Archive, selection: &Selection) -> Result<Listed, OpenError> {
    let mut images = listed(archive)?;
    let mut candidates = Vec::new();
    for image in &images {
        let config = config(archive, &image.config)?;
        candidates.push(Candidate {
            names: image.repo_tags.clone().unwrap_or_default(),
            platform: Some(config.view.platform()),
            digest: config.digest,
        });
    }
    let chosen = choose(&candidates, selection, archive.path())?;
    let at = candidates.iter().position(|it| it.digest == chosen.digest);
    Ok(images.swap_remove(at.unwrap_or_default()))
}

fn config(archive: &Archive, name: &str) -> Result<Config, SourceError> {
    let name = entry_name(name);
    let place = archive.entry_place(name);
    let missing = || {
        SourceError::invalid(
            &place,
            "there is no such entry, where an image's config should be",
        )
    };
    let range = archive.linked_file(name)?.ok_or_else(missing)?;
    let bytes = range
        .read_all(MAX_JSON_BYTES)
        .map_err(|error| range.unreadable(error))?;
    let digest = Digest::of(&bytes);
    check_name(name, &digest, &place)?;
    let view = ImageConfig::from_slice(&bytes).map_err(|error| {
        SourceError::invalid(&place, format!("the config is malformed: {error}"))
    })?;
    Ok(Config {
        bytes,
        digest,
        view,
        range,
    })
}

/// An entry's name as it is listed, in the form it is looked up by.
fn entry_name(listed: &str) -> &str {
    listed.strip_prefix("./").unwrap_or(listed)
}

/// Whether content that is named after a digest has it: `<hex>.json`, `blobs/sha256/<hex>`.
fn check_name(name: &str, actual: &Digest, place: &str) -> Result<(), SourceError> {
    let is_blob = name.starts_with("blobs/sha256/");
    let last = name.rsplit('/').next().unwrap_or_default();
    let hex = last.strip_suffix(".json").or(is_blob.then_some(last));
    let named = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
    match named {
        Some(expected) if expected != *actual => Err(SourceError::Altered {
            expected,
            actual: actual.clone(),
            place: place.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn check_platform(
    archive: &Archive,
    offered: &Platform,
    wanted: &Platform,
) -> Result<(), OpenError> {
    if wanted.matches(offered) {
        return Ok(());
    }
    Err(OpenError::NoSuchPlatform {
        place: archive.path().display().to_string(),
        platform: Box::new(wanted.clone()),
        available: vec![offered.clone()],
    })
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for DockerArchive {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.root.clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let mut known = std::iter::once(&self.root).chain(&self.listed);
        let Some(found) = known.find(|it| *it.digest() == descriptor.digest) else {
            return Err(SourceError::Missing {
                digest: descriptor.digest.clone(),
                place: self.place.clone(),
            });
        };
        let bytes = found.bytes().clone();
        Document::verified(bytes, descriptor).map_err(|error| SourceError::Document {
            place: self.place.clone(),
            error,
        })
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.found(blob)?.stream(offset)
    }

    fn verifies(&self) -> bool {
        false
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        let range = self.found(blob)?;
        blocking(move || range.check().map_err(|error| range.unreadable(error))).await?
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        let range = self.found(blob)?;
        blocking(move || range.version().map_err(|error| range.unreadable(error))).await?
    }

    fn place(&self, blob: &Descriptor) -> String {
        let range = self.blobs.get(&blob.digest);
        range.map_or(&*self.place, FileRange::place).to_owned()
    }

    async fn read_elsewhere(&self, _blob: &Descriptor, _fault: &SourceError) -> Option<Reread> {
        None
    }

    async fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        Ok(Vec::new())
    }

    async fn digest_tags(&self, _subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        Ok(Vec::new())
    }

    fn leaves_out(&self, _child: &Descriptor) -> bool {
        false
    }

    fn origin(&self) -> Option<&Repository> {
        None
    }
}
