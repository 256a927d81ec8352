//! What a plan comes to: bytes, requests by method, depth.
//!
//! The cost of each step in the distribution protocol
//! ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs)):
//!
//! | step | requests | depth |
//! | --- | --- | --- |
//! | a question for a tag, a manifest or a blob | HEAD | 1 |
//! | a blob that turns out to be there | POST (it asks by a mount from the repository itself) | 1 |
//! | the same where *k* repositories are asked for it first, and refuse | *k* POST and DELETE, HEAD | *k* + 1 |
//! | a mount, the last of *k* repositories giving it | *k* POST, *k* - 1 DELETE | *k* |
//! | an upload | POST, PUT | 2 |
//! | an upload gone on with | HEAD, GET, PATCH, PUT | 3 |
//! | a manifest or index, for each tag | PUT | 1 |
//! | *n* tags, *k* of them in one request, where the registry may ignore that | *n* / *k* more PUT | 1 more |
//! | what refers to one manifest, where the registry may list none | 4 GET, PUT | 5 |
//!
//! Where a limit on uploaded bytes is set, blobs are asked for by HEAD beforehand, one
//! round more, and those that are there cost nothing further. Giving up a session is not
//! counted in the depth.

use std::collections::{BTreeSet, HashMap};

use oci::Digest;

use super::{Action, Bytes, Reason, Requests, Siblings, Step, Totals};
use crate::graph::Graph;

/// What went into the questions, and what will go into more of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted<'a> {
    /// Manifests and tags asked for.
    pub(crate) questions: u64,
    /// Rounds that took.
    pub(crate) rounds: usize,
    /// Whether a push asks for blobs before it does anything.
    pub(crate) blobs_beforehand: bool,
    /// How many tags one request takes, perhaps.
    pub(crate) tags_at_once: usize,
    /// Who is asked for mounts.
    pub(crate) siblings: &'a Siblings,
}

/// What `steps` come to: one for each blob of the graph, in its order, then those for manifests.
pub(crate) fn cost(graph: &Graph, steps: &[Step], counted: Counted<'_>) -> Totals {
    let (blobs, manifests) = steps.split_at(graph.blobs().len());
    let mut totals = Totals {
        bytes: Bytes {
            total: graph.total_bytes(),
            unique: graph.unique_bytes(),
            ..Bytes::default()
        },
        requests: Requests {
            head: counted.questions,
            ..Requests::default()
        },
        depth: 0,
    };
    let mut rounds = counted.rounds;
    let mut blob_depth = 0;
    for step in blobs {
        count_bytes(step, &mut totals.bytes);
        if step.because == Reason::HeldByParent || step.action == Action::Point {
            continue;
        }
        let (requests, depth) = requests(step, counted);
        blob_depth = blob_depth.max(depth);
        totals.requests += requests;
        if counted.blobs_beforehand {
            totals.requests.head += 1;
            rounds = counted.rounds + 1;
        }
    }
    let (puts, depth) = puts(graph, manifests, counted.tags_at_once);
    totals.requests += puts;
    totals.depth = rounds + blob_depth + depth;
    totals
}

/// The requests for manifests, tags and lists of referrers, and how many of them wait for one another.
fn puts(graph: &Graph, steps: &[Step], tags_at_once: usize) -> (Requests, usize) {
    let mut requests = Requests::default();
    let waves = waves(graph);
    let root = graph.root().document.digest();
    let mut rounds = BTreeSet::new();
    let mut tags: usize = 0;
    for step in steps {
        if let Action::Put { tag } = &step.action {
            requests.put += 1;
            if tag.is_some() && step.node.digest == *root {
                tags += 1;
                rounds.insert(usize::MAX);
            } else {
                rounds.insert(waves.get(&step.node.digest).copied().unwrap_or_default());
            }
        }
    }
    let mut depth = rounds.len();
    if tags > 1 && tags_at_once > 1 {
        requests.put += tags.div_ceil(tags_at_once) as u64;
        depth += 1;
    }
    let subjects = graph.nodes().iter().filter_map(|it| it.document.subject());
    let subjects: BTreeSet<&Digest> = subjects.map(|it| &it.digest).collect();
    requests.get += 4 * subjects.len() as u64;
    requests.put += subjects.len() as u64;
    if !subjects.is_empty() {
        depth += 5;
    }
    (requests, depth)
}

/// The requests of one blob's step, and how many of them wait for one another.
fn requests(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    let none = Requests::default();
    match &step.action {
        Action::Skip if counted.blobs_beforehand => (none, 0),
        Action::Skip => match counted.siblings.of(&step.node.digest).len() {
            0 => (Requests { post: 1, ..none }, 1),
            k => {
                let asked = Requests {
                    head: 1,
                    post: k as u64,
                    delete: k as u64,
                    ..none
                };
                (asked, k + 1)
            }
        },
        Action::Mount { from, .. } => {
            let k = from.len().max(1);
            let asked = Requests {
                post: k as u64,
                delete: k as u64 - 1,
                ..none
            };
            (asked, k)
        }
        Action::Upload => {
            let sent = Requests {
                post: 1,
                put: 1,
                ..none
            };
            (sent, 2)
        }
        // It may have got to its end: both questions at once.
        Action::Resume { .. } => {
            let sent = Requests {
                head: 1,
                get: 1,
                patch: 1,
                put: 1,
                ..none
            };
            (sent, 3)
        }
        Action::Point | Action::Put { .. } => (none, 0),
    }
}

fn count_bytes(step: &Step, bytes: &mut Bytes) {
    let size = step.node.size;
    match step.action {
        Action::Skip => bytes.present += size,
        Action::Point => bytes.foreign += size,
        Action::Mount { .. } => bytes.mounted += size,
        Action::Upload => bytes.uploaded += size,
        Action::Resume { acknowledged } => {
            bytes.resumed += acknowledged;
            bytes.uploaded += size.saturating_sub(acknowledged);
        }
        Action::Put { .. } => {}
    }
}

fn waves(graph: &Graph) -> HashMap<&Digest, usize> {
    let nodes = graph.nodes().iter();
    nodes.map(|it| (it.document.digest(), it.wave)).collect()
}
