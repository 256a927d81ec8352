//! Runs of bytes within an open file, and the stream that reads one.
//!
//! The file reader decides how fast an upload can be. Two decisions:
//!
//! - **Positioned reads, two ahead, on the runtime's blocking threads.** A thread is
//!   held for one read only, never while the network is slow; what is in flight is
//!   two pieces in the stream and one with whoever reads it, and the buffers go round
//!   instead of being asked for anew. A piece is 1 MiB while few streams of the process
//!   are open, where each handover between threads is felt, and smaller while there
//!   are more, so that many streams together take little memory: also for those that
//!   were open before.
//! - **A file that changes under the reading is an error.** Length and time of
//!   modification are compared with those at opening after every read, so a stream
//!   that ended well is one whose file stood still.

use std::{
    fs::{File, Metadata},
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use oci::{BlobStream, SourceError};

/// How much is read at once, in bytes, unless it is a matter of choice.
pub(crate) const PIECE: u32 = 256 * 1024;

/// How much a stream reads at once, in bytes, while so many are open, itself included.
const STRIDES: [(usize, u32); 3] = [(4, 1024 * 1024), (16, PIECE), (usize::MAX, SHORTEST)];

/// How long pieces are at least, in bytes, but for the last.
const SHORTEST: u32 = 64 * 1024;

/// The streams of this process that are open and longer than the shortest pieces: what is read at
/// once whatever is open takes no room from others.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many reads are under way at once for one stream.
const READS_AHEAD: usize = 2;

/// How long ago a file must have been modified for its time of modification to tell the next
/// modification from that one: FAT counts in steps of two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// How many buffers of a stream wait to be used again.
const SPARE_BUFFERS: usize = READS_AHEAD + 1;

/// What tells that a file is still as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Which file it is, where the system says so: its device and its number there.
    identity: (u64, u64),
}

/// A run of bytes within an open file.
///
/// Cheap to clone; any number of clones may be read at the same time.
#[derive(Clone, Debug)]
pub(crate) struct FileRange {
    file: Arc<File>,
    stamp: Stamp,
    start: u64,
    length: u64,
    place: Arc<str>,
}

/// Why a file read is not to be trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("it changed while it was read")]
    Changed,
    #[error("nobody waits for it")]
    Abandoned,
    #[error("it is {actual} bytes long, at most {limit} are read")]
    TooLong { actual: u64, limit: u64 },
    #[error("it was opened at byte {offset} of {length}")]
    BeyondEnd { offset: u64, length: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(metadata),
        }
    }
}

impl Stamp {
    /// The stamp as a text; none if a change at this moment might leave it as it is, because
    /// the clock of files is coarse.
    fn version(&self, now: SystemTime) -> Option<String> {
        let modified = self.modified?;
        if now.duration_since(modified).ok()? < SETTLED {
            return None;
        }
        let age = modified.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let (device, number) = self.identity;
        let (length, nanos) = (self.length, age.as_nanos());
        Some(format!("{device:x}.{number:x}.{length:x}.{nanos:x}"))
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

impl FileRange {
    /// All of `file`, which `place` names for a person.
    pub(crate) fn whole(file: File, place: impl Into<Arc<str>>) -> io::Result<Self> {
        let stamp = Stamp::from(&file.metadata()?);
        Ok(Self {
            file: Arc::new(file),
            stamp,
            start: 0,
            length: stamp.length,
            place: place.into(),
        })
    }

    /// The `length` bytes from `start` within this one, or nothing if they reach beyond it.
    pub(crate) fn part(&self, start: u64, length: u64, place: impl Into<Arc<str>>) -> Option<Self> {
        if start.checked_add(length)? > self.length {
            return None;
        }
        Some(Self {
            start: self.start.checked_add(start)?,
            length,
            place: place.into(),
            ..self.clone()
        })
    }

    /// Where it begins within its file, in bytes.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// What tells that its file is still as it was.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Where it is, for a person.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Whether its file is still as it was when it was opened. Blocks.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        if Stamp::from(&self.file.metadata()?) != self.stamp {
            return Err(ReadError::Changed);
        }
        Ok(())
    }

    /// A mark that changes when its file does; none if that cannot be told yet. Blocks.
    pub(crate) fn version(&self) -> Result<Option<String>, ReadError> {
        self.check()?;
        let within = |it| format!("{it}.{:x}", self.start);
        Ok(self.stamp.version(SystemTime::now()).map(within))
    }

    /// Reads at `offset` until `buffer` is full or the range ends. Blocks.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, ReadError> {
        let left = self.length.saturating_sub(offset);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let mut filled = 0;
        while filled < wanted {
            let at = self.start + offset + filled as u64;
            match positioned_read(&self.file, &mut buffer[filled..wanted], at) {
                Ok(0) => return Err(ReadError::Changed),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.check()?;
        Ok(filled)
    }

    /// All of it, if it is at most `limit` bytes long (inclusive). Blocks.
    pub(crate) fn read_all(&self, limit: u64) -> Result<Vec<u8>, ReadError> {
        let too_long = || ReadError::TooLong {
            actual: self.length,
            limit,
        };
        if self.length > limit {
            return Err(too_long());
        }
        let mut content = vec![0; usize::try_from(self.length).map_err(|_| too_long())?];
        self.read_at(&mut content, 0)?;
        Ok(content)
    }

    /// Gives `each` the content from its beginning, in pieces of at most 256 KiB,
    /// for as long as it answers `true`. Blocks.
    pub(crate) fn for_each_piece(
        &self,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), ReadError> {
        let mut buffer = vec![0; piece_length(self.length)];
        let mut offset = 0;
        while offset < self.length {
            let filled = self.read_at(&mut buffer, offset)?;
            if !each(&buffer[..filled]) {
                return Err(ReadError::Abandoned);
            }
            offset += filled as u64;
        }
        Ok(())
    }

    /// The bytes from `offset` (at most its length) to its end. Ends after the first error.
    pub(crate) fn stream(self, offset: u64) -> Result<BlobStream, SourceError> {
        if offset > self.length {
            let length = self.length;
            return Err(self.unreadable(ReadError::BeyondEnd { offset, length }));
        }
        let spare = Spare::default();
        let pieces = stream::iter(Pieces::of(offset, self.length))
            .map(move |piece| {
                let (range, spare) = (self.clone(), spare.clone());
                let reading = tokio::task::spawn_blocking(move || range.read(&piece, spare));
                async move {
                    reading.await.unwrap_or_else(|stopped| {
                        Err(SourceError::unreadable("the file being read", stopped))
                    })
                }
            })
            .buffered(READS_AHEAD)
            .scan(false, |failed, piece| {
                let ended = std::mem::replace(failed, piece.is_err());
                future::ready((!ended).then_some(piece))
            });
        Ok(pieces.boxed())
    }

    fn read(&self, piece: &Piece, spare: Spare) -> Result<Bytes, SourceError> {
        let mut buffer = spare.take(piece.length, piece.stride);
        let filled = self
            .read_at(&mut buffer, piece.at)
            .map_err(|error| self.unreadable(error))?;
        Ok(Bytes::from_owner(Loaded {
            buffer,
            filled,
            spare,
        }))
    }

    /// The error of a read of this range that failed.
    pub(crate) fn unreadable(&self, error: ReadError) -> SourceError {
        match error {
            ReadError::Io(error) => SourceError::unreadable(&self.place, error),
            other => SourceError::unreadable(&self.place, other),
        }
    }
}

fn piece_length(left: u64) -> usize {
    usize::try_from(left).map_or(PIECE as usize, |left| left.min(PIECE as usize))
}

/// What a stream reads, piece by piece: where, and how much. The stream counts as open while this
/// lasts, unless it is short.
struct Pieces {
    at: u64,
    end: u64,
    counts: bool,
    /// How long a piece is. It never grows: what is given up for others is not asked for anew.
    stride: u32,
}

/// What is read at once.
struct Piece {
    at: u64,
    length: usize,
    /// How long pieces are at present: this one is shorter if it is the last.
    stride: usize,
}

impl Pieces {
    fn of(at: u64, end: u64) -> Self {
        let counts = end.saturating_sub(at) > u64::from(SHORTEST);
        if counts {
            OPEN.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            at,
            end,
            counts,
            stride: u32::MAX,
        }
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let left = self.end.checked_sub(at).filter(|left| *left > 0)?;
        let streams = OPEN.load(Ordering::Relaxed);
        let fitting = STRIDES.iter().find(|(most, _)| streams <= *most);
        self.stride = fitting
            .map_or(SHORTEST, |(_, bytes)| *bytes)
            .min(self.stride);
        let length = left.min(u64::from(self.stride));
        self.at += length;
        Some(Piece {
            at,
            length: usize::try_from(length).ok()?,
            stride: self.stride as usize,
        })
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if self.counts {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Reads some bytes at a place in a file, which stays where it is. Blocks.
#[cfg(unix)]
pub(crate) fn positioned_read(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

/// Reads some bytes at a place in a file. Blocks.
#[cfg(windows)]
pub(crate) fn positioned_read(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}

/// The buffers of one stream that nobody uses at present.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

/// What was read once: goes back to the spare buffers when the last `Bytes` of it is dropped.
struct Loaded {
    buffer: Vec<u8>,
    filled: usize,
    spare: Spare,
}

impl Spare {
    /// One of at least `length` bytes, and at most `most`.
    fn take(&self, length: usize, most: usize) -> Vec<u8> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        used.filter(|it| (length..=most).contains(&it.len()))
            .unwrap_or_else(|| vec![0; length])
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < SPARE_BUFFERS {
            buffers.push(buffer);
        }
    }
}

impl AsRef<[u8]> for Loaded {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.spare.give_back(std::mem::take(&mut self.buffer));
    }
}

#[cfg(test)]
mod tests;
