//! Whether two references agree, part by part.

use super::{Reference, Registry, Repository, Scheme};

/// Which parts of two references have to agree.
///
/// Each part stands for itself: comparing repositories says nothing of
/// registries. Parts are put together with `|`: `REGISTRY | REPOSITORY` for the same
/// repository, [`ALL`](Self::ALL) for the same reference.
///
/// ```
/// use longshore_oci::{Reference, reference::Parts};
/// let hub: Reference = "index.docker.io/library/alpine:3".parse()?;
/// let short: Reference = "alpine:edge".parse()?;
/// assert!(hub.agrees(&short, Parts::REGISTRY | Parts::REPOSITORY));
/// assert!(!hub.agrees(&short, Parts::ALL));
/// # Ok::<(), longshore_oci::ReferenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// Nothing: any two references agree.
    pub const NONE: Self = Self(0);
    /// The scheme; none written counts as the one that would be used (`https`, or `http` on loopback).
    pub const SCHEME: Self = Self(1);
    /// The registry, whatever its case; default ports and Docker Hub's aliases are equal.
    pub const REGISTRY: Self = Self(1 << 1);
    /// The repository's path, case-sensitive.
    pub const REPOSITORY: Self = Self(1 << 2);
    /// The tag, case-sensitive; a missing one agrees only with a missing one.
    pub const TAG: Self = Self(1 << 3);
    /// The digest; a missing one agrees only with a missing one.
    pub const DIGEST: Self = Self(1 << 4);
    /// Every part.
    pub const ALL: Self = Self((1 << 5) - 1);

    /// Whether all of `parts` are among these.
    pub const fn contains(self, parts: Self) -> bool {
        self.0 & parts.0 == parts.0
    }
}

impl std::ops::BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Registry {
    /// Whether both names are of one registry: as [`Parts::REGISTRY`] has it where no scheme is
    /// written.
    pub fn agrees(&self, other: &Self) -> bool {
        self.endpoint() == other.endpoint()
    }

    /// Host and port, the port only where it is not the one that is used without.
    fn endpoint(&self) -> (&str, Option<u16>) {
        let default = if self.is_loopback() {
            Scheme::Http
        } else {
            Scheme::Https
        }
        .port();
        (self.host(), self.port().filter(|&port| port != default))
    }
}

impl Repository {
    /// Whether both names are of one repository: its registry's as [`Registry::agrees`] has it,
    /// its path case-sensitive.
    pub fn agrees(&self, other: &Self) -> bool {
        self.registry().agrees(other.registry()) && self.path() == other.path()
    }

    /// The same repository by the name that all that agree with it share: on loopback, without
    /// the port that is used where none is written.
    #[must_use]
    pub fn normal(&self) -> Self {
        let registry = self.registry();
        match (registry.port(), registry.endpoint()) {
            (Some(_), (host, None)) => Self {
                registry: Registry(host.into()),
                path: self.path.clone(),
            },
            _ => self.clone(),
        }
    }
}

impl Reference {
    /// Whether the two references agree in all of `parts`.
    ///
    /// Reflexive and symmetric for any parts.
    pub fn agrees(&self, other: &Self, parts: Parts) -> bool {
        let agree = |part, equal: bool| !parts.contains(part) || equal;
        agree(
            Parts::SCHEME,
            self.effective_scheme() == other.effective_scheme(),
        ) && agree(Parts::REGISTRY, self.endpoint() == other.endpoint())
            && agree(
                Parts::REPOSITORY,
                self.repository().path() == other.repository().path(),
            )
            && agree(Parts::TAG, self.tag() == other.tag())
            && agree(Parts::DIGEST, self.digest() == other.digest())
    }

    /// The scheme that will be used: the one written, else `http` on loopback, else `https`.
    pub fn effective_scheme(&self) -> Scheme {
        self.scheme().unwrap_or_else(|| {
            if self.repository().registry().is_loopback() {
                Scheme::Http
            } else {
                Scheme::Https
            }
        })
    }

    /// Host and port, the port only where it is not the scheme's own: on loopback a
    /// registry keeps its port as it was written.
    fn endpoint(&self) -> (&str, Option<u16>) {
        let registry = self.repository().registry();
        let default = self.effective_scheme().port();
        (
            registry.host(),
            registry.port().filter(|&port| port != default),
        )
    }
}
