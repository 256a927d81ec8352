//! What cannot be kept for later runs: one warning, whatever it is and whoever finds out first.
//!
//! The journal of sessions and the index of blobs are most often one file, and several
//! destinations share both: a disk that is full is told of once in an engine's life. The push
//! goes on as without them.

use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    event::{Event, Observer},
    journal::StateError,
};

/// Whether it was told.
#[derive(Debug, Default)]
pub(crate) struct Unkept(AtomicBool);

impl Unkept {
    /// Tells of it, unless that was done.
    pub(super) fn tell(&self, observer: &dyn Observer, error: &StateError) {
        if self.0.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut message = format!(
            "what is learned is not kept for later runs, and uploads that are interrupted start \
             anew: {error}"
        );
        let mut next = error.source();
        while let Some(cause) = next {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            next = cause.source();
        }
        observer.event(&Event::Warning { message });
    }
}
