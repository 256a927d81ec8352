//! An OCI image layout in a directory.
//!
//! Nothing outside the directory is ever read: a blob's path comes from a parsed
//! digest, and a symbolic link that leads out is refused. One may: `blobs` itself, if it is
//! a directory of that name above the layout, which several layouts have in common, as a
//! registry's do. What is read there has the name of its digest and is checked against it.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use oci::{
    BlobStream, Descriptor, Digest, DigestTagged, Document, Repository, Reread, Source,
    SourceError, layout,
};

use super::{
    Contents, OpenError, Selection,
    blocking::blocking,
    image::{Blobs, Image},
    platform::child_for,
    range::FileRange,
};

/// The longest `oci-layout` file read, in bytes.
pub(super) const MAX_MARKER_BYTES: u64 = 4096;

/// An image of an OCI image layout in a directory
/// ([image-spec](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
#[derive(Debug)]
pub struct Layout(Image<Directory>);

impl Layout {
    /// Opens the image that `selection` means.
    ///
    /// Fails if the directory is no layout, if there are several images and
    /// `selection` does not tell them apart, or if there is none of that name or platform.
    pub async fn open(path: &Path, selection: &Selection) -> Result<Self, OpenError> {
        let (directory, path) = (path.to_owned(), path.to_owned());
        let selected = selection.clone();
        let open = move || Image::open(Directory::open(&directory)?, &path, &selected);
        let it = Self(blocking(open).await??);
        match &selection.platform {
            Some(platform) => {
                let child = child_for(&it, it.0.root().clone(), platform).await?;
                Ok(Self(it.0.with_root(child)))
            }
            None => Ok(it),
        }
    }

    /// Opens the layout as a whole: its root is the layout's index.
    pub(super) async fn open_all(path: &Path) -> Result<Contents, OpenError> {
        let path = path.to_owned();
        let opened = blocking(move || Image::open_all(Directory::open(&path)?));
        let (image, images) = opened.await??;
        Ok(Contents::new(Self(image), images))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Source for Layout {
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

/// The directory of a layout.
#[derive(Debug)]
struct Directory {
    /// As it was given, for messages.
    given: PathBuf,
    /// Without links, to tell what leads out of it.
    resolved: PathBuf,
    /// The blobs that it has in common with others.
    shared: Option<PathBuf>,
}

/// Where a layout's `blobs` leads, if that is a directory called so above the layout.
fn shared_blobs(layout: &Path) -> Option<PathBuf> {
    let blobs = layout.join(layout::BLOBS).canonicalize().ok()?;
    let is_above = blobs.parent().is_some_and(|it| layout.starts_with(it));
    (blobs.ends_with(layout::BLOBS) && is_above).then_some(blobs)
}

impl Directory {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let not_an_image = |found: String| OpenError::NotAnImage {
            path: path.to_owned(),
            found,
        };
        let resolved = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::NotFound {
                path: path.to_owned(),
            },
            _ => SourceError::unreadable(path.display(), error).into(),
        })?;
        let marker = path.join(layout::MARKER);
        match read_marker(&marker) {
            Ok(content) => check_marker(&content).map_err(not_an_image)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_an_image(directory_without_marker(path)));
            }
            Err(error) => return Err(SourceError::unreadable(marker.display(), error).into()),
        }
        Ok(Self {
            given: path.to_owned(),
            shared: shared_blobs(&resolved),
            resolved,
        })
    }

    /// Opens the file at `relative`, which must be a regular one within the layout.
    fn file(&self, relative: &str) -> Result<FileRange, io::Error> {
        let given = self.given.join(relative);
        let resolved = self.resolved.join(relative).canonicalize()?;
        let is_shared = |it: &PathBuf| resolved.starts_with(it);
        if !resolved.starts_with(&self.resolved) && !self.shared.as_ref().is_some_and(is_shared) {
            return Err(io::Error::other(
                "it is a link that leads out of the layout, which is not followed: copy the \
                 layout with its links resolved (cp -RL)",
            ));
        }
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !fs::metadata(&resolved)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        FileRange::whole(File::open(&resolved)?, given.display().to_string())
    }
}

impl Blobs for Directory {
    fn index(&self) -> Result<FileRange, SourceError> {
        let place = self.given.join(layout::INDEX);
        self.file(layout::INDEX)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => SourceError::invalid(
                    self.given.display(),
                    "it is an image layout without its index.json",
                ),
                _ => SourceError::unreadable(place.display(), error),
            })
    }

    fn blob(&self, digest: &Digest) -> Result<FileRange, SourceError> {
        let place = self.place(digest);
        self.file(&layout::blob_path(digest))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => SourceError::Missing {
                    digest: digest.clone(),
                    place,
                },
                _ => SourceError::unreadable(place, error),
            })
    }

    fn place(&self, digest: &Digest) -> String {
        let path = self.given.join(layout::blob_path(digest));
        path.display().to_string()
    }
}

fn read_marker(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?
        .take(MAX_MARKER_BYTES)
        .read_to_end(&mut content)?;
    Ok(content)
}

/// Whether the content of `oci-layout` is that of a layout we know; if not, what it
/// is, for a person.
pub(crate) fn check_marker(content: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<layout::Marker>(content) {
        Ok(marker) if marker.image_layout_version == layout::VERSION => Ok(()),
        Ok(marker) => Err(format!(
            "an image layout of version {:?}, and only {} is known",
            marker.image_layout_version,
            layout::VERSION
        )),
        Err(error) => Err(format!("something whose oci-layout is malformed: {error}")),
    }
}

/// What a directory that is no layout may be instead, so that a person need not guess.
fn directory_without_marker(path: &Path) -> String {
    let what = "a directory without oci-layout";
    if path.join(layout::INDEX).exists() {
        format!("{what}, though with index.json")
    } else if path.join("manifest.json").exists() {
        format!("{what}, though with manifest.json: an unpacked archive or a `skopeo copy dir:`")
    } else {
        what.to_owned()
    }
}
