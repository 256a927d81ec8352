//! Why a layer could not be written.

use std::{fmt, io};

use crate::tree::Origin;

/// Why a layer could not be written. What was written of it until then is no layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// A file of the tree could not be opened.
    #[error("{origin}: could not be opened")]
    Open {
        /// The source.
        origin: Origin,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file of the tree could not be read to its end.
    #[error("{origin}: could not be read")]
    Read {
        /// The source.
        origin: Origin,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file changed between being found and having been read.
    #[error("{origin}: {change} while it was copied: build again when nothing writes to it")]
    Changed {
        /// The source.
        origin: Origin,
        /// What became of it.
        change: FileChange,
    },
    /// The layer could not be written where it was to go.
    #[error("could not write the layer")]
    Write(#[source] io::Error),
    /// What a `RUN` left could not be read, or not be written where it was to go.
    #[error("could not take over what RUN left")]
    Commit(#[source] io::Error),
    /// What a `RUN` left is more than it may be. Holds how many bytes it may be, inclusive.
    #[error("what RUN left is more than {0} bytes")]
    CommittedTooLarge(u64),
    /// What a `RUN` left breaks a rule for layers of Windows.
    #[error("what RUN left is not a layer that Windows takes: {0}")]
    Committed(String),
    /// What was written breaks a rule for layers of Windows. The writer keeps them all, so
    /// this is a bug in it.
    #[error("the layer that was written is not one that Windows takes, which is a bug: {0}")]
    Rule(String),
}

/// What became of a file while it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileChange {
    /// It ended early.
    Shrunk {
        /// How long it was, in bytes.
        expected: u64,
        /// How much there was, in bytes.
        actual: u64,
    },
    /// It went on.
    Grown {
        /// How long it was, in bytes.
        expected: u64,
    },
    /// It has the same length, and is another file or was written to.
    Replaced,
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shrunk { expected, actual } => {
                write!(f, "shrank from {expected} to {actual} bytes")
            }
            Self::Grown { expected } => write!(f, "grew beyond its {expected} bytes"),
            Self::Replaced => f.write_str("was changed"),
        }
    }
}
