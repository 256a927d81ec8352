//! Which blobs a push begins with that has not asked for its image. Pure.
//!
//! ```text
//!   configs, then the largest ──▶ as many as go at once ──▶ a config is there?
//!                                                            ├─ its manifest is asked for: held, its
//!                                                            │  other blobs are there
//!                                                            └─ no: the other blobs
//! ```
//!
//! Hardly two images share a config: one that is there is a sign that its image is. Of a large image
//! that another machine has pushed, no more blobs are asked for than go at once. Where all of
//! them go at once there is nothing to be spared, and of few there is little.

use std::cmp::Reverse;

use super::{Action, Opening, Reason, Standing, Step};
use crate::graph::Graph;

/// So many blobs are asked for one by one, however few at once: the question for their manifest would spare
/// too little.
const FEW: usize = 16;

/// A manifest nobody was asked for, by its position among the nodes, and its config's among the blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) node: usize,
    pub(crate) config: usize,
}

/// What a push begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) signs: Vec<Sign>,
    /// The blobs that are asked for at once, as positions: the configs first.
    pub(crate) first: Vec<usize>,
    /// The others.
    pub(crate) rest: Vec<usize>,
}

impl Beginning {
    /// How a push begins that does `steps`, with so many blobs at once; none if it begins with all.
    pub(crate) fn of(
        graph: &Graph,
        (steps, standing): (&[Step], &[Standing]),
        (opening, at_once): (Opening, usize),
    ) -> Option<Self> {
        let blobs = graph.blobs().len();
        let asked = |it: &usize| asks(&steps[*it]);
        let mut order: Vec<usize> = (0..blobs).filter(asked).collect();
        let is_required =
            |it: &usize| matches!(steps[*it].action, Action::Mount { required: true, .. });
        if opening != Opening::Blobs
            || order.len() <= at_once.max(FEW)
            || order.iter().any(is_required)
        {
            return None;
        }
        let signs: Vec<Sign> = (0..graph.nodes().len())
            .filter(|it| standing[*it] == Standing::NotAsked)
            .filter_map(|node| {
                let config = config(graph, node)?;
                is_sign(&steps[config]).then_some(Sign { node, config })
            })
            .collect();
        if signs.is_empty() {
            return None;
        }
        let is_config = |it: usize| signs.iter().any(|sign| sign.config == it);
        order.sort_by_key(|&it| (!is_config(it), Reverse(steps[it].node.size), it));
        let configs = order.iter().filter(|it| is_config(**it)).count();
        let rest = order.split_off(at_once.max(configs).min(order.len()));
        Some(Self {
            signs,
            first: order,
            rest,
        })
    }
}

/// Whether the registry is asked for the blob.
fn asks(step: &Step) -> bool {
    step.because != Reason::HeldByParent && step.action != Action::Point
}

/// Whether its being there would show: what is mounted may have been there before, and what is sent
/// unasked, too.
fn is_sign(step: &Step) -> bool {
    asks(step)
        && !matches!(step.action, Action::Mount { .. })
        && !matches!(step.because, Reason::MountsRefused { .. })
}

/// The config of a document, among the blobs.
fn config(graph: &Graph, node: usize) -> Option<usize> {
    let node = &graph.nodes()[node];
    let digest = &node.document.as_manifest()?.config.digest;
    let is_config = |it: &usize| graph.blobs()[*it].descriptor.digest == *digest;
    node.blobs.iter().copied().find(is_config)
}
