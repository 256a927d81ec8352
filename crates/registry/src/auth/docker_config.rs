//! Docker's `config.json`, as far as it says who one is: `auths`.
//!
//! Keys come in many forms (`host`, `host:port`, `https://host/v1/`, Docker Hub's legacy
//! URL, podman's `host/namespace`); all are brought into one, and an entry counts only for
//! exactly the host and port it names. Credential helpers are named, not run.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use oci::{Registry, Repository};
use serde::Deserialize;

use super::credentials::{CredentialError, Credentials};

/// The largest file read, in bytes, inclusive.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Credentials out of a Docker or podman configuration file.
///
/// ```
/// use longshore_registry::DockerConfig;
/// let file = br#"{"auths": {"https://index.docker.io/v1/": {"auth": "dXNlcjpwYXNz"}}}"#;
/// let config = DockerConfig::from_slice(file)?;
/// assert!(config.credentials(&oci::Registry::docker_hub(), None).unwrap().is_some());
/// # Ok::<(), longshore_registry::DockerConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct DockerConfig {
    /// By registry, and by namespace within it (empty for all of it).
    entries: BTreeMap<(Registry, String), Entry>,
    helpers: BTreeMap<Registry, String>,
    store: Option<String>,
}

/// Why bytes are not such a file. Says nothing of their content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DockerConfigError {
    /// Over 4 MiB.
    #[error("the file of {0} bytes is too large: at most 4194304 bytes (4 MiB) are read")]
    TooLarge(usize),
    /// Not JSON, or not of this shape.
    #[error("the file is not a Docker configuration: wrong at line {line}, column {column}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

// === impl DockerConfig ===

impl DockerConfig {
    /// The configuration in a file's content.
    ///
    /// Keys that name no registry are left out; an entry's own faults show when it is asked for.
    pub fn from_slice(content: &[u8]) -> Result<Self, DockerConfigError> {
        if content.len() > MAX_BYTES {
            return Err(DockerConfigError::TooLarge(content.len()));
        }
        let file: File =
            serde_json::from_slice(content).map_err(|error| DockerConfigError::Malformed {
                line: error.line(),
                column: error.column(),
            })?;
        Ok(Self {
            entries: file
                .auths
                .into_iter()
                .filter_map(|(key, entry)| Some((place(&key)?, entry)))
                .collect(),
            helpers: file
                .cred_helpers
                .into_iter()
                .filter_map(|(key, name)| Some((place(&key)?.0, name)))
                .collect(),
            store: file.creds_store.filter(|name| !name.is_empty()),
        })
    }

    /// The credentials for exactly this registry, the most specific entry for the repository first.
    pub fn credentials(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Credentials>, CredentialError> {
        if let Some(name) = self.helpers.get(registry) {
            return Err(helper(registry, name));
        }
        let path = repository.map(Repository::path).unwrap_or_default();
        let mut namespace = path;
        loop {
            let key = (registry.clone(), namespace.to_owned());
            if let Some(entry) = self.entries.get(&key) {
                return match (entry.credentials(registry)?, &self.store) {
                    // An empty entry is a note that the store has it.
                    (None, Some(name)) => Err(helper(registry, name)),
                    (found, _) => Ok(found),
                };
            }
            if namespace.is_empty() {
                return Ok(None);
            }
            namespace = namespace.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
}

fn helper(registry: &Registry, name: &str) -> CredentialError {
    CredentialError::Helper {
        registry: registry.to_string(),
        name: name.chars().take(100).collect(),
    }
}

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerConfig")
            .field("entries", &self.entries.keys())
            .field("helpers", &self.helpers)
            .field("store", &self.store)
            .finish()
    }
}

/// The registry and namespace a key names.
fn place(key: &str) -> Option<(Registry, String)> {
    let key = key.trim();
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let namespace = match path {
        "v1" | "v2" => "",
        path => path,
    };
    Some((host.parse().ok()?, namespace.to_owned()))
}

// === impl Entry ===

impl Entry {
    fn credentials(&self, registry: &Registry) -> Result<Option<Credentials>, CredentialError> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credentials::bearer(&*self.registrytoken)));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::identity(&*self.identitytoken)));
        }
        if !self.auth.is_empty() {
            return decode(&self.auth)
                .map(Some)
                .map_err(|reason| CredentialError::Malformed {
                    registry: registry.to_string(),
                    reason,
                });
        }
        Ok((!self.username.is_empty())
            .then(|| Credentials::password(&*self.username, &*self.password)))
    }
}

/// `user:password` in base64; the user name ends at the first colon, trailing NULs are no part of
/// the password.
fn decode(auth: &str) -> Result<Credentials, &'static str> {
    let bytes = BASE64_STANDARD
        .decode(auth.trim())
        .map_err(|_| "auth is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "auth is not text")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("auth has no colon between user name and password")?;
    Ok(Credentials::password(
        username,
        password.trim_end_matches('\0'),
    ))
}

#[cfg(test)]
mod tests;
