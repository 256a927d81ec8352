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
}

impl<'a> Progress<'a> {
    pub(crate) fn new(observer: &'a dyn Observer, blob: &'a Descriptor) -> Self {
        Self {
            observer,
            blob,
            step: STEP.max(blob.size / 100),
            position: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
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
        let position = self.position.fetch_add(bytes, Ordering::Relaxed) + bytes;
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
