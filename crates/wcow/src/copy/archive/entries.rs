//! A tar's entries, one after the other, long names and extended headers read within bounds.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use tar::{Archive, EntryType, PaxExtensions};

use super::ArchiveFault;
use crate::copy::CopyError;

/// The longest extended header or long name, in bytes, inclusive.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// The longest file that a header has room for, in bytes, inclusive: eleven octal digits.
const MAX_HEADER_BYTES: u64 = (8 << 30) - 1;

/// An entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As it is written.
    pub(super) path: String,
    pub(super) kind: Kind,
    /// In seconds since 1970.
    pub(super) mtime: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What an entry is. Links hold their targets as they are written.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Directory,
    File,
    HardLink(String),
    Symlink(String),
    Special,
}

/// Why reading stopped.
pub(super) enum Failed {
    Fault(ArchiveFault),
    Copy(CopyError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Fault(ArchiveFault::Damaged(error))
    }
}

/// What stands before an entry and is about it.
#[derive(Default)]
struct Ahead {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    mtime: Option<u64>,
    size: Option<u64>,
}

/// Hands over each entry with its content.
pub(super) fn each(
    from: impl Read,
    mut take: impl FnMut(Entry, &mut dyn Read) -> Result<(), CopyError>,
) -> Result<(), Failed> {
    let mut archive = Archive::new(from);
    let mut ahead = Ahead::default();
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => {
                let text = extension(&mut entry)?;
                let size = entry_records(&text, &mut ahead);
                size.map_err(Failed::Fault)?;
            }
            EntryType::GNULongName => ahead.path = Some(unterminated(extension(&mut entry)?)),
            EntryType::GNULongLink => ahead.link = Some(unterminated(extension(&mut entry)?)),
            EntryType::GNUSparse => return Err(Failed::Fault(ArchiveFault::Sparse)),
            _ => {
                let found = described(entry.header(), std::mem::take(&mut ahead));
                let found = found.map_err(Failed::Fault)?;
                take(found, &mut entry).map_err(Failed::Copy)?;
            }
        }
    }
    Ok(())
}

fn extension(entry: &mut impl Read) -> Result<Vec<u8>, Failed> {
    let mut text = Vec::new();
    entry.take(MAX_EXTENSION_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_EXTENSION_BYTES {
        return Err(io::Error::other("an extended header is longer than 1 MiB").into());
    }
    Ok(text)
}

fn unterminated(mut text: Vec<u8>) -> Vec<u8> {
    while text.last() == Some(&0) {
        text.pop();
    }
    text
}

/// Reads the records that matter here.
fn entry_records(text: &[u8], ahead: &mut Ahead) -> Result<(), ArchiveFault> {
    for record in PaxExtensions::new(text) {
        let record = record.map_err(ArchiveFault::Damaged)?;
        let value = record.value_bytes();
        match record.key_bytes() {
            b"path" => ahead.path = Some(value.to_vec()),
            b"linkpath" => ahead.link = Some(value.to_vec()),
            b"mtime" => {
                let text = std::str::from_utf8(value).unwrap_or_default();
                let whole = text.split('.').next().unwrap_or_default();
                ahead.mtime = whole.parse().ok();
            }
            b"size" => {
                let text = std::str::from_utf8(value).unwrap_or_default();
                let size = text.parse().map_err(|_| {
                    ArchiveFault::Damaged(io::Error::other("a record of a length is no number"))
                })?;
                ahead.size = Some(size);
            }
            key if key.starts_with(b"GNU.sparse.") => return Err(ArchiveFault::Sparse),
            _ => {}
        }
    }
    Ok(())
}

fn described(header: &tar::Header, ahead: Ahead) -> Result<Entry, ArchiveFault> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| ArchiveFault::NotUtf8);
    let path = ahead
        .path
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let link = || {
        let bytes = ahead
            .link
            .or_else(|| header.link_name_bytes().map(Cow::into_owned));
        text(bytes.unwrap_or_default())
    };
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Directory,
        // Before POSIX, a directory was a file whose name ends in a slash.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Link => Kind::HardLink(link()?),
        EntryType::Symlink => Kind::Symlink(link()?),
        _ => Kind::Special,
    };
    check_size(header, &kind, ahead.size)?;
    let id = |it: io::Result<u64>| it.ok().and_then(|it| u32::try_from(it).ok()).unwrap_or(0);
    // The end of what can be said is far enough.
    let mtime = ahead
        .mtime
        .unwrap_or_else(|| header.mtime().unwrap_or(0))
        .min(1 << 40);
    Ok(Entry {
        path: text(path)?,
        kind,
        mtime,
        mode: header.mode().map_err(ArchiveFault::Damaged)? & 0o7777,
        uid: id(header.uid()),
        gid: id(header.gid()),
    })
}

/// What a record says of a file's length is what its header says, which is what is read. Where
/// the header has no room for it, the file is longer than any that is unpacked.
fn check_size(header: &tar::Header, kind: &Kind, said: Option<u64>) -> Result<(), ArchiveFault> {
    let Some(said) = said.filter(|_| matches!(kind, Kind::File)) else {
        return Ok(());
    };
    match header.entry_size().map_err(ArchiveFault::Damaged)? {
        size if size == said => Ok(()),
        _ if said > MAX_HEADER_BYTES => Err(ArchiveFault::TooLong(said)),
        size => Err(ArchiveFault::Length(said, size)),
    }
}
