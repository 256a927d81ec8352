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

mod blocking;
mod choice;
mod error;
mod image;
mod layout;
mod platform;
mod range;
pub mod sample;

pub use error::OpenError;
pub use layout::Layout;
pub use platform::OnePlatform;

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
/// Needs a tokio runtime. Fails with what was found there and what was expected.
pub async fn open(path: &Path, selection: &Selection) -> Result<Box<dyn Source>, OpenError> {
    Ok(Box::new(Layout::open(path, selection).await?))
}
