//! Certificates of registries, in the directories where Docker and podman look for them.
//!
//! ```text
//!   $XDG_CONFIG_HOME or ~/.config   containers/certs.d/HOST[:PORT]/
//!   /etc                            containers/certs.d/HOST[:PORT]/
//!   ~/.config, /etc                 docker/certs.d/HOST[:PORT]/
//!
//!     *.crt             who vouches for the registry, beside the system's certificates
//!     X.cert + X.key    a client certificate
//! ```
//!
//! A registry's certificates come from the first directory there is for it, as
//! [containers-certs.d(5)](https://github.com/containers/image/blob/main/docs/containers-certs.d.5.md)
//! has it; the files are [Docker's](https://docs.docker.com/engine/security/certificates/). All are
//! read, since a registry may have a token service that has its own. What is wrong with the
//! destination's is an error, what is wrong with another's a warning.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use oci::Registry;
use registry::{HostTls, HostTlsError};

use crate::{env::Environment, files};

/// Directories of hosts looked into, in each place.
const MAX_HOSTS: usize = 1024;
/// Files in one of them.
const MAX_FILES: usize = 64;

/// Why a host's certificates cannot be used. Says nothing of their content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostFileError {
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("{path} cannot be used")]
    Unusable {
        path: PathBuf,
        #[source]
        error: HostTlsError,
    },
    #[error("there is {path}, but not {missing} that belongs to it")]
    Half { path: PathBuf, missing: PathBuf },
    #[error("{path} has more than {MAX_FILES} files")]
    TooMany { path: PathBuf },
}

/// What the directories say.
#[derive(Debug, Default)]
pub(crate) struct HostFiles {
    pub(crate) hosts: Vec<HostDirectory>,
    /// What is wrong, and does not stand in the way.
    pub(crate) warnings: Vec<String>,
}

/// The certificates of one host.
#[derive(Debug)]
pub(crate) struct HostDirectory {
    pub(crate) host: Registry,
    pub(crate) path: PathBuf,
    pub(crate) tls: HostTls,
    pub(crate) files: TlsFiles,
}

/// Files of certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Of those who vouch for a host.
    pub(crate) authorities: Vec<PathBuf>,
    /// That are shown to it.
    pub(crate) certificates: Vec<PathBuf>,
}

/// Reads the directories, for a command that speaks to `destination`.
pub(crate) fn read(
    destination: &Registry,
    environment: &Environment,
) -> Result<HostFiles, HostFileError> {
    read_places(destination, places(environment))
}

fn read_places(
    destination: &Registry,
    places: impl IntoIterator<Item = PathBuf>,
) -> Result<HostFiles, HostFileError> {
    let mut found = HostFiles::default();
    let mut seen = HashSet::new();
    for place in places {
        for (host, path) in hosts_in(&place) {
            if !seen.insert(host.clone()) {
                continue;
            }
            match directory(&path, &mut found.warnings) {
                Ok((tls, files)) => found.hosts.push(HostDirectory {
                    host,
                    path,
                    tls,
                    files,
                }),
                Err(error) if host == *destination => return Err(error),
                Err(error) => {
                    let because = std::error::Error::source(&error);
                    let because = because.map_or_else(String::new, |it| format!(": {it}"));
                    let warning = format!("the certificates of {host} are not used: {error}");
                    found.warnings.push(warning + &because);
                }
            }
        }
    }
    Ok(found)
}

/// Where hosts have directories, first choice first.
fn places(environment: &Environment) -> Vec<PathBuf> {
    let home = environment.home.as_deref();
    let config_home = environment.config_home.clone();
    let config_home = config_home.or_else(|| Some(home?.join(".config")));
    let own = |under: &str| config_home.as_ref().map(|it| it.join(under));
    let system = |path: &str| cfg!(unix).then(|| PathBuf::from(path));
    let places = [
        own("containers/certs.d"),
        system("/etc/containers/certs.d"),
        own("docker/certs.d"),
        system("/etc/docker/certs.d"),
    ];
    places.into_iter().flatten().collect()
}

/// The directories of hosts in one place, by name. A place that cannot be listed has none: most
/// are not there.
fn hosts_in(place: &Path) -> Vec<(Registry, PathBuf)> {
    let Ok(entries) = fs::read_dir(place) else {
        return Vec::new();
    };
    let named = entries.take(MAX_HOSTS).filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name();
        // containerd's, for all others.
        let name = name.to_str().filter(|it| *it != "_default")?;
        let host = name.parse().ok()?;
        entry.path().is_dir().then(|| (host, entry.path()))
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|(_, one), (_, other)| one.cmp(other));
    named
}

/// The certificates in one host's directory, and the files they are from.
pub(crate) fn directory(
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<(HostTls, TlsFiles), HostFileError> {
    let (mut tls, mut files) = (HostTls::new(), TlsFiles::default());
    let names = listed(path)?;
    let there: HashSet<&PathBuf> = names.iter().collect();
    for name in &names {
        let half = |missing: PathBuf| HostFileError::Half {
            path: name.clone(),
            missing,
        };
        match name.extension().and_then(|it| it.to_str()) {
            Some("crt") => {
                tls = with_ca(tls, name, warnings)?;
                files.authorities.push(name.clone());
            }
            Some("cert") => {
                let key = name.with_extension("key");
                if !there.contains(&key) {
                    return Err(half(key));
                }
                tls = with_identity(tls, name, &key)?;
                files.certificates.push(name.clone());
            }
            Some("key") => {
                let certificate = name.with_extension("cert");
                if !there.contains(&certificate) {
                    return Err(half(certificate));
                }
            }
            _ => {}
        }
    }
    Ok((tls, files))
}

fn listed(path: &Path) -> Result<Vec<PathBuf>, HostFileError> {
    let unreadable = |error| unreadable(path, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        if names.len() >= MAX_FILES {
            let path = path.to_owned();
            return Err(HostFileError::TooMany { path });
        }
        names.push(entry.map_err(unreadable)?.path());
    }
    names.sort();
    Ok(names)
}

/// Trusts what is in a file. One that is not there takes nothing away: the system's certificates
/// still count, and a warning says so.
pub(crate) fn with_ca(
    tls: HostTls,
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<HostTls, HostFileError> {
    match files::read(path) {
        Ok(pem) => tls.with_ca(&pem).map_err(|error| unusable(path, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let path = path.display();
            warnings.push(format!(
                "{path} is not there: only the system's certificates are trusted in its place"
            ));
            Ok(tls)
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

/// Certificates in a file, looked at: each is one.
pub(crate) fn ca(path: &Path) -> Result<Vec<u8>, HostFileError> {
    let pem = files::read(path).map_err(|error| unreadable(path, error))?;
    match HostTls::new().with_ca(&pem) {
        Ok(_) => Ok(pem),
        Err(error) => Err(unusable(path, error)),
    }
}

/// Shows the certificate in a file.
pub(crate) fn with_identity(
    tls: HostTls,
    certificate: &Path,
    key: &Path,
) -> Result<HostTls, HostFileError> {
    let read = |path: &Path| files::read(path).map_err(|error| unreadable(path, error));
    let (pem, secret) = (read(certificate)?, read(key)?);
    tls.with_identity(&pem, &secret).map_err(|error| {
        let path = match &error {
            HostTlsError::Key(_) => key,
            _ => certificate,
        };
        unusable(path, error)
    })
}

fn unreadable(path: &Path, error: io::Error) -> HostFileError {
    HostFileError::Read {
        path: path.to_owned(),
        error,
    }
}

fn unusable(path: &Path, error: HostTlsError) -> HostFileError {
    HostFileError::Unusable {
        path: path.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests;
