//! What a push will do, and what that comes to.

use oci::{Descriptor, PushTarget, Validation};

use super::{Draft, Engine};
use crate::{
    graph::Graph,
    options::{AskFirst, Destination},
    plan::{
        Beginning, Choices, Counted, Findings, Mounts, Opening, Plan, Recalled, Siblings, Step,
        Totals, Unseen, cost, is_much, only_tag, opening, steps,
    },
};

impl Engine {
    /// Whether a push asks for less than all its manifests and tags first, and what it does about those that were not
    /// seen before: who must not move a tag asks for all of them, and who is asked next door for
    /// everything.
    pub(super) fn sparing(
        &self,
        target: &dyn PushTarget,
        mounts: Mounts,
        (wanted, siblings): (&[&Descriptor], &Siblings),
    ) -> Option<Unseen> {
        let options = &self.shared.options;
        if options.no_overwrite || target.is_near() {
            return None;
        }
        match options.ask_first {
            AskFirst::Always => None,
            AskFirst::Never => Some(Unseen::LeftOut),
            // From anywhere may be from the repository itself: that does not say whether it was there.
            AskFirst::Auto if options.mount_from_anywhere => Some(Unseen::Asked),
            AskFirst::Auto if mounts.finds => Some(Unseen::LeftOut),
            AskFirst::Auto if at_stake(wanted, siblings, mounts) <= AskFirst::STAKE => {
                Some(Unseen::LeftOut)
            }
            AskFirst::Auto => Some(Unseen::Asked),
        }
    }

    /// Whether a blob must be mounted.
    pub(super) fn is_required(&self, blob: &Descriptor, siblings: &Siblings) -> bool {
        let digest = &blob.digest;
        self.shared.options.must_mount.contains(digest) || siblings.must_mount(digest)
    }

    /// Says to the target how many blobs come, as far as they go at once: where other things were seen on a
    /// registry and an image was not, they most likely come after the question for it.
    pub(super) fn expect_blobs(
        &self,
        target: &dyn PushTarget,
        (wanted, siblings): (&[&Descriptor], &Siblings),
    ) {
        let at_once = self.shared.options.concurrency.get();
        let sent = unknown(wanted, siblings).count();
        target.expect_blobs(wanted.len().min(at_once), sent.min(at_once));
    }

    /// For each document, whether its being there says that all it lists is. An image index may have
    /// been put without some of its images, where the registry takes that: it says so if the
    /// registry is known to refuse it, or if the images were seen there, too.
    pub(super) async fn proves(
        &self,
        graph: &Graph,
        (target, recalled): (&dyn PushTarget, &Recalled),
    ) -> Vec<bool> {
        let mut proves = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let seen = node.children.iter().all(|it| recalled.nodes[*it]);
            let complete = seen
                || target.is_near()
                || target.validation(&node.document).await == Validation::Proven;
            proves.push(complete && !node.is_sparse());
        }
        proves
    }

    pub(super) fn steps(&self, draft: &Draft, findings: &Findings) -> Vec<Step> {
        steps(
            &draft.graph,
            findings,
            &draft.tags,
            &Choices {
                siblings: &draft.siblings,
                options: &self.shared.options,
                interrupted: &draft.left,
                nowhere: &draft.nowhere,
                refuses_mounts: draft.mounts.are_refused(),
            },
        )
    }

    pub(super) fn opening(&self, draft: &Draft, findings: &Findings) -> Opening {
        let required = |it: &Descriptor| self.is_required(it, &draft.siblings);
        let blobs = draft.graph.blobs().iter();
        // What an interrupted upload is a part of is not there, a sparse index says nothing; and nothing goes before what must
        // be mounted.
        let is_sparse = draft.graph.root().is_sparse();
        if is_sparse || !draft.left.is_empty() || blobs.clone().any(|it| required(&it.descriptor)) {
            return Opening::Blobs;
        }
        let known = (draft.validation, draft.mounts.are_refused());
        opening(&draft.graph, findings, &draft.siblings, known)
    }

    /// What it begins with, where that may spare the rest.
    pub(super) fn beginning(
        &self,
        draft: &Draft,
        (steps, findings): (&[Step], &Findings),
        opening: Opening,
    ) -> Option<Beginning> {
        if !draft.left.is_empty() {
            return None;
        }
        let at_once = self.shared.options.concurrency.get();
        Beginning::of(&draft.graph, (steps, &findings.nodes), (opening, at_once))
    }

    pub(super) async fn plan_of(
        &self,
        draft: Draft,
        target: &dyn PushTarget,
        destination: &Destination,
    ) -> Plan {
        let steps = self.steps(&draft, &draft.findings);
        let totals = self.totals(&draft, &steps, target, target.at_once_limit().await);
        Plan {
            repository: target.repository().clone(),
            destination: Destination {
                tags: draft.tags,
                mount_from: destination.mount_from.clone(),
            },
            held_tags: draft.findings.held_tags,
            graph: draft.graph,
            steps,
            totals,
            foreign: None,
            embedding: None,
        }
    }

    /// What a push comes to, which asks for less than its plan did.
    pub(super) fn totals(
        &self,
        draft: &Draft,
        steps: &[Step],
        target: &dyn PushTarget,
        at_once: u64,
    ) -> Totals {
        let tags_at_once = if self.shared.options.no_overwrite {
            1
        } else {
            target.tags_at_once()
        };
        let gated = self.shared.options.max_upload_bytes.is_some();
        let at_once = if gated || draft.familiar { at_once } else { 0 };
        let found = &draft.findings;
        let tagged_again = !self.shared.options.no_overwrite
            && only_tag(&draft.graph, &draft.tags, &found.held_tags).is_some();
        let counted = |findings: &Findings, opening, beginning| Counted {
            questions: findings.questions,
            rounds: findings.rounds,
            blobs_beforehand: gated,
            tags_at_once,
            siblings: &draft.siblings,
            opening,
            tagged_again,
            beginning,
            found,
            at_once,
            mounts: draft.mounts,
        };
        if gated {
            let counted = counted(&draft.findings, Opening::Blobs, None);
            return cost(&draft.graph, steps, counted);
        }
        let foreseen = if let Some(unseen) = draft.sparing {
            let recalled = if self.shared.forgets_plans {
                draft.recalled.clone()
            } else {
                draft.recalled.after(&draft.findings, &draft.tags)
            };
            draft
                .findings
                .foreseen(&draft.graph, &draft.tags, (&recalled, unseen))
        } else {
            draft.findings.clone()
        };
        let opening = self.opening(draft, &foreseen);
        let steps = self.steps(draft, &foreseen);
        let beginning = self.beginning(draft, (&steps, &foreseen), opening);
        let counted = counted(&foreseen, opening, beginning.as_ref());
        let mut totals = cost(&draft.graph, &steps, counted);
        if self.shared.options.mount_from_anywhere && totals.bytes.uploaded > 0 {
            // The blob that finds out may have to be asked for again.
            totals.requests.head += 1;
            totals.depth += 1;
        }
        totals
    }
}

/// How many bytes would go twice, at the most, if all of it were there already, on a registry whose
/// refusal of a mount from the repository itself says nothing.
///
/// A blob that others are asked for is asked for in the repository, too, when none of them gives it; so is one that
/// was seen there. Neither is sent unasked, unless the registry refuses mounts and it is a small one.
fn at_stake(wanted: &[&Descriptor], siblings: &Siblings, mounts: Mounts) -> u64 {
    let unasked = wanted.iter().filter(|it| {
        let sent = mounts.are_refused() && !is_much(it.size);
        !siblings.is_held(&it.digest) && (sent || siblings.of(&it.digest).is_empty())
    });
    unasked.fold(0, |bytes, it| bytes.saturating_add(it.size))
}

/// Those that were seen neither in the repository nor in one that gives them.
fn unknown<'a>(
    wanted: &'a [&Descriptor],
    siblings: &'a Siblings,
) -> impl Iterator<Item = &'a Descriptor> {
    let wanted = wanted.iter().copied();
    wanted.filter(|it| !siblings.is_known(&it.digest))
}
