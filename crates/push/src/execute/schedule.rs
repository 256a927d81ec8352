//! Blobs, the largest first, as many at once as there are permits.
//!
//! They start in their order, a few times as many as there are permits; each waits for its permit, and
//! the permits are handed out in the order they were asked for. What has not started takes no memory:
//! an image may have ten thousand layers. The largest goes first because it takes longest: begun
//! last, it would be alone at the end.
//!
//! A push that goes on with an interrupted one may be interrupted again, and again: then configs
//! come after everything else, so that not every one of them asks for what it will not need.

use std::{cmp::Reverse, collections::HashSet};

use futures_util::{Stream, StreamExt, stream};
use oci::Digest;

use super::Run;
use crate::{
    error::{NotMounted, PushError, Settled},
    plan::{Action, Step},
    report::Outcome,
};

/// How many blobs are begun for each permit: those that wait for one that another push has on its way
/// hold none.
const AHEAD: usize = 4;
/// How many are begun in any case.
const FEWEST: usize = 64;

impl Run<'_> {
    /// Gets every blob where it should be, or stops at the first that cannot be. Those that must
    /// be mounted come first, all of them: where one is not, no byte of any other was sent.
    pub(super) async fn blobs(&self, steps: &[Step], goes_on: bool) -> Result<(), PushError> {
        let manifests = self.graph.nodes().iter().map(|it| &it.document);
        let configs = manifests.filter_map(|it| Some(&it.as_manifest()?.config.digest));
        let configs: HashSet<&Digest> = configs.filter(|_| goes_on).collect();
        let all = 0..steps.len();
        let (required, all): (Vec<usize>, Vec<usize>) =
            all.partition(|it| matches!(steps[*it].action, Action::Mount { required: true, .. }));
        let required = required.into_iter().map(|it| (it, &steps[it]));
        self.required(required.collect()).await?;
        let is_config = |at: &usize| configs.contains(&steps[*at].node.digest);
        let (last, first): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_config);
        self.some_blobs(steps, &first).await?;
        self.some_blobs(steps, &last).await
    }

    /// The same with some of them, by their positions; without what is settled already.
    pub(super) async fn some_blobs(
        &self,
        steps: &[Step],
        which: &[usize],
    ) -> Result<(), PushError> {
        let mut order: Vec<(usize, &Step)> = {
            let settled = self.outcomes();
            let open = which.iter().filter(|it| settled[**it].is_none());
            open.map(|it| (*it, &steps[*it])).collect()
        };
        order.sort_by_key(|(position, step)| (Reverse(step.node.size), *position));
        let mut going = self.settling(order);
        while let Some((position, outcome)) = going.next().await {
            self.outcomes()[position] = Some(outcome?);
        }
        Ok(())
    }

    /// Those that must be mounted; an error names all that were not.
    async fn required(&self, mut steps: Vec<(usize, &Step)>) -> Result<(), PushError> {
        steps.sort_by_key(|(position, step)| (Reverse(step.node.size), *position));
        let mut missing: Vec<(usize, NotMounted)> = Vec::new();
        let mut going = self.settling(steps);
        while let Some((position, outcome)) = going.next().await {
            match outcome {
                Ok(outcome) => self.outcomes()[position] = Some(outcome),
                Err(PushError::MountRequired { blobs, .. }) => {
                    missing.extend(blobs.into_iter().map(|it| (position, it)));
                }
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_by_key(|(position, _)| *position);
        Err(PushError::MountRequired {
            repository: self.repository().clone(),
            blobs: missing.into_iter().map(|(_, it)| it).collect(),
            settled: self.outcomes().iter().flatten().map(settled).collect(),
        })
    }

    fn settling<'b>(
        &'b self,
        steps: Vec<(usize, &'b Step)>,
    ) -> impl Stream<Item = (usize, Result<Outcome, PushError>)> + Unpin + use<'b> {
        let permits = self.shared.options.concurrency.get();
        let started = permits.saturating_mul(AHEAD).max(FEWEST);
        let settling = stream::iter(steps)
            .map(move |(position, step)| async move { (position, self.settle(step).await) });
        settling.buffer_unordered(started)
    }
}

/// What is told of a blob that was there or was mounted, where others were not.
fn settled(outcome: &Outcome) -> Settled {
    Settled {
        digest: outcome.blob.digest.clone(),
        done: outcome.done,
        mount: outcome.mount.clone(),
        tried: outcome.tried.clone(),
    }
}
