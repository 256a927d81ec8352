//! Other bases for those that a Dockerfile names, by rules that the user gives.
//!
//! There are none unless they are given. What is Microsoft's is never replaced, and neither is what
//! a rule has put there already.

use oci::{Reference, Repository};

/// Where Microsoft's images are.
const MICROSOFT: &str = "mcr.microsoft.com";

/// Rules for what `FROM` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromMap(Vec<Rule>);

/// A repository, and what stands for its images.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    from: Repository,
    to: String,
}

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no rule for FROM: expected REPOSITORY=REFERENCE, where {{tag}} stands for the tag and \
     {{version}} for the --base-version, like node=registry.example/windows/node:{{tag}}-{{version}}"
)]
pub struct FromMapError(String);

impl FromMap {
    /// Adds a rule, `REPOSITORY=REFERENCE`. The first one that fits counts.
    pub fn add(&mut self, rule: &str) -> Result<(), FromMapError> {
        let wrong = || FromMapError(rule.to_owned());
        let (from, to) = rule.split_once('=').ok_or_else(wrong)?;
        let from: Reference = from.parse().map_err(|_| wrong())?;
        let named = from.tag().is_some() || from.digest().is_some();
        if named || filled(to, "tag", Some("version")).is_none() {
            return Err(wrong());
        }
        self.0.push(Rule {
            from: from.repository().clone(),
            to: to.to_owned(),
        });
        Ok(())
    }

    /// Whether the rule for `reference` says itself where the version goes.
    pub(crate) fn places_version(&self, reference: &str) -> bool {
        let named = reference.parse::<Reference>().ok();
        let fits = |it: &&Rule| {
            named
                .as_ref()
                .is_some_and(|named| it.from == *named.repository())
        };
        let rule = self.0.iter().find(fits);
        rule.is_some_and(|it| it.to.contains("{version}"))
    }

    /// What stands for `reference`, if a rule says so; `version` is the release it is for.
    pub fn mapped(&self, reference: &str, version: Option<&str>) -> Option<String> {
        let named: Reference = reference.parse().ok()?;
        let repository = named.repository();
        if repository.registry().to_string() == MICROSOFT || named.digest().is_some() {
            return None;
        }
        let tag = named
            .tag()
            .map_or_else(|| "latest".to_owned(), ToString::to_string);
        let there = |it: &Rule| filled(&it.to, &tag, version.or(Some("")));
        let is_mapped = |it: &Rule| there(it).is_some_and(|it| it.repository() == repository);
        if self.0.iter().any(is_mapped) {
            return None;
        }
        let rule = self.0.iter().find(|it| it.from == *repository)?;
        filled(&rule.to, &tag, version).map(|it| it.to_string())
    }
}

/// A template with its places filled; none if that is no reference.
fn filled(to: &str, tag: &str, version: Option<&str>) -> Option<Reference> {
    if version.is_none() && to.contains("{version}") {
        return None;
    }
    let to = to
        .replace("{tag}", tag)
        .replace("{version}", version.unwrap_or_default());
    to.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rules: &[&str]) -> FromMap {
        let mut map = FromMap::default();
        for rule in rules {
            map.add(rule).unwrap();
        }
        map
    }

    #[test]
    fn b2_without_rules_nothing_is_replaced_and_with_one_what_it_names() {
        for reference in [
            "node:20",
            "golang",
            "mcr.microsoft.com/windows/nanoserver:1809",
        ] {
            assert_eq!(FromMap::default().mapped(reference, Some("ltsc2022")), None);
        }
        let map = map(&[
            "node=r.test/windows/node:{tag}-{version}",
            "golang=r.test/go:{tag}",
        ]);
        let version = Some("ltsc2022");
        for (from, expected) in [
            ("node:20", Some("r.test/windows/node:20-ltsc2022")),
            (
                "docker.io/library/node",
                Some("r.test/windows/node:latest-ltsc2022"),
            ),
            ("golang:1.22", Some("r.test/go:1.22")),
            ("other:1", None),
        ] {
            assert_eq!(map.mapped(from, version).as_deref(), expected, "{from}");
        }
        // A rule by release says nothing without one.
        assert_eq!(map.mapped("node:20", None), None);
        assert_eq!(map.mapped("golang:1", None).as_deref(), Some("r.test/go:1"));
    }

    #[test]
    fn b2_microsofts_and_mapped_references_stay() {
        let map = map(&[
            "mcr.microsoft.com/windows/servercore=r.test/core:{tag}",
            "node=r.test/node:{tag}",
            "r.test/node=r.test/other:{tag}",
        ]);
        for reference in [
            "mcr.microsoft.com/windows/servercore:ltsc2022",
            "r.test/node:20",
        ] {
            assert_eq!(map.mapped(reference, Some("ltsc2022")), None, "{reference}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for rule in [
            "",
            "node",
            "node=",
            "=r.test/a",
            "node:20=r.test/a",
            "node=R.test/{x}:A B",
        ] {
            assert!(FromMap::default().add(rule).is_err(), "{rule}");
        }
    }
}
