//! Plans and executes pushes.
//!
//! A push is three values, each made from the one before:
//!
//! ```text
//! Source ──plan──▶ Plan ──execute──▶ Report
//!                   │
//!                   └─explain──▶ text or JSON, with nothing sent
//! ```
//!
//! [`Engine::plan`] reads the source's manifests, asks the target what it holds, and decides
//! for everything whether to skip, mount or upload it, and why. A [`Plan`] is plain data: a
//! dry run is a plan that is printed and dropped.
//!
//! [`Engine::execute`] does what a plan says, children before the manifests that name them,
//! tags last. A plan is a forecast: a registry may refuse a mount that was hoped for. The
//! engine then falls back, and the [`Report`] holds what was planned beside what was done.
//!
//! [`Engine::push`] is both at once: what a repository holds is found out by the same
//! requests that get a blob there, so the first upload starts while others are still asked for.
//!
//! This crate speaks to no network. It reads through [`oci::Source`] and writes through
//! [`oci::PushTarget`]; what stands behind those is the caller's choice. [`source`] has the
//! ones that are files, [`LayoutTarget`] writes files, [`recording`] is a target for tests.

mod byte_size;
pub mod cache;
pub mod compose;
pub mod download;
mod embed;
mod engine;
mod error;
pub mod event;
mod execute;
pub mod fanout;
mod foreign;
mod graph;
pub mod index;
pub mod journal;
mod layout;
mod layout_archive;
pub mod mount;
mod options;
pub mod plan;
mod preflight;
pub mod recording;
pub mod report;
pub mod sightings;
pub mod source;
pub mod state;
mod verbatim;
mod verify;

pub use byte_size::ByteSize;
pub use embed::Rewritten;
pub use engine::{Engine, EngineBuilder};
pub use error::{GraphFault, NotMounted, Phase, PushError, Settled};
pub use event::{Done, Event, Observer};
pub use foreign::{ForeignEffect, ForeignLayer, ForeignLayers};
pub use index::BlobIndex;
pub use journal::Journal;
pub use layout::{LayoutError, LayoutTarget};
pub use layout_archive::ArchiveTarget;
pub use mount::{LayerRepos, MountStatus, MountableLayers};
pub use options::{AskFirst, Destination, Foreign, MustMount, Options, Sessions};
pub use plan::{Action, Bytes, Plan, Reason, Requests, Step, Totals};
pub use report::{ManifestDone, ManifestOutcome, Outcome, Report};
pub use sightings::Sightings;
pub use state::State;
