//! Why files could not be made an artifact.

use std::{io, path::PathBuf};

use oci::DocumentError;

/// Why files could not be made an artifact. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// There is neither an artifact type nor a config whose type would say what it is.
    #[error("an artifact without a config of its own needs an artifact type")]
    NoType,
    /// A type that is not one: `text/plain`, `application/vnd.example.report.v1+json`.
    #[error("the {what} {text:?} is no media type, which is written TYPE/SUBTYPE")]
    Type {
        /// Whose type it is.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// Two files would have one name, and whoever fetches them would get one of them.
    #[error("{} and {} would both be called {title:?}", first.display(), second.display())]
    SameTitle {
        /// The name.
        title: String,
        /// The file that has it.
        first: PathBuf,
        /// The file that would have it, too.
        second: PathBuf,
    },
    /// A file that has no name to give, or one that leads out of the directory it is fetched to.
    #[error("{} cannot be called {title:?}: {reason}", path.display())]
    Title {
        /// The file.
        path: PathBuf,
        /// The name.
        title: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More files than an artifact may have.
    #[error("{files} files are too many for one artifact: at most {limit} are accepted")]
    TooManyFiles {
        /// How many there are.
        files: usize,
        /// The most accepted, inclusive.
        limit: usize,
    },
    /// A file that cannot be read.
    #[error("the file {} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// The manifest would be none: too large, above all.
    #[error("the artifact's manifest cannot be made")]
    Manifest(#[source] DocumentError),
}

impl ArtifactError {
    /// What a person might do next, if there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::SameTitle { .. } | Self::Title { .. } => Some(
                "give it another name with an org.opencontainers.image.title annotation of its own",
            ),
            Self::File { error, .. } if error.kind() == io::ErrorKind::IsADirectory => {
                Some("an artifact is made of files: archive the directory first, as tar -cf does")
            }
            Self::Manifest(_) => Some("put many small files into an archive"),
            _ => None,
        }
    }
}
