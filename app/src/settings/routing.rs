//! What the settings file says of where requests go.

use std::path::PathBuf;

use oci::Registry;
use serde::Deserialize;

use super::{error::SettingsError, file::read_file};
use crate::env::Environment;

/// What the settings file says of where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    /// The settings file.
    pub(crate) path: PathBuf,
    /// `registries-conf`: read in the place of those that are there.
    pub(crate) registries_conf: Option<PathBuf>,
    /// `containerd-certs-d`: looked into in the place of the usual directories.
    pub(crate) containerd_certs_d: Option<Vec<PathBuf>>,
    /// `push-to-locations`: the `location` of registries.conf is for pushes too.
    pub(crate) push_to_locations: bool,
    /// By registry: `endpoint` and `rewrite`.
    pub(crate) registries: Vec<(Registry, OwnRoute)>,
}

/// Where requests for one registry go.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnRoute {
    /// URLs, in the order they are tried.
    pub(crate) endpoint: Vec<String>,
    /// In their order; the first that fits counts.
    pub(crate) rewrite: Vec<Rewrite>,
}

/// `{ from = "team", to = "lab/team" }`: repositories below one path are below another.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewrite {
    /// Whole parts of a path, from its beginning; empty: every path.
    pub(crate) from: String,
    /// What stands there instead; may be empty.
    pub(crate) to: String,
}

/// A text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl From<OneOrMore> for Vec<String> {
    fn from(it: OneOrMore) -> Self {
        match it {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        }
    }
}

impl OwnRoute {
    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.endpoint.is_empty() && self.rewrite.is_empty()
    }
}

/// Reads the settings file for where requests go.
pub(crate) fn routing(environment: &Environment) -> Result<Routing, SettingsError> {
    let (path, file) = read_file(environment)?;
    let own = file.registry.into_iter().map(|(name, it)| {
        let registry = name.parse().map_err(|error| SettingsError::Registry {
            path: path.clone(),
            error,
        })?;
        let route = OwnRoute {
            endpoint: it.endpoint.into(),
            rewrite: it.rewrite,
        };
        Ok((registry, route))
    });
    let registries = own.collect::<Result<_, SettingsError>>()?;
    Ok(Routing {
        path,
        registries_conf: file.registries_conf,
        containerd_certs_d: file.containerd_certs_d,
        push_to_locations: file.push_to_locations,
        registries,
    })
}
