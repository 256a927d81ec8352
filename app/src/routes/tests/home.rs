//! A home directory with files in it that say where names are.

use std::fs;

use oci::reference::Scheme;
use tempfile::TempDir;

use crate::{env::Environment, routes::*};

/// A home directory, and what is in it.
pub(super) struct Home(pub(super) TempDir);

impl Home {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(".config").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(super) fn settings(self, text: &str) -> Self {
        self.with("longshore/config.toml", text)
    }

    /// Never empty: the user's own file keeps the machine's away.
    pub(super) fn conf(self, text: &str) -> Self {
        self.with("containers/registries.conf", text)
    }

    pub(super) fn hosts(self, directory: &str, text: &str) -> Self {
        self.with(&format!("containerd/certs.d/{directory}/hosts.toml"), text)
    }

    pub(super) fn environment(&self) -> Environment {
        let config = self.0.path().join(".config/longshore/config.toml");
        Environment {
            home: Some(self.0.path().to_owned()),
            config: config.exists().then_some(config),
            ..Environment::default()
        }
    }

    pub(super) fn routes(&self) -> Result<Routes, RouteError> {
        let has_conf = self.0.path().join(".config/containers/registries.conf");
        if !has_conf.exists() {
            fs::create_dir_all(has_conf.parent().unwrap()).unwrap();
            fs::write(&has_conf, "").unwrap();
        }
        let mut routes = Routes::read(&self.environment())?;
        // The machine's own are nobody's business here.
        routes.containerd.retain(|it| it.starts_with(self.0.path()));
        Ok(routes)
    }

    pub(super) fn route(&self, name: &str, purpose: Purpose) -> Result<Route, RouteError> {
        self.routes()?.of_reference(&name.parse().unwrap(), purpose)
    }

    /// The ways of a push, as text.
    pub(super) fn pushes(&self, name: &str) -> Vec<String> {
        shown(&self.route(name, Purpose::Push).unwrap())
    }

    pub(super) fn reads(&self, name: &str) -> Vec<String> {
        shown(&self.route(name, Purpose::Read).unwrap())
    }

    pub(super) fn refused(&self, name: &str) -> String {
        let error = self.route(name, Purpose::Push).unwrap_err();
        let because = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {}", because.unwrap_or_default())
    }
}

/// `https://host/api repository`, the scheme only where it was decided.
pub(super) fn shown(route: &Route) -> Vec<String> {
    let one = |way: &Way| {
        let scheme = way.scheme().map_or("", Scheme::as_str);
        let repository = way.repository().unwrap();
        let path = way.endpoint.api_path.as_deref().unwrap_or_default();
        let checked = if way.tls.is_checked() {
            ""
        } else {
            " unchecked"
        };
        format!("{scheme}:{repository}{checked} {path}")
            .trim_end()
            .to_owned()
    };
    route.ways.iter().map(one).collect()
}
