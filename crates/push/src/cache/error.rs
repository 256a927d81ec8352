//! What can be wrong with a store, and what it tells while it is used.

use std::{fmt, io, path::PathBuf};

use oci::{Digest, SourceError};

/// Why a store, or something about it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is something else in the directory, which must not be pruned by us.
    #[error("{} is not a store: {found}", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// What is there, and what to do.
        found: String,
    },
    /// It cannot be read or written: no right to, no room, a broken disk.
    #[error("could not {attempted} {}", path.display())]
    Io {
        /// What was being done.
        attempted: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it could not be.
        #[source]
        error: io::Error,
    },
    /// Another process changes the list of images for longer than is waited for.
    #[error("another process holds {}", path.display())]
    Busy {
        /// The file that is locked.
        path: PathBuf,
    },
    /// What was to be taken in is not what it should be. Nothing of it is in the store.
    #[error("the content is not taken into the store")]
    Content(#[source] SourceError),
    /// The runtime stopped before it was done.
    #[error("the runtime stopped before it was done")]
    Stopped,
}

/// Something about a store that is worth a warning. The push goes on without it.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// A blob was not what its name says. It is removed, and fetched anew.
    Altered {
        /// The blob.
        digest: Digest,
        /// Where it was.
        place: String,
    },
    /// The store takes nothing more in this run: the disk is full, does not answer, or is
    /// read-only. Told once.
    WritesEnded {
        /// The store's directory.
        place: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A blob of the store could not be read, and is fetched from the source. Told once.
    Unreadable {
        /// Where it is.
        place: String,
        /// Why.
        error: SourceError,
    },
}

/// Is told what happens with a store. Never waited for; must not block.
pub trait StoreObserver: fmt::Debug + Send + Sync {
    /// It happened.
    fn event(&self, event: &StoreEvent);
}

/// Tells nobody.
impl StoreObserver for () {
    fn event(&self, _: &StoreEvent) {}
}

impl StoreError {
    pub(super) fn io(attempted: &'static str, path: impl Into<PathBuf>, error: io::Error) -> Self {
        Self::Io {
            attempted,
            path: path.into(),
            error,
        }
    }
}

impl fmt::Display for StoreEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { digest, place } => write!(
                f,
                "{digest} was altered in the store and is fetched anew: {place} was removed"
            ),
            Self::WritesEnded { place, error } => write!(
                f,
                "the store {} takes nothing more in this run, which goes on without: {error}",
                place.display()
            ),
            Self::Unreadable { place, error } => {
                write!(f, "{place} cannot be read and is fetched anew")?;
                let mut next: Option<&dyn std::error::Error> = Some(error);
                while let Some(cause) = next {
                    write!(f, ": {cause}")?;
                    next = cause.source();
                }
                Ok(())
            }
        }
    }
}
