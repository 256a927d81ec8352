//! An image layout wherever it stands: in a directory or in an archive.
//!
//! What differs between the two is how a blob is found ([`Blobs`]); everything
//! else, choosing the image, reading documents, finding referrers, is here once.

use std::{fmt, path::Path, sync::Arc};

use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, DocumentError, MAX_MANIFEST_BYTES,
    SourceError, Tag,
};
use tokio::sync::OnceCell;

use super::{
    ListedImage, OpenError, Selection,
    blocking::blocking,
    choice::{Candidate, choose},
    range::{FileRange, ReadError},
};

/// The annotation in which containerd and Docker write an image's full name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// How many of a layout's manifests are read to find out which are about others.
const MAX_REFERRERS_LOOKED_AT: usize = 1000;

/// Where a layout's files are found. Methods block.
pub(super) trait Blobs: fmt::Debug + Send + Sync + 'static {
    /// The layout's `index.json`.
    fn index(&self) -> Result<FileRange, SourceError>;

    /// The blob, of whatever length it has.
    fn blob(&self, digest: &Digest) -> Result<FileRange, SourceError>;

    /// Where the blob is or would be, for a person. Does not block.
    fn place(&self, digest: &Digest) -> String;
}

/// An image of a layout: what its [`Blobs`] hold, and which of it is meant.
#[derive(Debug)]
pub(super) struct Image<B> {
    blobs: Arc<B>,
    listed: Arc<[Descriptor]>,
    root: Document,
    referrers: OnceCell<Vec<(Digest, Descriptor)>>,
}

impl<B: Blobs> Image<B> {
    /// The image in `blobs` that `selection` names; its platform counts only to
    /// tell several images apart. `path` is for errors. Blocks.
    pub(super) fn open(blobs: B, path: &Path, selection: &Selection) -> Result<Self, OpenError> {
        let (_, listed, place) = index(&blobs)?;
        let root = root(&blobs, &listed, path, selection, &place)?;
        Ok(Self {
            root: read_document(&blobs, &root)?,
            blobs: Arc::new(blobs),
            listed,
            referrers: OnceCell::new(),
        })
    }

    /// All of `blobs`, with the layout's index as what is meant, and what is in it. Blocks.
    pub(super) fn open_all(blobs: B) -> Result<(Self, Vec<ListedImage>), OpenError> {
        let (root, listed, place) = index(&blobs)?;
        let documents: Vec<&Descriptor> = listed.iter().filter(|it| it.is_document()).collect();
        let images: Vec<ListedImage> = candidates(&documents)
            .into_iter()
            .filter_map(|it| {
                let root = documents.iter().find(|known| known.digest == it.digest)?;
                // What cannot be read counts as an image: who reads it will say why it cannot be.
                let document = read_document(&blobs, root).ok();
                let subject = document.as_ref().and_then(Document::subject);
                Some(ListedImage {
                    names: it.names,
                    root: (*root).clone(),
                    subject: subject.map(|it| it.digest.clone()),
                })
            })
            .collect();
        if images.is_empty() {
            return Err(SourceError::invalid(place, "it lists no image").into());
        }
        let it = Self {
            root,
            blobs: Arc::new(blobs),
            listed,
            referrers: OnceCell::new(),
        };
        Ok((it, images))
    }

    /// The same, with one of its parts as what is meant.
    pub(super) fn with_root(self, root: Document) -> Self {
        Self { root, ..self }
    }

    pub(super) fn root(&self) -> &Document {
        &self.root
    }

    pub(super) async fn document(&self, wanted: &Descriptor) -> Result<Document, SourceError> {
        if wanted.digest == *self.root.digest() && wanted.size == self.root.descriptor().size {
            let bytes = self.root.bytes().clone();
            return Document::verified(bytes, wanted).map_err(|error| SourceError::Document {
                place: wanted.digest.to_string(),
                error,
            });
        }
        let (blobs, wanted) = (Arc::clone(&self.blobs), wanted.clone());
        blocking(move || read_document(&*blobs, &wanted)).await?
    }

    pub(super) async fn open_blob(
        &self,
        blob: &Descriptor,
        offset: u64,
    ) -> Result<BlobStream, SourceError> {
        self.sized(blob).await?.stream(offset)
    }

    pub(super) async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.sized(blob).await.map(|_| ())
    }

    pub(super) async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        let range = self.sized(blob).await?;
        blocking(move || range.version().map_err(|error| range.unreadable(error))).await?
    }

    pub(super) fn place(&self, digest: &Digest) -> String {
        self.blobs.place(digest)
    }

    async fn sized(&self, blob: &Descriptor) -> Result<FileRange, SourceError> {
        let (blobs, blob) = (Arc::clone(&self.blobs), blob.clone());
        blocking(move || sized(blobs.blob(&blob.digest)?, &blob)).await?
    }

    /// The manifests listed beside the image whose subject is `subject`.
    pub(super) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        let all = self
            .referrers
            .get_or_try_init(|| async {
                let (blobs, listed) = (Arc::clone(&self.blobs), Arc::clone(&self.listed));
                blocking(move || all_referrers(&*blobs, &listed)).await?
            })
            .await?;
        let about = all.iter().filter(|(about, _)| about == subject);
        Ok(about.map(|(_, referrer)| referrer.clone()).collect())
    }
}

impl<B: Blobs> Image<B> {
    /// What is listed under a digest tag of one of `subjects`.
    pub(super) async fn digest_tags(
        &self,
        subjects: &[Digest],
    ) -> Result<Vec<DigestTagged>, SourceError> {
        let mut named: Vec<(Digest, Tag, Descriptor)> = Vec::new();
        for subject in subjects {
            for tag in subject.digest_tags() {
                let mut listed = self.listed.iter().filter(|it| it.is_document());
                if let Some(it) = listed.find(|it| names(it).any(|name| is_tag(name, &tag))) {
                    named.push((subject.clone(), tag, it.clone()));
                }
            }
        }
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let blobs = Arc::clone(&self.blobs);
        blocking(move || {
            let read = named.into_iter().map(|(subject, tag, descriptor)| {
                let document = read_document(&*blobs, &descriptor)?;
                Ok(DigestTagged::new(subject, tag, document))
            });
            read.collect()
        })
        .await?
    }
}

/// The names that a layout's index gives an image.
fn names(listed: &Descriptor) -> impl Iterator<Item = &str> {
    let full_name = listed.annotations.get(CONTAINERD_NAME);
    full_name
        .map(String::as_str)
        .into_iter()
        .chain(listed.ref_name())
}

/// Whether a name is this tag, or a reference that ends with it.
fn is_tag(name: &str, tag: &Tag) -> bool {
    name.rsplit(':').next() == Some(tag.as_str())
}

/// The layout's index, what it lists, and where it is.
fn index<B: Blobs>(blobs: &B) -> Result<(Document, Arc<[Descriptor]>, String), SourceError> {
    let range = blobs.index()?;
    let content = range
        .read_all(MAX_MANIFEST_BYTES as u64)
        .map_err(|error| unusable(&range, error))?;
    let document =
        Document::new(content.into(), None).map_err(|error| in_document(&range, error))?;
    let Some(listed) = document.as_index().map(|it| Arc::from(&*it.manifests)) else {
        let reason = "it is an image manifest, where an index of images should be";
        return Err(SourceError::invalid(range.place(), reason));
    };
    Ok((document, listed, range.place().to_owned()))
}

/// `range`, if it is as long as `blob` says.
pub(super) fn sized(range: FileRange, blob: &Descriptor) -> Result<FileRange, SourceError> {
    if range.length() != blob.size {
        return Err(SourceError::WrongSize {
            digest: blob.digest.clone(),
            place: range.place().to_owned(),
            expected: blob.size,
            actual: range.length(),
        });
    }
    Ok(range)
}

fn root<B: Blobs>(
    blobs: &B,
    listed: &[Descriptor],
    path: &Path,
    selection: &Selection,
    place: &str,
) -> Result<Descriptor, OpenError> {
    let documents: Vec<&Descriptor> = listed.iter().filter(|it| it.is_document()).collect();
    let mut candidates = candidates(&documents);
    if selection.name.is_none() && candidates.len() > 1 {
        let images = candidates
            .iter()
            .filter(|it| !is_referrer(blobs, it, &documents));
        let images: Vec<Candidate> = images.cloned().collect();
        if !images.is_empty() {
            candidates = images;
        }
    }
    if candidates.is_empty() {
        return Err(SourceError::invalid(place, "it lists no image").into());
    }
    let chosen = choose(&candidates, selection, path)?;
    let root = documents.iter().find(|it| it.digest == chosen.digest);
    root.map(|it| (*it).clone())
        .ok_or_else(|| SourceError::invalid(place, "it lists no image").into())
}

/// What is listed, each digest once with all its names.
fn candidates(documents: &[&Descriptor]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for descriptor in documents {
        let known = candidates
            .iter()
            .position(|it| it.digest == descriptor.digest);
        let candidate = match known {
            Some(at) => &mut candidates[at],
            None => candidates.push_mut(Candidate {
                names: Vec::new(),
                digest: descriptor.digest.clone(),
                platform: descriptor.platform.clone(),
            }),
        };
        for name in names(descriptor) {
            if !candidate.names.iter().any(|it| it == name) {
                candidate.names.push(name.to_owned());
            }
        }
    }
    candidates
}

/// Whether this is about another image: it has a subject, or the tag under which
/// registries without a referrers API keep such
/// ([referrers tag schema](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema)).
/// One that cannot be read counts as an image, so that it is not passed over in silence.
fn is_referrer<B: Blobs>(blobs: &B, candidate: &Candidate, documents: &[&Descriptor]) -> bool {
    let tag = |name: &str| Digest::is_in_tag(name.rsplit(':').next().unwrap_or(name));
    if candidate.names.iter().any(|it| tag(it)) {
        return true;
    }
    let looked_at = documents.iter().take(MAX_REFERRERS_LOOKED_AT);
    let descriptor = looked_at
        .into_iter()
        .find(|it| it.digest == candidate.digest);
    descriptor
        .and_then(|it| read_document(blobs, it).ok())
        .is_some_and(|document| document.subject().is_some())
}

fn all_referrers<B: Blobs>(
    blobs: &B,
    listed: &[Descriptor],
) -> Result<Vec<(Digest, Descriptor)>, SourceError> {
    let mut found: Vec<(Digest, Descriptor)> = Vec::new();
    let documents = listed.iter().filter(|it| it.is_document());
    for descriptor in documents.take(MAX_REFERRERS_LOOKED_AT) {
        if found.iter().any(|(_, it)| it.digest == descriptor.digest) {
            continue;
        }
        let document = read_document(blobs, descriptor)?;
        let Some(subject) = document.subject() else {
            continue;
        };
        let mut referrer = descriptor.clone();
        let own = document.artifact_type().map(str::to_owned);
        referrer.artifact_type = own.or(referrer.artifact_type);
        found.push((subject.digest.clone(), referrer));
    }
    Ok(found)
}

fn read_document<B: Blobs>(blobs: &B, wanted: &Descriptor) -> Result<Document, SourceError> {
    if wanted.size > MAX_MANIFEST_BYTES as u64 {
        return Err(SourceError::Document {
            place: wanted.digest.to_string(),
            error: DocumentError::TooLarge(wanted.size),
        });
    }
    let range = sized(blobs.blob(&wanted.digest)?, wanted)?;
    let content = range
        .read_all(MAX_MANIFEST_BYTES as u64)
        .map_err(|error| unusable(&range, error))?;
    Document::verified(content.into(), wanted).map_err(|error| in_document(&range, error))
}

/// The error of a manifest or index that could not be read from `range`.
pub(super) fn unusable(range: &FileRange, error: ReadError) -> SourceError {
    match error {
        ReadError::TooLong { actual, .. } => in_document(range, DocumentError::TooLarge(actual)),
        error => range.unreadable(error),
    }
}

fn in_document(range: &FileRange, error: DocumentError) -> SourceError {
    let place = range.place().to_owned();
    match error {
        DocumentError::DigestMismatch { expected, actual } => SourceError::Altered {
            expected,
            actual,
            place,
        },
        error => SourceError::Document { place, error },
    }
}
