//! What files are copied from: the context, what another stage has, an archive.

use std::{fmt, sync::Arc, time::SystemTime};

use super::ContextError;
use crate::{FileBody, Kept, Owner};

/// Something that can be copied.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it is, links resolved, its names parted by `/`.
    pub(crate) path: String,
    /// Whether it is left out itself, and looked at for what is in it alone.
    pub(crate) hidden: bool,
    pub(crate) kind: NodeKind,
    pub(crate) mtime: Option<SystemTime>,
    /// The permission bits.
    pub(crate) mode: u32,
    /// Whose it is, where that is known and goes along.
    pub(crate) owner: Owner,
    /// What else of it goes along.
    pub(crate) kept: Option<Arc<Kept>>,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind {
    Directory {
        /// The directories on the way here, links resolved, itself included.
        trail: Vec<Arc<str>>,
    },
    File(FileBody),
    Symlink {
        target: String,
        to_directory: bool,
    },
}

impl Node {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.kind, NodeKind::Directory { .. })
    }
}

/// What is in a directory, with its name.
pub(crate) type Children<'a> = Box<dyn Iterator<Item = Result<(String, Node), ContextError>> + 'a>;

/// A tree of files to copy from.
pub(crate) trait Files {
    /// What is at a path, links followed. The empty path is the root.
    fn find(&self, path: &str) -> Result<Option<Node>, ContextError>;

    /// What is in a directory, by name. Each is looked at when it is its turn, so that a
    /// directory may have many.
    fn children<'a>(&'a self, of: &'a Node) -> Result<Children<'a>, ContextError>;

    /// Whether a path is one that is there but left out: for messages.
    fn is_left_out(&self, path: &str) -> bool;

    /// How a message calls a path.
    fn describe(&self, path: &str) -> String;
}

impl fmt::Debug for dyn Files + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}
