//! A file that keeps what was unpacked or downloaded until the layers are written.
//!
//! One file for as many pieces as there are: a piece is a place in it. It goes when the last
//! piece does.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use tempfile::{NamedTempFile, TempPath};

use crate::{FileBody, OpenFile};

/// A file that is being filled.
pub(crate) struct Spool {
    file: File,
    path: Arc<TempPath>,
    length: u64,
}

impl Spool {
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let (file, path) = NamedTempFile::with_prefix_in(".longshore-", directory)?.into_parts();
        Ok(Self {
            file,
            path: Arc::new(path),
            length: 0,
        })
    }

    /// How long the file is, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Takes in all of a reader as one piece.
    pub(crate) fn take_in(&mut self, from: &mut dyn Read) -> io::Result<Piece> {
        let offset = self.length;
        io::copy(from, self)?;
        Ok(self.piece(offset))
    }

    /// What was written since the file was this long.
    pub(crate) fn piece(&self, offset: u64) -> Piece {
        Piece {
            path: Arc::clone(&self.path),
            offset,
            length: self.length - offset,
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// One piece of a spooled file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    path: Arc<TempPath>,
    offset: u64,
    length: u64,
}

impl From<Piece> for FileBody {
    fn from(piece: Piece) -> Self {
        Self::opens(piece)
    }
}

impl OpenFile for Piece {
    fn len(&self) -> u64 {
        self.length
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&*self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(Box::new(file.take(self.length)))
    }
}
