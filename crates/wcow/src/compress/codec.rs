//! One block to one gzip member or zstd frame.

use std::io;

use libdeflater::CompressionLvl;

use super::{CompressionFormat, packed};

/// Smaller than what gzip makes at its own default, and a quarter faster than the level of
/// the same number here.
const GZIP_LEVEL: i32 = 5;

/// What zstd's own default is.
const ZSTD_LEVEL: i32 = 3;

/// What one thread compresses with, used again for each block.
pub(super) enum Codec {
    None,
    Gzip {
        matching: libdeflater::Compressor,
        storing: libdeflater::Compressor,
    },
    Zstd(zstd::bulk::Compressor<'static>),
}

/// Memory for a member or a frame, used again, and what is in it.
#[derive(Default)]
pub(super) struct Packed {
    memory: Vec<u8>,
    length: usize,
}

impl Packed {
    /// The member or the frame.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[..self.length]
    }

    /// Room for `bytes`, which is not cleared.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.memory.len() < bytes {
            self.memory.resize(bytes, 0);
        }
        &mut self.memory
    }
}

impl Codec {
    pub(super) fn new(format: CompressionFormat) -> io::Result<Self> {
        let gzip = |level| {
            let level = CompressionLvl::new(level).unwrap_or_default();
            libdeflater::Compressor::new(level)
        };
        Ok(match format {
            CompressionFormat::None => Self::None,
            CompressionFormat::Gzip => Self::Gzip {
                matching: gzip(GZIP_LEVEL),
                storing: gzip(0),
            },
            CompressionFormat::Zstd => {
                let mut codec = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                codec.include_checksum(true)?;
                Self::Zstd(codec)
            }
        })
    }

    pub(super) fn compress(&mut self, block: &[u8], into: &mut Packed) -> io::Result<()> {
        into.length = match self {
            Self::None => {
                into.room(block.len())[..block.len()].copy_from_slice(block);
                block.len()
            }
            Self::Gzip { matching, storing } => {
                let codec = if packed::is_packed(block) {
                    storing
                } else {
                    matching
                };
                // Header and trailer of a member hold no time and no name.
                let room = into.room(codec.gzip_compress_bound(block.len()));
                codec.gzip_compress(block, room).map_err(io::Error::other)?
            }
            Self::Zstd(codec) => {
                let room = into.room(zstd::zstd_safe::compress_bound(block.len()));
                codec.compress_to_buffer(block, room)?
            }
        };
        Ok(())
    }
}
