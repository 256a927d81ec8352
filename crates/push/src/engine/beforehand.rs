//! What is found on this machine before the first request.

use std::collections::{HashMap, HashSet};

use oci::{Descriptor, Digest, Repository, Source};

use super::Engine;
use crate::{
    error::PushError,
    event::{Event, Observer},
    execute::Lessons,
    graph::Graph,
    journal::{BlobKey, StateError},
    plan::{Findings, Siblings},
    preflight::preflight,
};

impl Engine {
    /// What the index knows of these blobs.
    pub(super) async fn recalled(
        &self,
        wanted: &[&Descriptor],
        repository: &Repository,
        observer: &dyn Observer,
    ) -> Lessons {
        let blobs = wanted.iter().copied();
        Lessons::recall(&self.shared, blobs, repository, observer).await
    }

    /// Stops where a tag that must not be moved names something else.
    pub(super) fn check_tags(
        &self,
        findings: &Findings,
        (repository, graph): (&Repository, &Graph),
    ) -> Result<(), PushError> {
        if !self.shared.options.no_overwrite {
            return Ok(());
        }
        findings.refuse_to_overwrite(repository, graph.root().document.digest())
    }

    /// The blobs that the source does not have and need not have. That it has the others is made sure.
    pub(super) async fn nowhere(
        &self,
        graph: &Graph,
        source: &dyn Source,
        siblings: &Siblings,
    ) -> Result<HashSet<Digest>, PushError> {
        let options = &self.shared.options;
        let required = |it: &Descriptor| self.is_required(it, siblings);
        let known = |it: &Digest| siblings.is_known(it);
        preflight(graph, source, options.foreign, &required, &known).await
    }

    /// How far interrupted uploads got. What cannot be read is nothing, and said if `aloud`: an
    /// upload that asks for itself says so itself.
    pub(super) async fn left(
        &self,
        graph: &Graph,
        (repository, observer): (&Repository, &dyn Observer),
        aloud: bool,
    ) -> HashMap<Digest, u64> {
        let left = self.read_left(graph, repository).await;
        left.unwrap_or_else(|error| {
            if aloud {
                let message = format!("interrupted uploads are not known: {error}");
                observer.event(&Event::Warning { message });
            }
            HashMap::new()
        })
    }

    /// What the journal says of uploads that were interrupted.
    async fn read_left(
        &self,
        graph: &Graph,
        repository: &Repository,
    ) -> Result<HashMap<Digest, u64>, StateError> {
        let mut left = HashMap::new();
        let Some(journal) = &self.shared.journal else {
            return Ok(left);
        };
        let worth = |it: &&Descriptor| it.size >= self.shared.options.journal_from;
        for blob in graph.wanted(self.shared.options.foreign).filter(worth) {
            let key = BlobKey {
                repository: repository.clone(),
                digest: blob.digest.clone(),
            };
            if let Some(at) = journal.look(&key).await? {
                left.insert(key.digest, at.min(blob.size));
            }
        }
        Ok(left)
    }
}
