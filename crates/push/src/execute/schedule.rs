//! Blobs, the largest first, as many at once as there are permits.
//!
//! All of them start; each waits for its permit, and the permits are handed out in the
//! order they were asked for. The largest goes first because it takes longest: begun
//! last, it would be alone at the end.
//!
//! A push that goes on with an interrupted one may be interrupted again, and again: then configs
//! come after everything else, so that not every one of them asks for what it will not need.

use std::{cmp::Reverse, collections::HashSet};

use futures_util::{TryStreamExt, stream::FuturesUnordered};
use oci::Digest;

use super::Run;
use crate::{error::PushError, plan::Step};

impl Run<'_> {
    /// Gets every blob where it should be, or stops at the first that cannot be.
    pub(super) async fn blobs(&self, steps: &[Step], goes_on: bool) -> Result<(), PushError> {
        let manifests = self.graph.nodes().iter().map(|it| &it.document);
        let configs = manifests.filter_map(|it| Some(&it.as_manifest()?.config.digest));
        let configs: HashSet<&Digest> = configs.filter(|_| goes_on).collect();
        let order = steps.iter().enumerate();
        let (last, first) = order.partition(|(_, it)| configs.contains(&it.node.digest));
        self.settle_all(first).await?;
        self.settle_all(last).await
    }

    async fn settle_all(&self, mut order: Vec<(usize, &Step)>) -> Result<(), PushError> {
        order.sort_by_key(|(position, step)| (Reverse(step.node.size), *position));
        let mut going: FuturesUnordered<_> = order
            .into_iter()
            .map(|(position, step)| async move {
                let outcome = self.settle(step).await?;
                Ok::<_, PushError>((position, outcome))
            })
            .collect();
        while let Some((position, outcome)) = going.try_next().await? {
            self.outcomes()[position] = Some(outcome);
        }
        Ok(())
    }
}
