//! The settings file: its keys, and where it is.

use std::{collections::BTreeMap, num::NonZeroUsize, path::PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::{
    error::SettingsError,
    routing::{OneOrMore, Rewrite},
    values::{Chunks, Length, Requests, Speed, Time, Trusted},
    versions::Version,
};
use crate::{env::Environment, files, malformed::Malformed};

/// The settings file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct SettingsFile {
    pub(super) concurrency: Option<NonZeroUsize>,
    pub(super) http_version: Option<Version>,
    pub(super) connect_timeout: Option<Time>,
    pub(super) idle_timeout: Option<Time>,
    pub(super) commit_timeout: Option<Time>,
    pub(super) helper_timeout: Option<Time>,
    pub(super) max_retry_after: Option<Time>,
    pub(super) chunk_size: Option<Chunks>,
    pub(super) limit_rate: Option<Speed>,
    pub(super) limit_requests: Option<Requests>,
    pub(super) trust_token_service: Vec<Trusted>,
    pub(super) trust_host: Vec<Trusted>,
    pub(super) state: Option<PathBuf>,
    pub(super) store: Option<PathBuf>,
    pub(super) store_limit: Option<Length>,
    pub(super) registries_conf: Option<PathBuf>,
    pub(super) containerd_certs_d: Option<Vec<PathBuf>>,
    pub(super) push_to_locations: bool,
    pub(super) registry: BTreeMap<String, RegistryFile>,
}

/// What the settings file says of one registry.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RegistryFile {
    pub(super) plain_http: bool,
    pub(super) http_version: Option<Version>,
    pub(super) insecure_skip_tls_verify: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) proxy: Option<SecretString>,
    pub(super) limit_rate: Option<Speed>,
    pub(super) limit_requests: Option<Requests>,
    pub(super) endpoint: OneOrMore,
    pub(super) rewrite: Vec<Rewrite>,
}

/// The file and what stands in it; nothing if there is none where none was named.
pub(super) fn read_file(
    environment: &Environment,
) -> Result<(PathBuf, SettingsFile), SettingsError> {
    let chosen = environment.config.clone();
    let must_exist = chosen.is_some();
    let Some(path) = chosen.or_else(default_path) else {
        return Ok(Default::default());
    };
    let text = match files::read_text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
            return Ok((path, SettingsFile::default()));
        }
        Err(error) => return Err(SettingsError::Read { path, error }),
    };
    match toml::from_str(&text) {
        Ok(file) => Ok((path, file)),
        Err(error) => Err(SettingsError::File {
            path,
            error: Malformed::new(&text, &error),
        }),
    }
}

/// The file for what is kept between runs, if the settings file names one.
pub(crate) fn state_file(environment: &Environment) -> Result<Option<PathBuf>, SettingsError> {
    Ok(read_file(environment)?.1.state)
}

/// The directory for what is fetched from registries and the most that it holds, if the settings
/// file says so.
pub(crate) fn store_of(
    environment: &Environment,
) -> Result<(Option<PathBuf>, Option<u64>), SettingsError> {
    let (_, file) = read_file(environment)?;
    Ok((file.store, file.store_limit.map(|it| it.0)))
}

fn default_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.config_dir().join("longshore").join("config.toml"))
}
