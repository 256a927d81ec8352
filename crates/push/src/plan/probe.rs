//! Asks the target what it holds already: from the tags downwards, and no further than needed.
//!
//! A manifest that is held was accepted with everything below it, so one answer can
//! stand for a whole tree. Only what is missing is looked into. A push that sends blobs anyway
//! asks only where a yes is likely ([`Recalled`]): a question whose answer is no is a round
//! trip that nothing else waits for.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{Presence, PushTarget, Tag, TagOrDigest, TargetError, TargetErrorKind};

use super::Standing;
use crate::{
    error::{Phase, PushError},
    event::{Event, Held, Observer},
    graph::Graph,
};
use findings::unattached;

mod findings;
mod recalled;

pub(crate) use findings::Findings;
pub(crate) use recalled::{Recalled, Unseen};

/// How a target is asked, and for what.
pub(crate) struct Asking<'a> {
    pub(crate) target: &'a dyn PushTarget,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) graph: &'a Graph,
    pub(crate) tags: &'a [Tag],
    /// What was seen before, and what becomes of the rest; none to ask for every tag and manifest.
    pub(crate) sparing: Option<(&'a Recalled, Unseen)>,
    /// For each document, whether its being there says that what it lists is there too.
    pub(crate) proves: &'a [bool],
    /// For each blob, whether to ask for it if no manifest settles it; the rest is left open.
    pub(crate) ask_blob: &'a (dyn Fn(&oci::Descriptor) -> bool + Sync),
    /// Whether an upload of this blob was interrupted: then nothing that it is a part of is there.
    pub(crate) unfinished: &'a (dyn Fn(&oci::Descriptor) -> bool + Sync),
    /// How many questions may be open at once.
    pub(crate) at_once: usize,
}

/// Asks.
pub(crate) async fn probe(asking: &Asking<'_>) -> Result<Findings, PushError> {
    let mut findings = Findings {
        held_tags: Vec::new(),
        other_tags: Vec::new(),
        held_digest_tags: HashSet::new(),
        nodes: vec![Standing::NotAsked; asking.graph.nodes().len()],
        blobs: vec![Standing::NotAsked; asking.graph.blobs().len()],
        proves: asking.proves.to_vec(),
        questions: 0,
        rounds: 0,
    };
    let unfinished = asking.unfinished_nodes();
    for (position, unfinished) in unfinished.iter().enumerate() {
        if *unfinished {
            findings.nodes[position] = Standing::Absent;
        }
    }
    if !unfinished[0] {
        asking.tags(&mut findings).await?;
    }
    let mut frontier = if findings.held_tags.is_empty() {
        asking.nodes(&mut findings, vec![0]).await?;
        asking.tags_of_held(&mut findings).await?;
        findings.children_to_ask(asking.graph, &[0])
    } else {
        findings.nodes[0] = Standing::Held;
        findings.settle_below(asking.graph, 0);
        findings.children_to_ask(asking.graph, &[0])
    };
    asking.digest_tags(&mut findings).await?;
    let tagged: Vec<usize> = (0..asking.graph.nodes().len())
        .filter(|it| !asking.graph.nodes()[*it].tags.is_empty())
        .collect();
    frontier.extend(findings.children_to_ask(asking.graph, &tagged));
    frontier.extend(unattached(asking.graph, &findings));
    while !frontier.is_empty() {
        asking.nodes(&mut findings, frontier.clone()).await?;
        frontier = findings.children_to_ask(asking.graph, &frontier);
    }
    findings.settle_blobs(asking.graph);
    asking.blobs(&mut findings).await?;
    Ok(findings)
}

impl Asking<'_> {
    /// Which tags name the root already.
    async fn tags(&self, findings: &mut Findings) -> Result<(), PushError> {
        let wanted = |at: &usize| self.sparing.is_none_or(|(seen, _)| seen.tags[*at]);
        let asked = (0..self.tags.len()).filter(wanted);
        self.these_tags(asked.map(|it| &self.tags[it]).collect(), findings)
            .await
    }

    /// The same of the tags that were not asked for, where the root was found although nobody knew
    /// of it: it is most likely there under one of them.
    async fn tags_of_held(&self, findings: &mut Findings) -> Result<(), PushError> {
        let Some((seen, _)) = self.sparing else {
            return Ok(());
        };
        if findings.nodes[0] != Standing::Held || seen.nodes[0] {
            return Ok(());
        }
        let open = (0..self.tags.len()).filter(|it| !seen.tags[*it]);
        self.these_tags(open.map(|it| &self.tags[it]).collect(), findings)
            .await
    }

    async fn these_tags(&self, asked: Vec<&Tag>, findings: &mut Findings) -> Result<(), PushError> {
        let root = self.graph.root().document.digest();
        let at = asked.iter().map(|&it| it.clone().into()).collect();
        let answers = self.manifests(at, findings).await?;
        for (tag, answer) in asked.into_iter().zip(answers) {
            if answer == Presence::Held(root.clone()) {
                findings.held_tags.push(tag.clone());
            } else {
                findings.other(tag, answer);
            }
        }
        Ok(())
    }

    /// The documents that an interrupted upload is a part of, directly or not. One that somebody
    /// else has finished meanwhile costs a question for each of its blobs, and no bytes.
    fn unfinished_nodes(&self) -> Vec<bool> {
        let (nodes, blobs) = (self.graph.nodes(), self.graph.blobs());
        let mut unfinished: Vec<bool> = nodes
            .iter()
            .map(|it| {
                it.blobs
                    .iter()
                    .any(|&it| (self.unfinished)(&blobs[it].descriptor))
            })
            .collect();
        // Each round is one level of nesting.
        for _ in 0..nodes.len() {
            let before = unfinished.clone();
            for (position, node) in nodes.iter().enumerate() {
                unfinished[position] |= node.children.iter().any(|&it| before[it]);
            }
            if unfinished == before {
                break;
            }
        }
        unfinished
    }

    /// Which of the tags that say what their manifests are about name them already. One that does
    /// not is of a manifest that is taken to be new: it is seldom there without its tag.
    async fn digest_tags(&self, findings: &mut Findings) -> Result<(), PushError> {
        let nodes = self.graph.nodes().iter().enumerate();
        let tagged: Vec<(usize, &Tag)> = nodes
            .flat_map(|(position, node)| node.tags.iter().map(move |tag| (position, tag)))
            .collect();
        let at: Vec<TagOrDigest> = tagged
            .iter()
            .map(|(_, tag)| (*tag).clone().into())
            .collect();
        let answers = self.manifests(at, findings).await?;
        for ((position, tag), answer) in tagged.into_iter().zip(answers) {
            let digest = self.graph.nodes()[position].document.digest();
            if answer == Presence::Held(digest.clone()) {
                findings.held_digest_tags.insert(tag.clone());
                findings.nodes[position] = Standing::Held;
                findings.settle_below(self.graph, position);
                continue;
            }
            if findings.nodes[position] == Standing::NotAsked {
                findings.nodes[position] = Standing::Absent;
            }
            findings.other(tag, answer);
        }
        Ok(())
    }

    /// Which of these documents it holds; what is below a held one is held too.
    async fn nodes(&self, findings: &mut Findings, which: Vec<usize>) -> Result<(), PushError> {
        let wanted = |at: &usize| {
            findings.nodes[*at] == Standing::NotAsked
                && self.sparing.is_none_or(|(seen, unseen)| {
                    unseen == Unseen::Asked
                        || seen.nodes[*at]
                        || findings.is_listed(self.graph, *at)
                })
        };
        let which: Vec<usize> = which.into_iter().filter(wanted).collect();
        let digest = |&it: &usize| self.graph.nodes()[it].document.digest().clone();
        let at = which.iter().map(|it| digest(it).into()).collect();
        let answers = self.manifests(at, findings).await?;
        for (position, answer) in which.into_iter().zip(answers) {
            findings.nodes[position] = Standing::from(&answer);
            if findings.nodes[position] == Standing::Held {
                findings.settle_below(self.graph, position);
            }
        }
        Ok(())
    }

    async fn manifests(
        &self,
        at: Vec<TagOrDigest>,
        findings: &mut Findings,
    ) -> Result<Vec<Presence>, PushError> {
        findings.questions += at.len() as u64;
        findings.rounds += usize::from(!at.is_empty());
        let questions = at.into_iter().map(|at| async move {
            let answer = self.target.has_manifest(&at).await;
            self.or_unknown(answer, &at)
        });
        let questions: Vec<_> = questions.collect();
        stream::iter(questions)
            .buffered(self.at_once)
            .try_collect()
            .await
    }

    /// Asks for the blobs that are still open and are to be asked for.
    async fn blobs(&self, findings: &mut Findings) -> Result<(), PushError> {
        let blobs = self.graph.blobs();
        let open = (0..blobs.len()).filter(|&it| {
            findings.blobs[it] == Standing::NotAsked && (self.ask_blob)(&blobs[it].descriptor)
        });
        let questions: Vec<_> = open.map(|it| self.blob(it)).collect();
        let answers: Vec<(usize, Presence)> = stream::iter(questions)
            .buffered(self.at_once)
            .try_collect()
            .await?;
        for (position, answer) in answers {
            findings.blobs[position] = Standing::from(&answer);
        }
        Ok(())
    }

    async fn blob(&self, position: usize) -> Result<(usize, Presence), PushError> {
        let blob = &self.graph.blobs()[position].descriptor;
        let answer = self.target.has_blob(blob).await;
        let answer = answer.map_err(|error| PushError::BlobUploadFailed {
            digest: blob.digest.clone(),
            repository: self.target.repository().clone(),
            phase: Phase::Ask,
            error: Box::new(error),
        })?;
        self.observer.event(&Event::Checked {
            digest: blob.digest.clone(),
            held: Held::from(&answer),
        });
        Ok((position, answer))
    }

    /// Some registries let an account push and not look. Where the answer is a plain no to
    /// the question, the push itself will tell; where it is about credentials, the network
    /// or whether this is a registry at all, there is no sense in going on.
    fn or_unknown(
        &self,
        answer: Result<Presence, TargetError>,
        at: &TagOrDigest,
    ) -> Result<Presence, PushError> {
        let error = match answer {
            Ok(presence) => return Ok(presence),
            Err(error) => error,
        };
        if matches!(
            error.kind(),
            TargetErrorKind::Denied | TargetErrorKind::Refused | TargetErrorKind::Unsupported
        ) {
            self.observer.event(&Event::Warning {
                message: format!("the registry does not say whether it holds {at}: {error}"),
            });
            return Ok(Presence::Unknown);
        }
        Err(PushError::Question {
            repository: self.target.repository().clone(),
            subject: at.clone(),
            error: Box::new(error),
        })
    }
}
