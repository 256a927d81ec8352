//! Memory beyond the little that every request has: one bound for all of it together.
//!
//! A client may take as long as it likes to read an answer, or to send a manifest, and there
//! may be many of them. Whoever has much in hand takes it out of the allowance until the last
//! byte has left, or was used: whole manifests, lists and pages, large pieces of blobs, large
//! buffers of connections, windows of HTTP/2. Where nothing is left of it nobody waits, which
//! would let slow clients hold up others: it goes a slower way, in small pieces or through a file.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A body up to this length is held without counting, in bytes, inclusive.
pub(crate) const FREE_BYTES: usize = 16 * 1024;
/// What all longer ones may hold together, in bytes.
const ALL_BYTES: usize = 12 * 1024 * 1024;
/// So much is left by who could do with less, for those who could do with nothing, in bytes.
const LEFT_BYTES: usize = 5 * 1024 * 1024;

/// Memory that is shared by all; cheap to clone.
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

impl Allowance {
    /// Takes room for so many bytes, however few, if that leaves enough for others.
    pub(crate) fn take_spare(&self, bytes: usize) -> Option<Taken> {
        self.take_leaving(bytes, LEFT_BYTES)
    }

    /// Takes room for so many bytes, however few, if that leaves so many.
    pub(crate) fn take_leaving(&self, bytes: usize, left: usize) -> Option<Taken> {
        if self.0.available_permits() < bytes.saturating_add(left) {
            return None;
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

    #[test]
    fn who_could_do_with_less_leaves_some_to_others() {
        let all = Allowance::default();
        let rest = ALL_BYTES - LEFT_BYTES;
        assert!(all.take_spare(rest + 1).is_none());
        let taken = all.take_spare(rest).unwrap();
        assert!(all.take_spare(1).is_none());
        assert!(all.take(LEFT_BYTES).is_some());
        drop(taken);
        assert!(all.take_spare(1).is_some());
    }
}
