//! Why nothing says, or something forbids, where requests go.

use std::{
    io,
    path::{Path, PathBuf},
};

use oci::ReferenceError;

use super::name::Name;
use crate::{host_files::HostFileError, malformed::Malformed, settings::SettingsError};

/// Why there is no route. Names the file that decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("{path} is malformed")]
    Malformed {
        path: PathBuf,
        #[source]
        error: Malformed,
    },
    #[error(
        "{path} is of version 1 and names registries that are insecure or blocked: write them as [[registry]] with `location` and `insecure = true` or `blocked = true`, as containers-registries.conf(5) has it"
    )]
    Version1 { path: PathBuf },
    #[error("{path}: {rule} cannot be used: {why}")]
    Rule {
        path: PathBuf,
        rule: String,
        why: String,
    },
    #[error("{name} is blocked: {path} says so of {prefix:?}")]
    Blocked {
        name: String,
        prefix: String,
        path: PathBuf,
    },
    #[error("nothing that {path} names for {name} takes pushes: none has the capability \"push\"")]
    NoPush { name: String, path: PathBuf },
    #[error("{name} cannot be sent where {path} says")]
    Name {
        name: String,
        path: PathBuf,
        #[source]
        error: ReferenceError,
    },
    #[error("the certificates that {path} names cannot be used")]
    Certificates {
        path: PathBuf,
        #[source]
        error: HostFileError,
    },
    #[error(transparent)]
    Settings(Box<SettingsError>),
}

impl RouteError {
    pub(super) fn name(name: &Name, path: &Path, error: ReferenceError) -> Self {
        Self::Name {
            name: name.to_string(),
            path: path.to_owned(),
            error,
        }
    }
}
