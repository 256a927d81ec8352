//! The faults file of `serve`: found, read, and refused by name.

use std::path::{Path, PathBuf};

use server::{FaultsFile, FaultsFileError};

use crate::files;

/// Why a faults file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FaultsError {
    #[error("could not read the faults file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error("the faults file {} cannot be used", path.display())]
    File {
        path: PathBuf,
        #[source]
        error: FaultsFileError,
    },
}

/// Reads a faults file.
pub(crate) fn read(path: &Path) -> Result<FaultsFile, FaultsError> {
    let text = files::read_text(path).map_err(|error| FaultsError::Read {
        path: path.to_owned(),
        error,
    })?;
    text.parse().map_err(|error| FaultsError::File {
        path: path.to_owned(),
        error,
    })
}
