//! Faults: says no on cue.
//!
//! A [`Rule`] names requests (endpoint, method, path, which of them) and what is
//! to happen to each (an [`Action`]). Rules are added to a running server through
//! the [`Faults`] handle and count the requests they hit, so that a test can
//! assert that its fault did happen.
//!
//! ```
//! use longshore_server::{Action, Answer, Endpoint, Faults, Rule};
//! let faults = Faults::new();
//! // The second PATCH breaks after 1000 bytes of its body.
//! let broken = faults.add(Rule::on(Endpoint::UploadPatch).nth(2).act(Action::ResetAtByte(1000)));
//! // Every mount is told to come back later.
//! let busy = Answer::new(503).header("retry-after", "1");
//! faults.add(Rule::on(Endpoint::Mount).act(Action::Answer(busy)));
//! assert_eq!(broken.hits(), 0);
//! ```

mod action;
pub(crate) mod plan;
mod rule;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

pub use action::{Action, Answer};
pub(crate) use plan::{BodyFault, Plan};
pub use rule::Rule;

use crate::endpoint::Endpoint;

/// The faults of a server: a handle, cheap to clone, that works while it runs.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Arc<Installed>>>>);

/// A rule that was added: says how often it hit, and takes it back.
#[derive(Clone, Debug)]
pub struct Installation {
    installed: Arc<Installed>,
    faults: Faults,
}

#[derive(Debug)]
struct Installed {
    rule: Rule,
    /// Requests that fitted so far, whether it was their turn or not.
    fitted: AtomicU64,
    hits: AtomicU64,
}

/// What of a request rules look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Arc<Installed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule; it counts requests from now on. Where several rules fit one
    /// request, all act; of those that would answer in the registry's place the first added does.
    pub fn add(&self, rule: Rule) -> Installation {
        let installed = Arc::new(Installed {
            rule,
            fitted: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        });
        self.rules().push(Arc::clone(&installed));
        Installation {
            installed,
            faults: self.clone(),
        }
    }

    /// Takes all rules back.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// What is to happen to this request. Counts it.
    pub(crate) fn plan(&self, asked: Asked<'_>) -> Plan {
        let rules = self.rules();
        let hits = rules.iter().filter(|it| it.hit(asked));
        Plan::new(hits.map(|it| it.rule.action.clone()))
    }
}

impl Installed {
    fn hit(&self, asked: Asked<'_>) -> bool {
        if !self.rule.fits(asked) {
            return false;
        }
        let nth = self.fitted.fetch_add(1, Ordering::Relaxed) + 1;
        let hit = self.rule.turn.contains(nth);
        if hit {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        hit
    }
}

impl Installation {
    /// How many requests it was done to.
    pub fn hits(&self) -> u64 {
        self.installed.hits.load(Ordering::Relaxed)
    }

    /// Takes the rule back.
    pub fn remove(&self) {
        self.faults
            .rules()
            .retain(|it| !Arc::ptr_eq(it, &self.installed));
    }
}

#[cfg(test)]
mod tests;
