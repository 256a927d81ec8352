//! Assembles container images out of Dockerfiles that run nothing: Windows images on any
//! host, and Linux images by the same way.
//!
//! ```text
//! Dockerfile ──plan──▶ stages ┐                    ┌▶ LayerTree ──write_layer──▶ WrittenLayer
//! Bases ──────────────▶ Base ─┼─▶ Assembler ──────┤
//! Context, COPY and ADD ──────┘                    └▶ config, manifest ─▶ BuiltImage … ─▶ Built: oci::Source
//! ```
//!
//! - [`dockerfile`] reads a file into stages of instructions, says no to what cannot be done
//!   before anything is opened, and replaces variables.
//! - [`context`] is the directory that files come from and that none leaves; [`copy`] puts
//!   them into a [`LayerTree`], which settles names, case and parents while the sources are
//!   still known.
//! - [`write_layer`] makes a layer's blob of a tree in one pass, the same bytes every time,
//!   and [`lint_windows_layer`] says what Windows would not take of one, anybody's.
//! - [`base`] reads manifest and config of an image to build on, [`os_version`] chooses
//!   among those for several releases of Windows, [`configure`] puts the instructions over
//!   the config.
//! - [`assemble`] does all of it, for one release or for several that share what is new.
//! - [`packages`] translates package managers of Linux in a Dockerfile to choco, for builders
//!   that do run things; a build here never asks it.
//!
//! What comes of it is a contract between whoever builds and whoever pushes:
//!
//! ```text
//! UnverifiedImage ──verify──▶ BuiltImage ──into_source──▶ BuiltSource: oci::Source
//!        ▲                        │
//!        └────────── JSON ────────┘
//! ```
//!
//! A [`BuiltImage`] is a value: it can be kept, sent to another process as JSON
//! and read back, and exists only if config, manifest and layers agree. It says
//! where each layer's bytes are (a [`LayerSource`]) without holding them. A
//! [`BuiltSource`] opens them; layers of the base image come through the base's own
//! [`oci::Source`].
//!
//! The crate knows no registry and does not push: bases come through the port [`Bases`],
//! downloads through [`copy::Fetch`]. Nor does it run anything: that is the port
//! [`run::Runner`], which has no implementation yet but the one that says so.

pub mod assemble;
pub mod base;
mod built;
mod compress;
pub mod configure;
pub mod context;
pub mod copy;
pub mod dockerfile;
mod error;
mod event;
mod from_map;
mod header;
mod image_files;
mod inline;
mod layer;
mod layer_path;
mod layer_tar;
mod layer_writer;
mod lint;
mod names;
pub mod os_version;
pub mod packages;
mod pax;
pub mod run;
mod security;
mod source;
mod tree;

pub use assemble::{
    AssembleOptions, Assembler, BuildError, Built, BuiltPart, Copier, CopyFailure, CopyFrom,
    CopyJob, FetchedLayer, Release,
};
pub use base::{Base, BaseError, Bases, Wanted};
pub use built::{BuiltImage, UnverifiedImage};
pub use compress::{Compression, CompressionFormat};
pub use configure::{Configuration, ConfigureError, ConfigureWarning};
pub use error::{BuiltImageError, LayerField};
pub use event::{BuildEvent, BuildObserver, Events, RunStream};
pub use from_map::{FromMap, FromMapError};
pub use image_files::{ImageFault, ImageFilesError, ImageTree};
pub use inline::MAX_INLINE_BYTES;
pub use layer::{EmittedLayer, LayerSource};
pub use layer_path::{LayerPath, LayerPathError};
pub use layer_tar::{FileChange, LayerError, Timestamps};
pub use layer_writer::{LayerOptions, WrittenLayer, write_layer};
pub use lint::{
    Finding, LayerFault, LintError, LintOptions, LintReport, MAX_LINTED_ENTRIES, lint_windows_layer,
};
pub use names::{LEGACY_PATH_UNITS, MAX_NAME_UNITS, MAX_PATH_UNITS, NameFault};
pub use os_version::{OsVersion, VersionError};
pub use source::BuiltSource;
pub use tree::{
    Entry, EntryKind, FileBody, Folder, Kept, LayerStack, LayerTree, Listed, MAX_ENTRIES, Meta,
    NameRules, OpenFile, Origin, Owner, System, TreeError, TreeWarning,
};
