//! Sources: where the bytes of an image on this machine come from.
//!
//! ```text
//!   open(path, selection) ── by content ──▶ Layout         a directory
//!                                           OciArchive     a tar of one
//!                                           DockerArchive  what `docker save` writes
//!                            by platform ─▶ OnePlatform    of any source
//! ```
//!
//! - **Content decides, names do not**: what a path is, is read off its first bytes.
//! - **Nothing is unpacked.** A plain archive is read where it lies; a compressed
//!   one, which cannot be read at random, goes through one bounded temporary file.
//! - **Whatever is in a layout or archive is foreign**: sizes, depths, names and
//!   links are bounded and checked before they are used.

use std::path::Path;

use oci::{Platform, Source};

mod archive;
mod blocking;
mod choice;
mod docker_archive;
mod error;
mod image;
mod layout;
mod oci_archive;
mod platform;
mod range;
pub mod sample;
mod spool;

pub use docker_archive::DockerArchive;
pub use error::OpenError;
pub use layout::Layout;
pub use oci_archive::OciArchive;
pub use platform::OnePlatform;
pub use spool::Spool;

use archive::Archive;
use blocking::blocking_until_dropped;

/// Which image is meant, where there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Its name: as it is written there, another spelling of it (`app` for
    /// `docker.io/library/app:latest`), its tag alone, or its digest.
    pub name: Option<String>,
    /// The platform: of several images or of an index's children, the one for it.
    pub platform: Option<Platform>,
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
    let (place, spool) = (path.to_owned(), spool.clone());
    let found = blocking_until_dropped(move |abandoned| {
        if place.is_dir() {
            return Ok(None);
        }
        Archive::open(&place, &spool, abandoned).map(Some)
    });
    let Some(archive) = found.await?? else {
        return Ok(Box::new(Layout::open(path, selection).await?));
    };
    if OciArchive::is_in(&archive) {
        return Ok(Box::new(OciArchive::within(archive, selection).await?));
    }
    if DockerArchive::is_in(&archive) {
        return Ok(Box::new(DockerArchive::within(archive, selection).await?));
    }
    Err(OpenError::NotAnImage {
        path: path.to_owned(),
        found: other_archive(&archive),
    })
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
