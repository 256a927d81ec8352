//! Settings of the token service, with grants and denials that tests can shape.

use std::time::Duration;

use oci::wire::Action;

use super::{
    Grant, RepositoryPattern, Users, Who,
    policy::{Denial, Policy},
    tokens::Settings,
};
use crate::secret::Secret;

/// A token service: who gets tokens, for what, for how long.
///
/// As the protocol has it, asking for more than one may have is no error: the
/// token grants what is left.
#[derive(Clone, Debug)]
pub struct Bearer {
    users: Users,
    settings: Settings,
    anonymous: Vec<Action>,
    denied: Vec<Denial>,
}

impl Default for Bearer {
    fn default() -> Self {
        Self {
            users: Users::new(),
            settings: Settings::default(),
            anonymous: Vec::new(),
            denied: Vec::new(),
        }
    }
}

impl Bearer {
    /// A service that knows nobody: tokens for 300 seconds, nothing for anonymous clients.
    pub fn new() -> Self {
        Self::default()
    }

    /// And these users instead of all before them.
    #[must_use]
    pub fn users(mut self, users: Users) -> Self {
        self.users = users;
        self
    }

    /// And a user, who may do everything that is not denied.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.users = self.users.with(user, password);
        self
    }

    /// Clients without credentials may do this everywhere; who may push may pull.
    #[must_use]
    pub fn anonymous(mut self, action: Action) -> Self {
        self.anonymous.push(action);
        self
    }

    /// The name the service knows this registry by.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.settings.service = service.into();
        self
    }

    /// How long tokens are good for; also announced as `expires_in`, in whole seconds.
    #[must_use]
    pub fn valid_for(mut self, lifetime: Duration) -> Self {
        self.settings.valid_for = lifetime;
        self.settings.announced = Some(lifetime);
        self
    }

    /// What is announced as `expires_in`, whatever is true; nothing is announced with `None`.
    #[must_use]
    pub fn announcing(mut self, lifetime: Option<Duration>) -> Self {
        self.settings.announced = lifetime;
        self
    }

    /// How long refresh tokens are good for without being used. 30 days.
    #[must_use]
    pub fn refresh_valid_for(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_valid_for = lifetime;
        self
    }

    /// Nobody may do this anywhere.
    #[must_use]
    pub fn deny(mut self, action: Action) -> Self {
        self.denied.push(Denial {
            repository: None,
            action,
        });
        self
    }

    /// Nobody may do this in one repository.
    #[must_use]
    pub fn deny_in(mut self, repository: impl Into<String>, action: Action) -> Self {
        self.denied.push(Denial {
            repository: Some(repository.into()),
            action,
        });
        self
    }

    /// Challenges name this URL as the token service instead of the server's own.
    #[must_use]
    pub fn realm(mut self, url: impl Into<String>) -> Self {
        self.settings.realm = Some(url.into());
        self
    }

    /// Adds to the rules what was said here; leaves what the service itself needs.
    pub(super) fn settle(self, policy: &mut Policy) -> (Settings, Users) {
        for action in self.anonymous {
            let grant = Grant::on(RepositoryPattern::all()).to(Who::Everybody);
            let grant = match action {
                Action::Pull => grant.pull(),
                Action::Push => grant.push(),
                Action::Delete => grant.delete(),
                _ => continue,
            };
            policy.rules = std::mem::take(&mut policy.rules).grant(grant);
        }
        policy.denied = self.denied;
        (self.settings, self.users)
    }
}
