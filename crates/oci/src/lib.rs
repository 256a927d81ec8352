//! The nouns and grammars of the OCI specifications, and the two ports that
//! everything else meets at.
//!
//! ```text
//!   nouns      Digest · Reference · MediaType · Descriptor · Platform · Document
//!              Manifest · Index · ImageConfig · layout
//!   grammar    wire::{challenge, scope, range, error}
//!   ports      Source ──▶ bytes that can be pushed      PushTarget ──▶ a repository
//! ```
//!
//! Three decisions shape the crate:
//!
//! - **Raw bytes are the only currency for manifests.** A [`Document`] is made
//!   from bytes and yields bytes; [`Manifest`] and [`Index`] are read-only views
//!   with no way back, so a digest can never change by passing through here.
//! - **[`Source::open`] is the only way to bytes.** Retry, resume and chunking
//!   are then one mechanism: ask again, from another offset.
//! - **A target is one repository**, and needs two methods to be one; what a
//!   [`PushTarget`] does not say, it does not claim.
//!
//! The crate knows nothing of files, sockets or a runtime.
//!
//! # Example
//!
//! ```
//! use longshore_oci::{Document, MediaType, Reference};
//!
//! let destination: Reference = "127.0.0.1:5000/team/app:1.2".parse()?;
//! assert_eq!(destination.repository().path(), "team/app");
//!
//! let manifest = Document::new(
//!     br#"{
//!       "schemaVersion": 2,
//!       "config": {
//!         "mediaType": "application/vnd.oci.image.config.v1+json", "size": 2,
//!         "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
//!       },
//!       "layers": null
//!     }"#
//!     .as_slice()
//!     .into(),
//!     None,
//! )?;
//! assert_eq!(manifest.media_type(), &MediaType::OCI_MANIFEST, "by its shape");
//! for blob in manifest.children().filter(|blob| !blob.is_foreign()) {
//!     assert!(blob.digest.matches(b"{}"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod layout;
pub mod manifest;
pub mod media_type;
mod nullable;
pub mod platform;
pub mod reference;
pub mod source;
pub mod target;
mod told;
pub mod wire;

pub use config::ImageConfig;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use document::{Document, DocumentError, MAX_MANIFEST_BYTES};
pub use manifest::{Index, Manifest};
pub use media_type::MediaType;
pub use platform::Platform;
pub use reference::{Reference, ReferenceError, Registry, Repository, Tag, TagOrDigest};
pub use source::{BlobStream, DigestTagged, Reread, Source, SourceError};
pub use target::{
    Anywhere, Attachment, BlobUpload, ManifestReceipt, MountOutcome, Mounting, NewTag, Presence,
    PushTarget, SessionKeeper, SessionStatus, TagsReceipt, TargetError, TargetErrorKind,
    UploadObserver, UploadReceipt, UploadSession, Validation,
};
