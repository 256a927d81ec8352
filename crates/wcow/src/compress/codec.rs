//! One block to one gzip member or zstd frame.

use std::io;

use libdeflater::CompressionLvl;

use super::CompressionFormat;

/// What gzip's own default is.
const GZIP_LEVEL: i32 = 6;

/// What zstd's own default is.
const ZSTD_LEVEL: i32 = 3;

/// What one thread compresses with, used again for each block.
pub(super) enum Codec {
    None,
    Gzip(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Codec {
    pub(super) fn new(format: CompressionFormat) -> io::Result<Self> {
        Ok(match format {
            CompressionFormat::None => Self::None,
            CompressionFormat::Gzip => {
                let level = CompressionLvl::new(GZIP_LEVEL).unwrap_or_default();
                Self::Gzip(libdeflater::Compressor::new(level))
            }
            CompressionFormat::Zstd => {
                let mut codec = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
                codec.include_checksum(true)?;
                Self::Zstd(codec)
            }
        })
    }

    pub(super) fn compress(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(block.to_vec()),
            Self::Gzip(codec) => {
                // Header and trailer of a member hold no time and no name.
                let mut out = vec![0; codec.gzip_compress_bound(block.len())];
                let length = codec
                    .gzip_compress(block, &mut out)
                    .map_err(io::Error::other)?;
                out.truncate(length);
                Ok(out)
            }
            Self::Zstd(codec) => codec.compress(block),
        }
    }
}
