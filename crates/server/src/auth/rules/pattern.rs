//! Patterns: the repositories a rule is for.
//!
//! Four forms and no more, so that anybody can tell what one matches by looking at it.

use std::{fmt, str::FromStr};

use crate::route::Name;

/// The repositories a rule is for.
///
/// | written | matches |
/// | --- | --- |
/// | `team/app` | this one |
/// | `team/*` | one level below: `team/app`, not `team`, not `team/app/cache` |
/// | `team/**` | all below: `team/app`, `team/app/cache`, not `team`, not `teams/app` |
/// | `**` | all; `*` those without a slash |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryPattern(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    All,
    TopLevel,
    Exact(Box<str>),
    Children(Box<str>),
    Descendants(Box<str>),
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a pattern for repositories: write a lower-case name such as \"team/app\", \
     \"team/*\" for one level below, \"team/**\" for all below, or \"**\" for every repository"
)]
pub struct PatternError(String);

impl RepositoryPattern {
    /// Every repository.
    pub fn all() -> Self {
        Self(Form::All)
    }

    /// Whether a repository is meant.
    pub fn matches(&self, repository: &str) -> bool {
        let below = |prefix: &str| repository.strip_prefix(prefix)?.strip_prefix('/');
        match &self.0 {
            Form::All => true,
            Form::TopLevel => !repository.contains('/'),
            Form::Exact(name) => **name == *repository,
            Form::Children(prefix) => below(prefix).is_some_and(|rest| !rest.contains('/')),
            Form::Descendants(prefix) => below(prefix).is_some(),
        }
    }
}

impl FromStr for RepositoryPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let name = |text: &str| match Name::parse(text) {
            Some(name) => Ok(name.as_str().into()),
            None => Err(()),
        };
        let form = match text {
            "**" => Ok(Form::All),
            "*" => Ok(Form::TopLevel),
            _ => {
                if let Some(prefix) = text.strip_suffix("/**") {
                    name(prefix).map(Form::Descendants)
                } else if let Some(prefix) = text.strip_suffix("/*") {
                    name(prefix).map(Form::Children)
                } else {
                    name(text).map(Form::Exact)
                }
            }
        };
        form.map(Self)
            .map_err(|()| PatternError(text.chars().take(300).collect()))
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::All => f.write_str("**"),
            Form::TopLevel => f.write_str("*"),
            Form::Exact(name) => f.write_str(name),
            Form::Children(prefix) => write!(f, "{prefix}/*"),
            Form::Descendants(prefix) => write!(f, "{prefix}/**"),
        }
    }
}
