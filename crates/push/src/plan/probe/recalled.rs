//! What was seen another time, and what a push would ask for that goes by it: a plan foretells its
//! questions without asking them.

use oci::Tag;

use super::{Findings, findings::unattached};
use crate::{graph::Graph, plan::Standing};

/// What becomes of manifests that were not seen in the repository before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// They are asked for by their digest; their tags only if they are there.
    Asked,
    /// They are taken to be new.
    LeftOut,
}

/// What was seen in the repository at another time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// For each tag, whether it named the root.
    pub(crate) tags: Vec<bool>,
    /// For each document, whether it was there.
    pub(crate) nodes: Vec<bool>,
}

impl Recalled {
    /// What is recalled where the documents are read from this very repository: each was there a
    /// moment ago, or when it was kept, so that asking for it spares what it is made of.
    pub(crate) fn read_there(mut self) -> Self {
        self.nodes.fill(true);
        self
    }

    /// What is recalled once `findings` are remembered.
    pub(crate) fn after(&self, findings: &Findings, tags: &[Tag]) -> Self {
        let node = |(standing, before): (&Standing, &bool)| match standing {
            Standing::Held => true,
            Standing::Absent => false,
            _ => *before,
        };
        Self {
            tags: tags
                .iter()
                .map(|it| findings.held_tags.contains(it))
                .collect(),
            nodes: findings.nodes.iter().zip(&self.nodes).map(node).collect(),
        }
    }
}

impl Findings {
    /// What a push would know that asks for no more than is `recalled` by then, and what asking
    /// for it costs: the registry is as it was found, so that nothing recalled is missing.
    pub(crate) fn foreseen(
        &self,
        graph: &Graph,
        tags: &[Tag],
        (recalled, unseen): (&Recalled, Unseen),
    ) -> Self {
        let asked = match unseen {
            Unseen::Asked => vec![true; graph.nodes().len()],
            Unseen::LeftOut => recalled.nodes.clone(),
        };
        let mut foreseen = Self {
            held_tags: Vec::new(),
            other_tags: Vec::new(),
            held_digest_tags: self.held_digest_tags.clone(),
            nodes: vec![Standing::NotAsked; self.nodes.len()],
            blobs: self.blobs.clone(),
            proves: self.proves.clone(),
            questions: 0,
            rounds: 0,
        };
        let seen = tags.iter().zip(&recalled.tags).filter(|(_, it)| **it);
        for (tag, _) in seen {
            foreseen.questions += 1;
            foreseen.rounds = 1;
            if self.held_tags.contains(tag) {
                foreseen.held_tags.push(tag.clone());
            }
        }
        let mut frontier = if foreseen.held_tags.is_empty() {
            foreseen.pretend(graph, &[0], (self, &asked));
            if foreseen.nodes[0] == Standing::Held && !recalled.nodes[0] {
                foreseen.pretend_tags(self, (tags, recalled));
            }
            foreseen.children_to_ask(graph, &[0])
        } else {
            foreseen.nodes[0] = Standing::Held;
            foreseen.settle_below(graph, 0);
            foreseen.children_to_ask(graph, &[0])
        };
        foreseen.pretend_digest_tags(graph, self);
        frontier.extend(unattached(graph, &foreseen));
        while !frontier.is_empty() {
            foreseen.pretend(graph, &frontier, (self, &asked));
            frontier = foreseen.children_to_ask(graph, &frontier);
        }
        // What a push finds out blob by blob.
        for blob in &mut foreseen.blobs {
            if *blob == Standing::HeldByParent {
                *blob = Standing::Held;
            }
        }
        foreseen.settle_blobs(graph);
        foreseen
    }

    /// As if the tags of referrers had been asked for: they always are.
    fn pretend_digest_tags(&mut self, graph: &Graph, found: &Self) {
        let tags: usize = graph.nodes().iter().map(|it| it.tags.len()).sum();
        self.questions += tags as u64;
        self.rounds += usize::from(tags > 0);
        for (position, node) in graph.nodes().iter().enumerate() {
            if node.tags.is_empty() || self.nodes[position].is_held() {
                continue;
            }
            self.nodes[position] = found.nodes[position];
            if found.nodes[position] == Standing::Held {
                self.settle_below(graph, position);
            }
        }
    }

    /// As if the tags had been asked for that were not seen before.
    fn pretend_tags(&mut self, found: &Self, (tags, recalled): (&[Tag], &Recalled)) {
        let open = tags.iter().zip(&recalled.tags).filter(|(_, it)| !**it);
        let open: Vec<&Tag> = open.map(|(tag, _)| tag).collect();
        self.questions += open.len() as u64;
        self.rounds += usize::from(!open.is_empty());
        let held = open.into_iter().filter(|it| found.held_tags.contains(it));
        self.held_tags.extend(held.cloned());
    }

    /// As if these had been asked for, with the answers that were found; if they are asked for.
    fn pretend(&mut self, graph: &Graph, which: &[usize], (found, wanted): (&Self, &[bool])) {
        let asked: Vec<usize> = which
            .iter()
            .copied()
            .filter(|it| wanted[*it] || self.is_listed(graph, *it))
            .collect();
        self.questions += asked.len() as u64;
        self.rounds += usize::from(!asked.is_empty());
        for position in asked {
            self.nodes[position] = match found.nodes[position] {
                Standing::HeldByParent => Standing::Held,
                other => other,
            };
            if self.nodes[position] == Standing::Held {
                self.settle_below(graph, position);
            }
        }
    }
}
