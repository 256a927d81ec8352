//! What another stage copied, to copy from: the entries of its tree.

use std::sync::Arc;

use crate::{
    Entry, EntryKind, LayerTree, Owner,
    context::{Children, ContextError, Files, Node, NodeKind},
    tree::Directories,
};

/// How many symbolic links lead on to each other, inclusive.
const MAX_LINKS: usize = 16;

/// The files of a stage.
pub(super) struct Staged<'a> {
    tree: &'a LayerTree,
    directories: Directories<'a>,
}

impl<'a> Staged<'a> {
    pub(super) fn new(tree: &'a LayerTree) -> Self {
        Self {
            tree,
            directories: tree.directories(),
        }
    }

    fn entry(&self, path: &str) -> Option<Entry> {
        self.tree.get(&path.parse().ok()?)
    }
}

/// What a stage copied to a path, links followed.
pub(crate) fn of_stage(tree: &LayerTree, path: &str) -> Option<Entry> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let entry = tree.get(&at.parse().ok()?)?;
        let EntryKind::Symlink { target, .. } = entry.kind() else {
            return Some(entry);
        };
        at = led_to(entry.path().as_str(), target);
    }
    None
}

fn node(entry: &Entry) -> Node {
    let kind = match entry.kind() {
        EntryKind::File(body) => NodeKind::File(body.clone()),
        EntryKind::Symlink {
            target,
            to_directory,
        } => NodeKind::Symlink {
            target: target.clone(),
            to_directory: *to_directory,
        },
        EntryKind::Directory { .. } => NodeKind::Directory { trail: Vec::new() },
    };
    Node {
        path: entry.path().to_string(),
        hidden: false,
        kind,
        mtime: entry.meta().mtime,
        mode: entry.meta().mode,
        owner: entry.meta().owner,
        kept: entry.meta().kept.clone(),
    }
}

/// Where a link leads, seen from the root.
fn led_to(path: &str, target: &str) -> String {
    let (base, rest) = match (target.strip_prefix('/'), target.get(1..3)) {
        (Some(rest), _) => ("", rest),
        (None, Some(":/" | ":\\")) => ("", &target[3..]),
        (None, _) => (path.rsplit_once('/').map_or("", |it| it.0), target),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in base.split('/').chain(rest.split(['/', '\\'])) {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

impl Files for Staged<'_> {
    fn find(&self, path: &str) -> Result<Option<Node>, ContextError> {
        if path.is_empty() {
            let trail: Vec<Arc<str>> = Vec::new();
            return Ok(Some(Node {
                path: String::new(),
                hidden: false,
                kind: NodeKind::Directory { trail },
                mtime: None,
                mode: 0o755,
                owner: Owner::Default,
                kept: None,
            }));
        }
        let mut at = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Some(entry) = self.entry(&at) else {
                return Ok(None);
            };
            let EntryKind::Symlink { target, .. } = entry.kind() else {
                return Ok(Some(node(&entry)));
            };
            at = led_to(entry.path().as_str(), target);
        }
        Err(ContextError::Loop(path.to_owned()))
    }

    fn children<'c>(&'c self, of: &'c Node) -> Result<Children<'c>, ContextError> {
        let entries = self.directories.within(&of.path);
        Ok(Box::new(entries.filter_map(|it| {
            let name = it.path().name()?.to_owned();
            Some(Ok((name, node(&it))))
        })))
    }

    fn is_left_out(&self, _: &str) -> bool {
        false
    }

    fn describe(&self, path: &str) -> String {
        path.to_owned()
    }
}
