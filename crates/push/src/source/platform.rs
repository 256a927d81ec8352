//! One platform's image out of an index, at whatever depth it stands.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, ImageConfig, Platform, Repository,
    Reread, Source, SourceError,
};

use super::OpenError;

/// How deep indexes may be nested; the outermost is at depth 1.
const MAX_DEPTH: usize = 4;

/// How many indexes are read to find one image.
const MAX_INDEXES: usize = 64;

/// The longest config read, in bytes: it is asked for nothing but its platform.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// One platform's image of another source; everything else is that source's.
#[derive(Debug)]
pub struct OnePlatform {
    source: Box<dyn Source>,
    root: Document,
}

impl OnePlatform {
    /// The image for `platform` in `source`, the first that [`Platform::matches`].
    ///
    /// A source of one image is taken by what its config says. Fails with
    /// [`OpenError::NoSuchPlatform`], which lists those that are there.
    pub async fn of(source: Box<dyn Source>, platform: &Platform) -> Result<Self, OpenError> {
        let root = child_for(&*source, source.root().await?, platform).await?;
        Ok(Self { source, root })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for OnePlatform {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.root.clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.source.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.source.open(blob, offset).await
    }

    fn verifies(&self) -> bool {
        self.source.verifies()
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.source.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        self.source.version(blob).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        self.source.place(blob)
    }

    async fn read_elsewhere(&self, blob: &Descriptor, fault: &SourceError) -> Option<Reread> {
        self.source.read_elsewhere(blob, fault).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.source.referrers(subject).await
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        self.source.digest_tags(subjects).await
    }

    fn leaves_out(&self, child: &Descriptor) -> bool {
        self.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }
}

/// The manifest for `platform` that `root` is or leads to.
///
/// Children are looked at in their order. One that names no platform and is an
/// index is looked into; one that is a manifest is passed over.
pub(super) async fn child_for(
    source: &dyn Source,
    root: Document,
    platform: &Platform,
) -> Result<Document, OpenError> {
    let place = root.digest().to_string();
    let mut available: Vec<Platform> = Vec::new();
    let mut offer = |offered: &Platform| {
        if offered.os != "unknown" && !available.contains(offered) {
            available.push(offered.clone());
        }
    };
    // Depth first, in the order the children stand: the next to look at is the last of these.
    let mut pending = vec![(root.descriptor().clone(), 1)];
    let mut known_root = Some(root);
    let mut indexes = 0;
    while let Some((descriptor, depth)) = pending.pop() {
        let document = match known_root.take() {
            Some(root) => root,
            None => source.document(&descriptor).await?,
        };
        let Some(index) = document.as_index() else {
            let offered = offered_by(source, &document).await?;
            if offered.as_ref().is_some_and(|it| platform.matches(it)) {
                return Ok(document);
            }
            offered.iter().for_each(&mut offer);
            continue;
        };
        indexes += 1;
        if depth > MAX_DEPTH || indexes > MAX_INDEXES {
            let reason = "its indexes are nested more than 4 deep, or there are more than 64";
            return Err(SourceError::invalid(place, reason).into());
        }
        for child in index.manifests.iter().rev() {
            match &child.platform {
                Some(offered) if platform.matches(offered) => {
                    pending.push((child.clone(), depth + 1));
                }
                None if child.media_type.is_index() => pending.push((child.clone(), depth + 1)),
                _ => {}
            }
        }
        index.platforms().into_iter().for_each(&mut offer);
    }
    Err(OpenError::NoSuchPlatform {
        place,
        platform: Box::new(platform.clone()),
        available,
    })
}

/// What an image runs on: by the index it was found in, else by its config.
pub(super) async fn offered_by(
    source: &dyn Source,
    document: &Document,
) -> Result<Option<Platform>, SourceError> {
    if let Some(platform) = &document.descriptor().platform {
        return Ok(Some(platform.clone()));
    }
    let Some(config) = document.as_manifest().map(|it| &it.config) else {
        return Ok(None);
    };
    if !config.media_type.is_config() || config.size > MAX_CONFIG_BYTES {
        return Ok(None);
    }
    let mut content = Vec::new();
    let mut pieces = source.open(config, 0).await?;
    while let Some(piece) = pieces.try_next().await? {
        content.extend_from_slice(&piece);
        if content.len() as u64 > MAX_CONFIG_BYTES {
            return Ok(None);
        }
    }
    if !config.digest.matches(&content) {
        return Err(SourceError::Altered {
            expected: config.digest.clone(),
            actual: Digest::of_with(config.digest.algorithm(), &content),
            place: "the image's config".to_owned(),
        });
    }
    Ok(ImageConfig::from_slice(&content)
        .ok()
        .map(|config| config.platform()))
}
