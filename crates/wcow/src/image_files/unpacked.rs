//! What is packed in a layer's blob, counted and hashed as it comes.

use std::io::{self, BufReader, Read};

use oci::{Digest, Hasher};

use super::ImageFault;
use crate::{
    FileBody,
    copy::{MAX_RATIO, SMALL_BYTES},
};

/// How many bytes may come out of one layer, inclusive.
const MAX_LAYER_BYTES: u64 = 64 << 30;
/// The largest window of a layer packed with zstd, as a power of two, inclusive: 32 MiB, which is
/// what memory that is bounded by 64 MiB has room for. Layers are packed with 8 MiB or less.
const MAX_WINDOW_LOG: u32 = 25;

/// The tar of a layer.
pub(super) struct Unpacked {
    from: Box<dyn Read + Send>,
    packed: u64,
    read: u64,
    hasher: Option<Hasher>,
}

impl Unpacked {
    /// Of a blob, whose packing its first bytes say. `diff_id` is what it is to be held against; none
    /// if that was done.
    pub(super) fn of(blob: &FileBody, diff_id: Option<&Digest>) -> Result<Self, ImageFault> {
        let mut head = Vec::new();
        opened(blob)?.take(8).read_to_end(&mut head)?;
        let from = BufReader::with_capacity(1 << 17, opened(blob)?);
        let from: Box<dyn Read + Send> = if head.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::bufread::MultiGzDecoder::new(from))
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            Box::new(decoder)
        } else if head.starts_with(b"BZh") || head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            return Err(ImageFault::Packing);
        } else {
            Box::new(from)
        };
        Ok(Self {
            from,
            packed: blob.len(),
            read: 0,
            hasher: diff_id.map(Hasher::for_digest),
        })
    }

    /// Whether all that came is what the config says; it is at its end.
    pub(super) fn check(self, diff_id: &Digest) -> Result<(), ImageFault> {
        let Some(hasher) = self.hasher else {
            return Ok(());
        };
        match hasher.finish() {
            actual if actual == *diff_id => Ok(()),
            actual => Err(ImageFault::DiffId {
                expected: diff_id.clone(),
                actual,
            }),
        }
    }
}

fn opened(blob: &FileBody) -> io::Result<Box<dyn Read + Send>> {
    match blob {
        FileBody::Bytes(bytes) => Ok(Box::new(io::Cursor::new(bytes.clone()))),
        FileBody::Opens(file) => file.open(),
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.read += read as u64;
        if self.read > MAX_LAYER_BYTES {
            return Err(io::Error::other(ImageFault::TooLarge(MAX_LAYER_BYTES)));
        }
        if self.read > SMALL_BYTES && self.read / MAX_RATIO > self.packed {
            return Err(io::Error::other(ImageFault::Bomb(MAX_RATIO)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}
