//! Tags: put when everything else is there, all at once.
//!
//! ```text
//!   several tags ──one request──▶ those the registry confirms
//!        └── the rest, and where it confirms none ──▶ a request each, side by side
//! ```
//!
//! A registry that ignores tags in a request says nothing of them: silence is "not made"
//! ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests)).
//! A refusal of one of several is a refusal of the request: then each is asked for by itself, so that
//! the others are made and the answer for each is its own.

use futures_util::{StreamExt, stream};
use oci::{ManifestReceipt, Presence, Tag, TargetError, TargetErrorKind};

use super::{Orders, Run, manifest::outcome};
use crate::{
    error::PushError,
    plan::{Reason, Step},
    report::{ManifestDone, ManifestOutcome},
};

impl Run<'_> {
    /// Puts the root under every tag that does not name it yet and was not made on the way. A tag
    /// that is refused does not undo the others; if all are, that is the push's failure.
    pub(super) async fn tags(
        &self,
        orders: &Orders<'_>,
        put: &[ManifestOutcome],
    ) -> Result<Vec<ManifestOutcome>, PushError> {
        let root = self.graph.root();
        let is_made = |tag: &&Tag| put.iter().any(|it| it.tag.as_ref() == Some(*tag));
        let tags: Vec<&Tag> = orders.tags.iter().filter(|it| !is_made(it)).collect();
        let open = tags.iter().copied();
        let open: Vec<Tag> = open
            .filter(|it| !orders.held_tags.contains(it))
            .cloned()
            .collect();
        let made = self.together(&open).await?;
        let digest = root.document.digest();
        let unasked = |it: &Step| it.node.digest == *digest && it.because == Reason::Unknown;
        let unasked = orders.steps.iter().any(unasked);
        let puts = tags.iter().map(|&tag| {
            let made = made.iter().find(|(it, _)| it == tag).map(|(_, it)| it);
            async move {
                if orders.held_tags.contains(tag) {
                    self.note_unlisted(root);
                    return (tag, Ok((ManifestDone::Present, true)));
                }
                let put = match made {
                    Some(receipt) => Ok(receipt.verified),
                    None => self.put(root, Some(tag)).await.map(|it| it.verified),
                };
                match put {
                    Err(error) if unasked && self.names_it_already(tag, &error).await => {
                        (tag, Ok((ManifestDone::Present, true)))
                    }
                    put => (tag, put.map(|verified| (ManifestDone::Put, verified))),
                }
            }
        });
        let puts: Vec<_> = puts.collect();
        let at_once = self.shared.options.concurrency.get();
        let answers: Vec<_> = stream::iter(puts).buffered(at_once).collect().await;
        let any = answers.iter().any(|(_, it)| it.is_ok());
        let mut outcomes = Vec::with_capacity(answers.len());
        for (tag, answer) in answers {
            let tag = Some(tag.clone());
            outcomes.push(match answer {
                Ok((done, verified)) => outcome(root, tag, done, verified),
                Err(error) if !any => return Err(error),
                Err(error) => ManifestOutcome {
                    error: Some(error),
                    ..outcome(root, tag, ManifestDone::Refused, false)
                },
            });
        }
        Ok(outcomes)
    }

    /// Whether a tag that the registry refused to make names the root: one that it lets nobody move is
    /// refused although it would not move. Of a tag that was asked for it is known.
    async fn names_it_already(&self, tag: &Tag, error: &PushError) -> bool {
        let PushError::ManifestPutFailed { error, .. } = error else {
            return false;
        };
        if !matches!(
            error.kind(),
            TargetErrorKind::Refused | TargetErrorKind::Denied
        ) {
            return false;
        }
        let there = self.target.has_manifest(&tag.clone().into()).await;
        let digest = self.graph.root().document.digest();
        matches!(there, Ok(Presence::Held(there)) if there == *digest)
    }

    /// Puts the root under as many of these tags as the registry takes in common, each request as
    /// many as the target knows of; the tags that were made, and what was said of the manifest.
    ///
    /// The first request shows whether the registry does so at all. A condition would be on the
    /// manifest and not on its tags, so tags that must not be moved are put one by one.
    async fn together(&self, tags: &[Tag]) -> Result<Vec<(Tag, ManifestReceipt)>, PushError> {
        let mut made = Vec::new();
        if self.shared.options.no_overwrite || tags.len() < 2 {
            return Ok(made);
        }
        let mut rest = tags;
        while rest.len() > 1 {
            let at_once = self.target.tags_at_once().min(rest.len());
            if at_once < 2 {
                break;
            }
            let (part, others) = rest.split_at(at_once);
            rest = others;
            let Some((confirmed, receipt)) = self.part(part).await? else {
                break;
            };
            if confirmed.is_empty() {
                break;
            }
            for tag in confirmed.into_iter().filter(|it| part.contains(it)) {
                self.was_put(self.graph.root(), Some(&tag), &receipt);
                made.push((tag, receipt.clone()));
            }
        }
        Ok(made)
    }

    /// Puts the root under these tags, and if it lacks something once more; none if that was refused.
    async fn part(&self, tags: &[Tag]) -> Result<Option<(Vec<Tag>, ManifestReceipt)>, PushError> {
        let root = self.graph.root();
        let put = || async {
            let _permit = self.shared.permits.acquire().await;
            let receipt = self.target.put_manifest_as(&root.document, tags).await?;
            Ok::<_, TargetError>((receipt.tags, receipt.manifest))
        };
        match put().await {
            Ok(made) => Ok(Some(made)),
            Err(error) if self.heal(root, &error).await? => Ok(put().await.ok()),
            // Whatever it is, the request for each tag will say it of that tag.
            Err(_) => Ok(None),
        }
    }
}
