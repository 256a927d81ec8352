//! Grace: how long content is kept that nothing refers to yet.
//!
//! A client pushes blobs first and the manifest that names them last, or asks
//! whether a blob is there and leaves it out of its push. So each blob and manifest
//! of a repository has a time at which somebody last relied on it, and garbage
//! collection leaves alone what is younger than the grace period.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Tells the time; tests drive it.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

/// How long content is kept, and what time it is.
#[derive(Clone, Debug)]
pub(crate) struct Grace {
    period: Duration,
    clock: Clock,
}

// === impl Grace ===

impl Grace {
    pub(crate) fn new(period: Duration, clock: Clock) -> Self {
        Self { period, clock }
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.clock.0)()
    }

    /// What is noted as relied on before this is over. What was not noted, as something younger
    /// was, still has its whole period: so this is later by as much as that may be.
    pub(crate) fn cutoff(&self) -> SystemTime {
        let now = self.now();
        now.checked_sub(self.period + self.unnoted())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The time to note for something relied on now; none if what is noted is young enough,
    /// so that a blob that is asked for all the time is not written to all the time.
    pub(crate) fn renewed(&self, noted: SystemTime) -> Option<SystemTime> {
        let now = self.now();
        let age = now.duration_since(noted).unwrap_or_default();
        (age >= self.unnoted()).then_some(now)
    }

    /// For so long it is not noted that something is relied on again.
    fn unnoted(&self) -> Duration {
        self.period / 16
    }
}

// === impl Clock ===

impl Clock {
    /// The system's.
    pub(crate) fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// One that is driven.
    #[cfg(test)]
    pub(crate) fn driven(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
