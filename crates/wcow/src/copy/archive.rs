//! Archives that `ADD` unpacks: tar, plain or compressed with gzip, bzip2, xz or zstd.
//!
//! What a file is, its content says, not its name. One pass: files go into a spool as they
//! come, so memory holds names alone. No entry leaves the destination, whether by `..`, by an
//! absolute name or by a link. A link's absolute target is, for Linux, one below the root of the
//! image, and may be below the destination; for Windows it leaves it. What symbolic links become is
//! chosen for Windows alone, where few programs make them. Hard links become copies.
//! What a small archive may grow into is bounded, and so is each decompressor's window.

use std::{
    collections::BTreeMap,
    io::{self, BufReader, Read},
    path::Path,
    time::{Duration, SystemTime},
};

use super::{ArchiveFault, CopyError, Job, spool::Spool};
use crate::{FileBody, LayerPath, Meta, Owner, context::SymlinkPolicy, dockerfile::TargetOs};

mod confined;
mod entries;

use confined::{led_to, names};
use entries::{Entry, Kind};

/// How many entries an archive may have, inclusive.
pub(super) const MAX_ARCHIVE_ENTRIES: usize = 200_000;
/// How many bytes may come out of one, inclusive.
const MAX_UNPACKED_BYTES: u64 = 16 << 30;
/// How many times its own size may come out of one, once that is more than
/// [`SMALL_BYTES`]. Zeroes compress about a thousandfold.
pub(crate) const MAX_RATIO: u64 = 2000;
pub(crate) const SMALL_BYTES: u64 = 64 << 20;
/// The largest window of xz, in KiB, inclusive: that of `xz -9`.
const MAX_XZ_KIB: u32 = 66 << 10;
/// The largest window of zstd, as a power of two, inclusive: that of `zstd --long`.
const MAX_ZSTD_LOG: u32 = 27;
/// What zstd's decoder says of a window that is larger: it has no kind of its own.
const ZSTD_WINDOW: &str = "Frame requires too much memory for decoding";
/// A tar's unit.
const BLOCK: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

fn packing(head: &[u8]) -> Packing {
    if head.starts_with(&[0x1f, 0x8b]) {
        Packing::Gzip
    } else if head.starts_with(b"BZh") {
        Packing::Bzip2
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Packing::Xz
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Packing::Zstd
    } else {
        Packing::Plain
    }
}

fn opened(body: &FileBody) -> io::Result<Box<dyn Read + Send>> {
    match body {
        FileBody::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
        FileBody::Opens(file) => file.open(),
    }
}

/// The bytes that were packed.
fn decoder(body: &FileBody) -> io::Result<Box<dyn Read + Send>> {
    let mut head = Vec::new();
    opened(body)?.take(8).read_to_end(&mut head)?;
    let from = BufReader::new(opened(body)?);
    Ok(match packing(&head) {
        Packing::Plain => Box::new(from),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(from)),
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(from)),
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(from, true, MAX_XZ_KIB)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            decoder.window_log_max(MAX_ZSTD_LOG)?;
            Box::new(decoder)
        }
    })
}

/// Whether a file is an archive that is unpacked: what it holds begins with a tar's header.
pub(super) fn is_archive(path: &str, body: &FileBody) -> Result<bool, CopyError> {
    let failed = |source| CopyError::Read {
        path: path.to_owned(),
        source,
    };
    // Opened apart from decoding: that a file cannot be read is not what it holds.
    drop(opened(body).map_err(failed)?);
    let mut block = Vec::new();
    let read = decoder(body).and_then(|it| it.take(BLOCK as u64).read_to_end(&mut block));
    match read {
        // What it holds cannot be seen, and to copy it as it is would be a guess.
        Err(error) if is_window(&error) => Err(CopyError::Archive {
            archive: path.to_owned(),
            entry: None,
            fault: ArchiveFault::Window,
        }),
        read => Ok(read.is_ok() && is_header(&block)),
    }
}

/// Whether a decompressor wants a larger window than it may have.
pub(crate) fn is_window(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || error.to_string().contains(ZSTD_WINDOW)
}

/// Whether a block sums up to what it says.
/// <https://www.gnu.org/software/tar/manual/html_node/Standard.html>
fn is_header(block: &[u8]) -> bool {
    let Some(field) = block.get(148..156).filter(|_| block.len() == BLOCK) else {
        return false;
    };
    let said = field
        .split(|it| matches!(it, 0 | b' '))
        .find(|it| !it.is_empty());
    let said = said.and_then(|it| u32::from_str_radix(std::str::from_utf8(it).ok()?, 8).ok());
    let inside: u32 = block[..148]
        .iter()
        .chain(&block[156..])
        .map(|it| u32::from(*it))
        .sum();
    said == Some(inside + 8 * u32::from(b' ')) && inside > 0
}

/// Counts what comes out, and stops where it is too much.
struct Bounded<R> {
    from: R,
    read: u64,
    packed: u64,
    fault: std::rc::Rc<std::cell::Cell<Option<Bound>>>,
}

#[derive(Clone, Copy)]
enum Bound {
    Total,
    Ratio,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.read += read as u64;
        let fault = if self.read > MAX_UNPACKED_BYTES {
            Some(Bound::Total)
        } else if self.read > SMALL_BYTES && self.read / MAX_RATIO > self.packed {
            Some(Bound::Ratio)
        } else {
            None
        };
        if fault.is_some() {
            self.fault.set(fault);
            return Err(io::Error::other("too much comes out of it"));
        }
        Ok(read)
    }
}

/// Puts what is in an archive below the job's destination.
pub(super) fn unpack(job: &mut Job<'_>, name: &str, body: &FileBody) -> Result<(), CopyError> {
    let directory = job.options.spool.as_deref().ok_or(CopyError::NoSpool)?;
    let mut unpacking = Unpacking::new(job.place.os, name, directory)?;
    let from = decoder(body).map_err(|source| CopyError::Read {
        path: name.to_owned(),
        source,
    })?;
    let fault = std::rc::Rc::default();
    let from = Bounded {
        from,
        read: 0,
        packed: body.len(),
        fault: std::rc::Rc::clone(&fault),
    };
    let read = entries::each(from, |entry, content| unpacking.take(job, entry, content));
    read.map_err(|failed| match (failed, fault.get()) {
        (_, Some(Bound::Total)) => {
            unpacking.fault(None, ArchiveFault::TooLarge(MAX_UNPACKED_BYTES))
        }
        (_, Some(Bound::Ratio)) => unpacking.fault(None, ArchiveFault::Bomb(MAX_RATIO)),
        (entries::Failed::Fault(ArchiveFault::Damaged(error)), None) if is_window(&error) => {
            unpacking.fault(None, ArchiveFault::Window)
        }
        (entries::Failed::Fault(fault), None) => unpacking.fault(None, fault),
        (entries::Failed::Copy(error), None) => error,
    })?;
    unpacking.links(job)
}

/// An archive that is being unpacked.
struct Unpacking<'a> {
    os: TargetOs,
    name: &'a str,
    spool: Spool,
    count: usize,
    /// The files so far, by their path in the archive.
    files: BTreeMap<String, (FileBody, u32)>,
    /// Symbolic links that become copies: where they are, and where they lead.
    followed: Vec<(Entry, String)>,
}

impl<'a> Unpacking<'a> {
    fn new(os: TargetOs, name: &'a str, directory: &Path) -> Result<Self, CopyError> {
        Ok(Self {
            os,
            name,
            spool: Spool::new(directory).map_err(CopyError::Spool)?,
            count: 0,
            files: BTreeMap::new(),
            followed: Vec::new(),
        })
    }

    fn fault(&self, entry: Option<&str>, fault: ArchiveFault) -> CopyError {
        CopyError::Archive {
            archive: self.name.to_owned(),
            entry: entry.map(str::to_owned),
            fault,
        }
    }

    fn take(
        &mut self,
        job: &mut Job<'_>,
        mut entry: Entry,
        content: &mut dyn Read,
    ) -> Result<(), CopyError> {
        self.count += 1;
        if self.count > MAX_ARCHIVE_ENTRIES {
            return Err(self.fault(None, ArchiveFault::TooMany(MAX_ARCHIVE_ENTRIES)));
        }
        let said = entry.path.clone();
        let fault = |this: &Self, fault| Err(this.fault(Some(&said), fault));
        let Some(path) = names(&entry.path) else {
            return fault(self, ArchiveFault::Leaves);
        };
        entry.path = path.join("/");
        if job.excludes.matches(&entry.path) || entry.path.is_empty() {
            return Ok(());
        }
        let to = job.destination.path.join(&entry.path)?;
        let meta = self.meta(job, &entry);
        match entry.kind.clone() {
            Kind::Directory => job.directory(&to, meta)?,
            Kind::File => {
                let piece = self.spool.take_in(content).map_err(CopyError::Spool)?;
                self.file(job, entry, &to, piece.into(), meta)?;
            }
            Kind::HardLink(target) => {
                let Some(of) = names(&target) else {
                    return fault(self, ArchiveFault::LinkLeaves(target));
                };
                let Some((body, mode)) = self.files.get(&of.join("/")).cloned() else {
                    return fault(self, ArchiveFault::NoTarget(target));
                };
                let meta = Meta { mode, ..meta };
                self.file(job, entry, &to, body, meta)?;
            }
            Kind::Symlink(target) => {
                let below = (self.os == TargetOs::Linux).then_some(&job.destination.path);
                let Some(led) = led_to(&entry.path, &target, below) else {
                    return fault(self, ArchiveFault::LinkLeaves(target));
                };
                match job.options.symlinks {
                    SymlinkPolicy::Refuse => return fault(self, ArchiveFault::Link),
                    SymlinkPolicy::Follow if self.os == TargetOs::Windows => {
                        self.followed.push((entry, led));
                    }
                    // On Linux they are what everybody makes of them.
                    _ => {
                        let led: Option<LayerPath> = job.destination.path.join(&led).ok();
                        let to_directory = led.is_some_and(|it| job.tree.has_directory(&it));
                        job.tree.symlink(&to, &target, to_directory, meta)?;
                    }
                }
            }
            Kind::Special => return fault(self, ArchiveFault::Special),
        }
        Ok(())
    }

    fn file(
        &mut self,
        job: &mut Job<'_>,
        entry: Entry,
        to: &LayerPath,
        body: FileBody,
        meta: Meta,
    ) -> Result<(), CopyError> {
        let mode = meta.mode;
        job.tree.file(to, body.clone(), meta)?;
        self.files.insert(entry.path, (body, mode));
        Ok(())
    }

    fn meta(&self, job: &Job<'_>, entry: &Entry) -> Meta {
        let owner = match (job.owner, self.os) {
            (Owner::Default, TargetOs::Linux) => Owner::Ids {
                uid: entry.uid,
                gid: entry.gid,
            },
            (owner, _) => owner,
        };
        Meta {
            mtime: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(entry.mtime)),
            mode: job.mode_of(entry.mode, matches!(entry.kind, Kind::Directory)),
            owner,
            origin: job.place.origin(&format!("{}:{}", self.name, entry.path)),
            kept: None,
        }
    }

    /// Symbolic links that become copies of what they lead to, by way of others if need be.
    fn links(&mut self, job: &mut Job<'_>) -> Result<(), CopyError> {
        let mut open = std::mem::take(&mut self.followed);
        while !open.is_empty() {
            let before = open.len();
            let mut later = Vec::new();
            for (entry, led) in open {
                let Some((body, mode)) = self.files.get(&led).cloned() else {
                    later.push((entry, led));
                    continue;
                };
                let to = job.destination.path.join(&entry.path)?;
                let meta = Meta {
                    mode,
                    ..self.meta(job, &entry)
                };
                self.file(job, entry, &to, body, meta)?;
            }
            if let Some((entry, led)) = later.first().filter(|_| later.len() == before) {
                let fault = ArchiveFault::NoFile(led.clone());
                return Err(self.fault(Some(&entry.path), fault));
            }
            open = later;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
