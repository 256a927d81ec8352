//! What each user may do in which repository.
//!
//! Rules only ever give: what no rule gives is not allowed, so their order means
//! nothing and none can be overlooked. They know repositories by name alone and never
//! look whether one exists, so an answer that follows from them cannot tell either.

mod file;
mod pattern;

use std::collections::{BTreeMap, BTreeSet};

use oci::wire::Action;

pub use file::{RuleFault, RulesError};
pub use pattern::{PatternError, RepositoryPattern};

/// What each user may do in which repository; nobody may do anything until a grant says so.
///
/// ```
/// use longshore_server::{Grant, Rules, Who};
///
/// let rules = Rules::new()
///     .group("team", ["ann", "bob"])
///     .grant(Grant::on("team/**".parse()?).to(Who::Group("team".into())).push().delete())
///     .grant(Grant::on("public/*".parse()?).to(Who::Everybody).pull());
/// assert!(rules.may_push(Some("ann"), "team/app"));
/// assert!(rules.may_pull(None, "public/tool"));
/// assert!(!rules.may_pull(None, "team/app"));
/// # Ok::<(), longshore_server::PatternError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    groups: BTreeMap<String, BTreeSet<String>>,
    grants: Vec<Grant>,
}

/// One rule: in these repositories these people may do this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    repositories: Vec<RepositoryPattern>,
    to: Vec<Who>,
    may: BTreeSet<Action>,
}

/// Whom a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// Everybody, with or without credentials.
    Everybody,
    /// Whoever has given the credentials of some user.
    Authenticated,
    /// One user.
    User(String),
    /// The users of a group; nobody if there is no such group.
    Group(String),
}

// === impl Rules ===

impl Rules {
    /// Nobody may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everybody may do everything.
    pub fn open() -> Self {
        Self::new().grant(Grant::everywhere(Who::Everybody).push().delete())
    }

    /// Every user may do everything; without credentials nothing may be done.
    pub fn open_to_users() -> Self {
        Self::new().grant(Grant::everywhere(Who::Authenticated).push().delete())
    }

    /// And everybody may pull everything.
    #[must_use]
    pub fn anonymous_pull(self) -> Self {
        self.grant(Grant::everywhere(Who::Everybody).pull())
    }

    /// And there is this group; one of the same name before it is replaced.
    #[must_use]
    pub fn group(
        mut self,
        name: impl Into<String>,
        users: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let users = users.into_iter().map(Into::into).collect();
        self.groups.insert(name.into(), users);
        self
    }

    /// And this is given.
    #[must_use]
    pub fn grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// Whether a user, or somebody without credentials, may read a repository.
    pub fn may_pull(&self, user: Option<&str>, repository: &str) -> bool {
        self.allows(user, repository, &Action::Pull)
    }

    /// Whether a user, or somebody without credentials, may write to a repository.
    pub fn may_push(&self, user: Option<&str>, repository: &str) -> bool {
        self.allows(user, repository, &Action::Push)
    }

    /// Whether a user, or somebody without credentials, may delete in a repository.
    pub fn may_delete(&self, user: Option<&str>, repository: &str) -> bool {
        self.allows(user, repository, &Action::Delete)
    }

    /// Whether anything at all may be done without credentials.
    pub fn serve_anonymous(&self) -> bool {
        self.grants
            .iter()
            .any(|it| it.to.contains(&Who::Everybody) && !it.may.is_empty())
    }

    /// Whether there is a rule that only somebody with credentials can profit from.
    pub fn serve_users(&self) -> bool {
        self.grants
            .iter()
            .any(|it| !it.to.contains(&Who::Everybody))
    }

    /// The users that are named anywhere, in order, each once.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        let named = self.grants.iter().flat_map(|it| &it.to);
        let alone = named.filter_map(|it| match it {
            Who::User(name) => Some(name.as_str()),
            _ => None,
        });
        let grouped = self.groups.values().flatten().map(String::as_str);
        let all: BTreeSet<&str> = alone.chain(grouped).collect();
        all.into_iter()
    }

    pub(crate) fn allows(&self, user: Option<&str>, repository: &str, action: &Action) -> bool {
        self.grants.iter().any(|it| {
            it.may.contains(action)
                && it.repositories.iter().any(|it| it.matches(repository))
                && it.to.iter().any(|it| self.includes(it, user))
        })
    }

    fn includes(&self, who: &Who, user: Option<&str>) -> bool {
        match (who, user) {
            (Who::Everybody, _) | (Who::Authenticated, Some(_)) => true,
            (Who::User(name), Some(user)) => name == user,
            (Who::Group(group), Some(user)) => {
                self.groups.get(group).is_some_and(|it| it.contains(user))
            }
            (_, None) => false,
        }
    }
}

// === impl Grant ===

impl Grant {
    /// A rule for these repositories that is for nobody yet and gives nothing yet.
    pub fn on(repositories: RepositoryPattern) -> Self {
        Self {
            repositories: vec![repositories],
            to: Vec::new(),
            may: BTreeSet::new(),
        }
    }

    fn everywhere(who: Who) -> Self {
        Self::on(RepositoryPattern::all()).to(who)
    }

    /// For these repositories too.
    #[must_use]
    pub fn and_on(mut self, repositories: RepositoryPattern) -> Self {
        self.repositories.push(repositories);
        self
    }

    /// For these people too.
    #[must_use]
    pub fn to(mut self, who: Who) -> Self {
        self.to.push(who);
        self
    }

    /// They may read, and find the repository in the catalog.
    #[must_use]
    pub fn pull(mut self) -> Self {
        self.may.insert(Action::Pull);
        self
    }

    /// They may write, and read: who pushes asks what is there already.
    #[must_use]
    pub fn push(mut self) -> Self {
        self.may.extend([Action::Pull, Action::Push]);
        self
    }

    /// They may delete manifests, tags and blobs.
    #[must_use]
    pub fn delete(mut self) -> Self {
        self.may.insert(Action::Delete);
        self
    }
}

#[cfg(test)]
mod tests;
