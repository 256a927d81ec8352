//! Files as content.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use bytes::Bytes;

use super::files;
use crate::store::Content;

#[derive(Debug)]
struct FileContent {
    file: File,
    length: u64,
}

/// A file's content, if it is there.
pub(super) fn open(path: &Path) -> io::Result<Option<Box<dyn Content>>> {
    let Some(file) = files::open(path)? else {
        return Ok(None);
    };
    let length = file.metadata()?.len();
    Ok(Some(Box::new(FileContent { file, length })))
}

impl Content for FileContent {
    fn length(&self) -> u64 {
        self.length
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }

    fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let mut piece = Vec::with_capacity(limit);
        (&mut self.file)
            .take(limit as u64)
            .read_to_end(&mut piece)?;
        Ok(piece.into())
    }
}
