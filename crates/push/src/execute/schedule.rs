//! Blobs, the largest first, as many at once as there are permits.
//!
//! All of them start; each waits for its permit, and the permits are handed out in the
//! order they were asked for. The largest goes first because it takes longest: begun
//! last, it would be alone at the end.

use std::cmp::Reverse;

use futures_util::{TryStreamExt, stream::FuturesUnordered};

use super::Run;
use crate::{error::PushError, plan::Step};

impl Run<'_> {
    /// Gets every blob where it should be, or stops at the first that cannot be.
    pub(super) async fn blobs(&self, steps: &[Step]) -> Result<(), PushError> {
        let mut order: Vec<(usize, &Step)> = steps.iter().enumerate().collect();
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
