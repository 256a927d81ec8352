//! Compression by several threads whose result does not depend on them.
//!
//! The stream is cut into blocks, of 512 KiB for gzip and of 1 MiB for zstd, which looks further
//! back. Each becomes a whole gzip member or zstd frame
//! of its own, and these are written one after the other in their order. Both formats say
//! that such a sequence is the sequence of its contents
//! ([RFC 1952, 2.2](https://www.rfc-editor.org/rfc/rfc1952#section-2.2),
//! [RFC 8878, 3](https://www.rfc-editor.org/rfc/rfc8878#section-3)), and every reader of
//! layers takes it: layers that can be read lazily have long been made of a member for
//! each file. So one thread or sixteen write the same bytes. Against one long stream that costs
//! gzip half a percent, and zstd some more where words come again after megabytes.
//!
//! ```text
//! write ──block──▶ digest ──▶ threads ──▶ in order ──▶ out
//! ```
//!
//! What goes in is digested on its way, by a thread that does nothing else: that is a fifth
//! of what compressing by four takes, and it has to be done in order.
//!
//! Memory is bounded: there are twice as many blocks under way as there are threads, and one
//! more, each with its input and its output, and all are used again.
//!
//! The bytes are those of one version of libdeflate (gzip, level 5) and of zstd (level 3):
//! another version may find other matches. A test pins what they are now. Of blocks that are
//! [packed already](packed) gzip stores what they are.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    thread,
};

use oci::{Algorithm, Digest, Hasher};

mod codec;
mod packed;
mod pool;

use pool::Pool;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    format: CompressionFormat,
    threads: Option<NonZeroUsize>,
}

/// The form of a compressed layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionFormat {
    /// None: the tar itself.
    None,
    /// gzip, which everything can read.
    #[default]
    Gzip,
    /// zstd, smaller and faster. Windows' own tools do not all read it.
    Zstd,
}

// === impl Compression ===

impl Compression {
    /// In this form, by as many threads as there are processors: 8 at most for gzip, 4 for zstd.
    pub fn new(format: CompressionFormat) -> Self {
        Self {
            format,
            threads: None,
        }
    }

    /// The same by this many threads, as many at most. It changes the time it takes, and no byte.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The same by no more threads than these, and by fewer where fewer were to do it.
    #[must_use]
    pub(crate) fn at_most_threads(self, threads: NonZeroUsize) -> Self {
        let most = self.threads().min(threads.get());
        self.with_threads(NonZeroUsize::new(most).unwrap_or(threads))
    }

    /// The form.
    pub fn format(self) -> CompressionFormat {
        self.format
    }

    fn threads(self) -> usize {
        let asked = self
            .threads
            .or_else(|| thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        asked.min(self.format.most_threads())
    }
}

// === impl CompressionFormat ===

impl CompressionFormat {
    /// How much of the stream one member or frame has, in bytes; the last one may have less.
    fn block(self) -> usize {
        match self {
            Self::None | Self::Gzip => 512 * 1024,
            Self::Zstd => 1024 * 1024,
        }
    }

    /// The most threads, inclusive: what they hold is bounded with them. Four of zstd are as fast as
    /// one thread digests.
    fn most_threads(self) -> usize {
        match self {
            Self::None | Self::Gzip => 8,
            Self::Zstd => 4,
        }
    }
}

/// Compresses what is written to it into `out`, and says what it was.
pub(crate) struct Compressor<W> {
    out: W,
    way: Way,
}

/// What was compressed.
pub(crate) struct Compressed<W> {
    /// Where it was written to.
    pub(crate) out: W,
    /// The digest of what was written to the compressor.
    pub(crate) content: Digest,
    /// How much that was, in bytes.
    pub(crate) bytes: u64,
}

/// How bytes get from one side to the other.
enum Way {
    /// As they are.
    Straight(Hasher),
    /// In blocks.
    Blocks(Blocks),
}

/// What is compressed in blocks.
struct Blocks {
    /// What there is of the next one.
    block: Vec<u8>,
    /// How much one has, in bytes.
    whole: usize,
    pool: Pool,
    bytes: u64,
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(compression: Compression, out: W) -> io::Result<Self> {
        let way = match compression.format {
            CompressionFormat::None => Way::Straight(Hasher::new(Algorithm::Sha256)),
            format => Way::Blocks(Blocks {
                block: Vec::new(),
                whole: format.block(),
                pool: Pool::start(format, compression.threads())?,
                bytes: 0,
            }),
        };
        Ok(Self { out, way })
    }

    /// Writes what is left.
    pub(crate) fn finish(mut self) -> io::Result<Compressed<W>> {
        let (content, bytes) = match self.way {
            Way::Straight(hasher) => {
                let bytes = hasher.bytes();
                (hasher.finish(), bytes)
            }
            Way::Blocks(mut it) => {
                // Nothing at all is still a member: an empty file is no gzip.
                if !it.block.is_empty() || it.bytes == 0 {
                    it.hand_over(&mut self.out)?;
                }
                (it.pool.finish(&mut self.out)?, it.bytes)
            }
        };
        Ok(Compressed {
            out: self.out,
            content,
            bytes,
        })
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Straight(hasher) => {
                let count = self.out.write(bytes)?;
                hasher.update(&bytes[..count]);
                Ok(count)
            }
            Way::Blocks(it) => it.take_in(bytes, &mut self.out),
        }
    }

    /// Ends no block early: that would be another result.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Blocks {
    fn take_in(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<usize> {
        if self.block.capacity() == 0 {
            self.block.reserve_exact(self.whole);
        }
        let count = bytes.len().min(self.whole - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.bytes += count as u64;
        if self.block.len() == self.whole {
            self.hand_over(out)?;
        }
        Ok(count)
    }

    fn hand_over(&mut self, out: &mut impl Write) -> io::Result<()> {
        while self.pool.is_full() {
            self.pool.take(out)?;
        }
        let next = self.pool.spare();
        self.pool.give(std::mem::replace(&mut self.block, next))
    }
}

#[cfg(test)]
mod tests;
