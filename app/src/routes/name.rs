//! Names that rules are held against: a registry, perhaps with a repository's path.

use std::fmt;

use oci::{ReferenceError, Registry, Repository};

/// What a rule is held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(super) registry: Registry,
    /// The repository's path; none where a registry is meant as a whole.
    pub(super) path: Option<String>,
}

impl Name {
    pub(super) fn of(repository: &Repository) -> Self {
        Self {
            registry: repository.registry().clone(),
            path: Some(repository.path().to_owned()),
        }
    }

    pub(super) fn of_registry(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            path: None,
        }
    }

    /// The same with another path, or the same one below another; an empty one is that of the
    /// registry as a whole.
    pub(super) fn with_path(&self, path: &str) -> Self {
        Self {
            registry: self.registry.clone(),
            path: self.path.as_ref().map(|_| path.to_owned()),
        }
    }

    /// The repository, if there is a path, and it is one.
    pub(super) fn repository(&self) -> Result<Option<Repository>, ReferenceError> {
        let path = self.path.as_deref();
        path.map(|path| self.registry.repository(path)).transpose()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.registry.name())?;
        match &self.path {
            Some(path) => write!(f, "/{path}"),
            None => Ok(()),
        }
    }
}

/// What is left of `path` behind `prefix`, which ends where a part of the path ends.
pub(super) fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(prefix)?;
    if rest.is_empty() {
        return Some("");
    }
    rest.strip_prefix('/')
}

/// `rest` below `prefix`, either of which may be empty.
pub(super) fn joined(prefix: &str, rest: &str) -> String {
    match (prefix, rest) {
        ("", it) | (it, "") => it.to_owned(),
        _ => format!("{prefix}/{rest}"),
    }
}
