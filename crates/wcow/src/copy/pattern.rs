//! What a source means: a path, or a pattern for each of its names.

use super::{CopyError, url};
use crate::{
    context::{
        Files, Node,
        glob::{Glob, has_wildcards},
    },
    dockerfile::TargetOs,
};

/// How many things one source may match, inclusive.
const MAX_MATCHES: usize = 100_000;

/// What the name `**` means in a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stars {
    /// What `*` does: any one name.
    One,
    /// Any number of directories, as with `--parents`.
    Many,
}

/// What a source matches.
pub(super) struct Found {
    /// By path, in the order of the names.
    pub(super) nodes: Vec<(String, Node)>,
    pub(super) is_pattern: bool,
    /// The source without what means nothing.
    pub(super) cleaned: String,
}

/// A source's names parted by `/`. On Windows `\` parts them, too, and escapes nothing.
pub(super) fn slashes(os: TargetOs, source: &str) -> String {
    match os {
        TargetOs::Windows => source.replace('\\', "/"),
        TargetOs::Linux => source.to_owned(),
    }
}

/// The names of a source, patterns among them, on the way from the root of what it is copied from.
pub(crate) fn names(os: TargetOs, source: &str) -> Result<Vec<String>, CopyError> {
    let slashed = slashes(os, source);
    let mut rest = slashed.as_str();
    if os == TargetOs::Windows && rest.get(1..2) == Some(":") {
        rest = rest.get(2..).unwrap_or_default();
    }
    let mut names: Vec<String> = Vec::new();
    for name in rest.split('/') {
        match name {
            ".." if names.pop().is_none() => return Err(CopyError::Above(url::redacted(source))),
            "" | "." | ".." => {}
            name => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

/// Looks up what a source names; what `**` means, `stars` says.
pub(super) fn expand(
    files: &dyn Files,
    os: TargetOs,
    source: &str,
    stars: Stars,
) -> Result<Found, CopyError> {
    let names = names(os, source)?;
    let escapes = os == TargetOs::Linux;
    let is_pattern = names.iter().any(|it| has_wildcards(it, escapes));
    let mut paths = vec![String::new()];
    for name in &names {
        paths = step(files, paths, name, escapes, stars)?;
        if paths.len() > MAX_MATCHES {
            return Err(CopyError::SeveralMatch {
                pattern: source.to_owned(),
                files: paths.len(),
            });
        }
    }
    let mut nodes = Vec::new();
    for path in paths {
        let node = files.find(&path)?;
        nodes.extend(node.map(|it| (path, it)));
    }
    Ok(Found {
        nodes,
        is_pattern,
        cleaned: names.join("/"),
    })
}

/// The paths one name further.
fn step(
    files: &dyn Files,
    paths: Vec<String>,
    name: &str,
    escapes: bool,
    stars: Stars,
) -> Result<Vec<String>, CopyError> {
    if !has_wildcards(name, escapes) {
        return Ok(paths.iter().map(|it| super::join(it, name)).collect());
    }
    let is_deep = name == "**" && stars == Stars::Many;
    let glob = (!is_deep).then(|| Glob::new(name)).transpose()?;
    let mut next = Vec::new();
    for path in paths {
        let Some(node) = files.find(&path)? else {
            continue;
        };
        match &glob {
            Some(glob) => {
                for child in files.children(&node)? {
                    let (name, _) = child?;
                    if glob.matches(&name) {
                        next.push(super::join(&path, &name));
                    }
                }
            }
            None => directories(files, &path, &node, &mut next)?,
        }
    }
    Ok(next)
}

/// `**`: a directory and all below it.
fn directories(
    files: &dyn Files,
    path: &str,
    node: &Node,
    all: &mut Vec<String>,
) -> Result<(), CopyError> {
    if !node.is_directory() {
        return Ok(());
    }
    all.push(path.to_owned());
    if all.len() > MAX_MATCHES {
        return Ok(());
    }
    for child in files.children(node)? {
        let (name, child) = child?;
        directories(files, &super::join(path, &name), &child, all)?;
    }
    Ok(())
}
