//! A manifest refused because something it is made of is missing: exactly that is pushed
//! again, without trusting what was known of it, and the manifest tried once more.
//!
//! It happens when a registry says that it holds what it has lost, or loses it in between.

use futures_util::{FutureExt, future::BoxFuture};
use oci::{Digest, TargetError};

use super::{Run, blob::Start};
use crate::{
    error::PushError,
    event::{Done, Event},
    graph::Node,
    index::Evidence,
    mount::MountStatus,
    report::Outcome,
};

impl Run<'_> {
    /// Pushes again what `error` says `node` lacks. False if it names nothing of the
    /// node's, or nothing that may be sent: then there is no sense in another try.
    pub(super) fn heal<'b>(
        &'b self,
        node: &'b Node,
        error: &TargetError,
    ) -> BoxFuture<'b, Result<bool, PushError>> {
        let missing = error.answer().mentioned_digests();
        let status = error.status();
        async move {
            let mut blobs = self.sendable(node, &missing);
            // A fault of the server's own: it is distribution's word for `urls` that it does not
            // allow, and gigabytes sent again would change nothing.
            if status == Some(500) {
                blobs.retain(|&it| !self.graph.blobs()[it].descriptor.is_foreign());
            }
            let nodes = self.graph.nodes();
            let children = node.children.iter().map(|&it| &nodes[it]);
            let children: Vec<&Node> = children
                .filter(|it| missing.contains(it.document.digest()))
                .collect();
            if blobs.is_empty() && children.is_empty() {
                return Ok(false);
            }
            self.tell(&Event::Warning {
                message: format!(
                    "the registry lacks {} parts of manifest {}: they are pushed again",
                    blobs.len() + children.len(),
                    node.document.digest(),
                ),
            });
            self.send_again(blobs).await?;
            for child in children {
                self.put(child, None).await?;
            }
            Ok(true)
        }
        .boxed()
    }

    /// The blobs of `node` among `missing` that may be sent, as positions.
    fn sendable(&self, node: &Node, missing: &[Digest]) -> Vec<usize> {
        let options = &self.shared.options;
        let blobs = node.blobs.iter().copied();
        blobs
            .filter(|&it| {
                let blob = &self.graph.blobs()[it].descriptor;
                let may_be_sent = !options.foreign.keeps(blob)
                    && !options.must_mount.contains(&blob.digest)
                    && !self.siblings.must_mount(&blob.digest);
                may_be_sent && missing.contains(&blob.digest)
            })
            .collect()
    }

    /// Two manifests, or one under two tags, may lack the same blob: it is sent once.
    async fn send_again(&self, blobs: Vec<usize>) -> Result<(), PushError> {
        let mut healed = self.healed.lock().await;
        for position in blobs {
            let blob = &self.graph.blobs()[position].descriptor;
            if healed.contains(&blob.digest) {
                continue;
            }
            self.learn_gone(&blob.digest, self.repository());
            self.learn_lie(position);
            let permit = self.shared.permits.acquire().await;
            let (keeper, left) = self.keeper(blob).await;
            let sent = self.upload(blob, Start::new(keeper, left)).await?.bytes;
            drop(permit);
            self.learn_held(blob, Evidence::Pushed);
            healed.insert(blob.digest.clone());
            if let Some(Some(outcome)) = self.outcomes().get_mut(position) {
                count_again(outcome, sent);
            }
        }
        Ok(())
    }

    /// The registry said that it mounted a blob, and has not: where from is not asked first again.
    fn learn_lie(&self, position: usize) {
        let from = match self.outcomes().get(position) {
            Some(Some(outcome)) => match &outcome.mount {
                MountStatus::Mounted { from: Some(from) } => from.clone(),
                _ => return,
            },
            _ => return,
        };
        let digest = &self.graph.blobs()[position].descriptor.digest;
        self.learn_gone(digest, &from);
    }
}

/// What was thought to be there was sent after all; what was sent, was sent again.
fn count_again(outcome: &mut Outcome, sent: u64) {
    outcome.done = Done::Uploaded;
    outcome.sent = outcome.sent.saturating_add(sent);
}
