//! A tar archive as files that can be read at random, without unpacking it.
//!
//! ```text
//!   path ─▶ plain tar ──────────────────────────▶ Entries: name → where its bytes are
//!        └▶ gzip, zstd ─▶ one temporary file ───▶
//! ```
//!
//! One pass over the headers, then every file is a range of the archive's own
//! bytes. Several kinds of content are recognised here, none is interpreted.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use super::{
    OpenError,
    archive::entries::{Entries, Lookup},
    range::{FileRange, ReadError},
    spool::{Compression, Spool},
};
use oci::SourceError;

mod entries;

/// How many bytes are looked at to tell what a file is: a tar header.
const HEAD_BYTES: usize = 512;

/// An archive, opened and indexed.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    content: FileRange,
    entries: Entries,
}

impl Archive {
    /// Opens and indexes the archive at `path`, by way of a temporary file if it
    /// is compressed. Blocks; stops early once `abandoned`.
    pub(super) fn open(
        path: &Path,
        spool: &Spool,
        abandoned: &AtomicBool,
    ) -> Result<Self, OpenError> {
        let file = open_file(path)?;
        let mut head = head(path, &file)?;
        let mut content = file;
        let not_an_image = |found: String| OpenError::NotAnImage {
            path: path.to_owned(),
            found,
        };
        let compression = Compression::of(&head);
        if let Some(compression) = compression {
            content = spool.inflate(path, &content, compression, abandoned)?;
            head = self::head(path, &content)?;
        }
        if !is_tar_header(&head) {
            return Err(not_an_image(match compression {
                Some(compression) => format!("{compression} data, and not of a tar archive"),
                None => what_else(&head),
            }));
        }
        let entries = Entries::read(&content).map_err(|reason| OpenError::BrokenArchive {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self {
            path: path.to_owned(),
            content,
            entries,
        })
    }

    /// The path it was opened by.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is anything of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.has(name)
    }

    /// A directory in which the whole image stands, one level down, if that is so.
    pub(super) fn directory_of(&self, name: &str) -> Option<&str> {
        self.entries.directory_of(name)
    }

    /// Where the entry of this name is, for a person.
    pub(super) fn entry_place(&self, name: &str) -> String {
        format!("{}: {name}", self.path.display())
    }

    /// The regular file of this name; nothing, if there is none.
    /// Anything else of that name is an error, a link too.
    pub(super) fn file(&self, name: &str) -> Result<Option<FileRange>, SourceError> {
        self.range(name, self.entries.file(name))
    }

    /// The same, but links within the archive are followed.
    pub(super) fn linked_file(&self, name: &str) -> Result<Option<FileRange>, SourceError> {
        self.range(name, self.entries.linked_file(name))
    }

    /// The content of a file that must be there and be at most `limit` bytes long.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let missing = || SourceError::invalid(self.path.display(), format!("it has no {name}"));
        let range = self.linked_file(name)?.ok_or_else(missing)?;
        range
            .read_all(limit)
            .map_err(|error| range.unreadable(error))
    }

    fn range(&self, name: &str, found: Lookup) -> Result<Option<FileRange>, SourceError> {
        let place = self.entry_place(name);
        match found {
            Lookup::File { start, length } => match self.content.part(start, length, &*place) {
                Some(range) => Ok(Some(range)),
                None => Err(SourceError::invalid(
                    place,
                    "it reaches beyond the archive's end",
                )),
            },
            Lookup::Nothing => Ok(None),
            Lookup::Other(what) => Err(SourceError::invalid(
                place,
                format!("it is {what}, where a file should be"),
            )),
        }
    }
}

fn open_file(path: &Path) -> Result<FileRange, OpenError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound {
            path: path.to_owned(),
        },
        _ => SourceError::unreadable(path.display(), error).into(),
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(OpenError::NotAnImage {
            path: path.to_owned(),
            found: "neither a file nor a directory".to_owned(),
        });
    }
    let file = File::open(path).map_err(failed)?;
    FileRange::whole(file, path.display().to_string()).map_err(failed)
}

fn head(path: &Path, file: &FileRange) -> Result<Vec<u8>, OpenError> {
    let mut head = vec![0; HEAD_BYTES];
    let filled = file.read_at(&mut head, 0).map_err(|error| match error {
        ReadError::Io(error) => SourceError::unreadable(path.display(), error),
        error => file.unreadable(error),
    })?;
    head.truncate(filled);
    Ok(head)
}

/// Whether these bytes begin a tar archive: a header whose checksum is right.
fn is_tar_header(head: &[u8]) -> bool {
    if head.len() < HEAD_BYTES {
        return false;
    }
    let header = tar::Header::from_byte_slice(head);
    let sum = head[..148].iter().chain(&head[156..]);
    let sum: u32 = sum.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    header.cksum().is_ok_and(|it| it == sum)
}

fn what_else(head: &[u8]) -> String {
    let known: [(&[u8], &str); 5] = [
        (
            b"\xfd7zXZ\0",
            "xz data, which is not read: decompress it beforehand",
        ),
        (
            b"BZh",
            "bzip2 data, which is not read: decompress it beforehand",
        ),
        (b"PK\x03\x04", "a zip archive"),
        (b"{", "a JSON document"),
        (b"hsqs", "a squashfs file system"),
    ];
    if head.is_empty() {
        return "an empty file".to_owned();
    }
    if head.iter().all(|byte| *byte == 0) {
        return "a tar archive without entries, or a file of zeros".to_owned();
    }
    let met = known.iter().find(|(magic, _)| head.starts_with(magic));
    met.map_or("a file that is no tar archive", |(_, what)| what)
        .to_owned()
}
