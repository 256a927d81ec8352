//! Error bodies: `{"errors":[{"code","message","detail"}]}`.
//!
//! [distribution-spec, Error Codes](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes).
//! A body may be anything (a proxy's HTML page): what cannot be read is simply no
//! errors.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Digest;

/// The most of an error body that is read, in bytes, inclusive.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The most errors kept of one body.
const MAX_ENTRIES: usize = 1024;
/// The most characters kept of a message.
const MAX_MESSAGE_CHARS: usize = 1024;

macro_rules! error_codes {
    ($($variant:ident = $text:literal, $what:literal;)*) => {
        /// What went wrong, in the registry's words.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $text, "`: ", $what)] $variant,)*
            /// A code the specification does not name.
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
                    other => Self::Other(other.chars().take(100).collect::<String>().into()),
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
            // Foreign text: no control characters reach a terminal or a log.
            let printable = message.chars().filter(|c| !c.is_control());
            write!(f, ": {}", printable.collect::<String>())?;
        }
        Ok(())
    }
}

impl ErrorBody {
    /// The errors of a body; none if it is too long, not JSON, or JSON of another kind.
    pub fn parse(bytes: &[u8]) -> Self {
        if bytes.len() > MAX_BODY_BYTES {
            return Self::default();
        }
        let mut body: Self = serde_json::from_slice(bytes).unwrap_or_default();
        body.errors.truncate(MAX_ENTRIES);
        for entry in &mut body.errors {
            if let Some(message) = &mut entry.message
                && let Some((cut, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS)
            {
                message.truncate(cut);
            }
        }
        body
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
        let mut found = Vec::new();
        for entry in &self.errors {
            if let Some(message) = &entry.message {
                digests_in(message, &mut found);
            }
            digests_in_value(&entry.detail, &mut found);
        }
        found
    }
}

fn digests_in_value(value: &Value, found: &mut Vec<Digest>) {
    match value {
        Value::String(text) => digests_in(text, found),
        Value::Array(values) => values.iter().for_each(|it| digests_in_value(it, found)),
        Value::Object(fields) => fields.values().for_each(|it| digests_in_value(it, found)),
        _ => {}
    }
}

fn digests_in(text: &str, found: &mut Vec<Digest>) {
    for (at, _) in text.match_indices("sha") {
        let candidate = &text[at..];
        let end = candidate
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == ':'))
            .unwrap_or(candidate.len());
        if let Ok(digest) = candidate[..end].parse::<Digest>()
            && !found.contains(&digest)
        {
            found.push(digest);
        }
    }
}
