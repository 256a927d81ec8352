//! `registries.conf`, that podman, skopeo and buildah read, and its drop-ins.
//!
//! ```text
//!   CONTAINERS_REGISTRIES_CONF                           alone, with the drop-ins of both
//!   else  ~/.config/containers/registries.conf           with its own drop-ins alone
//!   else  /etc/containers/registries.conf                with the drop-ins of both
//!
//!     registries.conf.d/*.conf    by name; the system's, then the user's
//! ```
//!
//! The form is that of
//! [containers-registries.conf(5)](https://github.com/containers/image/blob/main/docs/containers-registries.conf.5.md),
//! version 2. The longest prefix that a name begins with is its rule. A prefix ends where a part of
//! the name ends, the port belongs to the host, and `*.example.com` is every host below that domain.
//! Names that are not qualified are nobody's business here: they are Docker Hub's.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use oci::Registry;

use super::{
    error::RouteError,
    name::{Name, below, joined},
    way::Decided,
};
use crate::{env::Environment, files};

mod parse;

/// Drop-ins read, in each place.
const MAX_DROP_INS: usize = 1024;

/// The rules of all files.
#[derive(Debug, Default)]
pub(super) struct RegistriesConf {
    pub(super) rules: Vec<Rule>,
    /// What was not understood, and does not stand in the way.
    pub(super) warnings: Vec<String>,
}

/// What is said of names that begin alike.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) path: PathBuf,
    /// As it is written.
    pub(super) prefix: String,
    pub(super) begins: Beginning,
    /// Where the names are; the host, and a path that may be empty.
    pub(super) location: Option<(Registry, String)>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<String>,
}

/// A prefix, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A host, and a path that may be empty.
    Host(Registry, String),
    /// `*.example.com`, without its `*`.
    Below(String),
}

impl RegistriesConf {
    /// Reads `chosen`, or the files that are there, for the rules of all.
    pub(super) fn read(
        chosen: Option<&Path>,
        environment: &Environment,
    ) -> Result<Self, RouteError> {
        let mut found = Self::default();
        let chosen = chosen.or(environment.registries_conf.as_deref());
        for path in found_files(chosen, environment)? {
            let text = match files::read_text(&path) {
                Ok(text) => text,
                Err(error) if is_absent(&error) && chosen != Some(&path) => continue,
                Err(error) => return Err(RouteError::Read { path, error }),
            };
            found.add(&path, &text)?;
        }
        Ok(found)
    }

    /// Adds what a file says: of equal prefixes, a later file's rule counts.
    pub(super) fn add(&mut self, path: &Path, text: &str) -> Result<(), RouteError> {
        let rules = parse::rules(path, text, &mut self.warnings)?;
        self.rules
            .retain(|old| rules.iter().all(|new| new.begins != old.begins));
        self.rules.extend(rules);
        Ok(())
    }

    /// The rule with the longest prefix that `name` begins with.
    pub(super) fn rule_for(&self, name: &Name) -> Option<&Rule> {
        let matching = self.rules.iter().filter(|rule| rule.begins.fits(name));
        matching.max_by_key(|rule| rule.prefix.len())
    }

    /// An error if the name is blocked. A host that is named without a port is blocked at all of
    /// them.
    pub(super) fn check_blocked(&self, name: &Name) -> Result<(), RouteError> {
        let host = name.registry.host().parse::<Registry>().ok();
        let without_port = host.map(|registry| Name {
            registry,
            path: name.path.clone(),
        });
        let names = [Some(name), without_port.as_ref()];
        let mut rules = names
            .into_iter()
            .flatten()
            .filter_map(|it| self.rule_for(it));
        match rules.find(|rule| rule.blocked) {
            Some(rule) => Err(RouteError::Blocked {
                name: name.to_string(),
                prefix: rule.prefix.clone(),
                path: rule.path.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl Rule {
    /// Where the rule has `name`, which begins with its prefix; none if that is no other place.
    pub(super) fn moved(&self, name: &Name) -> Result<Option<Name>, RouteError> {
        let Some((registry, prefix)) = &self.location else {
            return Ok(None);
        };
        let rest = name.path.as_deref().map(|path| match &self.begins {
            Beginning::Host(_, above) => below(path, above).unwrap_or(path),
            Beginning::Below(_) => path,
        });
        let moved = Name {
            registry: registry.clone(),
            path: rest.map(|rest| joined(prefix, rest)),
        };
        moved
            .repository()
            .map_err(|error| RouteError::name(name, &self.path, error))?;
        Ok(Some(moved).filter(|moved| moved != name))
    }

    pub(super) fn decided(&self) -> Decided {
        Decided {
            path: self.path.clone(),
            rule: format!("[[registry]] {:?}", self.prefix),
        }
    }
}

impl Beginning {
    fn fits(&self, name: &Name) -> bool {
        match self {
            Self::Host(registry, path) => {
                let named = name.path.as_deref().unwrap_or_default();
                *registry == name.registry && below(named, path).is_some()
            }
            Self::Below(domain) => name.registry.name().ends_with(domain.as_str()),
        }
    }
}

/// The files to read, in their order; a main file may not be there.
fn found_files(
    chosen: Option<&Path>,
    environment: &Environment,
) -> Result<Vec<PathBuf>, RouteError> {
    let home = environment.home.as_deref();
    let config_home = environment.config_home.clone();
    let config_home = config_home.or_else(|| Some(home?.join(".config")));
    let own = config_home.map(|it| it.join("containers/registries.conf"));
    let system = cfg!(unix).then(|| PathBuf::from("/etc/containers/registries.conf"));
    let named = chosen.map(Path::to_owned);
    let own_counts = named.is_none() && own.as_ref().is_some_and(|it| it.exists());
    let main = match (named, own_counts) {
        (Some(named), _) => Some(named),
        (None, true) => own.clone(),
        (None, false) => system.clone(),
    };
    let mut files: Vec<PathBuf> = main.into_iter().collect();
    for of in [system.filter(|_| !own_counts), own].into_iter().flatten() {
        files.extend(drop_ins(&of.with_extension("conf.d"))?);
    }
    Ok(files)
}

fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, RouteError> {
    let unreadable = |error| RouteError::Read {
        path: directory.to_owned(),
        error,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|it| it == "conf") {
            found.push(path);
        }
        if found.len() > MAX_DROP_INS {
            let text = "it has too many files: at most 1024 are read";
            return Err(unreadable(io::Error::other(text)));
        }
    }
    found.sort();
    Ok(found)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
