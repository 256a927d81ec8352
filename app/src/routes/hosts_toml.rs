//! `hosts.toml`, that containerd and nerdctl read: the endpoints of a registry.
//!
//! ```text
//!   ~/.config/containerd/certs.d    /etc/containerd/certs.d
//!     HOST_PORT_/   HOST:PORT/   _default/      the first there is
//!       hosts.toml
//! ```
//!
//! As [containerd](https://github.com/containerd/containerd/blob/main/docs/hosts.md) has it, pushes
//! go to endpoints with the capability `push` alone: those of `host` in the order they stand in the
//! file, then `server`. Other than there, of several the first that is reachable takes the push, not
//! the first whether it is reachable or not; and a file that cannot be used is an error, not one that
//! is passed over: whoever wrote it means no push to go elsewhere.

use std::path::{Path, PathBuf};

use oci::Registry;
use registry::HostTls;
use secrecy::SecretString;

use super::{
    endpoint::Endpoint,
    error::RouteError,
    name::Name,
    way::{Purpose, Way},
};
use crate::{
    env::Environment,
    files,
    host_files::{self, TlsFiles},
};

mod parse;

/// What stands in a file.
#[derive(Debug)]
pub(super) struct HostsToml {
    pub(super) path: PathBuf,
    pub(super) hosts: Vec<Host>,
    /// What was not understood, and does not stand in the way.
    pub(super) warnings: Vec<String>,
}

/// One endpoint of it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) endpoint: Endpoint,
    pub(super) capabilities: Capabilities,
    pub(super) authorities: Vec<PathBuf>,
    /// Certificates, and their keys where they are in files of their own.
    pub(super) clients: Vec<(PathBuf, Option<PathBuf>)>,
    pub(super) skip_verify: bool,
    pub(super) headers: Vec<(String, SecretString)>,
    pub(super) dial_timeout: Option<std::time::Duration>,
}

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) pull: bool,
    pub(super) resolve: bool,
    pub(super) push: bool,
}

/// Where the directories of hosts are, first choice first.
pub(super) fn places(environment: &Environment) -> Vec<PathBuf> {
    let home = environment.home.as_deref();
    let config_home = environment.config_home.clone();
    let config_home = config_home.or_else(|| Some(home?.join(".config")));
    let own = config_home.map(|it| it.join("containerd/certs.d"));
    let system = cfg!(unix).then(|| PathBuf::from("/etc/containerd/certs.d"));
    own.into_iter().chain(system).collect()
}

/// The directory of a host.
pub(super) fn directory(host: &Registry, places: &[PathBuf]) -> Option<PathBuf> {
    let name = host.name();
    let underscored = host.port().map(|port| format!("{}_{port}_", host.host()));
    // A directory's name has no colon on Windows.
    let plain = (cfg!(unix) || host.port().is_none()).then(|| name.to_owned());
    let names = [underscored, plain, Some("_default".to_owned())];
    let names: Vec<String> = names.into_iter().flatten().collect();
    let mut candidates = places
        .iter()
        .flat_map(|place| names.iter().map(|name| place.join(name)));
    candidates.find(|it| it.is_dir())
}

impl HostsToml {
    /// Reads the file in a host's directory, if there is one.
    pub(super) fn read(directory: &Path, of: &Registry) -> Result<Option<Self>, RouteError> {
        let path = directory.join("hosts.toml");
        match files::read_text(&path) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => parse::hosts(&path, &text, of).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RouteError::Read { path, error }),
        }
    }

    /// The ways it has for a name.
    pub(super) fn ways(
        &self,
        name: &Name,
        purpose: Purpose,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Way>, RouteError> {
        let hosts: Vec<&Host> = self.hosts.iter().filter(|it| it.is_for(purpose)).collect();
        let last = self.hosts.last().into_iter();
        let chosen = match (purpose, hosts.is_empty()) {
            (_, false) => hosts,
            // A mirror may be old; the server is what it mirrors.
            (Purpose::Read, true) => last.collect(),
            (Purpose::Push, true) => {
                return Err(RouteError::NoPush {
                    name: name.to_string(),
                    path: self.path.clone(),
                });
            }
        };
        let ways = chosen.into_iter().map(|host| {
            let mut way = Way::by(host.endpoint.clone(), name)
                .map_err(|error| RouteError::name(name, &self.path, error))?;
            way.tls = host
                .tls(warnings)
                .map_err(|error| RouteError::Certificates {
                    path: self.path.clone(),
                    error,
                })?;
            way.files = host.tls_files();
            way.headers.clone_from(&host.headers);
            way.dial_timeout = host.dial_timeout;
            Ok(way)
        });
        ways.collect()
    }

    /// What is left out.
    pub(super) fn notes(&self, purpose: Purpose) -> Vec<String> {
        let left_out = self.hosts.iter().filter(|host| !host.is_for(purpose));
        let note = |host: &Host| {
            let url = host.endpoint.url(false);
            let path = self.path.display();
            match purpose {
                Purpose::Push => format!("{url} is not for pushes: {path} gives it no \"push\""),
                Purpose::Read => format!("{url} is a mirror, and not read from: {path}"),
            }
        };
        left_out.map(note).collect()
    }
}

impl Host {
    fn is_for(&self, purpose: Purpose) -> bool {
        let it = self.capabilities;
        match purpose {
            Purpose::Push => it.push,
            Purpose::Read => it.pull && it.resolve && it.push,
        }
    }

    fn tls(&self, warnings: &mut Vec<String>) -> Result<HostTls, host_files::HostFileError> {
        let mut tls = HostTls::new();
        for path in &self.authorities {
            tls = host_files::with_ca(tls, path, warnings)?;
        }
        for (certificate, key) in &self.clients {
            let key = key.as_ref().unwrap_or(certificate);
            tls = host_files::with_identity(tls, certificate, key)?;
        }
        Ok(if self.skip_verify {
            tls.without_checks()
        } else {
            tls
        })
    }

    fn tls_files(&self) -> TlsFiles {
        let certificates = self
            .clients
            .iter()
            .map(|(certificate, _)| certificate.clone());
        TlsFiles {
            authorities: self.authorities.clone(),
            certificates: certificates.collect(),
        }
    }
}
