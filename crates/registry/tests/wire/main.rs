//! The client against a registry, on the wire.
//!
//! Nearly every test compares the whole conversation, as the registry saw it: what
//! was not asked for is asserted with it.

mod auth;
mod concurrency;
mod fixture;
mod hostile;
mod manifests;
mod mounts;
mod origins;
mod retries;
mod scripted;
mod sources;
mod timeouts;
mod tls;
mod uploads;
