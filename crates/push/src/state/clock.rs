//! The time, as tests may set it.

use std::time::SystemTime;

/// Says what time it is.
#[derive(Clone, Debug)]
pub(super) enum Clock {
    System,
    #[cfg(test)]
    Set(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// Milliseconds since 1970.
    pub(super) fn millis(&self) -> u64 {
        match self {
            Self::System => super::millis(SystemTime::now()),
            #[cfg(test)]
            Self::Set(time) => time.load(std::sync::atomic::Ordering::Relaxed),
        }
    }
}
