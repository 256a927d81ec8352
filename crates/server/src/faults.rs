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
//!
//! # Several rules, one request
//!
//! All that hit it act, in this order: waits before it are added up; then comes what is
//! done in the registry's place; then what strikes while the body comes in; then what
//! replaces the answer; then waits before the answer; then changes to it, in the order
//! of their rules; then where it breaks off. Of actions of one kind that exclude one
//! another (two answers, two limits, two validations) the rule added first has its way.
//! What was done to a request stands in its [`Entry`](crate::Entry) of the log.

mod action;
mod answer;
mod chance;
mod file;
pub(crate) mod plan;
mod profile;
mod rule;
mod text;
mod time;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

pub use action::{Action, ChallengeForm, Latency, MissingStyle, RangeFault};
pub use answer::{Answer, RetryAfter};
use axum::http::HeaderMap;
pub use file::{FaultsFile, FaultsFileError};
pub(crate) use plan::{BodyFault, Plan};
pub use profile::Profile;
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
    pub(crate) headers: &'a HeaderMap,
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Arc<Installed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule; it counts requests from now on.
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

    /// Adds the rules that imitate a registry.
    pub fn imitate(&self, profile: Profile) {
        for rule in profile.rules() {
            self.add(rule);
        }
    }

    /// How many rules there are.
    pub fn count(&self) -> usize {
        self.rules().len()
    }

    /// Takes all rules back.
    pub fn clear(&self) {
        self.rules().clear();
    }

    /// What is to happen to this request. Counts it.
    pub(crate) fn plan(&self, asked: Asked<'_>) -> Plan {
        let rules = self.rules();
        let hits = rules.iter().filter_map(|it| Some((it, it.hit(asked)?)));
        Plan::new(hits.map(|(it, nth)| (it.rule.action.clone(), nth)))
    }
}

impl Installed {
    /// The number of the hit, from 1, if it is one.
    fn hit(&self, asked: Asked<'_>) -> Option<u64> {
        if !self.rule.fits(asked) {
            return None;
        }
        let nth = self.fitted.fetch_add(1, Ordering::Relaxed) + 1;
        self.rule
            .strikes(nth)
            .then(|| self.hits.fetch_add(1, Ordering::Relaxed) + 1)
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
