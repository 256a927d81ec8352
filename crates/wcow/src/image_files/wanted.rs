//! What a source may mean, before it is known what there is.

use super::name;
use crate::{
    context::{
        PatternError,
        glob::{Glob, has_wildcards},
    },
    dockerfile::TargetOs,
};

/// The names on the way to what is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) parts: Vec<Part>,
    /// What tells it from others.
    key: String,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    /// This one, in the form that names are compared in.
    Name(String),
    /// All that match. Holds what is written, too.
    Glob(Glob, String),
    /// Any number of names.
    Deep,
}

impl Wanted {
    /// What names on the way mean, patterns among them.
    pub(super) fn of(os: TargetOs, names: &[String]) -> Result<Self, PatternError> {
        let parts = names.iter().map(|it| match it.as_str() {
            "**" => Ok(Part::Deep),
            it if has_wildcards(it, os == TargetOs::Linux) => {
                Ok(Part::Glob(Glob::new(it)?, it.to_owned()))
            }
            it => Ok(Part::Name(name::key(os, it))),
        });
        Ok(Self::from_parts(parts.collect::<Result<_, _>>()?))
    }

    pub(super) fn from_parts(parts: Vec<Part>) -> Self {
        let mut key = String::new();
        for part in &parts {
            // No name has a slash in it, so two of them tell a pattern from a name.
            match part {
                Part::Name(name) => key.push_str(name),
                Part::Glob(_, text) => key.extend(["//", text]),
                Part::Deep => key.push_str("//**"),
            }
            key.push('/');
        }
        Self { parts, key }
    }

    /// Whether two mean the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.key == other.key
    }

    /// Whether something at a path may matter: because it is meant, or is in what is, or on the way to
    /// it. `key` is the path in the form that names are compared in.
    pub(super) fn covers(&self, path: &str, key: &str) -> bool {
        let names = path.split('/').zip(key.split('/'));
        for (part, (name, key)) in self.parts.iter().zip(names) {
            let is_it = match part {
                Part::Deep => return true,
                Part::Name(wanted) => wanted == key,
                Part::Glob(glob, _) => glob.matches(name),
            };
            if !is_it {
                return false;
            }
        }
        true
    }
}
