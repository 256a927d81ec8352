//! Manifests: put wave by wave, children before parents, each once.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{
    Digest, ManifestReceipt, NewTag, Presence, Tag, TargetError, TargetErrorKind, Validation,
};

use super::Run;
use crate::{
    error::PushError,
    event::Event,
    graph::Node,
    options::Foreign,
    plan::{Action, Step},
    report::{ManifestDone, ManifestOutcome},
};

/// What came of putting the root first.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Whether all that is below the root is there.
    pub(super) proven: bool,
    /// The manifests that were put.
    pub(super) put: Vec<ManifestOutcome>,
    /// The blobs that were open when the registry took the root, as positions; it is not known to
    /// refuse what is not complete.
    pub(super) taken_with: Option<Vec<usize>>,
    /// The documents that turned out to be there, as positions among the nodes.
    pub(super) held: HashSet<usize>,
}

impl Run<'_> {
    /// Puts, by digest, what the steps say is to be put so; tags are not looked at.
    pub(super) async fn manifests(
        &self,
        steps: &[Step],
        opened: Opened,
    ) -> Result<Vec<ManifestOutcome>, PushError> {
        self.lessons.hurry();
        let Opened {
            proven, put, held, ..
        } = opened;
        let held = held
            .iter()
            .map(|it| self.graph.nodes()[*it].document.digest());
        let held: HashSet<&Digest> = held.collect();
        let done: HashSet<Digest> = put.iter().map(|it| it.digest.clone()).collect();
        let mut outcomes = put;
        let mut waves: Vec<Vec<(&Node, Option<&Tag>)>> = Vec::new();
        let root = self.graph.root().document.digest();
        let nodes = self.graph.nodes().iter();
        let nodes: HashMap<&Digest, &Node> = nodes.map(|it| (it.document.digest(), it)).collect();
        for step in steps {
            let Some(&node) = nodes.get(&step.node.digest) else {
                continue;
            };
            match &step.action {
                _ if done.contains(&step.node.digest) => {}
                Action::Put { tag: Some(_) } if step.node.digest == *root => {}
                Action::Put { tag: None } if held.contains(&step.node.digest) => {
                    self.note_unlisted(node);
                    outcomes.push(outcome(node, None, ManifestDone::Present, true));
                }
                Action::Put { tag: None } if proven && !node.referrer => {
                    outcomes.push(outcome(node, None, ManifestDone::Present, true));
                }
                Action::Put { tag } => {
                    waves.resize_with(waves.len().max(node.wave + 1), Vec::new);
                    waves[node.wave].push((node, tag.as_ref()));
                }
                _ => {
                    self.note_unlisted(node);
                    outcomes.push(outcome(node, None, ManifestDone::Present, true));
                }
            }
        }
        for wave in waves {
            let at_once = self.shared.options.concurrency.get();
            let puts = wave.into_iter().map(|(node, tag)| async move {
                let receipt = self.put(node, tag).await?;
                let (tag, verified) = (tag.cloned(), receipt.verified);
                Ok::<_, PushError>(outcome(node, tag, ManifestDone::Put, verified))
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
        let failed = |error| self.not_put(node, tag, error);
        let answer = match self.put_once(node, tag).await {
            Ok(answer) => answer,
            Err(error) => {
                if !self.heal(node, &error).await? {
                    return Err(failed(error));
                }
                self.put_once(node, tag).await.map_err(failed)?
            }
        };
        let receipt = match (answer, tag) {
            (NewTag::Put(receipt), _) => receipt,
            (NewTag::Taken(there), Some(tag)) => {
                return Err(PushError::TagsTaken {
                    repository: self.repository().clone(),
                    digest: node.document.digest().clone(),
                    taken: vec![(tag.clone(), there)],
                });
            }
            (NewTag::Taken(_) | NewTag::Unsupported, _) => ManifestReceipt::default(),
        };
        self.was_put(node, tag, &receipt);
        self.check_sparse(node).await;
        Ok(receipt)
    }

    /// A document was taken although some of what it lists was left behind: where the registry is
    /// known to refuse that, it may be there from before, or is not refused any more.
    async fn check_sparse(&self, node: &Node) {
        let Some(left_out) = node.left_out.first() else {
            return;
        };
        if self.target.validation(&node.document).await != Validation::Proven {
            return;
        }
        let there = self.target.has_manifest(&left_out.clone().into()).await;
        if matches!(there, Ok(Presence::Absent)) {
            self.target.took_incomplete(&node.document);
        }
    }

    pub(super) fn was_put(&self, node: &Node, tag: Option<&Tag>, receipt: &ManifestReceipt) {
        if !receipt.subject {
            self.note_unlisted(node);
        }
        self.tell(&Event::ManifestPut {
            digest: node.document.digest().clone(),
            tag: tag.cloned(),
            verified: receipt.verified,
        });
    }

    /// Why a document could not be put.
    fn not_put(&self, node: &Node, tag: Option<&Tag>, error: TargetError) -> PushError {
        let digest = node.document.digest().clone();
        let (repository, tag) = (self.repository().clone(), tag.cloned());
        let named = error.answer().mentioned_digests();
        let layers = foreign_refused(node, &error, &named);
        let error = Box::new(error);
        if !layers.is_empty() {
            return PushError::ForeignRefused {
                digest,
                repository,
                tag,
                layers,
                included: self.shared.options.foreign != Foreign::Keep,
                error,
            };
        }
        if !node.is_sparse() || *error.kind() != TargetErrorKind::Refused {
            return PushError::ManifestPutFailed {
                digest,
                repository,
                tag,
                error,
            };
        }
        // An index may list one of them twice; it is missing once.
        let mut once = HashSet::new();
        let left_out = node.left_out.iter().filter(|it| once.insert(*it));
        let left_out: Vec<_> = left_out.cloned().collect();
        let mentioned = left_out.iter().filter(|it| named.contains(it));
        let mentioned: Vec<_> = mentioned.cloned().collect();
        let missing = if mentioned.is_empty() {
            left_out
        } else {
            mentioned
        };
        PushError::SparseRefused {
            digest,
            repository,
            tag,
            missing,
            error,
        }
    }

    /// Puts it once; under a tag that must not be moved, only if that names nothing else by then.
    async fn put_once(&self, node: &Node, tag: Option<&Tag>) -> Result<NewTag, TargetError> {
        let _permit = self.shared.permits.acquire().await;
        let document = &node.document;
        if let Some(tag) = tag.filter(|_| self.shared.options.no_overwrite) {
            match self.target.put_new_tag(document, tag).await? {
                // It was asked for beforehand: more cannot be had.
                NewTag::Unsupported => {}
                answer => return Ok(answer),
            }
        }
        let put = self.target.put_manifest(document, tag).await;
        put.map(NewTag::Put)
    }
}

/// The foreign layers of a manifest that it was refused for; none if it was for something else.
///
/// [distribution](https://github.com/distribution/distribution) answers 500 with codes `UNKNOWN`
/// and `MANIFEST_BLOB_UNKNOWN`, the second with the layer's digest, where its configuration does
/// not allow the `urls`; others 400 or 404 with the second alone. "invalid URL on layer" is in
/// its log, and in the answers of some of its descendants.
fn foreign_refused(node: &Node, error: &TargetError, named: &[Digest]) -> Vec<Digest> {
    let decided = matches!(error.status(), Some(400 | 404 | 405 | 422 | 500));
    let layers = node.document.as_manifest().map(|it| it.layers.as_slice());
    let layers = layers.filter(|_| decided).unwrap_or_default().iter();
    let layers: Vec<&Digest> = layers
        .filter(|it| it.is_foreign())
        .map(|it| &it.digest)
        .collect();
    let about_urls = error.answer().errors.iter().any(|it| {
        let message = it.message.as_deref().unwrap_or_default();
        message.to_ascii_lowercase().contains("invalid url")
    });
    let named: Vec<Digest> = layers
        .iter()
        .copied()
        .filter(|it| named.contains(it))
        .cloned()
        .collect();
    if named.is_empty() && about_urls {
        return layers.into_iter().cloned().collect();
    }
    named
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
