//! Why an image cannot be a base.

use oci::{Digest, MediaType, Platform, SourceError};

use crate::{ConfigureError, VersionError};

/// Why an image cannot be a base.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// It cannot be read.
    #[error("the base {reference} cannot be read")]
    Source {
        /// Which base.
        reference: String,
        /// Why not.
        #[source]
        error: Box<SourceError>,
    },
    /// It is not for this platform.
    #[error(
        "the base {reference} is not made for {platform}: it is for {}",
        listed(.candidates)
    )]
    NoPlatform {
        /// Which base.
        reference: String,
        /// What was asked for.
        platform: Box<Platform>,
        /// What there is.
        candidates: Vec<String>,
    },
    /// It is made for several builds of Windows, and none is named.
    #[error(
        "the base {reference} is made for several versions of Windows, {}: say which with --platform {platform}:VERSION",
        listed(.candidates)
    )]
    SeveralBuilds {
        /// Which base.
        reference: String,
        /// What was asked for.
        platform: Box<Platform>,
        /// The versions there are.
        candidates: Vec<String>,
    },
    /// What it names is an index again.
    #[error(
        "the base {reference} is an index within an index, which is not followed: name an image by its digest"
    )]
    Nested {
        /// Which base.
        reference: String,
    },
    /// It is no container image.
    #[error("the base {reference} is no container image: its config is of type {media_type}")]
    NotAnImage {
        /// Which base.
        reference: String,
        /// What its config is.
        media_type: MediaType,
    },
    /// Its config is larger than any config.
    #[error(
        "the config of the base {reference} is {size} bytes long, and no more than {} are read",
        super::MAX_CONFIG_BYTES
    )]
    ConfigTooLarge {
        /// Which base.
        reference: String,
        /// How long it is, in bytes.
        size: u64,
    },
    /// Its config is not what its manifest says.
    #[error(
        "the config of the base {reference} is altered: it has digest {actual}, the manifest says {expected}"
    )]
    ConfigAltered {
        /// Which base.
        reference: String,
        /// What the manifest says.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// Its config is not JSON.
    #[error("the config of the base {reference} is malformed")]
    ConfigMalformed {
        /// Which base.
        reference: String,
        /// What is wrong.
        #[source]
        error: serde_json::Error,
    },
    /// Something in its config is not what it should be.
    #[error("the config of the base {reference} cannot be inherited")]
    Config {
        /// Which base.
        reference: String,
        /// What.
        #[source]
        error: ConfigureError,
    },
    /// Its config and its manifest have different numbers of layers.
    #[error(
        "the base {reference} is inconsistent: its manifest has {layers} layers, its config {diff_ids} diff_ids and {steps} steps of history that made one"
    )]
    Inconsistent {
        /// Which base.
        reference: String,
        /// How many layers the manifest has.
        layers: usize,
        /// How many the config has.
        diff_ids: usize,
        /// How many the config's history has.
        steps: usize,
    },
    /// Its version of Windows is not to be told, or not the right one.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// For a person.
fn listed(candidates: &[String]) -> String {
    match candidates {
        [] => "no platform that it names".to_owned(),
        some => some.join(", "),
    }
}
