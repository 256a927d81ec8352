//! The temporary file that a compressed archive is decompressed into.
//!
//! gzip and zstd have no random access, and blobs are read at random, several at
//! a time and again after an error. Holding them in memory is out of the
//! question, decompressing once a blob is quadratic: one file without a name,
//! gone when the source is, is the honest answer. It is bounded twice, so that a
//! small file cannot fill a disk.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use flate2::bufread::MultiGzDecoder;
use oci::SourceError;

use super::{
    OpenError,
    range::{FileRange, PIECE},
};

/// Where, and how far, compressed archives are decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// The directory for temporary files; the system's, if none is given. It should
    /// be on a disk: a directory in memory makes the archive take memory.
    pub directory: Option<PathBuf>,
    /// The most bytes an archive may have decompressed, inclusive. Default: 256 GiB.
    pub max_bytes: u64,
    /// The most bytes decompressed for each compressed one, beyond the first GiB.
    /// Default: 200; archives of images have about 3.
    pub max_ratio: u64,
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952).
    Gzip,
    /// [RFC 8878](https://www.rfc-editor.org/rfc/rfc8878).
    Zstd,
}

/// What any archive may have decompressed, whatever its ratio.
const FREE_BYTES: u64 = 1 << 30;

impl Default for Spool {
    fn default() -> Self {
        Self {
            directory: None,
            max_bytes: 256 << 30,
            max_ratio: 200,
        }
    }
}

impl Compression {
    /// By the first bytes: [gzip](https://www.rfc-editor.org/rfc/rfc1952#page-5),
    /// [zstd](https://www.rfc-editor.org/rfc/rfc8878#name-zstandard-frames), also
    /// where it begins with a skippable frame.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        match *head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The same, of a file; none for what is no regular file. Blocks.
    pub(super) fn of_file(path: &Path) -> io::Result<Option<Self>> {
        // Looked at before it is opened: opening a pipe would wait for its other end.
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut head = Vec::new();
        File::open(path)?.take(4).read_to_end(&mut head)?;
        Ok(Self::of(&head))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl Spool {
    /// `compressed`, the file at `path`, decompressed into a file without a name.
    /// Blocks; stops with an error once `abandoned`.
    pub(super) fn inflate(
        &self,
        path: &Path,
        compressed: &FileRange,
        compression: Compression,
        abandoned: &AtomicBool,
    ) -> Result<FileRange, OpenError> {
        let input = BufReader::with_capacity(PIECE as usize, Sequential::new(compressed));
        let mut inflating: Box<dyn Read + '_> = match compression {
            Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
            Compression::Zstd => Box::new(
                zstd::Decoder::with_buffer(input)
                    .map_err(|error| broken(path, compression, &error))?,
            ),
        };
        let limit = self.limit(compressed.length());
        let mut spool = self.file().map_err(|error| self.failed(path, error))?;
        let mut buffer = vec![0; PIECE as usize];
        let mut written = 0_u64;
        loop {
            if abandoned.load(Ordering::Relaxed) {
                return Err(SourceError::invalid(path.display(), "nobody waits for it").into());
            }
            let read = match inflating.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken(path, compression, &error)),
            };
            written += read as u64;
            if written > limit {
                return Err(OpenError::TooLarge {
                    path: path.to_owned(),
                    compressed: compressed.length(),
                    limit,
                });
            }
            spool
                .write_all(&buffer[..read])
                .map_err(|error| self.failed(path, error))?;
        }
        drop(inflating);
        FileRange::whole(spool, compressed.place()).map_err(|error| self.failed(path, error))
    }

    fn limit(&self, compressed: u64) -> u64 {
        let by_ratio = compressed.saturating_mul(self.max_ratio);
        by_ratio.max(FREE_BYTES).min(self.max_bytes)
    }

    fn file(&self) -> io::Result<File> {
        match &self.directory {
            Some(directory) => tempfile::tempfile_in(directory),
            None => tempfile::tempfile(),
        }
    }

    fn failed(&self, path: &Path, error: io::Error) -> OpenError {
        let system = || PathBuf::from("the system's directory for temporary files");
        OpenError::Spool {
            path: path.to_owned(),
            directory: self.directory.clone().unwrap_or_else(system),
            error,
        }
    }
}

fn broken(path: &Path, compression: Compression, error: &io::Error) -> OpenError {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        _ => error.to_string(),
    };
    OpenError::BrokenArchive {
        path: path.to_owned(),
        reason: format!("its {compression} data is broken: {reason}"),
    }
}

/// A file read from its beginning.
struct Sequential<'a> {
    content: &'a FileRange,
    position: u64,
}

impl<'a> Sequential<'a> {
    fn new(content: &'a FileRange) -> Self {
        Self {
            content,
            position: 0,
        }
    }
}

impl Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .content
            .read_at(buffer, self.position)
            .map_err(io::Error::other)?;
        self.position += read as u64;
        Ok(read)
    }
}
