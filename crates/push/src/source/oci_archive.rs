//! An OCI image layout in a tar archive.
//!
//! Only regular files count: a link where a blob should be is refused, not followed.

use std::path::Path;

use async_trait::async_trait;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Repository, Reread, Source,
    SourceError, layout,
};

use super::{
    Contents, OpenError, Selection, Spool,
    archive::Archive,
    blocking::blocking_until_dropped,
    image::{Blobs, Image},
    layout::{MAX_MARKER_BYTES, check_marker},
    platform::child_for,
    range::FileRange,
};

/// An image of an OCI image layout in a tar archive, plain or compressed
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
#[derive(Debug)]
pub struct OciArchive(Image<Archive>);

impl OciArchive {
    /// Opens the image that `selection` means; a compressed archive goes through `spool`.
    ///
    /// Fails if the archive is none of a layout, if there are several images and
    /// `selection` does not tell them apart, or if there is none of that name or platform.
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
        let selected = selection.clone();
        let image = blocking_until_dropped(move |_| {
            check(&archive)?;
            let path = archive.path().to_owned();
            Image::open(archive, &path, &selected)
        });
        let it = Self(image.await??);
        match &selection.platform {
            Some(platform) => {
                let child = child_for(&it, it.0.root().clone(), platform).await?;
                Ok(Self(it.0.with_root(child)))
            }
            None => Ok(it),
        }
    }

    /// All of `archive`: the root is the layout's index.
    pub(super) async fn whole(archive: Archive) -> Result<Contents, OpenError> {
        let opened = blocking_until_dropped(move |_| {
            check(&archive)?;
            Image::open_all(archive)
        });
        let (image, images) = opened.await??;
        Ok(Contents::new(Self(image), images))
    }

    /// Whether `archive` has what makes it a layout's.
    pub(super) fn is_in(archive: &Archive) -> bool {
        archive.has(layout::MARKER) && archive.has(layout::INDEX)
    }
}

fn check(archive: &Archive) -> Result<(), OpenError> {
    let found = if OciArchive::is_in(archive) {
        let marker = archive.read(layout::MARKER, MAX_MARKER_BYTES)?;
        check_marker(&marker).err()
    } else {
        Some("an archive without oci-layout and index.json".to_owned())
    };
    found.map_or(Ok(()), |found| {
        let path = archive.path().to_owned();
        Err(OpenError::NotAnImage { path, found })
    })
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for OciArchive {
    async fn root(&self) -> Result<Document, SourceError> {
        Ok(self.0.root().clone())
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Document, SourceError> {
        self.0.document(descriptor).await
    }

    async fn open(&self, blob: &Descriptor, offset: u64) -> Result<BlobStream, SourceError> {
        self.0.open_blob(blob, offset).await
    }

    fn verifies(&self) -> bool {
        false
    }

    async fn check_blob(&self, blob: &Descriptor) -> Result<(), SourceError> {
        self.0.check_blob(blob).await
    }

    async fn version(&self, blob: &Descriptor) -> Result<Option<String>, SourceError> {
        self.0.version(blob).await
    }

    fn place(&self, blob: &Descriptor) -> String {
        self.0.place(&blob.digest)
    }

    async fn read_elsewhere(&self, _blob: &Descriptor, _fault: &SourceError) -> Option<Reread> {
        None
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, SourceError> {
        self.0.referrers(subject).await
    }

    async fn digest_tags(&self, subjects: &[Digest]) -> Result<Vec<DigestTagged>, SourceError> {
        self.0.digest_tags(subjects).await
    }

    fn leaves_out(&self, _child: &Descriptor) -> bool {
        false
    }

    fn origin(&self) -> Option<&Repository> {
        None
    }
}

impl Blobs for Archive {
    fn index(&self) -> Result<FileRange, SourceError> {
        let missing = || SourceError::invalid(self.path().display(), "it has no index.json");
        self.file(layout::INDEX)?.ok_or_else(missing)
    }

    fn blob(&self, digest: &Digest) -> Result<FileRange, SourceError> {
        self.file(&layout::blob_path(digest))?
            .ok_or_else(|| SourceError::Missing {
                digest: digest.clone(),
                place: self.place(digest),
            })
    }

    fn place(&self, digest: &Digest) -> String {
        self.entry_place(&layout::blob_path(digest))
    }
}
