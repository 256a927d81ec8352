//! Why something cannot be in a tree, and what may be but should not.

use super::{MAX_DEPTH, MAX_ENTRIES, Origin, Owner};
use crate::{
    LayerPath,
    names::{LEGACY_PATH_UNITS, NameFault},
};

/// Why something cannot be put into a tree. The tree is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A name that the system of the layer does not take, or does not give back.
    #[error("{origin}: the name {name:?} {fault}")]
    Name {
        /// The source.
        origin: Origin,
        /// The name: one component of the path.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A path longer than the system of the layer takes.
    #[error("{origin}: its path in the image is {length} {unit} long, and {most} are the most")]
    PathTooLong {
        /// The source.
        origin: Origin,
        /// How long it is.
        length: usize,
        /// How long it may be, inclusive.
        most: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// A path of more names than a layer may have, one in the other.
    #[error("{origin}: its path in the image is {depth} names deep, and {MAX_DEPTH} are the most")]
    TooDeep {
        /// The source.
        origin: Origin,
        /// How many there are.
        depth: usize,
    },
    /// Two files of one instruction whose names differ by case alone.
    #[error(
        "{origin} and {earlier} are one file on Windows, {path}: names there do not differ by case"
    )]
    CaseCollision {
        /// The source that came second.
        origin: Origin,
        /// The source that came first.
        earlier: Origin,
        /// Where the first one is.
        path: LayerPath,
    },
    /// A directory where something else is, or the reverse.
    #[error("{origin}: cannot put a {new} at {path}, which is a {old} from {earlier}")]
    Conflict {
        /// The source.
        origin: Origin,
        /// What it is.
        new: &'static str,
        /// The place.
        path: LayerPath,
        /// What is there already.
        old: &'static str,
        /// The source of that.
        earlier: Origin,
    },
    /// Something below a file or a symbolic link.
    #[error("{origin}: cannot be below {parent}, which is a {old} from {earlier}")]
    BelowFile {
        /// The source.
        origin: Origin,
        /// What should have been a directory.
        parent: LayerPath,
        /// What it is.
        old: &'static str,
        /// The source of that.
        earlier: Origin,
    },
    /// The root of the file system can be a directory only.
    #[error("{origin}: cannot be the root of the file system")]
    Root {
        /// The source.
        origin: Origin,
    },
    /// A link that points nowhere that can be written down.
    #[error(
        "{origin}: the target {target:?} of the symbolic link is empty, has a NUL or is too long"
    )]
    LinkTarget {
        /// The source.
        origin: Origin,
        /// The target, cut to 256 characters.
        target: String,
    },
    /// An owner that the system of the layer does not have.
    #[error("{origin}: a layer for {system} has no owner {owner:?}")]
    Owner {
        /// The source.
        origin: Origin,
        /// The owner.
        owner: Owner,
        /// The system.
        system: &'static str,
    },
    /// More entries than a layer may have.
    #[error("{origin}: one entry more than the {MAX_ENTRIES} that a layer may have")]
    TooMany {
        /// The source of the first that is too many.
        origin: Origin,
    },
    /// More than a build has memory for.
    #[error(
        "{origin}: the files of all instructions together, {entries} of this one, are more than a build keeps track of, which is some 300,000: leave out by .dockerignore what the image does not need, copy each file once, or make one file of many"
    )]
    NoRoom {
        /// The source of the first that is too many.
        origin: Origin,
        /// How many entries of the instruction there are, this one included.
        entries: usize,
    },
}

/// What may be in a tree, but will not be found by everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeWarning {
    /// A name that the importer takes and no ordinary program can open.
    Name {
        /// The source.
        origin: Origin,
        /// The name.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A path that is out of reach for programs that did not ask for long ones.
    LongPath {
        /// The source.
        origin: Origin,
        /// How long it is with `C:\`, in UTF-16 units.
        units: usize,
    },
}

// === impl TreeError ===

impl TreeError {
    /// What the person at the terminal might do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name { fault, .. } if !fault.is_fatal() => Some(
                "rename the file, or leave it out by .dockerignore; --windows-names=warn takes it as it is",
            ),
            Self::Name { .. } | Self::CaseCollision { .. } => {
                Some("rename the file, or leave it out by .dockerignore")
            }
            _ => None,
        }
    }
}

// === impl TreeWarning ===

impl std::fmt::Display for TreeWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name {
                origin,
                name,
                fault,
            } => write!(
                f,
                "{origin}: the name {name:?} {fault}: few programs will be able to open it"
            ),
            Self::LongPath { origin, units } => write!(
                f,
                "{origin}: its path in the image is {units} characters long: programs that do not ask for long paths end at {LEGACY_PATH_UNITS}"
            ),
        }
    }
}
