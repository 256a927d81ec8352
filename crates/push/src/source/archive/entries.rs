//! The entries of a tar archive: where the bytes of each name are.
//!
//! The format is read by the `tar` crate; what is made of it is decided here.
//! An archive is refused as a whole if its names lead out of it, if two entries
//! of one name differ (readers disagree about which one counts), or if it ends in
//! the middle of an entry. Bounds: [`MAX_ENTRIES`], [`MAX_NAME_BYTES`] for all
//! names together, [`MAX_HEADER_BYTES`] for what precedes a single entry.

use std::{
    cell::Cell,
    collections::{HashMap, hash_map},
    io::{self, Read, Seek, SeekFrom},
};

use crate::source::range::FileRange;

/// How many entries an archive may have.
const MAX_ENTRIES: usize = 100_000;
/// How long all names and link targets may be together, in bytes.
const MAX_NAME_BYTES: usize = 32 * 1024 * 1024;
/// How much may be read to get at one entry: its header and its extensions, in bytes.
const MAX_HEADER_BYTES: u64 = 1024 * 1024;
/// How many links lead to one file at most.
const MAX_LINKS: usize = 8;

/// The entries of an archive, by normal name: without `./` and trailing `/`.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_name: HashMap<String, Entry>,
    name_bytes: usize,
}

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File {
        start: u64,
        length: u64,
    },
    Directory,
    /// A symbolic link; its target from the archive's root, if it stays within.
    SymbolicLink(Option<String>),
    /// A hard link, likewise.
    HardLink(Option<String>),
    Other(&'static str),
}

/// What is to be had under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// A file: where its bytes are within the archive.
    File {
        start: u64,
        length: u64,
    },
    /// Something that is no file; what it is, for a person.
    Other(&'static str),
    Nothing,
}

impl Entries {
    /// Reads all headers of the archive that is `content`. Blocks. Fails with what
    /// is wrong, for a person.
    pub(super) fn read(content: &FileRange) -> Result<Self, String> {
        let budget = Cell::new(MAX_HEADER_BYTES);
        let mut archive = tar::Archive::new(Headers {
            content,
            position: 0,
            budget: &budget,
        });
        let mut it = Self::default();
        let broken = |error: &io::Error| format!("its tar structure is broken: {error}");
        for entry in archive
            .entries_with_seek()
            .map_err(|error| broken(&error))?
        {
            let entry = entry.map_err(|error| broken(&error))?;
            it.add(entry, content)?;
            budget.set(MAX_HEADER_BYTES);
        }
        Ok(it)
    }

    fn add<R: Read>(
        &mut self,
        mut entry: tar::Entry<'_, R>,
        content: &FileRange,
    ) -> Result<(), String> {
        if entry.header().entry_type().is_pax_global_extensions() {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let shown: String = String::from_utf8_lossy(&raw).chars().take(200).collect();
        let name = normal_name(&raw).map_err(|what| format!("entry {shown:?} {what}"))?;
        let kind = kind(&mut entry, &name).map_err(|what| format!("entry {shown:?} {what}"))?;
        if let Entry::File { start, length } = kind
            && start
                .checked_add(length)
                .is_none_or(|end| end > content.length())
        {
            return Err(format!(
                "it ends in the middle of entry {shown:?}: it is cut off"
            ));
        }
        self.name_bytes += name.len() + kind.target().map_or(0, str::len);
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(format!(
                "its names are longer than {MAX_NAME_BYTES} bytes together"
            ));
        }
        match self.by_name.entry(name) {
            hash_map::Entry::Vacant(free) => {
                free.insert(kind);
            }
            hash_map::Entry::Occupied(taken) => {
                let same = same(taken.get(), &kind, content)?;
                if !same {
                    return Err(format!("it has two different entries {shown:?}"));
                }
            }
        }
        if self.by_name.len() > MAX_ENTRIES {
            return Err(format!("it has more than {MAX_ENTRIES} entries"));
        }
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The one directory at the archive's root that holds a `name`.
    pub(super) fn directory_of(&self, name: &str) -> Option<&str> {
        let ending = format!("/{name}");
        let mut directories = self
            .by_name
            .keys()
            .filter_map(|it| it.strip_suffix(&ending));
        directories.find(|it| !it.contains('/'))
    }

    /// What is under `name`, links not followed.
    pub(super) fn file(&self, name: &str) -> Lookup {
        self.by_name
            .get(name)
            .map_or(Lookup::Nothing, Entry::lookup)
    }

    /// What is under `name`, links within the archive followed.
    pub(super) fn linked_file(&self, name: &str) -> Lookup {
        let mut name = name;
        for _ in 0..=MAX_LINKS {
            match self.by_name.get(name) {
                Some(Entry::SymbolicLink(Some(target)) | Entry::HardLink(Some(target))) => {
                    name = target;
                }
                Some(Entry::SymbolicLink(None) | Entry::HardLink(None)) => {
                    return Lookup::Other("a link that leads out of the archive");
                }
                _ => return self.file(name),
            }
        }
        Lookup::Other("a link to a link, too many times")
    }
}

impl Entry {
    fn lookup(&self) -> Lookup {
        match *self {
            Self::File { start, length } => Lookup::File { start, length },
            Self::Directory => Lookup::Other("a directory"),
            Self::SymbolicLink(_) => Lookup::Other("a symbolic link"),
            Self::HardLink(_) => Lookup::Other("a hard link"),
            Self::Other(what) => Lookup::Other(what),
        }
    }

    fn target(&self) -> Option<&str> {
        match self {
            Self::SymbolicLink(target) | Self::HardLink(target) => target.as_deref(),
            _ => None,
        }
    }
}

fn kind<R: Read>(entry: &mut tar::Entry<'_, R>, name: &str) -> Result<Entry, &'static str> {
    let type_flag = entry.header().entry_type();
    let target = |within: &str| {
        let target = entry.link_name_bytes()?;
        resolved(within, std::str::from_utf8(&target).ok()?)
    };
    if type_flag.is_dir() {
        return Ok(Entry::Directory);
    }
    if type_flag.is_symlink() {
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        return Ok(Entry::SymbolicLink(target(parent)));
    }
    if type_flag.is_hard_link() {
        return Ok(Entry::HardLink(target("")));
    }
    if type_flag.is_gnu_sparse() {
        return Ok(Entry::Other("a sparse file"));
    }
    if !type_flag.is_file() && !type_flag.is_contiguous() {
        return Ok(Entry::Other("a special file"));
    }
    if is_pax_sparse(entry)? {
        return Ok(Entry::Other("a sparse file"));
    }
    if name.is_empty() {
        return Err("is a file without a name");
    }
    Ok(Entry::File {
        start: entry.raw_file_position(),
        length: entry.size(),
    })
}

/// Whether the bytes are a map of a sparse file and not its content
/// ([GNU tar, PAX 0 and 1](https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html)).
fn is_pax_sparse<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<bool, &'static str> {
    const BROKEN: &str = "has pax extensions that are broken";
    let Some(extensions) = entry.pax_extensions().map_err(|_| BROKEN)? else {
        return Ok(false);
    };
    for extension in extensions {
        if extension
            .map_err(|_| BROKEN)?
            .key_bytes()
            .starts_with(b"GNU.sparse.")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A name without `.`, doubled and trailing `/`; an error if it leads out of the archive.
fn normal_name(raw: &[u8]) -> Result<String, &'static str> {
    let name = std::str::from_utf8(raw).map_err(|_| "has a name that is not UTF-8")?;
    if name.starts_with('/') {
        return Err("has an absolute name, which no image's archive has");
    }
    if name.contains('\0') {
        return Err("has a name with a NUL byte");
    }
    resolved("", name)
        .filter(|_| !name.split('/').any(|part| part == ".."))
        .ok_or("leads out of the archive, which no image's does")
}

/// `path` as seen from the directory `within`, from the archive's root; nothing if
/// it is absolute or leads out.
fn resolved(within: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = within.split('/').filter(|it| !it.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether two entries of one name are the same, byte for byte. Blocks.
fn same(one: &Entry, other: &Entry, content: &FileRange) -> Result<bool, String> {
    match (one, other) {
        (
            &Entry::File { start, length },
            &Entry::File {
                start: other,
                length: same_length,
            },
        ) if length == same_length => {
            same_bytes(content, start, other, length).map_err(|error| error.to_string())
        }
        _ => Ok(one == other),
    }
}

fn same_bytes(content: &FileRange, one: u64, other: u64, length: u64) -> io::Result<bool> {
    const STEP: usize = 64 * 1024;
    let (mut left, mut right) = (vec![0; STEP], vec![0; STEP]);
    let mut done = 0;
    while done < length {
        let step = usize::try_from(length - done).map_or(STEP, |it| it.min(STEP));
        let read = content
            .read_at(&mut left[..step], one + done)
            .map_err(io::Error::other)?;
        content
            .read_at(&mut right[..step], other + done)
            .map_err(io::Error::other)?;
        if read == 0 || left[..read] != right[..read] {
            return Ok(false);
        }
        done += read as u64;
    }
    Ok(true)
}

/// What the tar reader reads: headers and extensions. Content is only skipped, so
/// a bound on what is read for one entry is a bound on what is held in memory.
struct Headers<'a> {
    content: &'a FileRange,
    position: u64,
    budget: &'a Cell<u64>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .content
            .read_at(buffer, self.position)
            .map_err(io::Error::other)?;
        let left = self.budget.get().checked_sub(read as u64);
        let left = left.ok_or_else(|| {
            io::Error::other(format!(
                "an entry's headers are over {MAX_HEADER_BYTES} bytes"
            ))
        })?;
        self.budget.set(left);
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let outside = || io::Error::other("a position outside of the archive");
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.content.length().checked_add_signed(by),
        };
        self.position = position.ok_or_else(outside)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
