//! Some platforms of an image: its index with the others taken out, or left behind.
//!
//! ```text
//!             kept: what matches, in its order, and the attestations about it
//!   index ──┬─▶ rewrite   a new index of those alone; the rest of it as it was
//!           └─▶ sparse    the same index, byte for byte, without what the others are made of
//! ```
//!
//! A rewritten index is a valid one, with a digest of its own: what was signed is the other. A
//! sparse one keeps its digest, and lists images that the repository does not have: some
//! registries refuse it.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Index, Platform, Repository, Reread,
    Source, SourceError,
};
use serde::Serialize;

use super::{OpenError, platform::offered_by};

mod raw;
#[cfg(test)]
mod tests;

use raw::{Fate, rewritten};

/// How deep indexes may be nested; the outermost is at depth 1.
const MAX_DEPTH: usize = 4;
/// How many indexes are read.
const MAX_INDEXES: usize = 64;

/// The annotation by which a child of an index says what it is about
/// ([attestation storage](https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md)).
const ABOUT: &str = "vnd.docker.reference.digest";

/// What becomes of an index some of whose platforms are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubsetMode {
    /// A new index that lists nothing else.
    #[default]
    Rewrite,
    /// It stays as it is, and what else it lists is not pushed.
    Sparse,
}

/// What a subset is made of. As JSON: `{"of", "digest", "mode", "platforms", "kept", "dropped"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Subset {
    /// The digest of the whole image.
    pub of: Digest,
    /// The digest of what is pushed: another, if the index was rewritten.
    pub digest: Digest,
    /// What was done with the index.
    pub mode: SubsetMode,
    /// The platforms of what is pushed, in the index's order, each once.
    pub platforms: Vec<String>,
    /// What of the image's manifests is pushed, in the index's order.
    pub kept: Vec<Digest>,
    /// What is not.
    pub dropped: Vec<Digest>,
}

/// Some platforms of another source's image; everything else is that source's.
#[derive(Debug)]
pub struct SomePlatforms {
    source: Box<dyn Source>,
    root: Document,
    made: HashMap<Digest, Document>,
    left_out: HashSet<Digest>,
    subset: Subset,
}

/// A choice while it is made.
struct Choosing<'a> {
    source: &'a dyn Source,
    wanted: &'a [Platform],
    met: Vec<bool>,
    available: Vec<Platform>,
    platforms: Vec<Platform>,
    kept: Vec<Digest>,
    dropped: Vec<Digest>,
    made: HashMap<Digest, Document>,
    indexes: usize,
}

impl SomePlatforms {
    /// The images of `source` for any of `platforms`, by [`Platform::matches`], with the
    /// attestations about them. An index that has nothing else stays as it is; one that lists
    /// indexes is looked into. What names no platform and is about nothing that is kept goes.
    ///
    /// An image that is no index is taken as a whole. Fails with [`OpenError::NoSuchPlatform`] if
    /// there is nothing for one of the platforms: it lists those that are there.
    pub async fn of(
        source: Box<dyn Source>,
        platforms: &[Platform],
        mode: SubsetMode,
    ) -> Result<Self, OpenError> {
        let whole = source.root().await?;
        let mut choosing = Choosing {
            source: &*source,
            wanted: platforms,
            met: vec![false; platforms.len()],
            available: Vec::new(),
            platforms: Vec::new(),
            kept: Vec::new(),
            dropped: Vec::new(),
            made: HashMap::new(),
            indexes: 0,
        };
        let fate = match whole.as_index() {
            Some(_) => choosing.index(&whole, 1).await?,
            None => choosing.image(&whole).await?,
        };
        if let Some(at) = choosing.met.iter().position(|met| !met) {
            return Err(OpenError::NoSuchPlatform {
                place: whole.digest().to_string(),
                platform: Box::new(platforms[at].clone()),
                available: choosing.available,
            });
        }
        let Choosing {
            platforms,
            kept,
            mut dropped,
            made,
            ..
        } = choosing;
        // Listed twice, it is pushed.
        dropped.retain(|it| !kept.contains(it));
        let (root, left_out) = match (mode, fate) {
            (SubsetMode::Rewrite, Fate::Replaced(root)) => (*root, HashSet::new()),
            (SubsetMode::Rewrite, _) => (whole.clone(), HashSet::new()),
            (SubsetMode::Sparse, _) => (whole.clone(), dropped.iter().cloned().collect()),
        };
        let subset = Subset {
            of: whole.digest().clone(),
            digest: root.digest().clone(),
            mode,
            platforms: platforms.iter().map(ToString::to_string).collect(),
            kept,
            dropped,
        };
        Ok(Self {
            source,
            root,
            made,
            left_out,
            subset,
        })
    }

    /// What it is made of.
    pub fn subset(&self) -> &Subset {
        &self.subset
    }
}

impl Choosing<'_> {
    /// Chooses among the children of an index, and below them; what the index becomes then.
    fn index<'b>(
        &'b mut self,
        document: &'b Document,
        depth: usize,
    ) -> BoxFuture<'b, Result<Fate, OpenError>> {
        async move {
            let Some(index) = document.as_index() else {
                return Ok(Fate::Dropped);
            };
            self.indexes += 1;
            if depth > MAX_DEPTH || self.indexes > MAX_INDEXES {
                let reason = "its indexes are nested more than 4 deep, or there are more than 64";
                return Err(SourceError::invalid(document.digest(), reason).into());
            }
            let mut fates = Vec::with_capacity(index.manifests.len());
            for child in &index.manifests {
                fates.push(self.child(child, depth).await?);
            }
            keep_attestations(index, &mut fates);
            for (child, fate) in index.manifests.iter().zip(&fates) {
                match fate {
                    Fate::Kept | Fate::Replaced(_) => self.kept.push(child.digest.clone()),
                    Fate::Dropped => self.dropped.push(child.digest.clone()),
                }
            }
            self.become_of(document, &fates)
        }
        .boxed()
    }

    async fn child(&mut self, child: &Descriptor, depth: usize) -> Result<Fate, OpenError> {
        match &child.platform {
            Some(platform) => Ok(self.offer(platform)),
            None if child.media_type.is_index() => {
                let nested = self.source.document(child).await?;
                self.index(&nested, depth + 1).await
            }
            None => Ok(Fate::Dropped),
        }
    }

    /// Whether an image for this platform is wanted.
    fn offer(&mut self, offered: &Platform) -> Fate {
        if matches!(offered.os.as_str(), "" | "unknown") {
            return Fate::Dropped;
        }
        if !self.available.contains(offered) {
            self.available.push(offered.clone());
        }
        let mut wanted = false;
        for (platform, met) in self.wanted.iter().zip(&mut self.met) {
            if platform.matches(offered) {
                (*met, wanted) = (true, true);
            }
        }
        if !wanted {
            return Fate::Dropped;
        }
        if !self.platforms.contains(offered) {
            self.platforms.push(offered.clone());
        }
        Fate::Kept
    }

    fn become_of(&mut self, document: &Document, fates: &[Fate]) -> Result<Fate, OpenError> {
        if fates.iter().all(|it| matches!(it, Fate::Kept)) && !fates.is_empty() {
            return Ok(Fate::Kept);
        }
        if fates.iter().all(|it| matches!(it, Fate::Dropped)) {
            return Ok(Fate::Dropped);
        }
        let made = rewritten(document, fates).map_err(|error| SourceError::Document {
            place: document.digest().to_string(),
            error,
        })?;
        self.made.insert(made.digest().clone(), made.clone());
        Ok(Fate::Replaced(Box::new(made)))
    }

    /// Chooses an image that is no index, by what its config says.
    async fn image(&mut self, document: &Document) -> Result<Fate, OpenError> {
        if let Some(offered) = offered_by(self.source, document).await? {
            let fate = self.offer(&offered);
            if matches!(fate, Fate::Kept) {
                self.kept.push(document.digest().clone());
            }
            return Ok(fate);
        }
        Ok(Fate::Dropped)
    }
}

/// What is about something that is kept is kept.
fn keep_attestations(index: &Index, fates: &mut [Fate]) {
    let children = index.manifests.iter();
    let kept: HashSet<String> = children
        .zip(fates.iter())
        .filter(|(_, fate)| matches!(fate, Fate::Kept))
        .map(|(child, _)| child.digest.to_string())
        .collect();
    for (child, fate) in index.manifests.iter().zip(fates) {
        let about = child.annotations.get(ABOUT);
        if matches!(fate, Fate::Dropped) && about.is_some_and(|it| kept.contains(it)) {
            *fate = Fate::Kept;
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for SomePlatforms {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.root.clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        let Some(made) = self.made.get(&descriptor.digest) else {
            return self.source.document(descriptor).await;
        };
        Document::verified(made.bytes().clone(), descriptor).map_err(|error| {
            SourceError::Document {
                place: descriptor.digest.to_string(),
                error,
            }
        })
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
        self.left_out.contains(&child.digest) || self.source.leaves_out(child)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }
}
