//! Why a layout could not be written.

use std::{io, path::PathBuf, time::Duration};

use oci::{Digest, DocumentError};

/// Why a layout could not be written. Nothing that was there is lost by any of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// Something else is there.
    #[error("{} is no image layout to write to: it is {found}", path.display())]
    NotALayout {
        /// The path.
        path: PathBuf,
        /// What is there, for a person.
        found: String,
    },
    /// Something could not be done with a file or directory: no room, no leave.
    #[error("could not {step} {}", path.display())]
    Io {
        /// What: `write`, `make`.
        step: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The list of images cannot be read, or would become too long.
    #[error("the index {} cannot be used", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: DocumentError,
    },
    /// An archive would lack something: it was not begun, or what it is made of has not come.
    #[error("{} is not whole: {missing} is missing", path.display())]
    Incomplete {
        /// The archive.
        path: PathBuf,
        /// What is missing, for a person.
        missing: String,
    },
    /// Another process does not let go of the layout.
    #[error("another process has kept {} locked for {} s", path.display(), waited.as_secs())]
    Locked {
        /// The file that is locked.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The bytes are not the blob's.
    #[error("the bytes have digest {actual} and length {length}, expected {expected} and {size}")]
    Altered {
        /// The digest they should have.
        expected: Digest,
        /// The digest they have.
        actual: Digest,
        /// The length they should have, in bytes.
        size: u64,
        /// The length they have, in bytes.
        length: u64,
    },
}
