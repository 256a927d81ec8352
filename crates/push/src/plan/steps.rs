//! Facts into steps: blobs first, then manifests in the order they are put, tags last.

use std::collections::{HashMap, HashSet};

use oci::{Descriptor, Digest, Tag};

use super::{Action, Facts, Findings, Reason, Siblings, Standing, Step, decide};
use crate::{
    graph::{Graph, Node},
    options::Options,
};

/// What decides beside what the repository holds.
pub(crate) struct Choices<'a> {
    pub(crate) siblings: &'a Siblings,
    pub(crate) options: &'a Options,
    /// How far uploads got that were interrupted, in bytes.
    pub(crate) interrupted: &'a HashMap<Digest, u64>,
    /// Blobs that the source does not have.
    pub(crate) nowhere: &'a HashSet<Digest>,
    /// Whether the registry refuses all mounts.
    pub(crate) refuses_mounts: bool,
}

/// One step for each blob, in the graph's order; then at least one for each manifest.
pub(crate) fn steps(
    graph: &Graph,
    findings: &Findings,
    tags: &[Tag],
    choices: &Choices<'_>,
) -> Vec<Step> {
    let Choices {
        siblings, options, ..
    } = choices;
    let blobs = graph.blobs().iter().zip(&findings.blobs);
    let mut steps: Vec<Step> = blobs
        .map(|(blob, &standing)| {
            let digest = &blob.descriptor.digest;
            let required = options.must_mount.contains(digest)
                || siblings.must_mount(digest)
                || choices.nowhere.contains(digest);
            decide(&Facts {
                blob: &blob.descriptor,
                standing,
                foreign: options.foreign,
                siblings: if required {
                    siblings.of_required(digest)
                } else {
                    siblings.of(digest)
                },
                refuses_mounts: choices.refuses_mounts,
                interrupted: choices.interrupted.get(digest).copied(),
                required,
            })
        })
        .collect();
    steps.extend(manifest_steps(graph, findings, tags));
    steps
}

fn manifest_steps(graph: &Graph, findings: &Findings, tags: &[Tag]) -> Vec<Step> {
    let mut order: Vec<usize> = (0..graph.nodes().len()).collect();
    order.sort_by_key(|&it| graph.nodes()[it].wave);
    let mut steps = Vec::new();
    for position in order {
        let node = graph.nodes()[position].document.descriptor();
        let standing = findings.nodes[position];
        // The root goes under its tags alone, unless something about it has to follow first.
        let by_tag_only = position == 0 && !tags.is_empty() && !graph.has_followers();
        let open = node_tags(&graph.nodes()[position], findings);
        if !open.is_empty() {
            steps.extend(open.into_iter().map(|tag| {
                let tag = Some(tag.clone());
                step(node, Action::Put { tag }, because(standing))
            }));
        } else if standing.is_held() {
            steps.push(step(node, Action::Skip, because(standing)));
        } else if !by_tag_only {
            steps.push(step(node, Action::Put { tag: None }, because(standing)));
        }
    }
    let root = graph.root().document.descriptor();
    let untagged = tags.iter().filter(|it| !findings.held_tags.contains(it));
    steps.extend(untagged.map(|tag| {
        let reason = match findings.nodes[0] {
            Standing::Held => Reason::Untagged,
            other => because(other),
        };
        step(
            root,
            Action::Put {
                tag: Some(tag.clone()),
            },
            reason,
        )
    }));
    steps
}

/// The tags of a referrer that do not name it yet.
fn node_tags<'a>(node: &'a Node, findings: &Findings) -> Vec<&'a Tag> {
    let tags = node.tags.iter();
    tags.filter(|it| !findings.held_digest_tags.contains(*it))
        .collect()
}

fn step(node: &Descriptor, action: Action, because: Reason) -> Step {
    Step {
        node: node.clone(),
        action,
        because,
    }
}

fn because(standing: Standing) -> Reason {
    match standing {
        Standing::Held => Reason::Held,
        Standing::HeldByParent => Reason::HeldByParent,
        Standing::Absent => Reason::Absent,
        Standing::NotAsked | Standing::Unknown => Reason::Unknown,
    }
}
