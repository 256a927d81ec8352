//! The grammar of the distribution specification, as headers and bodies carry it.
//!
//! Grammar only, for both ends: nothing here sends or answers.

pub mod challenge;
pub mod error;
pub mod range;
pub mod scope;

pub use challenge::{Challenge, ChallengeError};
pub use error::{ErrorBody, ErrorCode, ErrorEntry};
pub use range::{ByteRange, ChunkRange, ContentRange, RangeError, UploadedRange};
pub use scope::{Action, Scope, ScopeError, ScopeSet};

#[cfg(test)]
mod tests;
