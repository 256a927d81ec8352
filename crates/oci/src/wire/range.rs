//! Ranges, in every form registries write them.
//!
//! Four headers that look alike and are not: what an upload session holds
//! (`Range: 0-499`, [distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks)),
//! what a chunk is (`Content-Range: 0-499`, no unit, no total), what part of a
//! blob is wanted (`Range: bytes=0-499`) and which part was got
//! (`Content-Range: bytes 0-499/1234`, both [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-14)).

use std::{fmt, str::FromStr};

/// What a registry says it holds of an upload: the `Range` of a 202, 204 or 416.
///
/// Accepted: `0-499`, `bytes=0-499`, `bytes 0-499/1000`, `0--1` (nothing).
/// A range that does not begin at 0 is an error: a session is a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadedRange {
    /// Nothing at all.
    Nothing,
    /// `0-0`: nothing, or a single byte. Registries write it for both, so only
    /// who knows what was sent can tell.
    NothingOrOneByte,
    /// The first `n` bytes, two or more; [`of`](Self::of) makes no smaller ones.
    Prefix(u64),
}

/// A chunk's place in its blob, both ends inclusive: `<first>-<last>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// The offset of the first byte.
    pub first: u64,
    /// The offset of the last byte, inclusive.
    pub last: u64,
}

/// The part of a blob that a reader asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `bytes=<first>-[<last>]`, both inclusive.
    From {
        /// The offset of the first byte.
        first: u64,
        /// The offset of the last byte, inclusive; to the end if missing.
        last: Option<u64>,
    },
    /// `bytes=-<n>`: the last `n` bytes.
    Last(u64),
}

/// The part of a blob that an answer holds: the `Content-Range` of a 206 or 416.
///
/// ```
/// use longshore_oci::wire::{ChunkRange, ContentRange};
/// let it: ContentRange = "bytes 500-999/1234".parse()?;
/// assert_eq!(it.range, ChunkRange::new(500, 500));
/// assert_eq!(it.total, Some(1234));
/// # Ok::<(), longshore_oci::wire::RangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Which part; none (`*`) where what was asked for is not there: 416.
    pub range: Option<ChunkRange>,
    /// How long the whole is, in bytes; none (`*`) where the answer does not say.
    pub total: Option<u64>,
}

/// Why a text is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("range {0:?} is malformed")]
pub struct RangeError(String);

fn malformed(text: &str) -> RangeError {
    RangeError(text.chars().take(100).collect())
}

fn number(text: &str) -> Option<u64> {
    // `u64::from_str` takes a sign; a header has none.
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// A header's range without its unit and total: `bytes=`, `bytes ` or no unit at
/// all, in any case, because registries and clients write them all.
fn bare(text: &str) -> &str {
    let text = text.trim();
    let range = match text.split_at_checked(5) {
        Some((unit, range)) if unit.eq_ignore_ascii_case("bytes") => {
            range.strip_prefix('=').unwrap_or(range).trim_start()
        }
        _ => text,
    };
    range.split('/').next().unwrap_or_default()
}

// === impl UploadedRange ===

impl UploadedRange {
    /// What to write for the first `bytes` of a blob; `0-0` for none, as distribution does.
    pub fn of(bytes: u64) -> Self {
        match bytes {
            0 | 1 => Self::NothingOrOneByte,
            more => Self::Prefix(more),
        }
    }

    /// How many bytes the registry holds, given how many it should: those it
    /// acknowledged before, or those just sent. Decides what `0-0` means, which is one byte
    /// only where one byte is due: a session that should hold more has lost them all.
    ///
    /// ```
    /// use longshore_oci::wire::UploadedRange;
    /// let empty: UploadedRange = "0-0".parse()?;
    /// assert_eq!((empty.bytes(0), empty.bytes(1), empty.bytes(500)), (0, 1, 0));
    /// # Ok::<(), longshore_oci::wire::RangeError>(())
    /// ```
    pub fn bytes(self, expected: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::NothingOrOneByte => u64::from(expected == 1),
            Self::Prefix(bytes) => bytes,
        }
    }
}

impl FromStr for UploadedRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = || malformed(text);
        let last = bare(text).strip_prefix("0-").ok_or_else(wrong)?;
        if last == "-1" {
            return Ok(Self::Nothing);
        }
        match number(last).ok_or_else(wrong)? {
            0 => Ok(Self::NothingOrOneByte),
            last => Ok(Self::Prefix(last.checked_add(1).ok_or_else(wrong)?)),
        }
    }
}

impl fmt::Display for UploadedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing | Self::Prefix(0) => f.write_str("0--1"),
            Self::NothingOrOneByte => f.write_str("0-0"),
            Self::Prefix(bytes) => write!(f, "0-{}", bytes - 1),
        }
    }
}

// === impl ChunkRange ===

impl ChunkRange {
    /// The chunk of `length` bytes at `offset`; none for an empty one, which has no
    /// range, and for one that ends beyond what can be counted.
    pub fn new(offset: u64, length: u64) -> Option<Self> {
        let end = offset.checked_add(length)?;
        (length > 0).then(|| Self {
            first: offset,
            last: end - 1,
        })
    }

    /// How many bytes it takes; none if it ends before it begins.
    pub fn length(self) -> u64 {
        self.last
            .checked_sub(self.first)
            .map_or(0, |more| more.saturating_add(1))
    }
}

impl fmt::Display for ChunkRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for ChunkRange {
    type Err = RangeError;

    /// Strict for `<first>-<last>`; a `bytes` unit and a total are tolerated, because clients send them.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = || malformed(text);
        let (first, last) = bare(text).split_once('-').ok_or_else(wrong)?;
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last && last < u64::MAX => {
                Ok(Self { first, last })
            }
            _ => Err(wrong()),
        }
    }
}

// === impl ByteRange ===

impl ByteRange {
    /// The bytes meant of content that has `length`: offset and count. None if there are none (416).
    pub fn resolve(self, length: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Self::From { first, last } => {
                let end = last.map_or(length, |last| last.saturating_add(1).min(length));
                (first, end)
            }
            Self::Last(0) => return None,
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        (first < end).then(|| (first, end - first))
    }
}

impl FromStr for ByteRange {
    type Err = RangeError;

    /// One range only; several are an error, to be answered with the whole content.
    /// A number too large to count stands for the largest one.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = || malformed(text);
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let (unit, range) = text.trim().split_once('=').ok_or_else(wrong)?;
        let (first, last) = range.trim().split_once('-').ok_or_else(wrong)?;
        if !unit.eq_ignore_ascii_case("bytes") || !digits(first) || !digits(last) {
            return Err(wrong());
        }
        let number = |text: &str| text.parse().unwrap_or(u64::MAX);
        match (first, last) {
            ("", "") => Err(wrong()),
            ("", last) => Ok(Self::Last(number(last))),
            (first, "") => Ok(Self::From {
                first: number(first),
                last: None,
            }),
            (first, last) if number(first) <= number(last) => Ok(Self::From {
                first: number(first),
                last: Some(number(last)),
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From { first, last: None } => write!(f, "bytes={first}-"),
            Self::From {
                first,
                last: Some(last),
            } => write!(f, "bytes={first}-{last}"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

// === impl ContentRange ===

impl FromStr for ContentRange {
    type Err = RangeError;

    /// `bytes <first>-<last>/<total>`, each side of the `/` possibly `*`, not both. The
    /// part must lie within the whole.
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = || malformed(text);
        let (range, total) = text.trim().split_once('/').ok_or_else(wrong)?;
        let (unit, range) = range.split_once(' ').ok_or_else(wrong)?;
        let range = match range.trim() {
            "*" => None,
            range => {
                let (first, last) = range.split_once('-').ok_or_else(wrong)?;
                Some((
                    number(first).ok_or_else(wrong)?,
                    number(last).ok_or_else(wrong)?,
                ))
            }
        };
        let total = match total {
            "*" => None,
            total => Some(number(total).ok_or_else(wrong)?),
        };
        let within = match (range, total) {
            (None, None) => false,
            (None, Some(_)) => true,
            (Some((first, last)), total) => first <= last && last < total.unwrap_or(u64::MAX),
        };
        if !within || !unit.eq_ignore_ascii_case("bytes") {
            return Err(wrong());
        }
        let range = range.map(|(first, last)| ChunkRange { first, last });
        Ok(Self { range, total })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.range {
            Some(range) => write!(f, "bytes {range}/")?,
            None => f.write_str("bytes */")?,
        }
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests;
