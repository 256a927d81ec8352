//! Why a path could not be opened as an image.
//!
//! One variant for each thing a person would do differently about it. What is
//! wrong *inside* an image that could be opened is an [`oci::SourceError`].

use std::{io, path::PathBuf};

use oci::{Platform, SourceError};

/// Why a path could not be opened as an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Nothing is there.
    #[error("there is nothing at {}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// Neither an image layout nor an archive of one.
    #[error(
        "{} is no image: it is {found}; expected an OCI image layout (a directory with oci-layout \
         and index.json) or an archive of one, or what `docker save` writes (tar, plain or \
         compressed with gzip or zstd)",
        path.display()
    )]
    NotAnImage {
        /// The path.
        path: PathBuf,
        /// What is there, for a person: `a directory without oci-layout`.
        found: String,
    },
    /// Several images, and no choice was made.
    #[error("{} holds {} images and none was chosen: {}", path.display(), images.len(), listed(images))]
    Ambiguous {
        /// The path.
        path: PathBuf,
        /// What could be chosen, in the order they stand there: name, digest, platform.
        images: Vec<String>,
    },
    /// No image by the name that was asked for.
    #[error("{} holds no image {name:?}; it holds {}", path.display(), listed(images))]
    NoSuchImage {
        /// The path.
        path: PathBuf,
        /// The name or digest asked for.
        name: String,
        /// What there is: name, digest, platform.
        images: Vec<String>,
    },
    /// No image for the platform that was asked for.
    #[error("{place} has no image for {platform}; it has {}", listed(available))]
    NoSuchPlatform {
        /// Where it was looked for: a path, or the index's digest.
        place: String,
        /// The platform asked for.
        platform: Box<Platform>,
        /// The platforms there are, each once.
        available: Vec<Platform>,
    },
    /// An archive that is damaged, or holds what no image's archive does.
    #[error("archive {} is not usable: {reason}", path.display())]
    BrokenArchive {
        /// The path.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A compressed archive grows beyond what is accepted.
    #[error(
        "archive {} is refused: it has {compressed} bytes and would take more than {limit} decompressed",
        path.display()
    )]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Its size as it is, in bytes.
        compressed: u64,
        /// The most bytes accepted of it.
        limit: u64,
    },
    /// There is no room or no leave to decompress an archive: see [`Spool`](super::Spool).
    #[error("could not decompress archive {} into a temporary file in {}", path.display(), directory.display())]
    Spool {
        /// The path.
        path: PathBuf,
        /// Where the temporary file was to be.
        directory: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// It is an image, and something in it is missing, altered or unreadable.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl OpenError {
    /// What a person might do next, if there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ambiguous { .. } => Some("choose one by its name, its digest or its platform"),
            Self::NoSuchImage { .. } | Self::NoSuchPlatform { .. } => {
                Some("choose one of those that are there")
            }
            Self::Spool { .. } => {
                Some("choose a temporary directory with room for it, or decompress it beforehand")
            }
            Self::TooLarge { .. } => {
                Some("if you trust it, decompress it beforehand and push the plain archive")
            }
            _ => None,
        }
    }
}

/// How many things a message lists; the fields hold them all.
const LISTED: usize = 20;

fn listed(items: &[impl ToString]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = items.iter().take(LISTED).map(ToString::to_string).collect();
    let shown = shown.join(", ");
    match items.len().checked_sub(LISTED) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
