//! The credentials of a process: explicit ones, then files in their order.
//!
//! Lazy: a credential helper is run when a registry wants credentials and nothing before its
//! place in the order has any, and for no other registry. One that is named for this very registry
//! runs beside the first request to it, which tells whether it does: such a registry nearly always
//! does, and the helper takes long.

use std::collections::HashMap;

use async_trait::async_trait;
use http::HeaderMap;
use oci::{Registry, Repository};

use super::{
    credentials::{CredentialError, CredentialProvider, Credentials},
    docker_config::{DockerConfig, Place, server_name},
    helper::CredentialHelpers,
};

/// The credentials a process was given: explicit ones first, then files, in order.
#[derive(Clone, Debug, Default)]
pub struct CredentialStore {
    explicit: HashMap<Registry, Credentials>,
    files: Vec<DockerConfig>,
    helpers: Option<CredentialHelpers>,
}

impl CredentialStore {
    /// Nothing: everything is tried anonymously.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with credentials for one registry, before any file's.
    #[must_use]
    pub fn with(mut self, registry: Registry, credentials: Credentials) -> Self {
        self.explicit.insert(registry, credentials);
        self
    }

    /// The same with a Docker or podman configuration, after those already there.
    #[must_use]
    pub fn with_docker_config(mut self, config: DockerConfig) -> Self {
        self.files.push(config);
        self
    }

    /// The same with credential helpers, for the files that name one. Without, a registry whose
    /// credentials are with a helper is [`CredentialError::Helper`].
    #[must_use]
    pub fn with_helpers(mut self, helpers: CredentialHelpers) -> Self {
        self.helpers = Some(helpers);
        self
    }

    /// The headers that the files configure, of equal ones the first.
    pub fn http_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.files.iter().flat_map(DockerConfig::http_headers) {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        headers
    }

    async fn ask(
        &self,
        name: &str,
        registry: &Registry,
    ) -> Result<Option<Credentials>, CredentialError> {
        let Some(helpers) = &self.helpers else {
            return Err(CredentialError::Helper {
                registry: registry.to_string(),
                name: name.chars().take(100).collect(),
            });
        };
        let answer = helpers.get(name, server_name(registry)).await;
        answer.map_err(|error| CredentialError::HelperFailed {
            registry: registry.to_string(),
            error,
        })
    }
}

#[async_trait]
impl CredentialProvider for CredentialStore {
    async fn credentials(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Credentials>, CredentialError> {
        if let Some(explicit) = self.explicit.get(registry) {
            return Ok(Some(explicit.clone()));
        }
        for file in &self.files {
            for place in file.places(registry, repository) {
                let found = match place {
                    Place::Helper(name) => self.ask(name, registry).await?,
                    Place::Entry(entry) => entry.credentials(registry)?,
                };
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    fn account(&self, registry: &Registry, repository: Option<&Repository>) -> Option<String> {
        if let Some(explicit) = self.explicit.get(registry) {
            return Some(explicit.account());
        }
        let files = self.files.iter();
        let mut places = files.flat_map(|file| file.places(registry, repository));
        places.find_map(|place| match place {
            Place::Helper(name) => Some(format!("helper {name}")),
            Place::Entry(entry) => entry.credentials(registry).ok()?.map(|it| it.account()),
        })
    }

    /// A helper's answer of long ago is asked for again.
    async fn refused(&self, registry: &Registry, _: Option<&Repository>) -> bool {
        let helpers = self.helpers.as_ref();
        helpers.is_some_and(|helpers| helpers.forget_old(server_name(registry)))
    }

    /// Runs the helper of a registry that has one of its own: it takes long, and it will be needed.
    async fn prepare(&self, registry: &Registry, repository: Option<&Repository>) {
        let own = |file: &DockerConfig| file.own_helper(registry).is_some();
        let first = self.files.first().is_some_and(own);
        if first && self.helpers.is_some() && !self.explicit.contains_key(registry) {
            // Whoever needs the answer hears of a failure.
            let _ = self.credentials(registry, repository).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let file = br#"{"auths": {"r.test": {"auth": "canary", "password": "canary"}},
            "HttpHeaders": {"X-Meta": "canary"}}"#;
        let config = DockerConfig::from_slice(file).unwrap();
        let store = CredentialStore::new()
            .with(
                Registry::docker_hub(),
                Credentials::password("user", "canary"),
            )
            .with_docker_config(config);
        let shown = format!("{store:?} {:?}", store.http_headers());
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(store.http_headers()["x-meta"], "canary");
    }

    #[tokio::test]
    async fn the_first_file_that_knows_a_registry_counts() {
        let config = |user: &str, key: &str| {
            let file = format!(r#"{{"auths": {{"{key}": {{"username": "{user}"}}}}}}"#);
            DockerConfig::from_slice(file.as_bytes()).unwrap()
        };
        let store = CredentialStore::new()
            .with_docker_config(config("first", "one.test"))
            .with_docker_config(config("second", "one.test"))
            .with_docker_config(config("third", "two.test/team"));
        for (repository, expected) in [
            ("one.test/app", Some("first")),
            ("two.test/team/app", Some("third")),
            ("two.test/app", None),
        ] {
            let repository: Repository = repository.parse().unwrap();
            let found = store
                .credentials(repository.registry(), Some(&repository))
                .await;
            let user = found.unwrap().map(|it| match it {
                Credentials::Password { username, .. } => username,
                other => format!("{other:?}"),
            });
            assert_eq!(user.as_deref(), expected, "{repository}");
        }
    }
}
