//! A layer's tar, entry after entry, whoever wrote it.

use std::io::{self, Read};

use super::{ImageFault, item};
use crate::{
    header::{BLOCK, RawHeader},
    pax::key,
};

/// The longest records, and the longest name in an entry of its own, inclusive, in bytes.
const MAX_AHEAD: u64 = 1 << 20;
/// How many entries a layer may have, inclusive, those that are about another one included.
const MAX_LAYER_ENTRIES: u64 = 4_000_000;

/// The entries of a tar.
pub(super) struct Entries<R> {
    from: R,
    /// What is left of the entry's content, and of its padding.
    left: u64,
    padding: u64,
    count: u64,
}

/// An entry as it is written.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) flag: u8,
    /// How long its content is.
    pub(super) size: u64,
    pub(super) header_mtime: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) records: Vec<(String, Vec<u8>)>,
    /// Its number.
    pub(super) order: u64,
}

/// What stands before an entry and is about it.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<(String, Vec<u8>)>,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            left: 0,
            padding: 0,
            count: 0,
        }
    }

    /// The next entry, whatever was not read of the one before being passed over.
    pub(super) fn next(&mut self) -> Result<Option<Raw>, ImageFault> {
        let mut ahead = Ahead::default();
        loop {
            self.skip()?;
            let Some(block) = self.block()? else {
                return Ok(None);
            };
            self.count += 1;
            if self.count > MAX_LAYER_ENTRIES {
                return Err(ImageFault::TooMany(MAX_LAYER_ENTRIES));
            }
            let header = RawHeader::parse(&block).map_err(damaged)?;
            match header.flag {
                b'x' => {
                    let bytes = self.ahead(header.size)?;
                    ahead.records = item::records(&bytes).map_err(damaged)?;
                }
                b'g' => self.has(header.size),
                b'L' => ahead.name = Some(unterminated(self.ahead(header.size)?)),
                b'K' => ahead.link = Some(unterminated(self.ahead(header.size)?)),
                // More headers follow one of these.
                b'S' => return Err(ImageFault::Sparse),
                _ => return self.entry(header, ahead).map(Some),
            }
        }
    }

    /// All that is left, the end of the tar and what follows it: it counts for the digest.
    pub(super) fn finish(mut self) -> Result<R, ImageFault> {
        self.skip()?;
        io::copy(&mut self.from, &mut io::sink())?;
        Ok(self.from)
    }

    fn entry(&mut self, header: RawHeader, ahead: Ahead) -> Result<Raw, ImageFault> {
        let found = |key: &str| {
            let found = ahead.records.iter().find(|it| it.0 == key);
            found.map(|it| it.1.clone())
        };
        let size = match found(key::SIZE) {
            None => header.size,
            Some(text) => {
                number(&text).ok_or_else(|| damaged("a record of a length is no number"))?
            }
        };
        // What has no content is not followed by any, whatever its size says.
        let size = if matches!(header.flag, b'1'..=b'6') {
            0
        } else {
            size
        };
        self.has(size);
        let id = |key: &str, said: Option<u64>| {
            let recorded = found(key).and_then(|it| number(&it));
            let id = recorded.or(said).and_then(|it| u32::try_from(it).ok());
            id.unwrap_or(0)
        };
        let mode = header.mode.unwrap_or(0) & 0o7777;
        Ok(Raw {
            name: found(key::PATH).or(ahead.name).unwrap_or(header.name),
            link: found(key::LINK_PATH).or(ahead.link).unwrap_or(header.link),
            flag: header.flag,
            size,
            header_mtime: header.mtime.unwrap_or(0),
            mode: u32::try_from(mode).unwrap_or(0),
            uid: id(key::UID, header.uid),
            gid: id(key::GID, header.gid),
            records: ahead.records,
            order: self.count,
        })
    }

    fn has(&mut self, size: u64) {
        let block = BLOCK as u64;
        self.left = size;
        self.padding = (block - size % block) % block;
    }

    /// The content of what stands before an entry.
    fn ahead(&mut self, size: u64) -> Result<Vec<u8>, ImageFault> {
        if size > MAX_AHEAD {
            return Err(damaged("what stands before an entry is longer than 1 MiB"));
        }
        self.has(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self) -> Result<(), ImageFault> {
        let all = self.left.saturating_add(self.padding);
        let passed = io::copy(&mut (&mut self.from).take(all), &mut io::sink())?;
        if passed < all {
            return Err(truncated().into());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header; none at the end, which some writers leave out.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ImageFault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(truncated().into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(block.iter().any(|it| *it != 0).then_some(block))
    }
}

/// The content of the entry, which must be all there.
impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |it| it.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        match self.from.read(&mut buffer[..most])? {
            0 => Err(truncated()),
            read => {
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within an entry")
}

fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImageFault {
    ImageFault::Damaged(io::Error::other(error))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unterminated(mut text: Vec<u8>) -> Vec<u8> {
    while text.last() == Some(&0) {
        text.pop();
    }
    text
}
