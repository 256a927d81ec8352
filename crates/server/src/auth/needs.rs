//! What a request needs before anybody looks whether what it names exists.

use oci::wire::{Action, Scope, ScopeSet};

use crate::{
    endpoint::Endpoint,
    route::{Name, Query, Resource},
};

/// What a request needs.
#[derive(Debug)]
pub(super) enum Needs<'a> {
    /// To be somebody.
    Login,
    /// To see the list of repositories.
    Catalog,
    /// To do these in one repository.
    Repository(&'a Name, Vec<Action>),
}

impl<'a> Needs<'a> {
    pub(super) fn of(endpoint: Endpoint, resource: &'a Resource) -> Self {
        let Some(name) = resource.name() else {
            return match endpoint {
                Endpoint::Catalog => Self::Catalog,
                _ => Self::Login,
            };
        };
        let actions = match endpoint {
            Endpoint::BlobDelete | Endpoint::ManifestDelete => vec![Action::Delete],
            it if it.reads() => vec![Action::Pull],
            _ => vec![Action::Pull, Action::Push],
        };
        Self::Repository(name, actions)
    }

    /// The same as a token's scopes.
    pub(super) fn scopes(&self) -> ScopeSet {
        match self {
            Self::Login => ScopeSet::new(),
            Self::Catalog => {
                ScopeSet::from_iter([Scope::new("registry", "catalog", [Action::from("*")])])
            }
            Self::Repository(name, actions) => {
                ScopeSet::from_iter([repository(name, actions.iter().cloned())])
            }
        }
    }

    /// The scopes a challenge names: of a mount also to read its source, so that a client
    /// asks for both at once. It is not refused without the second: the blob is just not found.
    pub(super) fn announced(&self, endpoint: Endpoint, query: &Query) -> ScopeSet {
        let mut scopes = self.scopes();
        if endpoint == Endpoint::Mount
            && let Some(from) = query.get("from").and_then(Name::parse)
        {
            scopes.add(repository(&from, [Action::Pull]));
        }
        scopes
    }
}

fn repository(name: &Name, actions: impl IntoIterator<Item = Action>) -> Scope {
    Scope::new("repository", name.as_str(), actions)
}
