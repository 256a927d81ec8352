//! Two blobs of one content: a layer compressed, and the same layer as it is.
//!
//! A blob may stand for another only where somebody has looked: a pair can be made by reading the
//! blob to its end, and in no other way. What somebody else says of contents is not believed; a
//! wrong pair would put other files into an image.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use oci::{Algorithm, Descriptor, Digest, Hasher, Source, SourceError};

use crate::source::Compression;

/// What any blob may have decompressed, in bytes, whatever its ratio.
const FREE_BYTES: u64 = 1 << 30;
/// The most bytes decompressed for each compressed one beyond that; layers have about 3.
const MOST_RATIO: u64 = 200;
/// The largest window of zstd, as a power of two, inclusive: 32 MiB. Layers have 8 MiB or less.
const MAX_WINDOW_LOG: u32 = 25;

/// A compressed blob and its content, both verified by having been read.
///
/// ```compile_fail
/// use longshore_push::index::VerifiedPair;
/// // There is no way to say it without reading the blob.
/// let digest = oci::Digest::of(b"");
/// let pair = VerifiedPair { blob: digest.clone(), content: digest };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPair {
    blob: Digest,
    content: Digest,
}

impl VerifiedPair {
    /// Reads `blob` to its end, checks its digest, and computes that of its content. None for a
    /// blob that is not compressed with gzip or zstd.
    pub async fn verify(
        blob: &Descriptor,
        source: &dyn Source,
    ) -> Result<Option<Self>, SourceError> {
        let place = source.place(blob);
        let unreadable = |error: io::Error| SourceError::unreadable(&place, error);
        let mut hasher = Hasher::for_digest(&blob.digest);
        let mut reading = Reading::Head(Vec::new());
        let mut pieces = source.open(blob, 0).await?;
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hasher.update(&piece);
            reading = reading.read(&piece, blob.size).map_err(unreadable)?;
            // Decompressing takes a while; others get their turn.
            tokio::task::yield_now().await;
        }
        hasher
            .check(&blob.digest)
            .map_err(|actual| SourceError::Altered {
                expected: blob.digest.clone(),
                actual,
                place: place.clone(),
            })?;
        let content = reading.finish().map_err(unreadable)?;
        Ok(content.map(|content| Self {
            blob: blob.digest.clone(),
            content,
        }))
    }

    /// The compressed blob.
    pub fn blob(&self) -> &Digest {
        &self.blob
    }

    /// The digest of its content.
    pub fn content(&self) -> &Digest {
        &self.content
    }
}

/// A blob on its way through a decoder.
enum Reading {
    /// Not enough of it to know how it is compressed.
    Head(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Content>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Content>>),
    /// It is not compressed.
    Plain,
}

impl Reading {
    fn read(mut self, piece: &[u8], size: u64) -> io::Result<Self> {
        match &mut self {
            Self::Head(head) => {
                head.extend_from_slice(piece);
                if head.len() < 4 {
                    return Ok(self);
                }
                let (head, content) = (std::mem::take(head), Content::of(size));
                let begun = match Compression::of(&head) {
                    Some(Compression::Gzip) => Self::Gzip(Box::new(MultiGzDecoder::new(content))),
                    Some(Compression::Zstd) => {
                        let mut decoder = zstd::stream::write::Decoder::new(content)?;
                        decoder.window_log_max(MAX_WINDOW_LOG)?;
                        Self::Zstd(Box::new(decoder))
                    }
                    None => return Ok(Self::Plain),
                };
                return begun.read(&head, size);
            }
            Self::Gzip(decoder) => decoder.write_all(piece)?,
            Self::Zstd(decoder) => decoder.write_all(piece)?,
            Self::Plain => {}
        }
        Ok(self)
    }

    fn finish(self) -> io::Result<Option<Digest>> {
        let content = match self {
            Self::Head(_) | Self::Plain => return Ok(None),
            Self::Gzip(decoder) => decoder.finish()?,
            Self::Zstd(mut decoder) => {
                decoder.flush()?;
                decoder.into_inner()
            }
        };
        Ok(Some(content.hasher.finish()))
    }
}

/// What comes out of a decoder: hashed, counted, and dropped.
struct Content {
    hasher: Hasher,
    most: u64,
}

impl Content {
    /// Of a blob of `size` bytes.
    fn of(size: u64) -> Self {
        Self {
            hasher: Hasher::new(Algorithm::Sha256),
            most: size.saturating_mul(MOST_RATIO).saturating_add(FREE_BYTES),
        }
    }
}

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        if self.hasher.bytes() > self.most {
            return Err(io::Error::other(
                "it is too large decompressed for its size",
            ));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
