//! Users and how their passwords are kept: as they are, for tests, or as bcrypt hashes.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// User names and their passwords.
#[derive(Clone, Debug, Default)]
pub struct Users(BTreeMap<String, Password>);

/// What a password is checked against.
#[derive(Clone, Debug)]
pub(crate) enum Password {
    Plain(Secret),
    Bcrypt(Hash),
}

/// A bcrypt hash whose form was checked.
#[derive(Clone, Debug)]
pub(crate) struct Hash {
    pub(crate) text: Secret,
    /// The logarithm of its rounds.
    pub(crate) cost: u32,
}

impl Password {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) => one.is(other.expose()),
            (Self::Bcrypt(one), Self::Bcrypt(other)) => one.text.is(other.text.expose()),
            _ => false,
        }
    }
}

impl Users {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and one user more; who has the name already gets the new password.
    #[must_use]
    pub fn with(mut self, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        self.insert(user.into(), Password::Plain(password.into()));
        self
    }

    /// Whether there is a user of this name.
    pub fn has(&self, user: &str) -> bool {
        self.0.contains_key(user)
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, user: String, password: Password) {
        self.0.insert(user, password);
    }

    pub(super) fn password(&self, user: &str) -> Option<&Password> {
        self.0.get(user)
    }

    /// Those who are not in `next`, or with another password.
    pub(super) fn changed_in(&self, next: &Self) -> Vec<String> {
        let is_same = |user: &str, password: &Password| {
            next.password(user).is_some_and(|it| it.is_same(password))
        };
        let changed = self.0.iter().filter(|it| !is_same(it.0, it.1));
        changed.map(|it| it.0.clone()).collect()
    }

    /// The highest cost of a hash; none if there is no hash.
    pub(super) fn highest_cost(&self) -> Option<u32> {
        let costs = self.0.values().filter_map(|it| match it {
            Password::Bcrypt(hash) => Some(hash.cost),
            Password::Plain(_) => None,
        });
        costs.max()
    }
}
