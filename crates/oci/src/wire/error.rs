//! Error bodies: `{"errors":[{"code","message","detail"}]}`.
//!
//! [distribution-spec, Error Codes](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes).
//! A body may be anything: a proxy's HTML page, another vendor's JSON, half of
//! either. What can be read of it is kept, what cannot is simply no errors.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Digest;

mod digests;
mod reading;

/// The most of an error body that is read, in bytes, inclusive.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The most characters printed of a message. All of it is kept, because a message may
/// be the only place where a registry lists what is missing.
const MAX_PRINTED_CHARS: usize = 1024;

macro_rules! error_codes {
    ($($variant:ident = $text:literal, $what:literal;)*) => {
        /// What went wrong, in the registry's words.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $text, "`: ", $what)] $variant,)*
            /// A code the specification does not name, cut to 100 characters.
            Other(Box<str>),
        }

        impl ErrorCode {
            /// The code as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(other) => other,
                }
            }
        }

        impl From<&str> for ErrorCode {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    // Blanks first: what is cut may be all that can be seen.
                    other => Self::Other(printable(printable(other, other.len()).trim(), 100).into()),
                }
            }
        }
    };
}

error_codes! {
    BlobUnknown = "BLOB_UNKNOWN", "the blob is not in the repository.";
    BlobUploadInvalid = "BLOB_UPLOAD_INVALID", "the upload is not one that can go on.";
    BlobUploadUnknown = "BLOB_UPLOAD_UNKNOWN", "there is no such upload session.";
    DigestInvalid = "DIGEST_INVALID", "the content does not have the digest it was given.";
    ManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN", "the manifest names content that is not there.";
    ManifestInvalid = "MANIFEST_INVALID", "the manifest is not one.";
    ManifestUnknown = "MANIFEST_UNKNOWN", "there is no such manifest.";
    NameInvalid = "NAME_INVALID", "the repository's name is not one.";
    NameUnknown = "NAME_UNKNOWN", "there is no such repository.";
    SizeInvalid = "SIZE_INVALID", "the length is not the one that was given.";
    Unauthorized = "UNAUTHORIZED", "authentication is required.";
    Denied = "DENIED", "what is asked for is not allowed.";
    Unsupported = "UNSUPPORTED", "what is asked for is not supported.";
    TooManyRequests = "TOOMANYREQUESTS", "there were too many requests.";
    TagInvalid = "TAG_INVALID", "the manifest's tag did not match the URL's (not in the specification).";
    Unknown = "UNKNOWN", "an error without a name (not in the specification).";
}

/// One error of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// What went wrong.
    #[serde(default = "unknown")]
    pub code: ErrorCode,
    /// The same, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Anything. Often a digest, or an object that holds one.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// The body of an answer that says no.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The errors, in order.
    #[serde(default)]
    pub errors: Vec<ErrorEntry>,
}

fn unknown() -> ErrorCode {
    ErrorCode::Unknown
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(&*std::borrow::Cow::<'de, str>::deserialize(
            deserializer,
        )?))
    }
}

impl ErrorEntry {
    /// An error with neither message nor detail.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            detail: Value::Null,
        }
    }

    /// The same with a message.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Value>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for ErrorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if let Some(message) = &self.message {
            write!(f, ": {}", printable(message, MAX_PRINTED_CHARS))?;
        }
        Ok(())
    }
}

impl ErrorBody {
    /// The errors of a body, as far as they can be read.
    ///
    /// Beside the specification's form these are read: a list or object without
    /// `errors` around it; a single error as `{"message"}`, `{"code", "message"}`, `{"error":
    /// …}` (OAuth's `error_description` too) or `{"detail"}`; codes that are numbers, errors that
    /// are only texts. A body that is cut off yields the errors before the cut, and only
    /// the first [`MAX_BODY_BYTES`] are looked at. HTML, plain text and nothing are no errors.
    ///
    /// ```
    /// use longshore_oci::wire::{ErrorBody, ErrorCode};
    /// let body = ErrorBody::parse(br#"{"errors":[{"code":"BLOB_UNKNOWN"},{"code":"DEN"#);
    /// assert!(body.has(&ErrorCode::BlobUnknown));
    /// assert_eq!(body.errors.len(), 1);
    /// assert_eq!(ErrorBody::parse(b"<html>Bad Gateway</html>"), ErrorBody::default());
    /// ```
    pub fn parse(bytes: &[u8]) -> Self {
        Self {
            errors: reading::errors(&bytes[..bytes.len().min(MAX_BODY_BYTES)]),
        }
    }

    /// A body of one error.
    pub fn one(entry: ErrorEntry) -> Self {
        Self {
            errors: vec![entry],
        }
    }

    /// Whether any error has this code.
    pub fn has(&self, code: &ErrorCode) -> bool {
        self.errors.iter().any(|entry| entry.code == *code)
    }

    /// Every digest that occurs in a message or detail, each once, in order.
    ///
    /// Registries name what is missing in many ways: `detail` as a string, an object or
    /// a list, or only inside the message. What is found are *candidates*: a registry may
    /// name the first missing digest only, or one that is not missing at all.
    pub fn mentioned_digests(&self) -> Vec<Digest> {
        let mut found = digests::Mentioned::default();
        for entry in &self.errors {
            found.in_text(entry.message.as_deref().unwrap_or_default());
            found.in_value(&entry.detail);
        }
        found.into_vec()
    }
}

/// Foreign text for a terminal or log: no control characters and none that turn the
/// direction of writing, at most `limit` characters.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let turns = |c| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|&c| !c.is_control() && !turns(c))
        .take(limit)
        .collect()
}

#[cfg(test)]
mod tests;
