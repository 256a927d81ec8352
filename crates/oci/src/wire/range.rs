//! Ranges, in every form registries write them.
//!
//! Three headers that look alike and are not: what an upload session holds
//! (`Range: 0-499`, distribution-spec), what a chunk is (`Content-Range: 0-499`,
//! no unit, no total), and what part of a blob is wanted
//! (`Range: bytes=0-499`, [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-14.2)).

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
    /// The first `n` bytes, two or more.
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

// === impl UploadedRange ===

impl UploadedRange {
    /// What to write for the first `bytes` of a blob; `0-0` for none, as distribution does.
    pub fn of(bytes: u64) -> Self {
        match bytes {
            0 | 1 => Self::NothingOrOneByte,
            more => Self::Prefix(more),
        }
    }

    /// How many bytes the registry holds, given how many it had acknowledged
    /// before: decides what `0-0` means.
    pub fn bytes(self, acknowledged: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::NothingOrOneByte => acknowledged.min(1),
            Self::Prefix(bytes) => bytes,
        }
    }
}

impl FromStr for UploadedRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = || malformed(text);
        let range = text.trim();
        let range = range.strip_prefix("bytes").unwrap_or(range);
        let range = range.trim_start_matches(['=', ' ']);
        let range = range.split('/').next().unwrap_or_default();
        let last = range.strip_prefix("0-").ok_or_else(wrong)?;
        if last == "-1" {
            return Ok(Self::Nothing);
        }
        match number(last)
            .filter(|_| !last.is_empty())
            .ok_or_else(wrong)?
        {
            0 => Ok(Self::NothingOrOneByte),
            last => Ok(Self::Prefix(last.checked_add(1).ok_or_else(wrong)?)),
        }
    }
}

impl fmt::Display for UploadedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("0--1"),
            Self::NothingOrOneByte => f.write_str("0-0"),
            Self::Prefix(bytes) => write!(f, "0-{}", bytes - 1),
        }
    }
}

// === impl ChunkRange ===

impl ChunkRange {
    /// The chunk of `length` bytes at `offset`; none for an empty one, which has no range.
    pub fn new(offset: u64, length: u64) -> Option<Self> {
        Some(Self {
            first: offset,
            last: offset.checked_add(length.checked_sub(1)?)?,
        })
    }

    /// How many bytes it takes.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
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
        let range = text.trim();
        let range = range.strip_prefix("bytes").unwrap_or(range);
        let range = range.trim_start_matches(['=', ' ']);
        let range = range.split('/').next().unwrap_or_default();
        let (first, last) = range.split_once('-').ok_or_else(wrong)?;
        match (number(first), number(last)) {
            (Some(first), Some(last))
                if first <= last && last < u64::MAX && !range.starts_with('-') =>
            {
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
    fn from_str(text: &str) -> Result<Self, RangeError> {
        let wrong = || malformed(text);
        let range = text.trim().strip_prefix("bytes=").ok_or_else(wrong)?;
        let (first, last) = range.split_once('-').ok_or_else(wrong)?;
        match (first, last) {
            ("", last) if !last.is_empty() => number(last).map(Self::Last),
            (first, "") if !first.is_empty() => {
                number(first).map(|first| Self::From { first, last: None })
            }
            ("", _) => None,
            (first, last) => number(first)
                .zip(number(last))
                .filter(|(first, last)| first <= last)
                .map(|(first, last)| Self::From {
                    first,
                    last: Some(last),
                }),
        }
        .ok_or_else(wrong)
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
