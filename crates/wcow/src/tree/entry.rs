//! One entry of a tree, and what is known of it.

use std::{fmt, sync::Arc, time::SystemTime};

use super::FileBody;
use crate::{LayerPath, dockerfile::TargetOs};

/// What is at one place of a tree.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) path: LayerPath,
    pub(super) kind: EntryKind,
    pub(super) meta: Meta,
}

/// What an entry is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EntryKind {
    /// A directory. An implicit one was not asked for: something in it was.
    Directory {
        /// Whether it is only there because of what is in it.
        implicit: bool,
    },
    /// A file.
    File(FileBody),
    /// A symbolic link.
    Symlink {
        /// Where it points, as it will be written.
        target: String,
        /// Whether a directory is there. Windows has two kinds of links.
        to_directory: bool,
    },
}

/// What is known of an entry beside its name and content.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// When it was changed; none if that means nothing, as for a heredoc.
    pub mtime: Option<SystemTime>,
    /// The permission bits, 0 to 0o7777. Linux trees only: a layer for Windows has no use for them.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
    /// Where it comes from, for messages.
    pub origin: Origin,
    /// What a layer of another image has of it that nothing above says; none for what comes from
    /// elsewhere.
    pub kept: Option<Arc<Kept>>,
}

/// What is kept of an entry as the layer that it was copied from has it: records of its tar, byte for
/// byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose system's they are: layers of another have no use for them.
    pub(crate) os: TargetOs,
    /// Rights, attributes and the like, by key.
    pub(crate) records: Vec<(String, Vec<u8>)>,
    /// Its times; none if they are to be those of the build.
    pub(crate) times: Option<KeptTimes>,
}

/// The times of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptTimes {
    /// When it was changed, in seconds since 1970: the header's.
    pub(crate) mtime: u64,
    /// The others, by key.
    pub(crate) records: Vec<(String, Vec<u8>)>,
}

/// Whose an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Owner {
    /// The administrators' on Windows, root's on Linux.
    #[default]
    Default,
    /// The account that programs of a container run under. Windows only.
    ContainerUser,
    /// The account with all rights inside a container. Windows only.
    ContainerAdministrator,
    /// A user and a group by number. Linux only.
    Ids {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// Where an entry comes from: what a message calls it, and which instruction put it there.
///
/// Of two files with one name the later instruction's wins. Two files of *one*
/// instruction that only case tells apart are an error, since nobody can say which
/// was meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    pub(super) text: Arc<str>,
    pub(super) instruction: u32,
}

// === impl Entry ===

impl Entry {
    /// Where it is, as it will be written: parents in their first spelling.
    pub fn path(&self) -> &LayerPath {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> &EntryKind {
        &self.kind
    }

    /// What else is known of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, EntryKind::Directory { .. })
    }
}

impl EntryKind {
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::File(_) => "file",
            Self::Symlink { .. } => "symbolic link",
        }
    }
}

// === impl Origin ===

impl Origin {
    /// From the source that `text` names: a path as the user would write it, or the
    /// text of an instruction.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            instruction: 0,
        }
    }

    /// The same, put there by the instruction with this number: its line, or any
    /// other number that no other instruction of the tree has. 0 until said.
    #[must_use]
    pub fn by(mut self, instruction: u32) -> Self {
        self.instruction = instruction;
        self
    }

    /// The number of the instruction.
    pub fn instruction(&self) -> u32 {
        self.instruction
    }
}

impl Default for Origin {
    /// For what comes from no source of the user's.
    fn default() -> Self {
        Self::new("the layer itself")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} by {}", self.text, self.instruction)
    }
}
