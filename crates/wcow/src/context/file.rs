//! A file of a context. A context may have hundreds of thousands, so what a file is made of is
//! little: its directory, which it shares with those beside it, and its name.

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use cap_std::fs::Metadata;

use super::{Context, joined, modified, opened};
use crate::{FileBody, Folder, Listed, OpenFile};

/// A directory of a context: what its files have in common.
#[derive(Debug)]
pub(super) struct Directory {
    context: Context,
    path: Box<str>,
}

/// A file of a context: opened when it is written.
struct File {
    /// A [`Directory`], as whoever keeps many files sees it.
    folder: Arc<dyn Folder>,
    directory: Arc<Directory>,
    name: Box<str>,
    length: u64,
    mtime: Option<SystemTime>,
}

impl Directory {
    pub(super) fn new(context: &Context, path: &str) -> Arc<Self> {
        Arc::new(Self {
            context: context.clone(),
            path: path.into(),
        })
    }

    /// What is in the file of this name.
    pub(super) fn body(
        self: &Arc<Self>,
        name: &str,
        length: u64,
        mtime: Option<SystemTime>,
    ) -> FileBody {
        FileBody::Opens(Arc::clone(self).file(name, length, mtime))
    }
}

impl Folder for Directory {
    fn file(
        self: Arc<Self>,
        name: &str,
        length: u64,
        mtime: Option<SystemTime>,
    ) -> Arc<dyn OpenFile> {
        Arc::new(File {
            folder: Arc::<Self>::clone(&self),
            directory: self,
            name: name.into(),
            length,
            mtime,
        })
    }
}

impl File {
    fn path(&self) -> String {
        joined(&self.directory.path, &self.name)
    }

    fn is_the_same(&self, metadata: &Metadata) -> bool {
        metadata.is_file() && metadata.len() == self.length && modified(metadata) == self.mtime
    }
}

impl OpenFile for File {
    fn len(&self) -> u64 {
        self.length
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let (directory, path) = (&self.directory.context.0.directory, self.path());
        // Before, since opening a device may do something; after, since what is there may be another
        // thing by now.
        let changed = || io::Error::other("it was changed after it was found");
        if !self.is_the_same(&directory.symlink_metadata(&path)?) {
            return Err(changed());
        }
        let file = opened(directory, Path::new(&path))?;
        if !self.is_the_same(&file.metadata()?) {
            return Err(changed());
        }
        Ok(Box::new(file))
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        let found = &self.directory.context.0.directory;
        let found = found.symlink_metadata(self.path())?;
        Ok(self.is_the_same(&found))
    }

    fn listed(&self) -> Option<Listed<'_>> {
        Some(Listed {
            folder: &self.folder,
            name: &self.name,
            mtime: self.mtime,
        })
    }
}
