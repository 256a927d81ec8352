//! Sources: where the bytes of an image on this machine come from.
//!
//! ```text
//!   open(path, selection) ── by content ──▶ Layout         a directory
//!                                           OciArchive     a tar of one
//!                                           DockerArchive  what `docker save` writes
//!                            by platform ─▶ OnePlatform    of any source, or SomePlatforms
//!   artifact::ArtifactBuilder ─────────▶ Artifact    files, and a manifest made for them
//!   seed::Seed ───────────────────────▶ Seed        the layers of a base image, from any source
//!   open_all(path) ─▶ Contents: every image there, and one source that reads them all
//! ```
//!
//! - **Content decides, names do not**: what a path is, is read off its first bytes.
//! - **Nothing is unpacked.** A plain archive is read where it lies; a compressed
//!   one, which cannot be read at random, goes through one bounded temporary file.
//! - **Whatever is in a layout or archive is foreign**: sizes, depths, names and
//!   links are bounded and checked before they are used.

use std::{io, path::Path, sync::Arc};

use oci::{Descriptor, Digest, Platform, Source};

mod archive;
pub mod artifact;
mod blocking;
mod choice;
mod docker_archive;
mod error;
mod filter;
mod image;
mod layout;
mod oci_archive;
mod platform;
mod range;
pub mod sample;
pub mod seed;
mod spool;

pub use docker_archive::DockerArchive;
pub use error::OpenError;
pub use filter::{SomePlatforms, Subset, SubsetMode};
pub use layout::Layout;
pub(crate) use layout::check_marker;
pub use oci_archive::OciArchive;
pub use platform::OnePlatform;
pub use spool::{Compression, Spool};

use archive::Archive;
pub(crate) use blocking::blocking;
use blocking::blocking_until_dropped;
pub(crate) use range::{FileRange, Stamp, positioned_read};

/// Which image is meant, where there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Its name: as it is written there, another spelling of it (`app` for
    /// `docker.io/library/app:latest`), its tag alone, or its digest.
    pub name: Option<String>,
    /// The platform: of several images or of an index's children, the one for it.
    pub platform: Option<Platform>,
}

/// Everything that is in a layout or an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Contents {
    /// Reads every image. Its root is the index of them all: a layout's `index.json`, and for
    /// what `docker save` writes one that is made of its images.
    pub source: Arc<dyn Source>,
    /// What is there, in the order it stands there, each digest once; at least one.
    pub images: Vec<ListedImage>,
}

/// An image, or a manifest about one, that a layout or an archive lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedImage {
    /// Its names as they are written there: `1.2`, `docker.io/library/app:1.2`. May be empty.
    pub names: Vec<String>,
    /// Its manifest or index: type, digest, length in bytes, and the platform where that is said.
    pub root: Descriptor,
    /// What it is about, if it is a signature or another referrer.
    pub subject: Option<Digest>,
}

impl ListedImage {
    /// An image of no name that is about no other.
    pub fn new(root: Descriptor) -> Self {
        Self {
            names: Vec::new(),
            root,
            subject: None,
        }
    }
}

impl Contents {
    fn new(source: impl Source + 'static, images: Vec<ListedImage>) -> Self {
        Self {
            source: Arc::new(source),
            images,
        }
    }
}

/// How the file at `path` is compressed, by its first bytes; none for anything else, a
/// directory too. Who opens a compressed archive waits for all of it to be decompressed.
pub async fn compression(path: &Path) -> io::Result<Option<Compression>> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || Compression::of_file(&path))
        .await
        .map_err(io::Error::other)?
}

/// Opens everything that is at `path`, with all its names; a compressed archive is
/// decompressed as `spool` says.
///
/// What is there is told by its content, as [`open_with`] does. The layers of an archive
/// that `docker save` wrote are hashed here, each once. Needs a tokio runtime.
pub async fn open_all(path: &Path, spool: &Spool) -> Result<Contents, OpenError> {
    match archive(path, spool).await? {
        None => Layout::open_all(path).await,
        Some(archive) if OciArchive::is_in(&archive) => OciArchive::whole(archive).await,
        Some(archive) if DockerArchive::is_in(&archive) => DockerArchive::whole(archive).await,
        Some(archive) => Err(not_an_image(path, &archive)),
    }
}

/// Opens the image at `path`: a layout's directory, or an archive, compressed or not.
///
/// The same as [`open_with`] and the default [`Spool`].
pub async fn open(path: &Path, selection: &Selection) -> Result<Box<dyn Source>, OpenError> {
    open_with(path, selection, &Spool::default()).await
}

/// Opens the image at `path`; a compressed archive is decompressed as `spool` says.
///
/// What it is is told by its content. An archive that is both a layout's and
/// Docker's is taken as a layout, whose manifests exist already. Needs a tokio
/// runtime. Fails with what was found there and what was expected.
pub async fn open_with(
    path: &Path,
    selection: &Selection,
    spool: &Spool,
) -> Result<Box<dyn Source>, OpenError> {
    let Some(archive) = archive(path, spool).await? else {
        return Ok(Box::new(Layout::open(path, selection).await?));
    };
    if OciArchive::is_in(&archive) {
        return Ok(Box::new(OciArchive::within(archive, selection).await?));
    }
    if DockerArchive::is_in(&archive) {
        return Ok(Box::new(DockerArchive::within(archive, selection).await?));
    }
    Err(not_an_image(path, &archive))
}

/// The archive at `path`; none if it is a directory.
async fn archive(path: &Path, spool: &Spool) -> Result<Option<Archive>, OpenError> {
    let (path, spool) = (path.to_owned(), spool.clone());
    let found = blocking_until_dropped(move |abandoned| {
        if path.is_dir() {
            return Ok(None);
        }
        Archive::open(&path, &spool, abandoned).map(Some)
    });
    found.await?
}

fn not_an_image(path: &Path, archive: &Archive) -> OpenError {
    OpenError::NotAnImage {
        path: path.to_owned(),
        found: other_archive(archive),
    }
}

/// What an archive without an image is, so that a person need not guess.
fn other_archive(archive: &Archive) -> String {
    let within = |name| archive.directory_of(name);
    if let Some(directory) = within(oci::layout::MARKER).or_else(|| within("manifest.json")) {
        return format!(
            "an archive with everything in {directory}/: archive what is in there instead, \
             tar -C {directory} -cf image.tar ."
        );
    }
    if archive.has("repositories") {
        return "an archive that Docker before 1.10 wrote: load it and save it anew".to_owned();
    }
    "a tar archive with neither oci-layout and index.json nor manifest.json".to_owned()
}
