//! Files with credentials: which there are, and in which order they count.
//!
//! ```text
//!   --authfile                                  alone
//!   else  DOCKER_AUTH_CONFIG                    content, not a path
//!         REGISTRY_AUTH_FILE
//!         $DOCKER_CONFIG or ~/.docker           config.json
//!         $XDG_RUNTIME_DIR or /run/containers/UID   (Linux; containers/auth.json)
//!         $XDG_CONFIG_HOME or ~/.config         containers/auth.json
//!         ~/.dockercfg
//! ```
//!
//! A registry's credentials come from the first file that has any. The places are those of
//! [docker](https://docs.docker.com/reference/cli/docker/login/) and of
//! [containers-auth.json(5)](https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md).

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use registry::{CredentialError, CredentialHelpers, DockerConfig, DockerConfigError};
use secrecy::ExposeSecret as _;

use crate::{env::Environment, files};

mod edit;
pub(crate) mod keep;

/// Why a file with credentials cannot be used. Says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthFileError {
    #[error("could not read the credentials in {path}")]
    Read {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("the credentials in {place} cannot be used")]
    Malformed {
        place: String,
        #[source]
        error: DockerConfigError,
    },
}

/// A file that may be there.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Current,
    /// Entries only.
    Legacy,
}

/// What the files say, in the order they count; `authfile` alone if it is given.
pub(crate) fn read(
    authfile: Option<&Path>,
    environment: &Environment,
) -> Result<Vec<DockerConfig>, AuthFileError> {
    let found = found(authfile, environment)?;
    Ok(found.into_iter().map(|(_, config)| config).collect())
}

/// The same with the places they are from.
fn found(
    authfile: Option<&Path>,
    environment: &Environment,
) -> Result<Vec<(String, DockerConfig)>, AuthFileError> {
    if let Some(path) = authfile {
        let content = files::read(path).map_err(|error| unreadable(path, error))?;
        let place = path.display().to_string();
        let config = parse(&content, Form::Current, &place)?;
        return Ok(vec![(place, config)]);
    }
    let mut found = Vec::new();
    if let Some(content) = &environment.docker_auth_config {
        let place = "the environment variable DOCKER_AUTH_CONFIG";
        let config = parse(content.expose_secret().as_bytes(), Form::Current, place)?;
        found.push((place.to_owned(), config));
    }
    for Place { path, form } in places(environment) {
        match files::read(&path) {
            // What podman makes of an empty file; `touch` is how some begin.
            Ok(content) if content.iter().all(u8::is_ascii_whitespace) => {}
            Ok(content) => {
                let place = path.display().to_string();
                let config = parse(&content, form, &place)?;
                found.push((place, config));
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unreadable(&path, error)),
        }
    }
    Ok(found)
}

/// Where a registry's credentials would come from, and how they are kept there; nothing is run, and
/// no secret told.
pub(crate) fn source_of(
    registry: &oci::Registry,
    repository: Option<&oci::Repository>,
    authfile: Option<&Path>,
    environment: &Environment,
) -> Result<Option<(String, String)>, AuthFileError> {
    for (place, config) in found(authfile, environment)? {
        match config.credentials(registry, repository) {
            Ok(None) => {}
            Ok(Some(_)) => return Ok(Some((place, "an entry of the file".into()))),
            Err(CredentialError::Helper { name, .. }) => {
                return Ok(Some((
                    place,
                    format!("docker-credential-{name}, if it has any"),
                )));
            }
            Err(error) => return Ok(Some((place, error.to_string()))),
        }
    }
    Ok(None)
}

/// The other files that have credentials for a registry, beside the one at `except`; those that
/// cannot be used are left out.
pub(crate) fn others(
    registry: &oci::Registry,
    environment: &Environment,
    except: &Path,
) -> Vec<PathBuf> {
    let knows = |place: &Place| {
        let content = files::read(&place.path).ok()?;
        let config = parse(&content, place.form, "").ok()?;
        config.credentials(registry, None).ok()?
    };
    let mut others = places(environment);
    others.retain(|place| place.path != except && knows(place).is_some());
    others.into_iter().map(|place| place.path).collect()
}

/// Credential helpers, found as a shell would find them.
pub(crate) fn helpers(environment: &Environment, limit: Option<Duration>) -> CredentialHelpers {
    let helpers = CredentialHelpers::in_directories(environment.path.iter().cloned());
    match limit {
        Some(limit) => helpers.with_limit(limit),
        None => helpers,
    }
}

fn parse(content: &[u8], form: Form, place: &str) -> Result<DockerConfig, AuthFileError> {
    let config = match form {
        Form::Current => DockerConfig::from_slice(content),
        Form::Legacy => DockerConfig::from_legacy_slice(content),
    };
    config.map_err(|error| AuthFileError::Malformed {
        place: place.to_owned(),
        error,
    })
}

fn unreadable(path: &Path, error: io::Error) -> AuthFileError {
    AuthFileError::Read {
        path: path.to_owned(),
        error,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The files to look into, in their order.
fn places(environment: &Environment) -> Vec<Place> {
    let home = environment.home.as_deref();
    let containers = |directory: PathBuf| directory.join("containers/auth.json");
    let config_home = environment.config_home.clone();
    let config_home = config_home.or_else(|| Some(home?.join(".config")));
    let current = [
        environment.registry_auth_file.clone(),
        docker_config(environment),
        runtime(environment),
        config_home.map(containers),
    ];
    let place = |form| move |path| Place { path, form };
    let legacy = home.map(|home| home.join(".dockercfg"));
    let mut places: Vec<Place> = current
        .into_iter()
        .flatten()
        .map(place(Form::Current))
        .chain(legacy.map(place(Form::Legacy)))
        .collect();
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.path.clone()));
    places
}

/// Docker's own file.
fn docker_config(environment: &Environment) -> Option<PathBuf> {
    let home = environment.home.as_deref();
    let directory = environment.docker_config.clone();
    let directory = directory.or_else(|| Some(home?.join(".docker")))?;
    Some(directory.join("config.json"))
}

/// Where podman keeps credentials until the end of a session: on Linux only.
fn runtime(environment: &Environment) -> Option<PathBuf> {
    let directory = environment.runtime_dir.as_ref();
    let session = directory.map(|it| it.join("containers/auth.json"));
    session
        .or_else(without_session)
        .filter(|_| cfg!(target_os = "linux"))
}

/// The same where there is no `XDG_RUNTIME_DIR`.
fn without_session() -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    let user = Some(rustix::process::getuid().as_raw());
    #[cfg(not(target_os = "linux"))]
    let user: Option<u32> = None;
    user.map(|user| PathBuf::from(format!("/run/containers/{user}/auth.json")))
}

#[cfg(test)]
mod tests;
