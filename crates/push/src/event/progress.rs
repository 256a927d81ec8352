//! One upload's progress: counted for every piece, told now and then.

use std::sync::atomic::{AtomicU64, Ordering};

use oci::{Descriptor, UploadObserver};

use super::{Event, Observer};

/// The fewest bytes between two events of one blob, its end excepted.
const STEP: u64 = 256 * 1024;

/// Turns what a target says about an upload into events, at most about a hundred a blob.
pub(crate) struct Progress<'a> {
    observer: &'a dyn Observer,
    blob: &'a Descriptor,
    step: u64,
    position: AtomicU64,
    told: AtomicU64,
    /// The lowest position anything was sent from; as large as it gets while nothing was.
    lowest: AtomicU64,
    /// Bytes sent in all.
    sent: AtomicU64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(observer: &'a dyn Observer, blob: &'a Descriptor) -> Self {
        Self {
            observer,
            blob,
            step: STEP.max(blob.size / 100),
            position: AtomicU64::new(0),
            told: AtomicU64::new(0),
            lowest: AtomicU64::new(u64::MAX),
            sent: AtomicU64::new(0),
        }
    }

    /// The lowest position anything was sent from, if anything was.
    pub(crate) fn lowest(&self) -> Option<u64> {
        let lowest = self.lowest.load(Ordering::Relaxed);
        (lowest != u64::MAX).then_some(lowest)
    }

    /// Bytes sent in all.
    pub(crate) fn total(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn tell(&self, position: u64) {
        self.told.store(position, Ordering::Relaxed);
        self.observer.event(&Event::Bytes {
            digest: self.blob.digest.clone(),
            position,
            size: self.blob.size,
        });
    }
}

impl UploadObserver for Progress<'_> {
    fn sent(&self, bytes: u64) {
        let before = self.position.fetch_add(bytes, Ordering::Relaxed);
        let position = before + bytes;
        self.lowest.fetch_min(before, Ordering::Relaxed);
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        let told = self.told.load(Ordering::Relaxed);
        if position.saturating_sub(told) >= self.step || position == self.blob.size {
            self.tell(position);
        }
    }

    fn rewound(&self, offset: u64) {
        if self.position.swap(offset, Ordering::Relaxed) != offset {
            self.tell(offset);
        }
    }
}
