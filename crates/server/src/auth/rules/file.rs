//! Rules as a file: TOML, read whole, every mistake named by file and line.
//!
//! A thin layer over [`Rules`]: the file says nothing that the types cannot say.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::{Grant, PatternError, RepositoryPattern, Rules, Who};
use crate::auth::text;

/// The longest file read, in bytes, inclusive.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a file holds no rules that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// It cannot be read.
    #[error("could not read the access rules at {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It is over 1 MiB.
    #[error("the access rules at {} are over 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not TOML, or has keys that mean nothing.
    #[error("{}, line {line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A rule cannot be meant as it is written.
    #[error("{}, line {line}: {fault}", path.display())]
    Rule {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: RuleFault,
    },
    /// It gives nothing to anybody.
    #[error(
        "the access rules at {} hold no [[rule]], so nobody could do anything: add one",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleFault {
    /// A pattern is none.
    #[error(transparent)]
    Pattern(PatternError),
    /// An action that there is not.
    #[error("there is no action {0:?}: use \"pull\", \"push\" or \"delete\"")]
    Action(String),
    /// A group that the file does not have.
    #[error("there is no group {0:?}: add it under [groups]")]
    NoSuchGroup(String),
    /// A rule for nobody.
    #[error("the rule is for nobody: add users, groups, authenticated = true or anonymous = true")]
    ForNobody,
    /// A rule for no repository.
    #[error("the rule names no repository: add for instance repositories = [\"team/**\"]")]
    Nowhere,
    /// A rule that gives nothing.
    #[error("the rule gives nothing: add for instance actions = [\"pull\"]")]
    GivesNothing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    groups: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    rule: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    repositories: Vec<Spanned<String>>,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    anonymous: bool,
    #[serde(default)]
    actions: Vec<Spanned<String>>,
}

/// A fault, and the byte where it is.
type Located = (usize, RuleFault);

// === impl Rules ===

impl Rules {
    /// The rules of a file; see [`Rules::from_toml`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, RulesError> {
        let path = path.as_ref();
        match text::read(path, MAX_BYTES) {
            Ok(Some(text)) => Self::from_toml(&text, path),
            Ok(None) => Err(RulesError::TooLarge {
                path: path.to_owned(),
            }),
            Err(error) => Err(RulesError::Read {
                path: path.to_owned(),
                error,
            }),
        }
    }

    /// The rules of a file's text; `path` is what errors call it.
    ///
    /// ```
    /// use longshore_server::Rules;
    ///
    /// let rules = Rules::from_toml(
    ///     r#"
    ///     [groups]
    ///     team = ["ann", "bob"]
    ///
    ///     [[rule]]
    ///     repositories = ["team/**"]
    ///     groups = ["team"]
    ///     actions = ["pull", "push"]
    ///     "#,
    ///     "access.toml",
    /// )?;
    /// assert!(rules.may_push(Some("bob"), "team/app"));
    /// # Ok::<(), longshore_server::RulesError>(())
    /// ```
    pub fn from_toml(text: &str, path: impl AsRef<Path>) -> Result<Self, RulesError> {
        let path = path.as_ref();
        let document: Document = toml::from_str(text).map_err(|error| RulesError::Syntax {
            path: path.to_owned(),
            line: line_of(text, error.span().map_or(0, |it| it.start)),
            reason: error.message().trim().replace('\n', "; "),
        })?;
        if document.rule.is_empty() {
            return Err(RulesError::Empty {
                path: path.to_owned(),
            });
        }
        let Document { groups, rule } = document;
        let mut rules = Self::new();
        for entry in &rule {
            let grant = entry.get_ref().grant(entry.span().start, &groups);
            let grant = grant.map_err(|(at, fault)| RulesError::Rule {
                path: path.to_owned(),
                line: line_of(text, at),
                fault,
            })?;
            rules = rules.grant(grant);
        }
        Ok(groups
            .into_iter()
            .fold(rules, |rules, (name, users)| rules.group(name, users)))
    }
}

// === impl Entry ===

impl Entry {
    fn grant(&self, at: usize, groups: &BTreeMap<String, Vec<String>>) -> Result<Grant, Located> {
        let mut patterns = self.repositories.iter().map(pattern);
        let first = patterns.next().ok_or((at, RuleFault::Nowhere))??;
        let mut grant = Grant::on(first);
        for pattern in patterns {
            grant = grant.and_on(pattern?);
        }
        let people = self.people(groups)?;
        if people.is_empty() {
            return Err((at, RuleFault::ForNobody));
        }
        grant = people.into_iter().fold(grant, Grant::to);
        if self.actions.is_empty() {
            return Err((at, RuleFault::GivesNothing));
        }
        for action in &self.actions {
            grant = match action.get_ref().as_str() {
                "pull" => grant.pull(),
                "push" => grant.push(),
                "delete" => grant.delete(),
                other => {
                    let fault = RuleFault::Action(other.chars().take(100).collect());
                    return Err((action.span().start, fault));
                }
            };
        }
        Ok(grant)
    }

    fn people(&self, groups: &BTreeMap<String, Vec<String>>) -> Result<Vec<Who>, Located> {
        let mut people: Vec<Who> = self.users.iter().cloned().map(Who::User).collect();
        for group in &self.groups {
            let name = group.get_ref();
            if !groups.contains_key(name) {
                let fault = RuleFault::NoSuchGroup(name.chars().take(100).collect());
                return Err((group.span().start, fault));
            }
            people.push(Who::Group(name.clone()));
        }
        people.extend(self.authenticated.then_some(Who::Authenticated));
        people.extend(self.anonymous.then_some(Who::Everybody));
        Ok(people)
    }
}

fn pattern(text: &Spanned<String>) -> Result<RepositoryPattern, Located> {
    let parsed = text.get_ref().parse();
    parsed.map_err(|error| (text.span().start, RuleFault::Pattern(error)))
}

/// The line a byte is in, from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|&&byte| byte == b'\n').count()
}
