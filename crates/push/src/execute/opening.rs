//! The root first, by its digest: one request that asks for everything below it.
//!
//! ```text
//!   put ──taken──▶ all is there, where the registry refuses what is not
//!    ▲     └─────▶ it proves nothing: each blob is asked for
//!    │ refused, and it names what is missing
//!    └── exactly that is pushed; the second refusal has the rest asked for
//! ```
//!
//! Never under a tag as long as nothing is known of the registry's refusals. What one names is missing,
//! and of what it does not name nothing is known: many name the first thing they miss. Only the
//! registry's taking the root later on settles the others, and only where it has refused one for want of
//! content. It has refused this very root then, so the second time it goes under its tag if there is one
//! and nothing else goes before that: what the registry refuses still moves no tag.

use std::{collections::HashSet, sync::PoisonError};

use oci::{Digest, ManifestReceipt, Tag, TargetError, TargetErrorKind};

use super::{
    Orders, Run,
    manifest::{Opened, outcome},
};
use crate::{
    error::PushError,
    event::{Done, Event},
    graph::Node,
    plan::{Action, Opening, Step, only_tag},
    report::ManifestDone,
};

impl Run<'_> {
    /// Puts the root first, if that is what the opening is, and what it turns out to lack.
    pub(super) async fn open_with(
        &self,
        orders: &Orders<'_>,
        steps: &[Step],
    ) -> Result<Opened, PushError> {
        let mut opened = Opened::default();
        let Opening::Manifest {
            after_new,
            mut proves,
        } = orders.opening
        else {
            return Ok(opened);
        };
        if after_new {
            let is_new = |at: &usize| !self.siblings.is_held(&steps[*at].node.digest);
            let new: Vec<usize> = (0..steps.len()).filter(is_new).collect();
            self.some_blobs(steps, &new).await?;
        }
        let root = self.graph.root();
        for last in [false, true] {
            let tag = self.only_tag(orders).filter(|_| last);
            let error = match self.ask_with(root, tag).await {
                Ok(receipt) if proves => {
                    let tag = tag.cloned();
                    self.tell(&Event::ManifestPut {
                        digest: root.document.digest().clone(),
                        tag: tag.clone(),
                        verified: receipt.verified,
                    });
                    let put = outcome(root, tag, ManifestDone::Put, receipt.verified);
                    opened.put.push(put);
                    opened.proven = true;
                    self.all_present(steps).await?;
                    return Ok(opened);
                }
                Ok(_) => {
                    opened.taken_with = Some(self.open_blobs());
                    return Ok(opened);
                }
                Err(error) => error,
            };
            if !is_an_answer(&error) {
                return Err(PushError::ManifestPutFailed {
                    digest: root.document.digest().clone(),
                    repository: self.repository().clone(),
                    tag: None,
                    error: Box::new(error),
                });
            }
            let named: HashSet<Digest> = error.answer().mentioned_digests().into_iter().collect();
            if last || !self.push_named(&named, steps, &mut opened).await? {
                return Ok(opened);
            }
            // It has just refused this very manifest.
            proves = true;
        }
        Ok(opened)
    }

    async fn ask_with(
        &self,
        root: &Node,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        let _permit = self.shared.permits.acquire().await;
        self.target.put_manifest(&root.document, tag).await
    }

    /// The tag that is to be made, where nothing else comes before it once the root is taken.
    fn only_tag<'t>(&self, orders: &Orders<'t>) -> Option<&'t Tag> {
        only_tag(self.graph, orders.tags, orders.held_tags)
            .filter(|_| !self.shared.options.no_overwrite)
    }

    /// Pushes what a refusal of the root names; false if that is nothing of it.
    async fn push_named(
        &self,
        named: &HashSet<Digest>,
        steps: &[Step],
        opened: &mut Opened,
    ) -> Result<bool, PushError> {
        let nodes = self.graph.nodes();
        let root = self.graph.root();
        let digest = |at: usize| &self.graph.blobs()[at].descriptor.digest;
        let mut blobs: Vec<usize> = root.blobs.clone();
        blobs.retain(|it| named.contains(digest(*it)));
        let lacks = |at: &usize| named.contains(nodes[*at].document.digest());
        let children: Vec<usize> = root.children.iter().copied().filter(lacks).collect();
        if blobs.is_empty() && children.is_empty() {
            return Ok(false);
        }
        {
            let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            missing.extend(blobs.iter().map(|it| digest(*it).clone()));
        }
        // Of the blobs of a manifest that is not there nothing was said.
        let below = self.below(&children);
        blobs.extend(below.iter().flat_map(|it| nodes[*it].blobs.iter().copied()));
        blobs.sort_unstable();
        blobs.dedup();
        self.some_blobs(steps, &blobs).await?;
        let mut below = below;
        below.sort_by_key(|it| nodes[*it].wave);
        for position in below {
            let receipt = self.put(&nodes[position], None).await?;
            let put = outcome(&nodes[position], None, ManifestDone::Put, receipt.verified);
            opened.put.push(put);
        }
        Ok(true)
    }

    /// These documents and all that they are made of, each once.
    fn below(&self, documents: &[usize]) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        let mut open = documents.to_vec();
        while let Some(next) = open.pop() {
            if !found.contains(&next) {
                found.push(next);
                open.extend(&self.graph.nodes()[next].children);
            }
        }
        found
    }

    /// All that the root is made of is there.
    async fn all_present(&self, steps: &[Step]) -> Result<(), PushError> {
        let nodes = self.graph.nodes();
        let below = self.below(&[0]);
        let blobs: HashSet<usize> = below
            .iter()
            .flat_map(|it| nodes[*it].blobs.iter().copied())
            .collect();
        for position in self.open_blobs() {
            let step = &steps[position];
            if !blobs.contains(&position) || step.action == Action::Point {
                continue;
            }
            let settled = self.there(step).await?;
            self.outcomes()[position] = Some(settled);
        }
        Ok(())
    }

    fn open_blobs(&self) -> Vec<usize> {
        let outcomes = self.outcomes();
        let open = outcomes.iter().enumerate().filter(|(_, it)| it.is_none());
        open.map(|(position, _)| position).collect()
    }

    /// After the blobs: whether the registry took the root although some of them were missing.
    pub(super) fn check_opening(&self, opened: &Opened) {
        let Some(open) = &opened.taken_with else {
            return;
        };
        let outcomes = self.outcomes();
        let was_missing = |at: &usize| {
            let done = outcomes[*at].as_ref().map(|it| it.done);
            matches!(done, Some(Done::Uploaded | Done::Mounted))
        };
        if open.iter().any(was_missing) {
            let root = &self.graph.root().document;
            self.target.took_incomplete(root);
            self.tell(&Event::Warning {
                message: format!(
                    "the registry takes manifests whose content is missing, as it did {}",
                    root.digest()
                ),
            });
        }
    }
}

/// Whether the registry has said something about the manifest. It was only a question: whatever it
/// is, the push goes on without.
fn is_an_answer(error: &TargetError) -> bool {
    matches!(
        error.kind(),
        TargetErrorKind::Refused
            | TargetErrorKind::Server
            | TargetErrorKind::Denied
            | TargetErrorKind::Unsupported
    )
}
