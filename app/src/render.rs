//! What the command prints: for people, for scripts, while it runs and when it ends.

pub(crate) mod human;
pub(crate) mod progress;

use std::fmt;

use oci::Digest;

/// The first twelve digits of a digest, with its algorithm: enough for people.
pub(crate) struct Short<'a>(pub(crate) &'a Digest);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.algorithm(), &self.0.encoded()[..12])
    }
}
