//! Base layers on their way into a registry, and the manifest that holds them there.
//!
//! ```text
//!   base: index ─▶ image manifests ─▶ layers, each once ─▶ a manifest of these layers alone
//!                  (some platforms)                        empty config, named after the base
//! ```
//!
//! A registry deletes, sooner or later, what no manifest names. So what is pushed is not loose
//! layers but an artifact that lists them: tagged, it keeps them; pushed again, it is found by one
//! question; for a new revision of the base, only the layers that are new are sent. Neither the
//! base's config nor its manifests go along: nobody is to run it from there.
//!
//! Nothing is kept on the way. A layer is read from where the base is, and what it is checked
//! against is its digest, by whoever pushes.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, MediaType, Platform, Reference,
    Repository, Reread, Source, SourceError, Tag, TagOrDigest,
};

use super::{OpenError, platform};
use crate::compose::{EMPTY, ManifestBuilder};

mod images;
#[cfg(test)]
mod tests;

/// The type of the manifest that holds base layers.
pub const SEED_TYPE: &str = "application/vnd.longshore.seed.v1";
/// The annotation that has the name of a base image
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/annotations.md)).
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The annotation that has its digest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// How long the readable part of a seed's tag is at most.
const MAX_READABLE: usize = 100;
/// How many hex digits of a digest are readable.
const SHORT: usize = 12;
/// How many hex digits tell seeds apart whose readable parts are the same.
const MARK: usize = 8;

/// The layers of a base image, to push; everything else of it stays where it is.
#[derive(Debug)]
pub struct Seed {
    base: Box<dyn Source>,
    manifest: Document,
    digest: Digest,
    images: usize,
}

impl Seed {
    /// The layers of `base`, which is called `name`: of all its images, or of those for any of
    /// `platforms` by [`Platform::matches`]. What is about an image, as an attestation, is none.
    ///
    /// Fails with [`OpenError::NoSuchPlatform`] if there is nothing for one of the platforms, and
    /// if the base has no layers.
    pub async fn of(
        base: Box<dyn Source>,
        name: &Reference,
        platforms: &[Platform],
    ) -> Result<Self, OpenError> {
        let root = base.root().await?;
        let images = images::of(&*base, &root, platforms).await?;
        let layers = layers_of(&images);
        if layers.is_empty() {
            let reason = "it has no layers, so there is nothing to seed";
            return Err(SourceError::invalid(name, reason).into());
        }
        let config = Descriptor::of(MediaType::OCI_EMPTY, EMPTY);
        let mut manifest = ManifestBuilder::new(config)
            .artifact_type(SEED_TYPE)
            .annotation(BASE_NAME, name.to_string())
            .annotation(BASE_DIGEST, root.digest().to_string());
        for layer in layers {
            manifest = manifest.layer(layer);
        }
        let manifest = manifest.with_empty_content().build();
        let manifest = manifest.map_err(|error| SourceError::Document {
            place: format!("the layers of {name}"),
            error,
        })?;
        Ok(Self {
            base,
            manifest,
            digest: root.digest().clone(),
            images: images.len(),
        })
    }

    /// The digest of the base, whole.
    pub fn base_digest(&self) -> &Digest {
        &self.digest
    }

    /// How many of the base's images are meant.
    pub fn images(&self) -> usize {
        self.images
    }

    /// The layers, each once; foreign ones among them.
    pub fn layers(&self) -> &[Descriptor] {
        let manifest = self.manifest.as_manifest();
        manifest.map_or(&[], |it| &it.layers)
    }

    fn is_empty(&self, blob: &Descriptor) -> bool {
        let listed = self.layers().iter().any(|it| it.digest == blob.digest);
        !listed && blob.digest.matches(EMPTY)
    }
}

/// The layers of some images of `source`, each once, in the images' order; of all of its images
/// without `platforms`. Fails as [`Seed::of`] does.
pub async fn base_layers(
    source: &dyn Source,
    platforms: &[Platform],
) -> Result<Vec<Descriptor>, OpenError> {
    let root = source.root().await?;
    Ok(layers_of(&images::of(source, &root, platforms).await?))
}

/// The platforms of an image: those its index says, or the one its config says. None where nothing
/// is said.
pub async fn platforms_of(source: &dyn Source) -> Result<Vec<Platform>, OpenError> {
    let root = source.root().await?;
    if let Some(index) = root.as_index() {
        return Ok(index.platforms().into_iter().cloned().collect());
    }
    let offered = platform::offered_by(source, &root).await?;
    Ok(offered.into_iter().collect())
}

/// The tag under which the layers of this base are held: readable, and another for every base and
/// every choice of platforms.
pub fn seed_tag(base: &Reference, platforms: &[Platform]) -> Tag {
    let mut platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    platforms.sort();
    platforms.dedup();
    let (repository, at) = (base.repository(), base.tag_or_digest());
    let mut readable = repository.path().to_owned();
    match &at {
        TagOrDigest::Tag(tag) => readable = format!("{readable}-{tag}"),
        TagOrDigest::Digest(it) => readable = format!("{readable}-{}", &it.encoded()[..SHORT]),
    }
    if let [platform] = &platforms[..] {
        readable = format!("{readable}-{platform}");
    }
    let whole = match &at {
        TagOrDigest::Tag(tag) => format!("{repository}:{tag}"),
        TagOrDigest::Digest(digest) => format!("{repository}@{digest}"),
    };
    let whole = format!("{whole} {}", platforms.join(" "));
    let mark = Digest::of(whole.as_bytes());
    let fits = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '-');
    let readable = readable.chars().take(MAX_READABLE);
    let readable: String = readable.map(|it| if fits(it) { it } else { '-' }).collect();
    let text = format!("{readable}-{}", &mark.encoded()[..MARK]);
    // A path begins with a letter or a digit, so this is always a tag.
    text.parse().unwrap_or_else(|_| Tag::latest())
}

/// The layers of images, each once; of their descriptors what a manifest needs.
fn layers_of(images: &[Document]) -> Vec<Descriptor> {
    let mut seen: HashSet<&Digest> = HashSet::new();
    let manifests = images.iter().filter_map(Document::as_manifest);
    let layers = manifests.flat_map(|it| &it.layers);
    layers
        .filter(|it| seen.insert(&it.digest))
        .map(|it| {
            let mut plain = Descriptor::new(it.media_type.clone(), it.digest.clone(), it.size);
            if it.is_foreign() {
                plain.urls.clone_from(&it.urls);
            }
            plain
        })
        .collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Seed {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.manifest.clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        if descriptor.digest == *self.manifest.digest() {
            return Ok(self.manifest.clone());
        }
        self.base.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        if !self.is_empty(blob) {
            return self.base.open(blob, offset).await;
        }
        let start = usize::try_from(offset).map_or(EMPTY.len(), |it| it.min(EMPTY.len()));
        let rest = Bytes::from_static(&EMPTY[start..]);
        let piece = (!rest.is_empty()).then_some(Ok(rest));
        Ok(stream::iter(piece).boxed())
    }

    fn verifies(&self) -> bool {
        self.base.verifies()
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        if self.is_empty(blob) {
            return Ok(());
        }
        self.base.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        if self.is_empty(blob) {
            return Ok(None);
        }
        self.base.version(blob).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        if self.is_empty(blob) {
            return "the empty config of a seed".to_owned();
        }
        self.base.place(blob)
    }

    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        self.base.read_elsewhere(blob, fault).await
    }

    async fn referrers(&self, _subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        Ok(Vec::new())
    }

    async fn digest_tags(&self, _subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        Ok(Vec::new())
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.base.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.base.origin()
    }
}
