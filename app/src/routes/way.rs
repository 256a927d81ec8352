//! Routes, and the ways they have.

use std::{path::PathBuf, time::Duration};

use oci::{ReferenceError, Registry, Repository, reference::Scheme};
use registry::HostTls;
use secrecy::SecretString;

use super::{endpoint::Endpoint, name::Name};
use crate::host_files::TlsFiles;

/// What requests are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Push,
    /// The image is read, to be pushed elsewhere.
    Read,
}

/// Where requests for a name go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Where the name itself says.
    own: Way,
    /// In their order.
    pub(crate) ways: Vec<Way>,
    /// What decided; nothing where the name is the way.
    pub(crate) decided: Option<Decided>,
    /// What else the files say of the name, and why it does not count.
    pub(crate) notes: Vec<String>,
    /// What of them was not understood.
    pub(crate) warnings: Vec<String>,
}

/// The file that decided a route, and by what in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) path: PathBuf,
    pub(crate) rule: String,
}

/// One way to a registry.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) endpoint: Endpoint,
    /// None where the route is to a registry as a whole.
    repository: Option<Repository>,
    pub(crate) tls: HostTls,
    /// The files that `tls` is made of.
    pub(crate) files: TlsFiles,
    /// For its origin only; the values may be secrets.
    pub(crate) headers: Vec<(String, SecretString)>,
    /// Longest wait for a connection.
    pub(crate) dial_timeout: Option<Duration>,
    /// Taken because it is `insecure` and has no TLS to speak.
    pub(crate) fallback: bool,
}

impl Route {
    /// Where the name says.
    pub(super) fn direct(name: &Name) -> Self {
        let own = Way::to(name, None);
        Self {
            ways: vec![own.clone()],
            own,
            decided: None,
            notes: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The ways in their order: the last, and those before it.
    pub(super) fn in_order(&self) -> (&Way, &[Way]) {
        self.ways.split_last().unwrap_or((&self.own, &[]))
    }

    /// Speaks to `registry` by this scheme, if it is sent nowhere else.
    pub(crate) fn with_scheme(mut self, registry: &Registry, scheme: Scheme) -> Self {
        let fits =
            |way: &Way| way.registry() != registry || way.scheme().is_none_or(|it| it == scheme);
        self.ways.retain(fits);
        self.own.endpoint.scheme = Some(scheme);
        for way in self
            .ways
            .iter_mut()
            .filter(|way| way.registry() == registry)
        {
            way.endpoint.scheme = Some(scheme);
        }
        self
    }

    /// The way to a registry as such: by an endpoint of its own name.
    pub(crate) fn way_of(self, registry: &Registry, scheme: Option<Scheme>) -> Way {
        let route = match scheme {
            Some(scheme) => self.with_scheme(registry, scheme),
            None => self,
        };
        let mut ways = route.ways.into_iter();
        ways.find(|it| it.registry() == registry && !it.fallback)
            .unwrap_or(route.own)
    }
}

impl Way {
    /// To a name where it says.
    pub(super) fn to(name: &Name, scheme: Option<Scheme>) -> Self {
        Self {
            endpoint: Endpoint::plain(&name.registry, scheme),
            repository: name.repository().ok().flatten(),
            tls: HostTls::new(),
            files: TlsFiles::default(),
            headers: Vec::new(),
            dial_timeout: None,
            fallback: false,
        }
    }

    /// To a name by an endpoint.
    pub(super) fn by(endpoint: Endpoint, name: &Name) -> Result<Self, ReferenceError> {
        let path = name.path.as_ref().map(|path| endpoint.below(path));
        let there = Name {
            registry: endpoint.registry.clone(),
            path,
        };
        let repository = there.repository()?;
        Ok(Self {
            endpoint,
            repository,
            ..Self::to(&there, None)
        })
    }

    /// To a name that may be reached anyhow: over TLS with any certificate, and without TLS if there
    /// is none.
    pub(super) fn insecure(name: &Name) -> Vec<Self> {
        let unchecked = Self {
            tls: HostTls::new().without_checks(),
            ..Self::to(name, Some(Scheme::Https))
        };
        let plain = Self {
            fallback: true,
            ..Self::to(name, Some(Scheme::Http))
        };
        vec![unchecked, plain]
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.endpoint.registry
    }

    pub(crate) fn scheme(&self) -> Option<Scheme> {
        self.endpoint.scheme
    }

    pub(crate) fn repository(&self) -> Option<&Repository> {
        self.repository.as_ref()
    }

    /// The name it leads to.
    pub(super) fn name(&self) -> Name {
        match &self.repository {
            Some(repository) => Name::of(repository),
            None => Name::of_registry(self.registry()),
        }
    }
}
