//! Which of several images is meant. Pure: candidates and a selection in, one of them out.
//!
//! The closest kind of match wins: a name as it stands (or a digest), then the
//! same reference written otherwise (`app` and `docker.io/library/app:latest`),
//! then a tag. Several names of one image are one image.

use std::{fmt, path::Path};

use oci::{Digest, Platform, Reference};

use super::{OpenError, Selection};

/// An image that could be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its names, as they are written where it stands.
    pub(super) names: Vec<String>,
    /// Its digest: of the manifest or index, or of the config where nothing else is known yet.
    pub(super) digest: Digest,
    /// What it runs on, if that is known without reading it.
    pub(super) platform: Option<Platform>,
}

/// How a name was met: the lower, the closer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Exact,
    SameReference,
    Tag,
}

/// The candidate that `selection` means; `path` is for the error.
///
/// Without a name and a platform there must be one image only.
pub(super) fn choose<'a>(
    candidates: &'a [Candidate],
    selection: &Selection,
    path: &Path,
) -> Result<&'a Candidate, OpenError> {
    let named = match &selection.name {
        Some(name) => by_name(candidates, name, path)?,
        None => candidates.iter().collect(),
    };
    let named = distinct(named);
    let left = match &selection.platform {
        Some(platform) if named.len() > 1 => by_platform(&named, platform, path)?,
        _ => named,
    };
    match left[..] {
        [one] => Ok(one),
        _ => Err(OpenError::Ambiguous {
            path: path.to_owned(),
            images: listed(candidates),
        }),
    }
}

fn by_name<'a>(
    candidates: &'a [Candidate],
    name: &str,
    path: &Path,
) -> Result<Vec<&'a Candidate>, OpenError> {
    let met: Vec<(Closeness, &Candidate)> = candidates
        .iter()
        .filter_map(|it| Some((it.closeness(name)?, it)))
        .collect();
    let closest = met.iter().map(|(closeness, _)| *closeness).min();
    let Some(closest) = closest else {
        return Err(OpenError::NoSuchImage {
            path: path.to_owned(),
            name: name.to_owned(),
            images: listed(candidates),
        });
    };
    let kept = met.into_iter().filter(|(it, _)| *it == closest);
    Ok(kept.map(|(_, candidate)| candidate).collect())
}

fn by_platform<'a>(
    candidates: &[&'a Candidate],
    platform: &Platform,
    path: &Path,
) -> Result<Vec<&'a Candidate>, OpenError> {
    let may_be = |it: &&&Candidate| match &it.platform {
        Some(offered) => platform.matches(offered),
        None => true,
    };
    let left: Vec<&Candidate> = candidates.iter().filter(may_be).copied().collect();
    if left.is_empty() {
        let mut available: Vec<Platform> = Vec::new();
        for offered in candidates.iter().filter_map(|it| it.platform.as_ref()) {
            if !available.contains(offered) {
                available.push(offered.clone());
            }
        }
        return Err(OpenError::NoSuchPlatform {
            place: path.display().to_string(),
            platform: Box::new(platform.clone()),
            available,
        });
    }
    Ok(left)
}

fn distinct(candidates: Vec<&Candidate>) -> Vec<&Candidate> {
    let mut kept: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        if !kept.iter().any(|it| it.digest == candidate.digest) {
            kept.push(candidate);
        }
    }
    kept
}

fn listed(candidates: &[Candidate]) -> Vec<String> {
    candidates.iter().map(ToString::to_string).collect()
}

impl Candidate {
    fn closeness(&self, wanted: &str) -> Option<Closeness> {
        let exact = self.digest.to_string() == wanted || self.names.iter().any(|it| it == wanted);
        let exact = exact.then_some(Closeness::Exact);
        let names = self.names.iter();
        exact.or_else(|| names.filter_map(|name| loose(name, wanted)).min())
    }
}

fn loose(name: &str, wanted: &str) -> Option<Closeness> {
    let reference = name.parse::<Reference>().ok()?;
    if let Ok(wanted) = wanted.parse::<Reference>() {
        let same = reference.repository() == wanted.repository()
            && reference.tag_or_latest() == wanted.tag_or_latest();
        if same {
            return Some(Closeness::SameReference);
        }
    }
    let same_tag = reference.tag().is_some_and(|tag| tag.as_str() == wanted);
    same_tag.then_some(Closeness::Tag)
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.names {
            write!(f, "{name} ")?;
        }
        let platform = self.platform.as_ref().map(|it| format!(", {it}"));
        let platform = platform.unwrap_or_default();
        if self.names.is_empty() {
            write!(f, "{}{platform}", self.digest)
        } else {
            write!(f, "({}{platform})", self.digest)
        }
    }
}

#[cfg(test)]
mod tests;
