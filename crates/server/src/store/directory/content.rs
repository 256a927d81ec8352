//! Files as content.
//!
//! Pieces are read into a few buffers that are used again: new memory for each piece
//! would have to be cleared first, which costs as much as reading it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use oci::Digest;

use super::{Shared, files, integrity::Check};
use crate::store::Content;

/// The most buffers that are kept while none of them is in use.
const SPARE: usize = 16;
/// A buffer from this length on is worth keeping, in bytes.
const KEPT_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct FileContent {
    file: File,
    length: u64,
    spare: Arc<Spare>,
    /// Bytes that came after one another from the start are checked at the end.
    check: Option<(Check, Arc<Shared>)>,
}

/// Buffers to be used again, by whoever reads next.
pub(super) type Spare = Mutex<Vec<Vec<u8>>>;

/// A piece that gives its buffer back when nobody needs it any more.
struct Piece {
    buffer: Vec<u8>,
    length: usize,
    spare: Arc<Spare>,
}

/// A file's content, if it is there.
pub(super) fn open(path: &Path) -> io::Result<Option<Box<dyn Content>>> {
    let Some(file) = files::open(path)? else {
        return Ok(None);
    };
    let length = file.metadata()?.len();
    Ok(Some(Box::new(FileContent {
        file,
        length,
        spare: Arc::default(),
        check: None,
    })))
}

/// A blob's content, if it is there; whoever reads it from front to back gets the last piece
/// only if all of it is what it should be.
pub(super) fn open_blob(
    store: &Arc<Shared>,
    digest: &Digest,
) -> io::Result<Option<Box<dyn Content>>> {
    let check = store.integrity.check(digest);
    let Some(file) = files::open(&store.content(digest))? else {
        return Ok(None);
    };
    let length = file.metadata()?.len();
    Ok(Some(Box::new(FileContent {
        file,
        length,
        spare: Arc::clone(&store.spare),
        check: check.map(|it| (it.of(length), Arc::clone(store))),
    })))
}

impl FileContent {
    /// A piece of at most `limit` bytes, as `read` fills it.
    fn piece(
        &self,
        limit: usize,
        read: impl FnOnce(&File, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Bytes> {
        let spare = (limit >= KEPT_BYTES).then(|| self.spare.lock().ok()?.pop());
        let mut piece = Piece {
            buffer: spare.flatten().unwrap_or_default(),
            length: 0,
            spare: Arc::clone(&self.spare),
        };
        if piece.buffer.len() < limit {
            piece.buffer.resize(limit, 0);
        }
        piece.length = read(&self.file, &mut piece.buffer[..limit])?;
        Ok(Bytes::from_owner(piece))
    }

    /// Checks what was read, if it is to be checked.
    fn checked(&mut self, piece: Bytes) -> io::Result<Bytes> {
        if let Some((check, store)) = &mut self.check {
            store.integrity.pass(check, &piece)?;
        }
        Ok(piece)
    }
}

impl Content for FileContent {
    fn length(&self) -> u64 {
        self.length
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        if offset != 0 {
            // A part says nothing about the whole.
            self.check = None;
        }
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }

    fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let piece = self.piece(limit, |mut file, buffer| {
            let mut length = 0;
            while length < buffer.len() {
                match file.read(&mut buffer[length..]) {
                    Ok(0) => break,
                    Ok(more) => length += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(length)
        })?;
        self.checked(piece)
    }

    fn read_at_hand(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        if let Some((check, _)) = &self.check
            && !check.is_ahead(limit)
        {
            // Hashing takes longer than copying.
            return Ok(None);
        }
        match self.piece(limit, read_cached) {
            Ok(piece) => self.checked(piece).map(Some),
            // It is not in memory, or this file system cannot tell.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::Unsupported
                        | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads what the system has in memory, from where the file is at.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    /// `preadv2(2)`: this offset stands for where the file is at, and moves that.
    const HERE: u64 = u64::MAX;
    let mut buffers = [io::IoSliceMut::new(buffer)];
    let read = rustix::io::preadv2(file, &mut buffers, HERE, rustix::io::ReadWriteFlags::NOWAIT)?;
    Ok(read)
}

/// No other system says what it has in memory.
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.buffer.len() < KEPT_BYTES {
            return;
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.buffer));
        }
    }
}
