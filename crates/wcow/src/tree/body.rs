//! What is in a file of a tree: bytes at hand, or a way to read them.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;

/// What is in a file.
#[derive(Clone)]
#[non_exhaustive]
pub enum FileBody {
    /// These bytes: a heredoc, or what a test writes.
    Bytes(Bytes),
    /// What is read when the layer is written.
    Opens(Arc<dyn OpenFile>),
}

/// A file that is opened when the layer is written, and only then.
///
/// The tree keeps as many of these as it has files, so one holds a path and a length,
/// and no descriptor.
pub trait OpenFile: Send + Sync {
    /// How long the file is, in bytes. A file that is longer or shorter by the time it
    /// is read is an error: its header was written by then.
    fn len(&self) -> u64;

    /// Opens the file at its first byte.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;

    /// Whether the file is still the one that was found, asked after its last byte was
    /// read. `false` is an error that names the source. By default a file is taken to
    /// be what it was if its length is right.
    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The folder that can make it again, if there is one: then a tree keeps that, which many
    /// files share, and not the file. By default there is none.
    fn listed(&self) -> Option<Listed<'_>> {
        None
    }
}

/// A directory that files are read from, each made when it is asked for.
pub trait Folder: fmt::Debug + Send + Sync {
    /// The file of this name, which had this length in bytes, and this time, when it was found.
    fn file(
        self: Arc<Self>,
        name: &str,
        length: u64,
        mtime: Option<SystemTime>,
    ) -> Arc<dyn OpenFile>;
}

/// What makes a file out of its [`Folder`], together with its length.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Where it is.
    pub folder: &'a Arc<dyn Folder>,
    /// What it is called there.
    pub name: &'a str,
    /// When it was changed.
    pub mtime: Option<SystemTime>,
}

// === impl FileBody ===

impl FileBody {
    /// A file that is read when the layer is written.
    pub fn opens(file: impl OpenFile + 'static) -> Self {
        Self::Opens(Arc::new(file))
    }

    /// How long it is, in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Opens(file) => file.len(),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for FileBody {
    /// Its length; the bytes are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bytes(_) => "Bytes",
            Self::Opens(_) => "Opens",
        };
        f.debug_tuple(name).field(&self.len()).finish()
    }
}

impl From<Bytes> for FileBody {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&'static [u8]> for FileBody {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}
