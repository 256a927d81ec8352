//! Tags: put when everything else is there, all at once.

use futures_util::{StreamExt, stream};
use oci::Tag;

use super::{Orders, Run, manifest::outcome};
use crate::{
    error::PushError,
    report::{ManifestDone, ManifestOutcome},
};

impl Run<'_> {
    /// Puts the root under every tag that does not name it yet. A tag that is refused
    /// does not undo the others; if all are, that is the push's failure.
    pub(super) async fn tags(
        &self,
        orders: &Orders<'_>,
    ) -> Result<Vec<ManifestOutcome>, PushError> {
        let at_once = self.shared.options.concurrency.get();
        let puts = orders.tags.iter().map(|tag| async move {
            let held = orders.held_tags.contains(tag);
            (tag, self.tag(tag, held).await)
        });
        let puts: Vec<_> = puts.collect();
        let answers: Vec<_> = stream::iter(puts).buffered(at_once).collect().await;
        let any = answers.iter().any(|(_, it)| it.is_ok());
        let mut outcomes = Vec::with_capacity(answers.len());
        for (tag, answer) in answers {
            outcomes.push(match answer {
                Ok(outcome) => outcome,
                Err(error) if !any => return Err(error),
                Err(error) => ManifestOutcome {
                    error: Some(error),
                    ..outcome(
                        self.graph.root(),
                        Some(tag.clone()),
                        ManifestDone::Refused,
                        false,
                    )
                },
            });
        }
        Ok(outcomes)
    }

    async fn tag(&self, tag: &Tag, held: bool) -> Result<ManifestOutcome, PushError> {
        let root = self.graph.root();
        if held {
            return Ok(outcome(
                root,
                Some(tag.clone()),
                ManifestDone::Present,
                true,
            ));
        }
        let receipt = self.put(root, Some(tag)).await?;
        Ok(outcome(
            root,
            Some(tag.clone()),
            ManifestDone::Put,
            receipt.verified,
        ))
    }
}
