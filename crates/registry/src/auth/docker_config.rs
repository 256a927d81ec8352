//! Docker's `config.json` and podman's `auth.json`, as far as they say who one is.
//!
//! Keys come in many forms (`host`, `host:port`, `https://host/v1/`, Docker Hub's legacy
//! URL, podman's `host/namespace`); all are brought into one, and an entry counts only for
//! exactly the host and port it names. Within a file the first of these that knows:
//!
//! ```text
//!   credHelpers[host] ─▶ auths[host/ns/image] ─▶ auths[host/ns] ─▶ credsStore ─▶ auths[host]
//! ```
//!
//! Credential helpers are named here, and run by the [store](super::store). The forms:
//! [docker](https://docs.docker.com/reference/cli/docker/#configuration-files),
//! [containers-auth.json(5)](https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md).

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE,
        EXPECT, HOST, PROXY_AUTHORIZATION, RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
        USER_AGENT,
    },
};
use oci::{Registry, Repository};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::credentials::{CredentialError, Credentials};
use crate::quirks;

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
    headers: HeaderMap,
}

/// A place in a file where a registry's credentials may be.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// With a credential helper of this name.
    Helper(&'a str),
    /// In the file itself; perhaps an empty entry.
    Entry(&'a Entry),
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

/// Headers that a configuration may not set: they are the protocol's own, or say who one is.
const OURS: [HeaderName; 16] = [
    ACCEPT,
    AUTHORIZATION,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    PROXY_AUTHORIZATION,
    RANGE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    USER_AGENT,
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default, deserialize_with = "or_null")]
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(default, deserialize_with = "or_null")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_null")]
    creds_store: String,
    #[serde(default, rename = "HttpHeaders", deserialize_with = "or_null")]
    http_headers: BTreeMap<String, SecretString>,
}

/// What a file says of one registry or namespace.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Entry {
    #[serde(default, deserialize_with = "or_null")]
    auth: SecretString,
    #[serde(default, deserialize_with = "or_null")]
    username: String,
    #[serde(default, deserialize_with = "or_null")]
    password: SecretString,
    #[serde(default, deserialize_with = "or_null")]
    identitytoken: SecretString,
    #[serde(default, deserialize_with = "or_null")]
    registrytoken: SecretString,
}

/// `null` is as good as nothing.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

// === impl DockerConfig ===

impl DockerConfig {
    /// The configuration in a file's content.
    ///
    /// Keys that name no registry are left out; an entry's own faults show when it is asked for.
    pub fn from_slice(content: &[u8]) -> Result<Self, DockerConfigError> {
        let file: File = parse(content)?;
        let helpers = file.cred_helpers.into_iter();
        let named = |name: &String| !name.is_empty();
        Ok(Self {
            entries: entries(file.auths),
            helpers: helpers
                .filter(|(_, name)| named(name))
                .filter_map(|(key, name)| Some((place(&key)?.0, name)))
                .collect(),
            store: Some(file.creds_store).filter(named),
            headers: headers(&file.http_headers),
        })
    }

    /// The configuration in the content of a file of the form before that, `~/.dockercfg`: entries
    /// and nothing else.
    pub fn from_legacy_slice(content: &[u8]) -> Result<Self, DockerConfigError> {
        Ok(Self {
            entries: entries(parse(content)?),
            ..Self::default()
        })
    }

    /// The credentials for exactly this registry, the most specific entry for the repository first.
    /// An error where they are with a credential helper, which is not run from here.
    pub fn credentials(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Credentials>, CredentialError> {
        for place in self.places(registry, repository) {
            match place {
                Place::Helper(name) => {
                    return Err(CredentialError::Helper {
                        registry: registry.to_string(),
                        name: name.chars().take(100).collect(),
                    });
                }
                Place::Entry(entry) => {
                    if let Some(found) = entry.credentials(registry)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The headers to send to a registry with every request (`HttpHeaders`), marked as sensitive.
    /// Those that the protocol itself sets, and what cannot be a header, are left out.
    pub fn http_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The registry that a key of `auths` stands for, all of it; none if it is one of a namespace,
    /// or of nothing.
    pub fn registry_of(key: &str) -> Option<Registry> {
        place(key)
            .filter(|(_, namespace)| namespace.is_empty())
            .map(|it| it.0)
    }

    /// The name of the credential helper that new credentials for a registry go to, if one is
    /// configured: the registry's own, or the one for all.
    pub fn helper_for(&self, registry: &Registry) -> Option<&str> {
        self.own_helper(registry).or(self.store.as_deref())
    }

    /// The helper that is configured for this registry alone.
    pub(super) fn own_helper(&self, registry: &Registry) -> Option<&str> {
        self.helpers.get(registry).map(String::as_str)
    }

    /// Where a registry's credentials may be, in the order to look.
    pub(super) fn places(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Vec<Place<'_>> {
        let entry = |namespace: &str| {
            let key = (registry.clone(), namespace.to_owned());
            self.entries.get(&key).map(Place::Entry)
        };
        let own = self.own_helper(registry).map(Place::Helper);
        let path = repository.map(Repository::path).unwrap_or_default();
        let namespaces = std::iter::successors(Some(path), |namespace| {
            let (parent, _) = namespace.rsplit_once('/')?;
            Some(parent)
        });
        own.into_iter()
            .chain(namespaces.filter(|it| !it.is_empty()).filter_map(entry))
            .chain(self.store.as_deref().map(Place::Helper))
            .chain(entry(""))
            .collect()
    }
}

fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, DockerConfigError> {
    if content.len() > MAX_BYTES {
        return Err(DockerConfigError::TooLarge(content.len()));
    }
    serde_json::from_slice(content).map_err(|error| DockerConfigError::Malformed {
        line: error.line(),
        column: error.column(),
    })
}

/// Entries by place. Of several for one place the one whose key is the plain host counts.
fn entries(auths: BTreeMap<String, Option<Entry>>) -> BTreeMap<(Registry, String), Entry> {
    let mut entries = BTreeMap::new();
    let (urls, plain): (Vec<_>, Vec<_>) =
        auths.into_iter().partition(|(key, _)| key.contains("://"));
    for (key, entry) in plain.into_iter().chain(urls) {
        if let (Some(place), Some(entry)) = (place(&key), entry) {
            entries.entry(place).or_insert(entry);
        }
    }
    entries
}

fn headers(configured: &BTreeMap<String, SecretString>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in configured {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value.expose_secret());
        if let (Ok(name), Ok(mut value)) = (name, value)
            && !OURS.contains(&name)
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

/// The name credential helpers know a registry by.
pub fn server_name(registry: &Registry) -> &str {
    quirks::name_in_configuration(registry)
}

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        f.debug_struct("DockerConfig")
            .field("entries", &self.entries.keys())
            .field("helpers", &self.helpers)
            .field("store", &self.store)
            .field("headers", &headers)
            .finish()
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(…)")
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
    pub(super) fn credentials(
        &self,
        registry: &Registry,
    ) -> Result<Option<Credentials>, CredentialError> {
        let [auth, password, identity, token] = [
            &self.auth,
            &self.password,
            &self.identitytoken,
            &self.registrytoken,
        ]
        .map(ExposeSecret::expose_secret);
        if !token.is_empty() {
            return Ok(Some(Credentials::bearer(token)));
        }
        if !identity.is_empty() {
            return Ok(Some(Credentials::identity(identity)));
        }
        if !auth.is_empty() {
            return decode(auth)
                .map(Some)
                .map_err(|reason| CredentialError::Malformed {
                    registry: registry.to_string(),
                    reason,
                });
        }
        let named = !self.username.is_empty();
        Ok(named.then(|| Credentials::password(&*self.username, password)))
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
