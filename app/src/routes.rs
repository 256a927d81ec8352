//! Where requests for a repository go, where that is not the registry its name says.
//!
//! ```text
//!   settings file     [registry."host"] endpoint, rewrite       pushes and reading
//!   registries.conf   [[registry]] prefix, insecure, blocked    pushes and reading
//!                     [[registry]] location                     reading; pushes where it was said so
//!   containerd        certs.d/HOST/hosts.toml                   pushes, by endpoints that take them
//! ```
//!
//! The first of them that says anything about a name decides alone; what is blocked is blocked
//! whatever the others say. A route has one way or several, and the first way that is there is
//! [taken](reach). Mirrors, which are for pulls alone, are left out: what they hold may be old.

use std::path::PathBuf;

use oci::{Reference, Registry, Repository};

use crate::{
    env::Environment,
    host_files,
    settings::{Routing, SettingsError, routing},
};

mod endpoint;
mod error;
mod hosts_toml;
mod name;
pub(crate) mod reach;
mod registries_conf;
mod rewrite;
#[cfg(test)]
mod tests;
mod way;

pub(crate) use error::RouteError;
use hosts_toml::HostsToml;
use name::Name;
use registries_conf::RegistriesConf;
pub(crate) use way::{Decided, Purpose, Route, Way};

/// Everything that says where requests go.
#[derive(Debug)]
pub(crate) struct Routes {
    own: Routing,
    conf: RegistriesConf,
    /// Where containerd's directories of hosts are, first choice first.
    containerd: Vec<PathBuf>,
}

impl Routes {
    /// Reads the settings file and registries.conf; containerd's files are read when they are
    /// asked.
    pub(crate) fn read(environment: &Environment) -> Result<Self, RouteError> {
        let own = routing(environment)
            .map_err(|error: SettingsError| RouteError::Settings(error.into()))?;
        let conf = RegistriesConf::read(own.registries_conf.as_deref(), environment)?;
        let containerd = match &own.containerd_certs_d {
            Some(chosen) => chosen.clone(),
            None => hosts_toml::places(environment),
        };
        Ok(Self {
            own,
            conf,
            containerd,
        })
    }

    /// What of the files was not understood, and does not stand in the way.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.conf.warnings
    }

    /// The route to the repository of a reference. One whose scheme was written is spoken to as
    /// it says, if it is not sent elsewhere.
    pub(crate) fn of_reference(
        &self,
        reference: &Reference,
        purpose: Purpose,
    ) -> Result<Route, RouteError> {
        let repository = reference.repository();
        let route = self.of_repository(repository, purpose)?;
        Ok(match reference.scheme() {
            Some(scheme) => route.with_scheme(repository.registry(), scheme),
            None => route,
        })
    }

    /// The route to a repository.
    pub(crate) fn of_repository(
        &self,
        repository: &Repository,
        purpose: Purpose,
    ) -> Result<Route, RouteError> {
        self.of(&Name::of(repository), purpose)
    }

    /// The route to what of a registry no rule names more closely.
    pub(crate) fn of_registry(
        &self,
        registry: &Registry,
        purpose: Purpose,
    ) -> Result<Route, RouteError> {
        self.of(&Name::of_registry(registry), purpose)
    }

    /// Where a repository is that a layer could be mounted from, as seen from `target`: on the same
    /// registry by its own route, or as it was named.
    pub(crate) fn sibling(&self, named: &Repository, target: &Way) -> Repository {
        let route = self.of_repository(named, Purpose::Push).ok();
        let ways = route.iter().flat_map(|route| &route.ways);
        let mut there = ways.filter(|way| way.registry() == target.registry());
        let found = there.find_map(|way| way.repository().cloned());
        found.unwrap_or_else(|| named.clone())
    }

    fn of(&self, name: &Name, purpose: Purpose) -> Result<Route, RouteError> {
        self.conf.check_blocked(name)?;
        let mut route = Route::direct(name);
        let decided = self.by_settings(name, &mut route)?
            || self.by_registries_conf(name, purpose, &mut route)?
            || self.by_containerd(name, purpose, &mut route)?;
        if decided {
            for way in &route.ways {
                self.conf.check_blocked(&way.name())?;
            }
        }
        Ok(route)
    }

    fn by_settings(&self, name: &Name, route: &mut Route) -> Result<bool, RouteError> {
        let own = self.own.registries.iter();
        let mut own = own.filter(|(registry, _)| *registry == name.registry);
        let Some((registry, own)) = own.next().filter(|(_, own)| !own.is_empty()) else {
            return Ok(false);
        };
        let path = &self.own.path;
        let rewritten = rewrite::rewritten(name, &own.rewrite).map_err(|why| RouteError::Rule {
            path: path.clone(),
            rule: format!("rewrite for {registry}"),
            why,
        })?;
        let endpoints = own.endpoint.iter().map(|it| endpoint::of_settings(it));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>();
        let endpoints = endpoints.map_err(|why| RouteError::Rule {
            path: path.clone(),
            rule: format!("endpoint of {registry}"),
            why,
        })?;
        route.ways = if endpoints.is_empty() {
            vec![Way::to(&rewritten, None)]
        } else {
            let ways = endpoints.into_iter().map(|it| Way::by(it, &rewritten));
            ways.collect::<Result<_, _>>()
                .map_err(|error| RouteError::name(name, path, error))?
        };
        route.decided = Some(Decided {
            path: path.clone(),
            rule: format!("[registry.\"{registry}\"]"),
        });
        Ok(true)
    }

    fn by_registries_conf(
        &self,
        name: &Name,
        purpose: Purpose,
        route: &mut Route,
    ) -> Result<bool, RouteError> {
        let Some(rule) = self.conf.rule_for(name) else {
            return Ok(false);
        };
        let moved = rule.moved(name)?;
        let follow = purpose == Purpose::Read || self.own.push_to_locations;
        let to = match moved {
            Some(moved) if follow => moved,
            Some(moved) => {
                let path = rule.path.display();
                route.notes.push(format!(
                    "{moved} is where {path} has it read; pushes go to the name itself unless \
                     push-to-locations = true in the settings"
                ));
                name.clone()
            }
            None => name.clone(),
        };
        for mirror in &rule.mirrors {
            route
                .notes
                .push(format!("mirror {mirror} is for pulls alone"));
        }
        if to == *name && !rule.insecure {
            return Ok(false);
        }
        route.ways = if rule.insecure {
            Way::insecure(&to)
        } else {
            vec![Way::to(&to, None)]
        };
        route.decided = Some(rule.decided());
        Ok(true)
    }

    fn by_containerd(
        &self,
        name: &Name,
        purpose: Purpose,
        route: &mut Route,
    ) -> Result<bool, RouteError> {
        let Some(directory) = hosts_toml::directory(&name.registry, &self.containerd) else {
            return Ok(false);
        };
        let Some(file) = HostsToml::read(&directory, &name.registry)? else {
            // As Docker's: certificates and nothing else.
            let tls = host_files::directory(&directory, &mut route.warnings);
            let (tls, files) = tls.map_err(|error| RouteError::Certificates {
                path: directory,
                error,
            })?;
            for way in &mut route.ways {
                (way.tls, way.files) = (tls.clone(), files.clone());
            }
            return Ok(false);
        };
        route.notes.extend(file.notes(purpose));
        route.warnings.extend(file.warnings.iter().cloned());
        route.ways = file.ways(name, purpose, &mut route.warnings)?;
        route.decided = Some(Decided {
            path: file.path,
            rule: format!("of {}", name.registry),
        });
        Ok(true)
    }
}
