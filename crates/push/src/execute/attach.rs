//! Referrers: listed under what they are about, where the registry does not do so by itself.
//!
//! A registry says so of each manifest it takes. Of one that it held already nobody knows: it is asked
//! for too, so that a push that ended between the two is made good by the next.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Attachment, Digest, Document};

use super::{Run, lock};
use crate::{error::PushError, event::Event, graph::Node};

impl Run<'_> {
    /// Notes that nobody is known to list `node` under its subject, if it has one.
    pub(super) fn note_unlisted(&self, node: &Node) {
        let digest = node.document.digest();
        let mut nodes = self.graph.nodes().iter();
        let position = nodes.position(|it| it.document.digest() == digest);
        if let (Some(position), Some(_)) = (position, node.document.subject()) {
            lock(&self.unlisted).insert(position);
        }
    }

    /// Has everything listed that was noted since the last time, for all subjects at once.
    pub(super) async fn attach(&self) -> Result<(), PushError> {
        let noted = std::mem::take(&mut *lock(&self.unlisted));
        let mut about: BTreeMap<Digest, Vec<Document>> = BTreeMap::new();
        for position in noted {
            let document = &self.graph.nodes()[position].document;
            if let Some(subject) = document.subject() {
                let referrers = about.entry(subject.digest.clone()).or_default();
                referrers.push(document.clone());
            }
        }
        let at_once = self.shared.options.concurrency.get();
        let lists: Vec<_> = about
            .into_iter()
            .map(|(subject, referrers)| self.list(subject, referrers))
            .collect();
        stream::iter(lists).buffered(at_once).try_collect().await
    }

    async fn list(&self, subject: Digest, referrers: Vec<Document>) -> Result<(), PushError> {
        let listed = self.target.attach_referrers(&subject, &referrers).await;
        let listed = listed.map_err(|error| PushError::AttachFailed {
            subject: subject.clone(),
            repository: self.repository().clone(),
            error: Box::new(error),
        })?;
        match listed {
            Attachment::Listed => {}
            Attachment::Added(tag) => {
                lock(&self.referrers_tags).push(tag.clone());
                self.tell(&Event::ReferrersListed { subject, tag });
            }
            Attachment::Unknown => self.tell(&Event::Warning {
                message: format!(
                    "the registry does not say whether it lists what refers to {subject}"
                ),
            }),
        }
        Ok(())
    }
}
