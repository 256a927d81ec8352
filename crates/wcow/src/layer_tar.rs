//! The tar of a layer, byte for byte.
//!
//! ```text
//! Windows   Files · Files/… in the order of their bytes · Hives · two zero blocks
//! Linux     … in the order of their bytes · two zero blocks
//! ```
//!
//! For Windows each entry has PAX records: file attributes, four times and a security
//! descriptor. `Files` and `Hives` are the importer's own and have no descriptor. Mode
//! bits are constant, because Windows does not look at them and the user's umask must not
//! show. There are no hard links, alternate streams or whiteouts. What the importer makes
//! of it is read off [hcsshim](https://github.com/microsoft/hcsshim/blob/main/pkg/ociwclayer/import.go)
//! and [go-winio](https://github.com/microsoft/go-winio/blob/main/backuptar/tar.go).
//!
//! For Linux it is an ordinary layer: modes and numeric owners as the tree has them,
//! records only where a header has no room, and no directory that is implicit: it would
//! give the base's its own mode and owner (`/tmp` those of any other).
//!
//! A file is read once, in pieces, into the tar. Its length is in its header by then, so
//! a file that turns out longer, shorter or changed is an error that names it.

use std::{
    io::{self, Read, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{
    dockerfile::TargetOs,
    header::{BLOCK, Header, Kind},
    pax::{Records, key},
    security::SecurityDescriptor,
    tree::{Entry, EntryKind, FileBody, Kept, LayerTree, Meta, OpenFile, Origin, Owner, System},
};

mod error;

pub use error::{FileChange, LayerError};

/// How much of a file is in memory at once, in bytes.
const PIECE: usize = 128 * 1024;

/// `FILE_ATTRIBUTE_DIRECTORY`.
pub(crate) const DIRECTORY: u32 = 0x10;
/// `FILE_ATTRIBUTE_ARCHIVE`: what every file has that was written and not backed up.
const ARCHIVE: u32 = 0x20;
/// `FILE_ATTRIBUTE_REPARSE_POINT`: what a link is.
pub(crate) const REPARSE_POINT: u32 = 0x400;

/// What the file system is in, and what the registry's hives would be in.
pub(crate) const FILES: &str = "Files";
/// See [`FILES`].
pub(crate) const HIVES: &str = "Hives";

/// Which times the entries of a layer have, in seconds since 1970.
///
/// An entry for Windows has four (modified, accessed, changed, created), always the same.
/// The default is the beginning of 1970 for all of them. So a layer depends on nothing
/// but names, bytes and rights: two checkouts of one commit make one layer.
///
/// A clamp makes that promise only where all files are newer than the epoch: a checkout
/// keeps its old times, and another one has others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timestamps {
    /// This one, for all entries.
    Fixed(u64),
    /// The source's own, but none later than this. What has none of its own has this.
    Clamp(u64),
    /// The source's own, whole seconds. What has none of its own has 1970.
    Source,
}

impl Default for Timestamps {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl Timestamps {
    /// No entry is later than this.
    pub(crate) fn latest(self) -> Option<u64> {
        match self {
            Self::Fixed(epoch) | Self::Clamp(epoch) => Some(epoch),
            Self::Source => None,
        }
    }

    /// Seconds since 1970; what is before is 1970, since a header has no sign.
    fn of(self, mtime: Option<SystemTime>) -> u64 {
        let seconds = |it: SystemTime| it.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
        match self {
            Self::Fixed(epoch) => epoch,
            Self::Clamp(epoch) => mtime.map_or(epoch, seconds).min(epoch),
            Self::Source => mtime.map_or(0, seconds),
        }
    }
}

/// Writes the tar, and gives the number of its entries.
pub(crate) fn write(
    tree: &LayerTree,
    timestamps: Timestamps,
    out: &mut impl Write,
) -> Result<u64, LayerError> {
    let mut writer = Writer {
        windows: matches!(tree.system(), System::Windows(_)),
        timestamps,
        out,
        buffer: vec![0; PIECE],
        entries: 0,
    };
    writer.root(FILES)?;
    for entry in tree.entries() {
        // A parent that nobody asked for would give the base's directory its own mode: whoever
        // applies the layer makes it where it is missing. On Windows it must be there.
        let is_implicit = matches!(entry.kind(), EntryKind::Directory { implicit: true });
        if writer.windows || !is_implicit {
            writer.entry(&entry)?;
        }
    }
    writer.root(HIVES)?;
    writer.put(&[0; 2 * BLOCK])?;
    Ok(writer.entries)
}

struct Writer<'a, W> {
    windows: bool,
    timestamps: Timestamps,
    out: &'a mut W,
    buffer: Vec<u8>,
    entries: u64,
}

impl<W: Write> Writer<'_, W> {
    /// A directory of the importer's, without a descriptor. Linux layers have none.
    fn root(&mut self, name: &str) -> Result<(), LayerError> {
        if !self.windows {
            return Ok(());
        }
        let mtime = self.timestamps.of(None);
        let header = Header {
            path: name,
            kind: Kind::Directory,
            mode: 0o040_755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime,
            link: "",
            records: windows_records(DIRECTORY, mtime),
        };
        self.header(&header)
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), LayerError> {
        // Asked once: what a file is later held against is what its header says.
        let size = match entry.kind() {
            EntryKind::File(body) => body.len(),
            _ => 0,
        };
        if self.windows {
            self.windows_header(entry, size)?;
        } else {
            self.linux_header(entry, size)?;
        }
        match entry.kind() {
            EntryKind::File(body) => self.body(body, size, &entry.meta().origin),
            _ => Ok(()),
        }
    }

    fn windows_header(&mut self, entry: &Entry, size: u64) -> Result<(), LayerError> {
        let meta = entry.meta();
        let (kind, mode, attributes, security, link) = match entry.kind() {
            EntryKind::Directory { implicit } => {
                let security = if *implicit {
                    SecurityDescriptor::implicit_directory()
                } else {
                    SecurityDescriptor::directory(meta.owner)
                };
                (Kind::Directory, 0o040_755, DIRECTORY, security, "")
            }
            EntryKind::File(_) => {
                let security = SecurityDescriptor::file(meta.owner);
                (Kind::File, 0o100_755, ARCHIVE, security, "")
            }
            EntryKind::Symlink {
                target,
                to_directory,
            } => {
                let (attributes, security) = if *to_directory {
                    (DIRECTORY, SecurityDescriptor::directory(meta.owner))
                } else {
                    (ARCHIVE, SecurityDescriptor::file(meta.owner))
                };
                let attributes = attributes | REPARSE_POINT;
                (Kind::Symlink, 0o120_777, attributes, security, &**target)
            }
        };
        let kept = meta.kept.as_deref().filter(|it| it.os == TargetOs::Windows);
        let times = kept.and_then(|it| it.times.as_ref());
        let mtime = times.map_or_else(|| self.timestamps.of(meta.mtime), |it| it.mtime);
        let records = windows_records(attributes, mtime).with(key::SECURITY, security.to_base64());
        let records = kept.map_or_else(
            || records.clone(),
            |it| it.over(records.clone(), meta.owner),
        );
        self.header(&Header {
            path: &format!("{FILES}/{}", entry.path()),
            kind,
            mode,
            uid: 0,
            gid: 0,
            size,
            mtime,
            link,
            records,
        })
    }

    fn linux_header(&mut self, entry: &Entry, size: u64) -> Result<(), LayerError> {
        let Meta {
            mtime, mode, owner, ..
        } = *entry.meta();
        let kept = entry.meta().kept.as_deref();
        let kept = kept.filter(|it| it.os == TargetOs::Linux);
        let times = kept.and_then(|it| it.times.as_ref());
        let path = entry.path().as_str();
        // A directory's name ends in a slash, as every writer of such layers has it.
        let (kind, mode, path, link) = match entry.kind() {
            EntryKind::Directory { .. } => (Kind::Directory, mode, format!("{path}/"), ""),
            EntryKind::File(_) => (Kind::File, mode, path.to_owned(), ""),
            EntryKind::Symlink { target, .. } => (Kind::Symlink, 0o777, path.to_owned(), &**target),
        };
        let (uid, gid) = match owner {
            Owner::Ids { uid, gid } => (uid, gid),
            _ => (0, 0),
        };
        self.header(&Header {
            path: &path,
            kind,
            mode: mode & 0o7777,
            uid,
            gid,
            size,
            mtime: times.map_or_else(|| self.timestamps.of(mtime), |it| it.mtime),
            link,
            records: kept.map_or_else(Records::default, |it| it.over(Records::default(), owner)),
        })
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(), LayerError> {
        self.entries += 1;
        self.put(&header.to_bytes())
    }

    /// `size` bytes of content, and zeros to the end of the block.
    fn body(&mut self, body: &FileBody, size: u64, origin: &Origin) -> Result<(), LayerError> {
        match body {
            FileBody::Bytes(bytes) => self.put(bytes)?,
            FileBody::Opens(file) => self.file(&**file, size, origin)?,
        }
        let past = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        let padding = past.next_multiple_of(BLOCK) - past;
        self.put(&[0; BLOCK][..padding])
    }

    fn file(&mut self, file: &dyn OpenFile, size: u64, origin: &Origin) -> Result<(), LayerError> {
        let changed = |change| LayerError::Changed {
            origin: origin.clone(),
            change,
        };
        let read = |error| LayerError::Read {
            origin: origin.clone(),
            error,
        };
        let mut reader = file.open().map_err(|error| LayerError::Open {
            origin: origin.clone(),
            error,
        })?;
        let mut done = 0;
        while done < size {
            let want = usize::try_from(size - done).map_or(PIECE, |it| it.min(PIECE));
            let count = read_some(&mut *reader, &mut self.buffer[..want]).map_err(read)?;
            if count == 0 {
                return Err(changed(FileChange::Shrunk {
                    expected: size,
                    actual: done,
                }));
            }
            self.out
                .write_all(&self.buffer[..count])
                .map_err(LayerError::Write)?;
            done += count as u64;
        }
        if read_some(&mut *reader, &mut self.buffer[..1]).map_err(read)? > 0 {
            return Err(changed(FileChange::Grown { expected: size }));
        }
        if !file.is_unchanged().map_err(read)? {
            return Err(changed(FileChange::Replaced));
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), LayerError> {
        self.out.write_all(bytes).map_err(LayerError::Write)
    }
}

impl Kept {
    /// Records of ours with those in their place that the entry came with. Whoever gave it an owner
    /// gave it other rights.
    fn over(&self, mut records: Records, owner: Owner) -> Records {
        let times = self.times.iter().flat_map(|it| &it.records);
        for (key, value) in self.records.iter().chain(times) {
            let is_right = matches!(&**key, key::SECURITY | key::SDDL);
            if !(is_right && owner != Owner::Default) {
                records = records.with_bytes(key, value);
            }
        }
        records
    }
}

fn windows_records(attributes: u32, mtime: u64) -> Records {
    Records::default()
        .with(key::ATTRIBUTES, attributes)
        .with(key::CREATION_TIME, mtime)
        .with(key::ATIME, mtime)
        .with(key::CTIME, mtime)
}

/// What comes next; 0 at the end. A signal is no end.
fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
