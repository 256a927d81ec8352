//! An embedded OCI registry: for tests, for demos, for air gaps.
//!
//! ```text
//!   socket ─▶ connection ─▶ exchange ─▶ uploads · blobs · manifests · tags · referrers ─▶ Store
//!   (resets)   (h1, h2, TLS)  (log, faults, auth)                          memory │ directory │ read-only
//! ```
//!
//! It speaks the [distribution
//! specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md),
//! stores what it is given byte for byte, refuses manifests whose children are
//! missing and names every one of them. Two things make it a registry for tests:
//!
//! - **It remembers every request** in a [`RequestLog`], complete before the client
//!   has the answer, so that a test can compare whole conversations.
//! - **It says no on cue**: [`Faults`] break any request at any byte.
//!
//! Three decisions shape it. Routing reads a path from its end, because a
//! repository's name may hold any number of slashes. A request runs as a task of
//! its own, so that a connection that dies loses nothing that had arrived. And an
//! answer that refuses a body leaves at once, while the body is still read and
//! dropped within a bound, so that the client gets to see why.
//!
//! ```
//! use longshore_server::Server;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let server = Server::builder().memory().start().await?;
//! // … a client talks to server.registry() …
//! assert_eq!(server.log().lines(), Vec::<String>::new());
//! server.shutdown().await;
//! # Ok::<(), longshore_server::ServerError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access_log;
mod activity;
mod allowance;
mod answer;
mod app;
mod auth;
mod blobs;
mod body;
mod builder;
mod clients;
mod condition;
mod endpoint;
mod error;
mod exchange;
mod faults;
mod garbage;
mod health;
mod leaving;
mod lists;
mod log;
mod manifests;
mod metrics;
mod options;
mod page;
mod referrers;
mod route;
mod running;
mod secret;
mod service;
mod sessions;
mod socket;
mod solo;
mod store;
mod tags;
mod tamper;
mod tls;
mod upkeep;
mod uploads;
mod warning;
mod watch;

pub use access_log::{AccessLog, AccessLogFormat};
pub use auth::{
    Auth, Bearer, Grant, HtpasswdError, HtpasswdFault, PatternError, RepositoryPattern, RuleFault,
    Rules, RulesError, Users, Who,
};
pub use builder::{Server, ServerBuilder};
pub use endpoint::Endpoint;
pub use error::ServerError;
pub use faults::{
    Action, Answer, ChallengeForm, Faults, FaultsFile, FaultsFileError, Installation, Latency,
    MissingStyle, Profile, RangeFault, RetryAfter, Rule,
};
pub use log::{Authorization, Entry, LoggedHeaders, Outcome, RequestLog};
pub use options::{Collection, Limits, UploadOptions, Validation};
pub use running::RunningServer;
pub use secret::Secret;
pub use store::{Collected, Image, ImageError, ReadOnly, Tally};
pub use tls::{SelfSigned, SelfSignedError, TlsFault, TlsFileError};
pub use warning::{Warning, WarningError};
