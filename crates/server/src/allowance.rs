//! Memory for whole bodies: one bound for all that are held at the same time.
//!
//! A client may take as long as it likes to read an answer, or to send a manifest, and there
//! may be many of them. Whoever has a longer body in hand takes its length out of the
//! allowance until the last byte has left, or was used. Where nothing is left of it nobody
//! waits, which would let slow clients hold up others: the body goes a slower way, in pieces
//! that are read again or through a file.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body up to this length is held without counting, in bytes, inclusive.
pub(crate) const FREE_BYTES: usize = 16 * 1024;
/// What all longer ones may hold together, in bytes.
const ALL_BYTES: usize = 8 * 1024 * 1024;

/// Memory for whole bodies; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<Semaphore>);

/// A part of it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    counted: Option<OwnedSemaphorePermit>,
}

/// Bytes and what has to live as long as they do.
struct Held<T> {
    bytes: Bytes,
    _with: T,
}

impl Default for Allowance {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BYTES)))
    }
}

impl Allowance {
    /// Takes room for so many bytes, if there is any.
    pub(crate) fn take(&self, bytes: usize) -> Option<Taken> {
        if bytes <= FREE_BYTES {
            return Some(Taken { counted: None });
        }
        let count = u32::try_from(bytes).ok()?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(count).ok()?;
        Some(Taken {
            counted: Some(taken),
        })
    }
}

impl Taken {
    /// The bytes, which give back what was taken when the last of them is dropped.
    pub(crate) fn hold(self, bytes: Bytes) -> Bytes {
        match &self.counted {
            Some(_) => held_with(bytes, self),
            None => bytes,
        }
    }
}

/// The same bytes; `with` is dropped when the last of them is.
pub(crate) fn held_with(bytes: Bytes, with: impl Send + 'static) -> Bytes {
    Bytes::from_owner(Held { bytes, _with: with })
}

impl<T> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_with_its_last_byte() {
        let all = Allowance::default();
        let body = Bytes::from(vec![7; ALL_BYTES]);
        let held = all.take(body.len()).unwrap().hold(body);
        assert!(all.take(FREE_BYTES + 1).is_none());
        assert!(all.take(FREE_BYTES).is_some());
        let last = held.slice(ALL_BYTES - 1..);
        drop(held);
        assert!(all.take(FREE_BYTES + 1).is_none());
        drop(last);
        assert!(all.take(ALL_BYTES).is_some());
        assert!(all.take(ALL_BYTES + 1).is_none());
    }
}
