//! Asks the target what it holds already: from the tags downwards, and no further than needed.
//!
//! A manifest that is held was accepted with everything below it, so one answer can
//! stand for a whole tree. Only what is missing is looked into.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{
    Digest, Presence, PushTarget, Repository, Tag, TagOrDigest, TargetError, TargetErrorKind,
};

use super::Standing;
use crate::{
    error::{Phase, PushError},
    event::{Event, Held, Observer},
    graph::Graph,
};

/// How a target is asked, and for what.
pub(crate) struct Asking<'a> {
    pub(crate) target: &'a dyn PushTarget,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) graph: &'a Graph,
    pub(crate) tags: &'a [Tag],
    /// For each blob, whether to ask for it if no manifest settles it; the rest is left open.
    pub(crate) ask_blob: &'a (dyn Fn(&oci::Descriptor) -> bool + Sync),
    /// Whether an upload of this blob was interrupted: then nothing that it is a part of is there.
    pub(crate) unfinished: &'a (dyn Fn(&oci::Descriptor) -> bool + Sync),
    /// How many questions may be open at once.
    pub(crate) at_once: usize,
}

/// What the target holds.
#[derive(Debug)]
pub(crate) struct Findings {
    /// The tags that name the root already.
    pub(crate) held_tags: Vec<Tag>,
    /// The tags that name something else, and what; none where the target cannot say.
    pub(crate) other_tags: Vec<(Tag, Option<Digest>)>,
    /// The tags of referrers that name them already.
    pub(crate) held_digest_tags: HashSet<Tag>,
    pub(crate) nodes: Vec<Standing>,
    pub(crate) blobs: Vec<Standing>,
    /// How many questions were asked for manifests.
    pub(crate) questions: u64,
    /// How many rounds they took.
    pub(crate) rounds: usize,
}

/// Asks.
pub(crate) async fn probe(asking: &Asking<'_>) -> Result<Findings, PushError> {
    let mut findings = Findings {
        held_tags: Vec::new(),
        other_tags: Vec::new(),
        held_digest_tags: HashSet::new(),
        nodes: vec![Standing::NotAsked; asking.graph.nodes().len()],
        blobs: vec![Standing::NotAsked; asking.graph.blobs().len()],
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

/// The referrers that are part of nothing else: each is asked for by itself, unless its tag was.
fn unattached(graph: &Graph, findings: &Findings) -> Vec<usize> {
    let nodes = graph.nodes();
    let children = nodes.iter().flat_map(|it| it.children.iter().copied());
    let parts: HashSet<usize> = children.collect();
    (0..nodes.len())
        .filter(|it| nodes[*it].referrer && !parts.contains(it))
        .filter(|it| findings.nodes[*it] == Standing::NotAsked)
        .collect()
}

impl Asking<'_> {
    /// Which tags name the root already.
    async fn tags(&self, findings: &mut Findings) -> Result<(), PushError> {
        let root = self.graph.root().document.digest();
        let at: Vec<TagOrDigest> = self.tags.iter().cloned().map(Into::into).collect();
        let answers = self.manifests(at, findings).await?;
        for (tag, answer) in self.tags.iter().zip(answers) {
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
        let open = |it: &usize| findings.nodes[*it] == Standing::NotAsked;
        let which: Vec<usize> = which.into_iter().filter(open).collect();
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

impl Findings {
    fn other(&mut self, tag: &Tag, answer: Presence) {
        let there = match answer {
            Presence::Held(there) => Some(there),
            Presence::Unknown => None,
            Presence::Absent => return,
        };
        self.other_tags.push((tag.clone(), there));
    }

    /// An error if a tag names something other than it should, or may do so.
    pub(crate) fn refuse_to_overwrite(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), PushError> {
        let named = self.other_tags.iter();
        let taken: Vec<(Tag, Digest)> = named
            .filter_map(|(tag, there)| Some((tag.clone(), there.clone()?)))
            .collect();
        if !taken.is_empty() {
            return Err(PushError::TagsTaken {
                repository: repository.clone(),
                digest: digest.clone(),
                taken,
            });
        }
        match self.other_tags.first() {
            Some((tag, _)) => Err(PushError::TagUnknown {
                repository: repository.clone(),
                tag: tag.clone(),
            }),
            None => Ok(()),
        }
    }

    /// All that is below a held document is held, unless it is one that goes without some of it.
    fn settle_below(&mut self, graph: &Graph, position: usize) {
        if graph.nodes()[position].is_sparse() {
            return;
        }
        for &child in &graph.nodes()[position].children {
            if !self.nodes[child].is_held() {
                self.nodes[child] = Standing::HeldByParent;
                self.settle_below(graph, child);
            }
        }
    }

    /// The children of absent documents that nothing is known about, each once, and those of
    /// sparse ones. Where the target could not say, it is not asked for the parts either.
    fn children_to_ask(&mut self, graph: &Graph, parents: &[usize]) -> Vec<usize> {
        let mut open: Vec<usize> = Vec::new();
        for &parent in parents {
            for &child in &graph.nodes()[parent].children {
                match self.nodes[parent] {
                    Standing::Absent => open.push(child),
                    _ if graph.nodes()[parent].is_sparse() => open.push(child),
                    Standing::Unknown if !self.nodes[child].is_held() => {
                        self.nodes[child] = Standing::Unknown;
                    }
                    _ => {}
                }
            }
        }
        open.sort_unstable();
        open.dedup();
        open.retain(|&it| matches!(self.nodes[it], Standing::NotAsked | Standing::Absent));
        open
    }

    fn settle_blobs(&mut self, graph: &Graph) {
        for (position, node) in graph.nodes().iter().enumerate() {
            if self.nodes[position].is_held() {
                for &blob in &node.blobs {
                    self.blobs[blob] = Standing::HeldByParent;
                }
            }
        }
    }
}
