//! The registry as a client meets it: real requests over real sockets.
//!
//! One binary, a module for each behaviour. [`client`] speaks plain HTTP/1.1, with
//! the bytes on the wire under a test's control.

mod auth;
mod blobs;
mod client;
mod directory;
mod faults;
mod log;
mod manifests;
mod refusals;
mod tags;
mod tls;
mod uploads;
