//! Scopes: what a token is asked for.
//!
//! `type[(class)]:name:action[,action]`
//! ([distribution, Token Scope](https://github.com/distribution/distribution/blob/main/docs/content/spec/auth/scope.md)).

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::Repository;

/// Something a token may allow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// Reading.
    Pull,
    /// Writing.
    Push,
    /// Deleting. Never asked for unless it is needed: some registries refuse the whole request for it.
    Delete,
    /// Any other action, as written.
    Other(Box<str>),
}

/// Actions on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    kind: Box<str>,
    name: Box<str>,
    actions: BTreeSet<Action>,
}

/// Scopes in the order they were asked for, one per resource.
///
/// The destination comes first, because some token services look at the first
/// only; adding a resource a second time unites the actions, because others look
/// at the last entry for it only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(Vec<Scope>);

/// Why a text is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope {0:?} is malformed: expected type:name:action[,action]")]
pub struct ScopeError(String);

// === impl Action ===

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Other(other) => other,
        })
    }
}

impl From<&str> for Action {
    fn from(text: &str) -> Self {
        match text {
            "pull" => Self::Pull,
            "push" => Self::Push,
            "delete" => Self::Delete,
            other => Self::Other(other.into()),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// `<kind>:<name>:<actions>`, for resources of any kind.
    pub fn new(kind: &str, name: &str, actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
            actions: actions.into_iter().collect(),
        }
    }

    /// `repository:<path>:<actions>`.
    pub fn repository(repository: &Repository, actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            kind: "repository".into(),
            name: repository.path().into(),
            actions: actions.into_iter().collect(),
        }
    }

    /// Reading a repository.
    pub fn pull(repository: &Repository) -> Self {
        Self::repository(repository, [Action::Pull])
    }

    /// Reading and writing a repository.
    pub fn push(repository: &Repository) -> Self {
        Self::repository(repository, [Action::Pull, Action::Push])
    }

    /// The type of resource, `repository` nearly always; a class in parentheses is part of it.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The resource's name: a repository's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is allowed, ordered pull, push, delete, others.
    pub fn actions(&self) -> &BTreeSet<Action> {
        &self.actions
    }

    /// Whether this allows all that `other` asks for; `*` allows everything.
    pub fn covers(&self, other: &Self) -> bool {
        let any = Action::Other("*".into());
        self.kind == other.kind
            && self.name == other.name
            && (other.actions.is_subset(&self.actions) || self.actions.contains(&any))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.kind, self.name)?;
        for (at, action) in self.actions.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{action}")?;
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// The name may contain colons (a host and port): the first and the last one divide.
    /// White space divides scopes, so there is none in one.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let wrong = || ScopeError(text.chars().take(300).collect());
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (name, actions) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let spaced = text.contains(|c: char| c.is_whitespace() || c.is_control());
        if kind.is_empty() || name.is_empty() || spaced {
            return Err(wrong());
        }
        Ok(Self {
            kind: kind.into(),
            name: name.into(),
            actions: actions
                .split(',')
                .filter(|action| !action.is_empty())
                .map(Action::from)
                .collect(),
        })
    }
}

// === impl ScopeSet ===

impl ScopeSet {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a scope; the actions of one already there for the same resource are united.
    pub fn add(&mut self, scope: Scope) {
        let same = |it: &&mut Scope| it.kind == scope.kind && it.name == scope.name;
        match self.0.iter_mut().find(same) {
            Some(there) => there.actions.extend(scope.actions),
            None => self.0.push(scope),
        }
    }

    /// The set that allows what either does, this one's order first.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for scope in &other.0 {
            self.add(scope.clone());
        }
        self
    }

    /// Whether this allows all that `other` asks for.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .0
            .iter()
            .all(|wanted| self.0.iter().any(|scope| scope.covers(wanted)))
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::new();
        scopes.into_iter().for_each(|scope| set.add(scope));
        set
    }
}

impl fmt::Display for ScopeSet {
    /// Divided by spaces, as the `OAuth2` flow and challenges write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

impl FromStr for ScopeSet {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split_ascii_whitespace().map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests;
