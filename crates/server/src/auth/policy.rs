//! What the rules come to for one request: who asks, and what they may do.

use std::sync::Arc;

use oci::wire::{Action, Scope, ScopeSet};

use super::Rules;
use crate::route::Name;

/// The rules, less what a test denies.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) rules: Rules,
    pub(super) denied: Vec<Denial>,
}

/// An action nobody has, whatever the rules say.
#[derive(Clone, Debug)]
pub(super) struct Denial {
    /// Where; everywhere without one.
    pub(super) repository: Option<String>,
    pub(super) action: Action,
}

/// Who a request comes from, and what it may do: nothing, by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Principal {
    pub(crate) user: Option<String>,
    /// What its token grants, if it came with one: it has no more rights than that.
    scopes: Option<Arc<ScopeSet>>,
    policy: Option<Arc<Policy>>,
}

// === impl Policy ===

impl Policy {
    pub(super) fn allows(&self, user: Option<&str>, repository: &str, action: &Action) -> bool {
        let denied = self.denied.iter().any(|it| {
            let here = it.repository.as_deref();
            it.action == *action && here.is_none_or(|it| it == repository)
        });
        !denied && self.rules.allows(user, repository, action)
    }

    /// Whether somebody may see the catalog, in which they find what they may pull.
    pub(super) fn allows_catalog(&self, user: Option<&str>) -> bool {
        user.is_some() || self.rules.serve_anonymous()
    }

    /// What of a scope is granted.
    pub(super) fn granted(&self, user: Option<&str>, wanted: &Scope) -> Scope {
        let any = Action::from("*");
        let actions: Vec<Action> = match wanted.kind() {
            "repository" => {
                let all = [Action::Pull, Action::Push, Action::Delete];
                let asked =
                    |it: &Action| wanted.actions().contains(it) || wanted.actions().contains(&any);
                all.into_iter()
                    .filter(|it| asked(it) && self.allows(user, wanted.name(), it))
                    .collect()
            }
            "registry" if wanted.name() == "catalog" && self.allows_catalog(user) => wanted
                .actions()
                .iter()
                .filter(|it| **it == any)
                .cloned()
                .collect(),
            _ => Vec::new(),
        };
        Scope::new(wanted.kind(), wanted.name(), actions)
    }
}

// === impl Principal ===

impl Principal {
    /// Somebody who may do what the rules give them.
    pub(super) fn ruled(user: Option<String>, policy: &Arc<Policy>) -> Self {
        Self {
            user,
            scopes: None,
            policy: Some(Arc::clone(policy)),
        }
    }

    /// Somebody who may do what their token grants.
    pub(super) fn scoped(
        user: Option<String>,
        scopes: Arc<ScopeSet>,
        policy: &Arc<Policy>,
    ) -> Self {
        Self {
            scopes: Some(scopes),
            ..Self::ruled(user, policy)
        }
    }

    /// Whether content of a repository may be read with this request.
    pub(crate) fn may_pull(&self, name: &Name) -> bool {
        self.may(name, &Action::Pull)
    }

    /// Whether a repository may be shown in a list: whether its reader could pull it, with a
    /// token of their own if that is how it is done here.
    pub(crate) fn may_see(&self, name: &Name) -> bool {
        self.ruled_to(name, &Action::Pull)
    }

    pub(super) fn may(&self, name: &Name, action: &Action) -> bool {
        match &self.scopes {
            None => self.ruled_to(name, action),
            Some(scopes) => {
                let wanted = Scope::new("repository", name.as_str(), [action.clone()]);
                scopes.iter().any(|it| it.covers(&wanted))
            }
        }
    }

    fn ruled_to(&self, name: &Name, action: &Action) -> bool {
        let user = self.user.as_deref();
        let policy = self.policy.as_ref();
        policy.is_some_and(|it| it.allows(user, name.as_str(), action))
    }
}
