//! Time limits, each for one kind of waiting.
//!
//! None of them limits how long a body may take: only how long nothing may happen.

use std::time::Duration;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until a connection stands, name lookup and TLS included. 10 s.
    pub connect: Duration,
    /// While a body moves: the longest time in which no byte moves. Also until the answer to a
    /// request without a large body. 60 s.
    pub idle: Duration,
    /// From the last byte of a blob or manifest to the answer: the registry hashes and stores
    /// meanwhile. 5 min, and a second more for every 10 MiB.
    pub commit: Duration,
    /// For a whole request, its body included; none by default.
    pub total: Option<Duration>,
}

/// Which limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Connect,
    Idle,
    Commit,
    /// The source of a body, which has limits of its own, gave nothing.
    Source,
    Total,
}

/// How fast, at the least, a registry is expected to store what it has received, in bytes a second.
const STORE_RATE: u64 = 10 * 1024 * 1024;

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            commit: Duration::from_mins(5),
            total: None,
        }
    }
}

impl Timeouts {
    /// The same with another limit for connecting.
    #[must_use]
    pub fn with_connect(self, connect: Duration) -> Self {
        Self { connect, ..self }
    }

    /// The same with another limit for standing still.
    #[must_use]
    pub fn with_idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// The same with another limit for the answer to a whole body.
    #[must_use]
    pub fn with_commit(self, commit: Duration) -> Self {
        Self { commit, ..self }
    }

    /// The same with a limit for whole requests.
    #[must_use]
    pub fn with_total(self, total: Option<Duration>) -> Self {
        Self { total, ..self }
    }

    /// How long the answer to a body of `bytes` may take, from its last byte.
    pub(crate) fn commit_of(&self, bytes: u64) -> Duration {
        self.commit
            .saturating_add(Duration::from_secs(bytes / STORE_RATE))
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection within the connect limit",
            Self::Idle => "nothing moved within the idle limit",
            Self::Commit => "no answer within the commit limit",
            Self::Source => "nothing came from the source within the idle and the commit limit",
            Self::Total => "not done within the total limit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_the_commit_limit_is_five_minutes_at_least_and_grows_with_the_blob() {
        let limits = Timeouts::default();
        let five = Duration::from_mins(5);
        assert_eq!(limits.commit_of(0), five);
        let of_gib = |gib: u64| limits.commit_of(gib << 30);
        assert!(of_gib(1) > five && of_gib(20) > of_gib(1));
        // One of a user's own is a limit of its own: the others stay as they are.
        let own = limits.with_commit(Duration::from_mins(9));
        assert_eq!(own.commit_of(0), Duration::from_mins(9));
        assert_eq!((own.idle, own.connect), (limits.idle, limits.connect));
    }
}
