//! Why something of a context cannot be copied.

use std::{io, path::PathBuf};

use super::{IgnoreError, MAX_DEPTH, names::MAX_CHILDREN};

/// Why something of a context cannot be copied. Paths are the context's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The directory, or its `.dockerignore`, cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The context is `-`.
    #[error("a context cannot be an archive on standard input: unpack it and name the directory")]
    Archive,
    /// A `.dockerignore` that is none.
    #[error("{} cannot be used", path.display())]
    Ignore {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: IgnoreError,
    },
    /// The system said no.
    #[error("cannot {action} {path:?} in the context")]
    Io {
        /// What.
        path: String,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A path that leads out of the context, by itself or by a link.
    #[error(
        "{0:?} leads out of the context: copy what it leads to into the context, or choose a context that holds both"
    )]
    Leaves(String),
    /// A symbolic link that leads nowhere.
    #[error("the symbolic link {0:?} leads nowhere: mend it, or leave it out by .dockerignore")]
    Dangling(String),
    /// A symbolic link to what `.dockerignore` leaves out.
    #[error(
        "the symbolic link {0:?} leads to what .dockerignore leaves out: leave out the link as well, or neither"
    )]
    Ignored(String),
    /// A symbolic link to a directory above it.
    #[error(
        "symbolic links lead round in a circle at {0:?}: leave one out by .dockerignore, or keep links as they are"
    )]
    Loop(String),
    /// A symbolic link, and none are wanted.
    #[error("{0:?} is a symbolic link: follow or preserve links, or leave it out by .dockerignore")]
    Link(String),
    /// A symbolic link that would be kept, with a target that means something else in an image.
    #[error(
        "the symbolic link {path:?} leads to the absolute path {target:?}: make it relative, or follow links"
    )]
    AbsoluteLink {
        /// Which one.
        path: String,
        /// Where to.
        target: String,
    },
    /// Neither file, directory nor link.
    #[error("{0:?} is a pipe, a socket or a device: leave it out by .dockerignore")]
    Special(String),
    /// A name that is not text.
    #[error(
        "in {directory:?} the name {name:?} is not UTF-8: rename it, or leave out its directory by .dockerignore"
    )]
    NotUtf8 {
        /// Where it is.
        directory: String,
        /// The name, what cannot be shown replaced.
        name: String,
    },
    /// Something of an image that is copied from.
    #[error("{path:?} in the image that is copied from {problem}")]
    InImage {
        /// Which one.
        path: String,
        /// What about it.
        problem: &'static str,
    },
    /// More levels than there may be.
    #[error("{0:?} is more than {MAX_DEPTH} directories deep: leave it out by .dockerignore")]
    TooDeep(String),
    /// More entries than there may be.
    #[error(
        "{0:?} has more than {MAX_CHILDREN} entries: leave it out by .dockerignore, or spread them over directories"
    )]
    TooMany(String),
}
