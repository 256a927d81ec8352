//! Why settings cannot be used.

use std::path::PathBuf;

use crate::{
    auth_files::AuthFileError, host_files::HostFileError, malformed::Malformed,
    proxies::ProxySettingError,
};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
    #[error("settings file {path} is malformed")]
    File {
        path: PathBuf,
        #[source]
        error: Malformed,
    },
    #[error("settings file {path} names a registry that is not one")]
    Registry {
        path: PathBuf,
        #[source]
        error: oci::ReferenceError,
    },
    #[error(transparent)]
    AuthFile(#[from] AuthFileError),
    #[error(transparent)]
    Proxy(#[from] ProxySettingError),
    #[error(transparent)]
    HostFile(#[from] HostFileError),
    #[error(
        "settings file {path} has `cert` without `key`, or `key` without `cert`, for {registry}"
    )]
    HalfPair { path: PathBuf, registry: String },
    #[error("{name} is {value:?}: expected a number of at least 1")]
    Number { name: &'static str, value: String },
    #[error("there is a user name but no password: set LONGSHORE_PASSWORD or use --password-stdin")]
    NoPassword,
    #[error("there is a password but no user name: set LONGSHORE_USERNAME or use --username")]
    NoUsername,
    #[error(
        "there is no terminal to ask for a user name at: give --username with --password-stdin, or set LONGSHORE_USERNAME and LONGSHORE_PASSWORD"
    )]
    NobodyToAsk,
}
