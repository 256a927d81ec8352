//! Mounts that were refused without a reason, and when they say something of the registry.
//!
//! One refusal (202, with a session) says little: a repository may have lost the blob, an account may
//! not read it. [`ENOUGH`] of them, of more than one blob, each from where it was known to be,
//! and none given: such a registry refuses them all. Where mounts are turned off it does so for good
//! ([Amazon ECR](https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html), the registry
//! in [go-containerregistry](https://github.com/google/go-containerregistry/tree/main/pkg/registry)).

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use oci::{Digest, Mounting};
use serde::{Deserialize, Serialize};

/// What stores call them.
pub(crate) const KEY: &str = "refused-mounts";
/// How many refusals in a row are enough.
const ENOUGH: usize = 3;
/// How long they are gone by before one blob is to find out anew: a day, so that a registry whose
/// mounts are turned on is found out by the next day, and one that has none costs a few requests
/// in a day.
const BELIEVED: Duration = Duration::from_hours(24);

/// The blobs of the latest mounts that were refused although they were where they were asked
/// from; the oldest first, none if one was given since. At most three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Refusals(Vec<Digest>);

impl Refusals {
    /// The same after one more.
    #[must_use]
    pub(crate) fn and(mut self, blob: &Digest) -> Self {
        self.0.push(blob.clone());
        // What a store had may be longer.
        let over = self.0.len().saturating_sub(ENOUGH);
        self.0.drain(..over);
        self
    }

    /// How many are counted: three at the most.
    pub fn count(&self) -> usize {
        self.0.len().min(ENOUGH)
    }

    /// Whether they are enough to say that the registry refuses all mounts.
    pub fn are_enough(&self) -> bool {
        let blobs: HashSet<&Digest> = self.0.iter().collect();
        self.0.len() >= ENOUGH && blobs.len() > 1
    }

    /// What they say of the registry, the last of them having been seen `at`; none is now.
    pub(crate) fn say(&self, at: Option<SystemTime>, now: SystemTime) -> Mounting {
        let age = at.map_or(Duration::ZERO, |at| {
            now.duration_since(at).unwrap_or_default()
        });
        match (self.are_enough(), age <= BELIEVED) {
            (false, _) => Mounting::Tried,
            (true, true) => Mounting::Refused,
            (true, false) => Mounting::Doubted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use oci::{Digest, Mounting};

    use super::{BELIEVED, ENOUGH, Refusals};

    fn of(blobs: &str) -> Refusals {
        let each = blobs
            .chars()
            .map(|it| Digest::of(it.to_string().as_bytes()));
        each.fold(Refusals::default(), |refusals, it| refusals.and(&it))
    }

    #[test]
    fn three_refusals_of_more_than_one_blob_are_enough() {
        for (blobs, enough) in [
            ("", false),
            ("a", false),
            ("ab", false),
            ("aaa", false),
            ("aaaaab", true),
            ("aba", true),
            ("abc", true),
            ("abcc", true),
            ("abccc", false),
        ] {
            assert_eq!(of(blobs).are_enough(), enough, "{blobs}");
            assert_eq!(of(blobs).count(), blobs.len().min(ENOUGH), "{blobs}");
        }
    }

    #[test]
    fn they_are_doubted_after_a_day() {
        let now = SystemTime::now();
        let refused = of("aab");
        assert_eq!(refused.say(None, now), Mounting::Refused);
        assert_eq!(refused.say(Some(now - BELIEVED), now), Mounting::Refused);
        let second = Duration::from_secs(1);
        let doubted = refused.say(Some(now - BELIEVED - second), now);
        assert_eq!(doubted, Mounting::Doubted);
        // Clocks differ.
        assert_eq!(refused.say(Some(now + second), now), Mounting::Refused);
        let few = of("aaa");
        assert_eq!(few.say(Some(now - BELIEVED - second), now), Mounting::Tried);
    }
}
