//! What is remembered from one push to the next, and asked for first because of it.

use oci::{Repository, Tag, TagOrDigest};

use super::{Engine, Ports};
use crate::{
    execute::Lessons,
    graph::Graph,
    plan::{Findings, Recalled, Standing},
    report::Report,
    sightings::SeenName,
};

impl Engine {
    /// What was seen in the repository at other times.
    pub(super) async fn recall(
        &self,
        repository: &Repository,
        graph: &Graph,
        tags: &[Tag],
    ) -> Recalled {
        let nodes = graph.nodes().iter().map(|it| it.document.digest());
        let names: Vec<TagOrDigest> = tags
            .iter()
            .map(|it| it.clone().into())
            .chain(nodes.map(|it| it.clone().into()))
            .collect();
        let mut seen = self.shared.sightings.recall(repository, &names).await;
        seen.resize(names.len(), None);
        let root = graph.root().document.digest();
        let (of_tags, of_nodes) = seen.split_at(tags.len());
        Recalled {
            tags: of_tags.iter().map(|it| it.as_ref() == Some(root)).collect(),
            nodes: of_nodes.iter().map(Option::is_some).collect(),
        }
    }

    /// What was seen there before, and whether each document's being there proves that what it lists is. What
    /// the source was read from a moment ago counts as seen if that is the repository itself, and proves
    /// nothing.
    pub(super) async fn seen(
        &self,
        ports: Ports<'_>,
        graph: &Graph,
        tags: &[Tag],
    ) -> (Recalled, Vec<bool>) {
        let repository = ports.target.repository();
        let seen = self.recall(repository, graph, tags).await;
        let proves = self.proves(graph, (ports.target, &seen)).await;
        if self.shared.options.verbatim && ports.source.origin() == Some(repository) {
            return (seen.read_there(), proves);
        }
        (seen, proves)
    }

    /// Keeps what the registry said when it was asked.
    pub(super) fn remember(
        &self,
        repository: &Repository,
        (graph, tags): (&Graph, &[Tag]),
        (recalled, lessons): (&Recalled, &Lessons),
        findings: &Findings,
    ) {
        let root = graph.root().document.digest();
        // What was recalled was asked for.
        let asked = tags.iter().zip(&recalled.tags).filter(|(_, it)| **it);
        let other_tags = asked.filter(|(tag, _)| !findings.held_tags.contains(tag));
        let other_tags = other_tags.map(|(tag, _)| tag.clone().into());
        let tags = findings.held_tags.iter().map(|tag| SeenName {
            name: tag.clone().into(),
            digest: root.clone(),
        });
        let nodes = graph.nodes().iter().zip(&findings.nodes);
        let held = nodes.clone().filter(|(_, it)| **it == Standing::Held);
        let held = held.map(|(node, _)| SeenName {
            name: node.document.digest().clone().into(),
            digest: node.document.digest().clone(),
        });
        let seen: Vec<SeenName> = tags.chain(held).collect();
        let absent = nodes.filter(|(_, it)| **it == Standing::Absent);
        let absent = absent.map(|(node, _)| node.document.digest().clone().into());
        let gone: Vec<TagOrDigest> = absent.chain(other_tags).collect();
        if !seen.is_empty() {
            self.shared.sightings.note(repository, seen);
        }
        if !gone.is_empty() {
            self.shared.sightings.forget(repository, gone);
        }
        for (blob, standing) in graph.blobs().iter().zip(&findings.blobs) {
            if *standing == Standing::Held {
                let layers = &self.shared.layers;
                layers.add_source(&blob.descriptor.digest, repository);
                lessons.note_answered(repository, &blob.descriptor);
            }
        }
    }

    /// Keeps what a push has brought about.
    pub(super) fn remembered(&self, report: Report) -> Report {
        let done = report.manifests.iter().filter(|it| it.error.is_none());
        let names = done.map(|it| SeenName {
            name: match &it.tag {
                Some(tag) => tag.clone().into(),
                None => it.digest.clone().into(),
            },
            digest: it.digest.clone(),
        });
        let mut seen: Vec<SeenName> = names.collect();
        seen.push(SeenName {
            name: report.digest.clone().into(),
            digest: report.digest.clone(),
        });
        self.shared.sightings.note(&report.repository, seen);
        report
    }
}
