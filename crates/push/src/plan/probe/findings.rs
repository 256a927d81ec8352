//! What was found out, and what follows from it without a question.

use std::collections::HashSet;

use oci::{Digest, Presence, Repository, Tag};

use crate::{error::PushError, graph::Graph, plan::Standing};

/// What the target holds.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    /// The tags that name the root already.
    pub(crate) held_tags: Vec<Tag>,
    /// The tags that name something else, and what; none where the target cannot say.
    pub(crate) other_tags: Vec<(Tag, Option<Digest>)>,
    /// The tags of referrers that name them already.
    pub(crate) held_digest_tags: HashSet<Tag>,
    pub(crate) nodes: Vec<Standing>,
    pub(crate) blobs: Vec<Standing>,
    /// For each document, whether its being there says that what it lists is there too.
    pub(crate) proves: Vec<bool>,
    /// How many questions were asked for manifests.
    pub(crate) questions: u64,
    /// How many rounds they took.
    pub(crate) rounds: usize,
}

impl Findings {
    pub(super) fn other(&mut self, tag: &Tag, answer: Presence) {
        let there = match answer {
            Presence::Held(there) => Some(there),
            Presence::Unknown => None,
            Presence::Absent => return,
        };
        self.other_tags.push((tag.clone(), there));
    }

    /// An error if a tag names something other than it should, or may do so.
    pub(crate) fn refuse_to_overwrite(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PushError> {
        let named = self.other_tags.iter();
        let taken: Vec<(Tag, Digest)> = named
            .filter_map(|(tag, there)| Some((tag.clone(), there.clone()?)))
            .collect();
        if !taken.is_empty() {
            return Err(PushError::TagsTaken {
                repository: repository.clone(),
                digest: digest.clone(),
                taken,
            });
        }
        match self.other_tags.first() {
            Some((tag, _)) => Err(PushError::TagUnknown {
                repository: repository.clone(),
                tag: tag.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether it is listed by a document that is there and does not prove that it is there, too.
    pub(super) fn is_listed(&self, graph: &Graph, position: usize) -> bool {
        let nodes = graph.nodes().iter().zip(&self.nodes);
        nodes
            .filter(|(_, standing)| **standing == Standing::Held)
            .any(|(node, _)| node.children.contains(&position))
    }

    /// All that is below a held document is held, where its being there proves that.
    pub(super) fn settle_below(&mut self, graph: &Graph, position: usize) {
        if !self.proves[position] {
            return;
        }
        for &child in &graph.nodes()[position].children {
            if !self.nodes[child].is_held() {
                self.nodes[child] = Standing::HeldByParent;
                self.settle_below(graph, child);
            }
        }
    }

    /// The children that nothing is known about of documents that are absent, prove nothing or were
    /// not asked for, each once. Where the target could not say, it is not asked for the parts either.
    pub(super) fn children_to_ask(&mut self, graph: &Graph, parents: &[usize]) -> Vec<usize> {
        let mut open: Vec<usize> = Vec::new();
        for &parent in parents {
            for &child in &graph.nodes()[parent].children {
                match self.nodes[parent] {
                    Standing::Absent | Standing::NotAsked => open.push(child),
                    Standing::Held if !self.proves[parent] => open.push(child),
                    Standing::Unknown if !self.nodes[child].is_held() => {
                        self.nodes[child] = Standing::Unknown;
                    }
                    _ => {}
                }
            }
        }
        open.sort_unstable();
        open.dedup();
        open.retain(|&it| matches!(self.nodes[it], Standing::NotAsked | Standing::Absent));
        open
    }

    /// What a held manifest is made of is held. Not so its foreign layers: a registry takes a
    /// manifest without them.
    pub(super) fn settle_blobs(&mut self, graph: &Graph) {
        for (position, node) in graph.nodes().iter().enumerate() {
            if self.nodes[position].is_held() {
                for &blob in &node.blobs {
                    if !graph.blobs()[blob].descriptor.is_foreign() {
                        self.blobs[blob] = Standing::HeldByParent;
                    }
                }
            }
        }
    }
}

/// The referrers that are part of nothing else: each is asked for by itself, unless its tag was.
pub(super) fn unattached(graph: &Graph, findings: &Findings) -> Vec<usize> {
    let nodes = graph.nodes();
    let children = nodes.iter().flat_map(|it| it.children.iter().copied());
    let parts: HashSet<usize> = children.collect();
    (0..nodes.len())
        .filter(|it| nodes[*it].referrer && !parts.contains(it))
        .filter(|it| findings.nodes[*it] == Standing::NotAsked)
        .collect()
}
