//! Manifests: put wave by wave, children before parents, each once.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Digest, ManifestReceipt, Tag, TargetError};

use super::Run;
use crate::{
    error::PushError,
    event::Event,
    graph::Node,
    plan::{Action, Step},
    report::{ManifestDone, ManifestOutcome},
};

impl Run<'_> {
    /// Puts, by digest, what the steps say is to be put so; tags are not looked at.
    pub(super) async fn manifests(
        &self,
        steps: &[Step],
    ) -> Result<Vec<ManifestOutcome>, PushError> {
        let mut outcomes = Vec::new();
        let mut waves: Vec<Vec<&Node>> = Vec::new();
        let nodes = self.graph.nodes().iter();
        let nodes: HashMap<&Digest, &Node> = nodes.map(|it| (it.document.digest(), it)).collect();
        for step in steps {
            let Some(&node) = nodes.get(&step.node.digest) else {
                continue;
            };
            match step.action {
                Action::Put { tag: None } => {
                    waves.resize_with(waves.len().max(node.wave + 1), Vec::new);
                    waves[node.wave].push(node);
                }
                Action::Put { tag: Some(_) } => {}
                _ => outcomes.push(outcome(node, None, ManifestDone::Present, true)),
            }
        }
        for wave in waves {
            let at_once = self.shared.options.concurrency.get();
            let puts = wave.into_iter().map(|node| async move {
                let receipt = self.put(node, None).await?;
                Ok::<_, PushError>(outcome(node, None, ManifestDone::Put, receipt.verified))
            });
            let puts: Vec<_> = puts.collect();
            let put: Vec<ManifestOutcome> =
                stream::iter(puts).buffered(at_once).try_collect().await?;
            outcomes.extend(put);
        }
        Ok(outcomes)
    }

    /// Puts one document. If the registry lacks something it is made of, that is pushed
    /// again and the document put once more.
    pub(super) async fn put(
        &self,
        node: &Node,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, PushError> {
        let failed = |error| PushError::ManifestPutFailed {
            digest: node.document.digest().clone(),
            repository: self.repository().clone(),
            tag: tag.cloned(),
            error: Box::new(error),
        };
        let receipt = match self.put_once(node, tag).await {
            Ok(receipt) => receipt,
            Err(error) => {
                if !self.heal(node, &error).await? {
                    return Err(failed(error));
                }
                self.put_once(node, tag).await.map_err(failed)?
            }
        };
        self.tell(&Event::ManifestPut {
            digest: node.document.digest().clone(),
            tag: tag.cloned(),
            verified: receipt.verified,
        });
        Ok(receipt)
    }

    async fn put_once(
        &self,
        node: &Node,
        tag: Option<&Tag>,
    ) -> Result<ManifestReceipt, TargetError> {
        let _permit = self.shared.permits.acquire().await;
        self.target.put_manifest(&node.document, tag).await
    }
}

/// What came of `node`, without an error.
pub(super) fn outcome(
    node: &Node,
    tag: Option<Tag>,
    done: ManifestDone,
    verified: bool,
) -> ManifestOutcome {
    let descriptor = node.document.descriptor();
    ManifestOutcome {
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        tag,
        done,
        verified,
        error: None,
    }
}
