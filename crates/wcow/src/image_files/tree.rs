//! An image's files, as far as a source may mean them: layers laid over each other, newest first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use super::{
    ImageFault, MAX_LINKS, Shared,
    item::{Item, What},
    layer::{Layer, hides},
    name::{self, above},
    wanted::{Part, Wanted},
};
use crate::{
    EntryKind, LayerTree, Owner,
    context::{Children, ContextError, Files, Node, NodeKind},
    dockerfile::TargetOs,
};

/// How many names patterns may lead to while links are looked for, inclusive.
const MAX_STEPS: usize = 200_000;

/// The files of an image, as far as a source may mean them.
#[derive(Clone)]
pub struct ImageTree {
    os: TargetOs,
    items: BTreeMap<String, Found>,
    /// What the layers so far remove of those below them.
    removed: BTreeSet<String>,
    opaque: BTreeSet<String>,
}

#[derive(Clone)]
struct Found {
    item: Shared,
    /// The layer it is from; none for what lies over all of them.
    layer: Option<usize>,
}

/// A hard link that is to get what it links to.
pub(super) struct HardLink {
    pub(super) key: String,
    /// The layer whose view of the files counts.
    pub(super) layer: usize,
    pub(super) target: String,
}

impl fmt::Debug for ImageTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageTree")
            .field("items", &self.items.len())
            .finish_non_exhaustive()
    }
}

// --- putting layers in

impl ImageTree {
    pub(super) fn new(os: TargetOs) -> Self {
        Self {
            os,
            items: BTreeMap::new(),
            removed: BTreeSet::new(),
            opaque: BTreeSet::new(),
        }
    }

    /// Puts what a stage copied over everything.
    pub(super) fn take_stage(&mut self, files: &LayerTree, wanted: &[Wanted]) {
        for entry in files.entries() {
            let (path, meta) = (entry.path().as_str(), entry.meta());
            let what = match entry.kind() {
                // They are made again where they are needed.
                EntryKind::Directory { implicit: true } => continue,
                EntryKind::Directory { implicit: false } => What::Directory { implicit: false },
                EntryKind::File(body) => What::File(body.clone()),
                EntryKind::Symlink {
                    target,
                    to_directory,
                } => What::Symlink {
                    target: target.clone(),
                    to_directory: *to_directory,
                },
            };
            let key = name::key(self.os, path);
            if wanted.iter().any(|it| it.covers(path, &key)) {
                let item = Item {
                    path: path.to_owned(),
                    what,
                    mtime: meta.mtime,
                    mode: meta.mode,
                    owner: meta.owner,
                    kept: meta.kept.clone(),
                    order: 0,
                };
                self.put(key, Arc::new(item), None);
            }
        }
    }

    /// Puts a layer under those that are there. An error says which entry it is about.
    pub(super) fn take_layer(
        &mut self,
        number: usize,
        layer: &Layer,
    ) -> Result<(), (String, ImageFault)> {
        for (key, item) in layer.all() {
            if self.is_hidden(key) {
                continue;
            }
            if let Some(there) = self.items.get(key) {
                let is_implicit = matches!(there.item.what, What::Directory { implicit: true });
                let is_directory = matches!(item.what, What::Directory { .. });
                if is_implicit && !is_directory && there.layer != Some(number) {
                    // What is below it may have gone to where that leads.
                    return Err((item.path.clone(), ImageFault::ThroughLink));
                }
                if !(is_implicit && is_directory) {
                    continue;
                }
            }
            self.put(key.clone(), Arc::clone(item), Some(number));
        }
        self.removed.extend(layer.removed().iter().cloned());
        self.opaque.extend(layer.opaque().iter().cloned());
        Ok(())
    }

    /// Whether layers above have removed it, or have something above it that is no directory.
    fn is_hidden(&self, key: &str) -> bool {
        let is_other = |it: &Found| !matches!(it.item.what, What::Directory { .. });
        hides(&self.removed, &self.opaque, key)
            || above(key).any(|it| self.items.get(it).is_some_and(is_other))
    }

    fn put(&mut self, key: String, item: Shared, layer: Option<usize>) {
        let parents: Vec<(String, String)> = above(&key)
            .map(str::to_owned)
            .zip(above(&item.path).map(str::to_owned))
            .take_while(|(key, _)| !self.items.contains_key(key))
            .collect();
        for (key, path) in parents {
            let item = Arc::new(Item::implicit(path));
            self.items.insert(key, Found { item, layer });
        }
        self.items.insert(key, Found { item, layer });
    }

    // --- hard links

    /// The hard links among what is wanted.
    pub(super) fn hard_links(&self, wanted: &[Wanted]) -> Vec<HardLink> {
        let links = self.items.iter().filter_map(|(key, found)| {
            let What::HardLink(target) = &found.item.what else {
                return None;
            };
            let is_wanted = wanted.iter().any(|it| it.covers(&found.item.path, key));
            let layer = found.layer.filter(|_| is_wanted)?;
            Some(HardLink {
                key: key.clone(),
                layer,
                target: target.clone(),
            })
        });
        links.collect()
    }

    /// Gives a hard link what it links to.
    pub(super) fn links_to(&mut self, key: &str, target: &Item) {
        if let Some(found) = self.items.get_mut(key) {
            let path = found.item.path.clone();
            found.item = Arc::new(Item {
                path,
                ..target.clone()
            });
        }
    }

    // --- what is settled, and what is not

    /// Whether no lower layer can change what is wanted.
    pub(super) fn settles(&self, wanted: &Wanted) -> bool {
        let mut key = String::new();
        for part in &wanted.parts {
            let Part::Name(name) = part else {
                return false;
            };
            if !key.is_empty() {
                key.push('/');
            }
            key.push_str(name);
            match self.items.get(&key).map(|it| &it.item.what) {
                Some(What::Directory { implicit: false }) => {}
                Some(What::Directory { implicit: true }) => return false,
                // Where a link leads is wanted for itself.
                Some(_) => return true,
                None => return hides(&self.removed, &self.opaque, &key),
            }
        }
        // All that is in it.
        self.opaque.contains(&key) || hides(&self.removed, &self.opaque, &key)
    }

    /// What is wanted because symbolic links lead there, and was not wanted yet.
    pub(super) fn led_to(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let mut walk = Walk {
            tree: self,
            wanted,
            more: Vec::new(),
            steps: 0,
        };
        for it in wanted {
            walk.on(&mut Vec::new(), &it.parts, 0);
        }
        walk.more
    }

    // --- looking up

    fn get(&self, key: &str) -> Option<&Item> {
        self.items.get(key).map(|it| &*it.item)
    }

    /// The keys of what is in a directory.
    fn below<'a>(&'a self, key: &str) -> impl Iterator<Item = (&'a str, &'a Item)> + use<'a> {
        let prefix = if key.is_empty() {
            String::new()
        } else {
            format!("{key}/")
        };
        let from = prefix.len();
        let below = self.items.range(prefix.clone()..);
        let below = below.take_while(move |it| it.0.starts_with(&prefix));
        let direct = below.filter(move |it| !it.0[from..].contains('/'));
        direct.map(|(key, found)| (key.as_str(), &*found.item))
    }

    /// The key of what is at a path, links followed; none if nothing is there.
    fn resolved(&self, path: &str) -> Result<Option<String>, ContextError> {
        let mut rest: Vec<String> = names_of(path).rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(name::key(self.os, &name));
            let Some(item) = self.get(&at.join("/")) else {
                return Ok(None);
            };
            match &item.what {
                What::Directory { .. } => {}
                What::Symlink { target, .. } => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(in_image(path, "is a symbolic link that leads to itself"));
                    }
                    let Some((is_absolute, names)) = name::led(self.os, target) else {
                        let problem =
                            "is a link to another drive or a network share, which no image has";
                        return Err(in_image(path, problem));
                    };
                    at.pop();
                    if is_absolute {
                        at.clear();
                    }
                    rest.extend(names.into_iter().rev());
                }
                _ if rest.is_empty() => {}
                _ => return Ok(None),
            }
        }
        Ok(Some(at.join("/")))
    }

    fn node(&self, item: &Item) -> Result<Node, ContextError> {
        let kind = match &item.what {
            What::Directory { .. } => NodeKind::Directory { trail: Vec::new() },
            What::File(body) => NodeKind::File(body.clone()),
            What::Symlink {
                target,
                to_directory,
            } => NodeKind::Symlink {
                target: target.clone(),
                to_directory: self.os == TargetOs::Windows && *to_directory,
            },
            What::HardLink(_) | What::Special => {
                let problem = "is a pipe, a socket or a device, which is not copied: name what to copy more closely";
                return Err(in_image(&item.path, problem));
            }
        };
        Ok(Node {
            path: item.path.clone(),
            hidden: false,
            kind,
            mtime: item.mtime,
            mode: item.mode,
            owner: item.owner,
            kept: item.kept.clone(),
        })
    }
}

fn names_of(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|it| !matches!(*it, "" | "."))
}

fn in_image(path: &str, problem: &'static str) -> ContextError {
    ContextError::InImage {
        path: path.to_owned(),
        problem,
    }
}

impl Files for ImageTree {
    fn find(&self, path: &str) -> Result<Option<Node>, ContextError> {
        let Some(key) = self.resolved(path)? else {
            return Ok(None);
        };
        match self.get(&key) {
            Some(item) => self.node(item).map(Some),
            // The root.
            None => Ok(Some(Node {
                path: String::new(),
                hidden: false,
                kind: NodeKind::Directory { trail: Vec::new() },
                mtime: None,
                mode: 0o755,
                owner: Owner::Default,
                kept: None,
            })),
        }
    }

    fn children<'c>(&'c self, of: &'c Node) -> Result<Children<'c>, ContextError> {
        let below = self.below(&name::key(self.os, &of.path));
        Ok(Box::new(below.map(|(_, item)| {
            let name = item.path.rsplit('/').next().unwrap_or_default();
            Ok((name.to_owned(), self.node(item)?))
        })))
    }

    fn is_left_out(&self, _: &str) -> bool {
        false
    }

    fn describe(&self, path: &str) -> String {
        path.to_owned()
    }
}

/// On the way to what is wanted, by symbolic links.
struct Walk<'a> {
    tree: &'a ImageTree,
    wanted: &'a [Wanted],
    more: Vec<Wanted>,
    steps: usize,
}

impl Walk<'_> {
    /// Goes on from `at`, which no link is part of; `links` were followed on the way.
    fn on(&mut self, at: &mut Vec<String>, rest: &[Part], links: usize) {
        self.steps += 1;
        if self.steps > MAX_STEPS || links > MAX_LINKS {
            return;
        }
        let Some((part, after)) = rest.split_first() else {
            return self.asks(at, rest, links);
        };
        let key = at.join("/");
        match part {
            Part::Name(name) if name == ".." => {
                let last = at.pop();
                self.on(at, after, links);
                at.extend(last);
            }
            Part::Name(name) => {
                at.push(name.clone());
                self.step(at, after, links);
                at.pop();
            }
            Part::Glob(glob, _) => {
                self.asks(at, rest, links);
                let tree = self.tree;
                for (key, item) in tree.below(&key) {
                    let name = item.path.rsplit('/').next().unwrap_or_default();
                    if glob.matches(name) {
                        at.push(key.rsplit('/').next().unwrap_or_default().to_owned());
                        self.step(at, after, links);
                        at.pop();
                    }
                }
            }
            // Everything below is wanted as it is, and links in it are not followed.
            Part::Deep => self.asks(at, rest, links),
        }
    }

    /// The last name of `at` is new.
    fn step(&mut self, at: &mut Vec<String>, after: &[Part], links: usize) {
        let tree = self.tree;
        match tree.get(&at.join("/")).map(|it| &it.what) {
            Some(What::Symlink { target, .. }) => {
                let Some((is_absolute, names)) = name::led(tree.os, target) else {
                    return;
                };
                let keys = names.iter().map(|it| Part::Name(name::key(tree.os, it)));
                let rest: Vec<Part> = keys.chain(after.iter().cloned()).collect();
                let mut from = at.clone();
                from.pop();
                if is_absolute {
                    from.clear();
                }
                self.on(&mut from, &rest, links + 1);
            }
            Some(_) => self.on(at, after, links),
            None => self.asks(at, after, links),
        }
    }

    /// Asks for what is at `at` and, in it, `rest`, if a link led there.
    fn asks(&mut self, at: &[String], rest: &[Part], links: usize) {
        if links == 0 {
            return;
        }
        let mut parts: Vec<Part> = at.iter().cloned().map(Part::Name).collect();
        for part in rest {
            match part {
                Part::Name(name) if name == ".." => drop(parts.pop()),
                part => parts.push(part.clone()),
            }
        }
        let it = Wanted::from_parts(parts);
        if !self
            .wanted
            .iter()
            .chain(&self.more)
            .any(|known| known.is(&it))
        {
            self.more.push(it);
        }
    }
}
