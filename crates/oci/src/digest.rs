//! Digests: an algorithm and a hash, parsed once and typed from then on.
//!
//! Grammar: [image-spec, Descriptor, Digests](https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests).
//! Only the two registered algorithms are accepted: a digest whose content
//! nobody here can check is worth nothing.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{self as hash, Context};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

mod referrers_tag;

/// A hash algorithm that content is addressed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256: 32 bytes, 64 lower-case hex digits. What everybody uses.
    Sha256,
    /// SHA-512: 64 bytes, 128 lower-case hex digits.
    Sha512,
}

/// The digest of some content: an algorithm and the hash it gave.
///
/// Parsed from text such as `sha256:e3b0c442…`; prints as the same text. The
/// encoded part is lower-case hex of exactly the algorithm's length, so a
/// `Digest` is always safe in a path and in a URL.
///
/// ```
/// use longshore_oci::Digest;
/// let empty = Digest::of(b"");
/// assert_eq!(empty.encoded().len(), 64);
/// assert_eq!(empty.to_string().parse::<Digest>()?, empty);
/// # Ok::<(), longshore_oci::DigestError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    encoded: Box<str>,
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// No `:` between algorithm and hash.
    #[error("digest {0:?} has no algorithm: expected sha256:<64 hex digits>")]
    NoAlgorithm(String),
    /// An algorithm that is neither `sha256` nor `sha512`.
    #[error("digest algorithm {0:?} is not supported: use sha256 or sha512")]
    UnknownAlgorithm(String),
    /// The hash is not lower-case hex of the algorithm's length.
    #[error("digest {text:?} is malformed: {algorithm} takes {expected} lower-case hex digits")]
    Malformed {
        /// The text as it was given, cut to 160 characters.
        text: String,
        /// The algorithm it names.
        algorithm: Algorithm,
        /// How many hex digits that algorithm takes.
        expected: usize,
    },
}

/// Hashes content as it goes by, and says at the end whether it was the right one.
///
/// ```
/// use longshore_oci::{Algorithm, Digest, Hasher};
/// let mut hasher = Hasher::new(Algorithm::Sha256);
/// hasher.update(b"con");
/// hasher.update(b"tent");
/// assert_eq!(hasher.bytes(), 7);
/// assert_eq!(hasher.check(&Digest::of(b"content")), Ok(()));
/// ```
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: Context,
    bytes: u64,
}

// === impl Algorithm ===

impl Algorithm {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hex digits a hash takes.
    pub const fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    fn implementation(self) -> &'static hash::Algorithm {
        match self {
            Self::Sha256 => &hash::SHA256,
            Self::Sha512 => &hash::SHA512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name() == text)
            .ok_or_else(|| DigestError::UnknownAlgorithm(shortened(text)))
    }
}

// === impl Digest ===

impl Digest {
    /// The SHA-256 digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self::of_with(Algorithm::Sha256, content)
    }

    /// The digest of `content` under `algorithm`.
    pub fn of_with(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash as lower-case hex, without the algorithm.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// Whether `content` has this digest.
    pub fn matches(&self, content: &[u8]) -> bool {
        Self::of_with(self.algorithm, content) == *self
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.encoded)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text
            .split_once(':')
            .ok_or_else(|| DigestError::NoAlgorithm(shortened(text)))?;
        let algorithm: Algorithm = algorithm.parse()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if encoded.len() != algorithm.hex_len() || !encoded.bytes().all(is_hex) {
            return Err(DigestError::Malformed {
                text: shortened(text),
                algorithm,
                expected: algorithm.hex_len(),
            });
        }
        Ok(Self {
            algorithm,
            encoded: encoded.into(),
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

// === impl Hasher ===

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            context: Context::new(algorithm.implementation()),
            bytes: 0,
        }
    }

    /// A hasher for content that should have this digest.
    pub fn for_digest(digest: &Digest) -> Self {
        Self::new(digest.algorithm())
    }

    /// Takes the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes went by so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all that went by.
    pub fn finish(self) -> Digest {
        let hash = self.context.finish();
        let mut encoded = String::with_capacity(self.algorithm.hex_len());
        for byte in hash.as_ref() {
            encoded.push(hex_digit(byte >> 4));
            encoded.push(hex_digit(byte & 0xf));
        }
        Digest {
            algorithm: self.algorithm,
            encoded: encoded.into(),
        }
    }

    /// Whether all that went by has the digest `expected`; the digest it has
    /// instead, if not.
    pub fn check(self, expected: &Digest) -> Result<(), Digest> {
        let actual = self.finish();
        if actual == *expected {
            Ok(())
        } else {
            Err(actual)
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

fn hex_digit(nibble: u8) -> char {
    char::from(if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + nibble - 10
    })
}

/// Foreign text in an error is cut, so that an error stays readable.
fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

#[cfg(test)]
mod tests;
