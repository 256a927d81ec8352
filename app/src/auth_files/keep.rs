//! Credentials kept and forgotten: in one file, or with the credential helper it names.

use std::path::{Path, PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use oci::Registry;
use registry::{CredentialHelpers, DockerConfig, HelperError, server_name};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{AuthFileError, Form, docker_config, edit, is_absent, parse, unreadable};
use crate::{env::Environment, files};

/// The file that credentials are kept in.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    content: Vec<u8>,
    config: DockerConfig,
}

/// Where credentials went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// With a credential helper of this name.
    Helper(String),
    /// Into the file, as they are.
    File(PathBuf),
}

/// Why credentials could not be kept or forgotten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error("there is no file to keep credentials in: give one with --authfile")]
    Nowhere,
    #[error(transparent)]
    File(#[from] AuthFileError),
    #[error("the credential helper did not do it")]
    Helper(#[from] HelperError),
    #[error("could not write {path}")]
    Write {
        path: PathBuf,
        #[source]
        error: std::io::Error,
    },
}

impl Keeper {
    /// The file to keep credentials in: `authfile`, or the one that is named in the environment, or
    /// Docker's. It need not be there.
    pub(crate) fn open(
        authfile: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, KeepError> {
        let path = authfile
            .map(Path::to_owned)
            .or_else(|| environment.registry_auth_file.clone())
            .or_else(|| docker_config(environment))
            .ok_or(KeepError::Nowhere)?;
        let content = match files::read(&path) {
            Ok(content) => content,
            Err(error) if is_absent(&error) => Vec::new(),
            Err(error) => return Err(unreadable(&path, error).into()),
        };
        let config = if content.iter().all(u8::is_ascii_whitespace) {
            DockerConfig::default()
        } else {
            parse(&content, Form::Current, &path.display().to_string())?
        };
        Ok(Self {
            path,
            content,
            config,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a user name and a password for a registry.
    pub(crate) async fn keep(
        &self,
        helpers: &CredentialHelpers,
        registry: &Registry,
        username: &str,
        password: &SecretString,
    ) -> Result<Kept, KeepError> {
        let server = server_name(registry);
        if let Some(helper) = self.config.helper_for(registry) {
            helpers.store(helper, server, username, password).await?;
            // An empty entry is how docker notes that a helper has it.
            self.write(|auths| auths.set(server, &json!({})).map(|()| true))?;
            return Ok(Kept::Helper(helper.to_owned()));
        }
        let auth = BASE64_STANDARD.encode(format!("{username}:{}", password.expose_secret()));
        self.write(|auths| {
            // Another spelling of the same would be left behind as a second password.
            auths.remove(|key| key != server && names(key, registry));
            auths.set(server, &json!({ "auth": auth })).map(|()| true)
        })?;
        Ok(Kept::File(self.path.clone()))
    }

    /// Forgets what is kept for a registry; whether there was anything.
    pub(crate) async fn forget(
        &self,
        helpers: &CredentialHelpers,
        registry: &Registry,
    ) -> Result<bool, KeepError> {
        let erased = match self.config.helper_for(registry) {
            Some(helper) => helpers.erase(helper, server_name(registry)).await?,
            None => false,
        };
        let removed = self.write(|auths| Ok(auths.remove(|key| names(key, registry))))?;
        Ok(erased || removed)
    }

    /// Changes the entries; the file is written if `change` says so. Also whether it was.
    fn write(
        &self,
        change: impl FnOnce(&mut edit::Object) -> serde_json::Result<bool>,
    ) -> Result<bool, KeepError> {
        let edited = || -> serde_json::Result<_> {
            let mut file = edit::Object::parse(&self.content)?;
            let mut auths = file.object("auths")?;
            let changed = change(&mut auths)?;
            file.set("auths", &auths)?;
            Ok(changed.then_some(file.to_bytes()?))
        };
        let fault = |error| KeepError::Write {
            path: self.path.clone(),
            error,
        };
        let Some(content) = edited().map_err(|error| fault(error.into()))? else {
            return Ok(false);
        };
        edit::replace(&self.path, &content).map_err(fault)?;
        Ok(true)
    }
}

/// Whether a key stands for all of a registry.
fn names(key: &str, registry: &Registry) -> bool {
    DockerConfig::registry_of(key).as_ref() == Some(registry)
}
