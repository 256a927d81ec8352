//! Upload sessions, as their owner keeps them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An upload session: where it goes on, and how much of the blob the registry has acknowledged.
///
/// Opaque to the engine; kept in a journal to be resumed. The location may be
/// signed by the registry, so `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadSession {
    location: String,
    acknowledged: u64,
    chunk_minimum: u64,
}

impl UploadSession {
    /// A session at `location` (an absolute URL) that holds nothing yet.
    pub fn new(location: impl Into<String>) -> Self {
        Self {
            location: location.into(),
            acknowledged: 0,
            chunk_minimum: 0,
        }
    }

    /// The same with `bytes` acknowledged.
    #[must_use]
    pub fn with_acknowledged(mut self, bytes: u64) -> Self {
        self.acknowledged = bytes;
        self
    }

    /// The same with the registry's smallest chunk, in bytes; 0 for none.
    #[must_use]
    pub fn with_chunk_minimum(mut self, bytes: u64) -> Self {
        self.chunk_minimum = bytes;
        self
    }

    /// The newest location, an absolute URL. Secret: it may carry a signature.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// How many bytes the registry has acknowledged, from the start of the blob.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The smallest chunk the registry takes, in bytes, the last one excepted; 0 for any.
    pub fn chunk_minimum(&self) -> u64 {
        self.chunk_minimum
    }
}

impl fmt::Debug for UploadSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadSession")
            .field("acknowledged", &self.acknowledged)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::UploadSession;

    #[test]
    fn a_session_keeps_what_it_knows_through_json_and_prints_no_location() {
        let it = UploadSession::new("https://h/v2/a/blobs/uploads/1?signature=secret")
            .with_acknowledged(7)
            .with_chunk_minimum(5);
        let json = serde_json::to_string(&it).expect("json");
        let read: UploadSession = serde_json::from_str(&json).expect("a session");
        assert_eq!(read, it);
        assert_eq!((read.acknowledged(), read.chunk_minimum()), (7, 5));
        let text = format!("{it:?}");
        assert!(!text.contains("secret") && text.contains('7'), "{text}");
    }
}
