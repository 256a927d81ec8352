//! The client against a registry, on the wire.
//!
//! Nearly every test compares the whole conversation, as the registry saw it: what
//! was not asked for is asserted with it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod ahead;
mod auth;
mod chunks;
mod commits;
mod concurrency;
mod crowded;
mod download;
mod elsewhere;
mod endpoints;
mod exchange;
mod fixture;
mod front;
mod helpers;
mod hostile;
mod hosts;
mod leaks;
mod manifests;
mod mounts;
mod origins;
mod pauses;
mod profiles;
mod proxies;
mod rates;
mod referrers;
mod resumes;
mod retries;
mod scripted;
mod set_up;
mod socks;
mod sources;
mod tags;
mod timeouts;
mod tls;
mod uploads;
mod versions;
