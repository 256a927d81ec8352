//! The text of a `registries.conf`: what is known of its keys, and what is odd about them.

use std::{collections::BTreeMap, path::Path};

use oci::Registry;
use serde::Deserialize;
use toml::Value;

use super::{Beginning, Rule};
use crate::{malformed::Malformed, routes::error::RouteError};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    registry: Vec<Entry>,
    /// Version 1.
    registries: Option<Version1>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Entry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<Mirror>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// For pulls alone, whatever else is said of it.
#[derive(Debug, Deserialize)]
struct Mirror {
    #[serde(default)]
    location: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version1 {
    insecure: List,
    block: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    registries: Vec<String>,
}

/// Keys that say nothing of where a qualified name is.
const OTHER_KEYS: &[&str] = &[
    "unqualified-search-registries",
    "short-name-mode",
    "aliases",
    "credential-helpers",
    "additional-layer-store-auth-helper",
];
/// Keys of a `[[registry]]` that are for mirrors.
const MIRROR_KEYS: &[&str] = &["mirror-by-digest-only"];

/// The rules of one file.
pub(super) fn rules(
    path: &Path,
    text: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<Rule>, RouteError> {
    let file: File = toml::from_str(text).map_err(|error| RouteError::Malformed {
        path: path.to_owned(),
        error: Malformed::new(text, &error),
    })?;
    let says = |old: &Version1| {
        let lists = [&old.insecure, &old.block];
        lists.iter().any(|it| !it.registries.is_empty())
    };
    if file.registries.as_ref().is_some_and(says) {
        let path = path.to_owned();
        return Err(RouteError::Version1 { path });
    }
    let shown = path.display();
    for key in file
        .rest
        .keys()
        .filter(|it| !OTHER_KEYS.contains(&it.as_str()))
    {
        warnings.push(format!(
            "{shown}: the key {key:?} is not known, and does nothing"
        ));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for entry in file.registry {
        let prefix = match &*entry.prefix {
            "" => entry.location.clone(),
            prefix => prefix.to_owned(),
        };
        for key in entry
            .rest
            .keys()
            .filter(|it| !MIRROR_KEYS.contains(&it.as_str()))
        {
            warnings.push(format!(
                "{shown}: the key {key:?} of [[registry]] {prefix:?} is not known, and does nothing"
            ));
        }
        let rule = rule(path, prefix, entry)?;
        if let Beginning::Host(_, below) = &rule.begins
            && below.contains([':', '@'])
        {
            warnings.push(format!(
                "{shown}: [[registry]] {:?} is for one tag or digest, and does nothing: here a rule is for repositories",
                rule.prefix
            ));
            continue;
        }
        if rules.iter().any(|it| it.begins == rule.begins) {
            warnings.push(format!(
                "{shown}: [[registry]] {:?} stands there twice: the first counts",
                rule.prefix
            ));
            continue;
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(path: &Path, prefix: String, entry: Entry) -> Result<Rule, RouteError> {
    let wrong = |why: String| RouteError::Rule {
        path: path.to_owned(),
        rule: format!("[[registry]] {prefix:?}"),
        why,
    };
    if prefix.is_empty() {
        return Err(wrong("it has neither `prefix` nor `location`".into()));
    }
    let begins = match prefix.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') && !domain.contains(['/', '*']) => {
            Beginning::Below(domain.to_ascii_lowercase())
        }
        Some(_) => {
            let why = "a `*` stands for the first part of a host alone, as in *.example.com";
            return Err(wrong(why.into()));
        }
        None => {
            let (host, below) = place(&prefix).map_err(wrong)?;
            Beginning::Host(host, below)
        }
    };
    let is_wild = matches!(begins, Beginning::Below(_));
    let location = match &*entry.location {
        "" if is_wild || prefix == entry.location => None,
        "" => return Err(wrong("it has no `location`".into())),
        // A rule without a prefix of its own.
        location if entry.prefix.is_empty() && is_wild => {
            return Err(wrong(format!("{location:?} is no host")));
        }
        location => Some(place(location).map_err(wrong)?),
    };
    Ok(Rule {
        path: path.to_owned(),
        begins,
        location,
        insecure: entry.insecure,
        blocked: entry.blocked,
        mirrors: entry.mirror.into_iter().map(|it| it.location).collect(),
        prefix,
    })
}

/// A host, and a path that may be empty.
fn place(text: &str) -> Result<(Registry, String), String> {
    if text.contains("://") {
        return Err(format!("{text:?} has a scheme: it begins with a host"));
    }
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let host = host
        .parse()
        .map_err(|error| format!("{host:?} is no host: {error}"))?;
    Ok((host, path.trim_end_matches('/').to_owned()))
}
