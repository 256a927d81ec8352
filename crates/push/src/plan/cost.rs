//! What a plan comes to: bytes, requests by method, depth.
//!
//! The cost of each step in the distribution protocol
//! ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs)):
//!
//! | step | requests | depth |
//! | --- | --- | --- |
//! | a question for a tag, a manifest or a blob | HEAD | 1 |
//! | a blob that turns out to be there | POST (it asks by a mount from the repository itself) | 1 |
//! | the same, and it was seen there | POST; HEAD and DELETE, unless refusals are known to say that it is not there | 2 |
//! | the same where all mounts are refused | HEAD | 1 |
//! | the same where *k* repositories are asked for it first, and refuse | *k* POST and DELETE, HEAD | *k* + 1 |
//! | a mount, the last of *k* repositories giving it | *k* POST, *k* - 1 DELETE | *k* |
//! | an upload | POST, PUT | 2 |
//! | the same of what was seen there, or is much and others hold it where all mounts are refused | HEAD, POST, PUT | 3 |
//! | where that is in doubt, the one blob that finds out | *k* POST and DELETE, HEAD more | *k* + 1 more |
//! | a small one where the registry is known to take it so | POST | 1 |
//! | an upload gone on with | HEAD, GET, PATCH, PUT | 3 |
//! | a manifest or index, for each tag | PUT | 1 |
//! | *n* tags, *k* of them in one request, where the registry may ignore that | *n* / *k* more PUT | 1 more |
//! | what refers to one manifest, where the registry may list none | 4 GET, PUT | 5 |
//!
//! Where the manifest goes first ([`Opening`]) it is put once more if something was missing (under its
//! tag, if it has just one), and what is there costs nothing.
//! Where a limit on uploaded bytes is set, blobs are asked for by HEAD beforehand, one
//! round more, and those that are there cost nothing further. Giving up a session is not
//! counted in the depth.

use std::collections::{BTreeSet, HashMap, HashSet};

use oci::{Digest, Mounting};

use super::{
    Action, Beginning, Bytes, Findings, Mounts, Opening, Reason, Requests, Siblings, Step, Totals,
    is_much,
};
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
    /// What goes first.
    pub(crate) opening: Opening,
    /// Whether the root goes under its tag when it is put after a refusal.
    pub(crate) tagged_again: bool,
    /// Which blobs go first, where that may spare the others.
    pub(crate) beginning: Option<&'a Beginning>,
    /// What the registry holds.
    pub(crate) found: &'a Findings,
    /// The largest blob that goes up in a single request, in bytes.
    pub(crate) at_once: u64,
    /// What it does with mounts.
    pub(crate) mounts: Mounts,
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
    let mut open = Vec::new();
    for step in blobs {
        count_bytes(step, &mut totals.bytes);
        if step.because != Reason::HeldByParent && step.action != Action::Point {
            open.push(step);
        }
    }
    if counted.blobs_beforehand {
        totals.requests.head += open.len() as u64;
    }
    let is_index = !graph.root().children.is_empty();
    let blobs_cost = match counted.beginning {
        Some(beginning) => Blobs::beginning(graph, blobs, (beginning, counted)),
        None => Blobs::of(&open, is_index, counted),
    };
    let asked = counted.blobs_beforehand && !open.is_empty();
    let (trial, trial_rounds) = blobs_cost.trial;
    let rounds = counted.rounds + usize::from(asked) + trial_rounds;
    totals.requests += blobs_cost.requests;
    totals.requests += trial;
    let (puts, depth) = puts(graph, manifests, (counted, &blobs_cost));
    totals.requests += puts;
    totals.depth = rounds + blobs_cost.depth + depth;
    totals
}

/// The requests for manifests, tags and lists of referrers, and how many of them wait for one another.
fn puts(
    graph: &Graph,
    steps: &[Step],
    (counted, blobs): (Counted<'_>, &Blobs),
) -> (Requests, usize) {
    let mut requests = Requests::default();
    let waves = waves(graph);
    let root = graph.root().document.digest();
    let mut rounds = BTreeSet::new();
    let mut tags: usize = 0;
    let mut root_by_digest = false;
    for step in steps {
        if let Action::Put { tag } = &step.action {
            let is_root = step.node.digest == *root;
            root_by_digest |= is_root && tag.is_none();
            // The root taken, all of it is there.
            if blobs.all_there && tag.is_none() && !is_root {
                continue;
            }
            if tag.is_none() && blobs.held.contains(&step.node.digest) {
                continue;
            }
            requests.put += 1;
            if tag.is_some() && is_root {
                tags += 1;
                rounds.insert(usize::MAX);
            } else {
                rounds.insert(waves.get(&step.node.digest).copied().unwrap_or_default());
            }
        }
    }
    // Where the root goes by its digest anyway, the last time is that one.
    let tagged_again = counted.tagged_again && blobs.roots > 1;
    let last = usize::from((root_by_digest || tagged_again) && blobs.all_there);
    let first = blobs.roots.saturating_sub(last);
    requests.put += first as u64;
    let mut depth = rounds.len() + first;
    if tags > 1 && counted.tags_at_once > 1 {
        requests.put += tags.div_ceil(counted.tags_at_once) as u64;
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

/// What the blobs cost, all together.
#[derive(Default)]
struct Blobs {
    requests: Requests,
    depth: usize,
    /// How often the root is put by its digest.
    roots: usize,
    /// Whether that settles everything below it.
    all_there: bool,
    /// The documents that turn out to be there.
    held: HashSet<Digest>,
    /// What the one blob costs besides that finds out whether mounts are still refused, whichever that is.
    trial: (Requests, usize),
}

impl Blobs {
    fn of(open: &[&Step], is_index: bool, counted: Counted<'_>) -> Self {
        let mut cost = Self::default();
        let Opening::Manifest { after_new, proves } = counted.opening else {
            cost.round(open.iter().copied(), counted);
            return cost;
        };
        let seen = |it: &&Step| counted.siblings.is_held(&it.node.digest);
        let (first, rest): (Vec<&Step>, Vec<&Step>) =
            open.iter().partition(|it| after_new && !seen(it));
        cost.round(first.into_iter(), counted);
        cost.roots = 1;
        let is_missing = |it: &&&Step| it.action != Action::Skip;
        if !rest.iter().any(|it| is_missing(&it)) {
            cost.all_there = proves;
            if !proves {
                cost.round(rest.into_iter(), counted);
            }
        } else if is_index {
            // It names manifests, and what these lack is asked for: not more than all of it.
            cost.round(rest.into_iter(), counted);
            cost.roots = 2;
        } else {
            cost.round(rest.iter().filter(is_missing).copied(), counted);
            cost.roots = 2;
            cost.all_there = true;
        }
        cost
    }

    /// Some first, and the others only as far as no manifest is there that lists them.
    fn beginning(
        graph: &Graph,
        blobs: &[Step],
        (beginning, counted): (&Beginning, Counted<'_>),
    ) -> Self {
        let mut cost = Self::default();
        // None of the first goes up in the request that asks for it.
        let asked = Counted {
            at_once: 0,
            ..counted
        };
        cost.round(beginning.first.iter().map(|it| &blobs[*it]), asked);
        let is_there = |it: usize| blobs[it].action == Action::Skip;
        let likely = beginning.signs.iter().filter(|it| is_there(it.config));
        let likely: Vec<usize> = likely.map(|it| it.node).collect();
        cost.requests.head += likely.len() as u64;
        let held = likely.iter().map(|it| (*it, counted.found.nodes[*it]));
        let held: Vec<usize> = held
            .filter(|(_, it)| it.is_held())
            .map(|(it, _)| it)
            .collect();
        let nodes = graph.nodes();
        let spared = |blob: &usize| held.iter().any(|it| nodes[*it].blobs.contains(blob));
        let rest = beginning.rest.iter().filter(|it| !spared(it));
        let mut late = Self::default();
        late.round(rest.map(|it| &blobs[*it]), counted);
        cost.requests += late.requests;
        if late.trial.1 > cost.trial.1 {
            cost.trial = late.trial;
        }
        let known = 1 + usize::from(!likely.is_empty());
        cost.depth = cost.depth.max(known + late.depth);
        let held = held.iter().map(|it| nodes[*it].document.digest().clone());
        cost.held = held.collect();
        cost
    }

    /// Several blobs at once.
    fn round<'a>(&mut self, steps: impl Iterator<Item = &'a Step>, counted: Counted<'_>) {
        let mut most = 0;
        for step in steps {
            let (requests, depth) = requests(step, counted);
            self.requests += requests;
            most = most.max(depth);
            if counted.mounts.mounting == Mounting::Doubted {
                let (requests, depth) = of_trial(step, counted);
                if depth > self.trial.1 {
                    self.trial = (requests, depth);
                }
            }
        }
        self.depth += most;
    }
}

/// The requests of one blob's step, and how many of them wait for one another.
fn requests(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    match &step.action {
        Action::Skip if counted.blobs_beforehand => (Requests::default(), 0),
        Action::Skip => of_present(step, counted),
        Action::Mount { from, .. } => {
            let k = from.len().max(1);
            let asked = Requests {
                post: k as u64,
                delete: k as u64 - 1,
                ..Requests::default()
            };
            let (mut itself, rounds) = of_itself(step, counted);
            // A session that a refusal opens is used up by nobody.
            itself.delete = itself.post;
            itself += asked;
            (itself, k + rounds)
        }
        Action::Upload => of_upload(step, counted),
        // It may have got to its end: both questions at once.
        Action::Resume { .. } => {
            let sent = Requests {
                head: 1,
                get: 1,
                patch: 1,
                put: 1,
                ..Requests::default()
            };
            (sent, 3)
        }
        Action::Point | Action::Put { .. } => (Requests::default(), 0),
    }
}

/// A blob that is there.
fn of_present(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    let none = Requests::default();
    let digest = &step.node.digest;
    let k = counted.siblings.of(digest).len();
    if counted.siblings.is_held(digest) {
        let (mut itself, rounds) = of_itself(step, counted);
        itself.delete = itself.post.min(itself.head);
        return (itself, rounds);
    }
    match k {
        0 => (Requests { post: 1, ..none }, 1),
        _ if counted.mounts.are_refused() && is_much(step.node.size) => {
            (Requests { head: 1, ..none }, 1)
        }
        // It is sent for nothing.
        _ if counted.mounts.are_refused() => sent(step, counted),
        k => {
            let asked = Requests {
                head: 1,
                post: k as u64,
                delete: k as u64,
                ..none
            };
            (asked, k + 1)
        }
    }
}

/// A blob that is not there.
fn of_upload(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    let seen = counted.siblings.is_held(&step.node.digest);
    let refused = matches!(step.because, Reason::MountsRefused { .. });
    let asked = !counted.blobs_beforehand
        && (seen && !counted.mounts.finds || refused && is_much(step.node.size));
    let (mut requests, mut depth) = sent(step, counted);
    if asked {
        requests.head += 1;
        depth += 1;
    }
    (requests, depth)
}

/// The question for a blob in the repository where it was seen: by a mount, which also opens an
/// upload; plainly after that, where a refusal says nothing; and only plainly, where every mount is refused.
fn of_itself(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    let Mounts { finds, .. } = counted.mounts;
    let refused = counted.mounts.are_refused();
    if counted.blobs_beforehand || !counted.siblings.is_held(&step.node.digest) {
        return (Requests::default(), 0);
    }
    let asked = Requests {
        post: u64::from(finds || !refused),
        head: u64::from(!finds),
        ..Requests::default()
    };
    let rounds = asked.total();
    (asked, usize::try_from(rounds).unwrap_or(usize::MAX))
}

/// A blob that is sent without a question.
fn sent(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    let at_once = step.node.size <= counted.at_once;
    let requests = Requests {
        post: 1,
        put: u64::from(!at_once),
        ..Requests::default()
    };
    (requests, if at_once { 1 } else { 2 })
}

/// What one blob more costs that finds out whether mounts are still refused.
fn of_trial(step: &Step, counted: Counted<'_>) -> (Requests, usize) {
    let digest = &step.node.digest;
    let k = counted.siblings.of(digest).len();
    let seen = usize::from(counted.siblings.is_held(digest));
    if counted.blobs_beforehand || k + seen == 0 {
        return (Requests::default(), 0);
    }
    let asked = Requests {
        head: 1,
        post: (k + seen) as u64,
        delete: (k + seen) as u64,
        ..Requests::default()
    };
    (asked, k + seen + 1)
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
