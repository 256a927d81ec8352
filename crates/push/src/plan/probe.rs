//! Asks the target what it holds already: from the tags downwards, and no further than needed.
//!
//! A manifest that is held was accepted with everything below it, so one answer can
//! stand for a whole tree. Only what is missing is looked into. A push that sends blobs anyway
//! asks only where a yes is likely ([`Recalled`]): a question whose answer is no is a round
//! trip that nothing else waits for.

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

/// What the target holds.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    /// The tags that name the root already.
    pub(crate) held_tags: Vec<Tag>,
    /// The tags that name something else, and what; none where the target cannot say.
    pub(crate) other_tags: Vec<(Tag, Option<Digest>)>,
    /// The tags of referrers that name them already.
    pub(crate) held_digest_tags: HashSet<Tag>,
    pub(crate) nodes: Vec<Standing>,
    pub(crate) blobs: Vec<Standing>,
    /// For each document, whether its being there says that what it lists is there too.
    pub(crate) proves: Vec<bool>,
    /// How many questions were asked for manifests.
    pub(crate) questions: u64,
    /// How many rounds they took.
    pub(crate) rounds: usize,
}

/// What becomes of manifests that were not seen in the repository before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// They are asked for by their digest; their tags only if they are there.
    Asked,
    /// They are taken to be new.
    LeftOut,
}

/// What was seen in the repository at another time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// For each tag, whether it named the root.
    pub(crate) tags: Vec<bool>,
    /// For each document, whether it was there.
    pub(crate) nodes: Vec<bool>,
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

impl Recalled {
    /// What is recalled once `findings` are remembered.
    pub(crate) fn after(&self, findings: &Findings, tags: &[Tag]) -> Self {
        let node = |(standing, before): (&Standing, &bool)| match standing {
            Standing::Held => true,
            Standing::Absent => false,
            _ => *before,
        };
        Self {
            tags: tags
                .iter()
                .map(|it| findings.held_tags.contains(it))
                .collect(),
            nodes: findings.nodes.iter().zip(&self.nodes).map(node).collect(),
        }
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

    /// What a push would know that asks for no more than is `recalled` by then, and what asking
    /// for it costs: the registry is as it was found, so that nothing recalled is missing.
    pub(crate) fn foreseen(
        &self,
        graph: &Graph,
        tags: &[Tag],
        (recalled, unseen): (&Recalled, Unseen),
    ) -> Self {
        let asked = match unseen {
            Unseen::Asked => vec![true; graph.nodes().len()],
            Unseen::LeftOut => recalled.nodes.clone(),
        };
        let mut foreseen = Self {
            held_tags: Vec::new(),
            other_tags: Vec::new(),
            held_digest_tags: self.held_digest_tags.clone(),
            nodes: vec![Standing::NotAsked; self.nodes.len()],
            blobs: self.blobs.clone(),
            proves: self.proves.clone(),
            questions: 0,
            rounds: 0,
        };
        let seen = tags.iter().zip(&recalled.tags).filter(|(_, it)| **it);
        for (tag, _) in seen {
            foreseen.questions += 1;
            foreseen.rounds = 1;
            if self.held_tags.contains(tag) {
                foreseen.held_tags.push(tag.clone());
            }
        }
        let mut frontier = if foreseen.held_tags.is_empty() {
            foreseen.pretend(graph, &[0], (self, &asked));
            if foreseen.nodes[0] == Standing::Held && !recalled.nodes[0] {
                foreseen.pretend_tags(self, (tags, recalled));
            }
            foreseen.children_to_ask(graph, &[0])
        } else {
            foreseen.nodes[0] = Standing::Held;
            foreseen.settle_below(graph, 0);
            foreseen.children_to_ask(graph, &[0])
        };
        foreseen.pretend_digest_tags(graph, self);
        frontier.extend(unattached(graph, &foreseen));
        while !frontier.is_empty() {
            foreseen.pretend(graph, &frontier, (self, &asked));
            frontier = foreseen.children_to_ask(graph, &frontier);
        }
        // What a push finds out blob by blob.
        for blob in &mut foreseen.blobs {
            if *blob == Standing::HeldByParent {
                *blob = Standing::Held;
            }
        }
        foreseen.settle_blobs(graph);
        foreseen
    }

    /// As if the tags of referrers had been asked for: they always are.
    fn pretend_digest_tags(&mut self, graph: &Graph, found: &Self) {
        let tags: usize = graph.nodes().iter().map(|it| it.tags.len()).sum();
        self.questions += tags as u64;
        self.rounds += usize::from(tags > 0);
        for (position, node) in graph.nodes().iter().enumerate() {
            if node.tags.is_empty() || self.nodes[position].is_held() {
                continue;
            }
            self.nodes[position] = found.nodes[position];
            if found.nodes[position] == Standing::Held {
                self.settle_below(graph, position);
            }
        }
    }

    /// As if the tags had been asked for that were not seen before.
    fn pretend_tags(&mut self, found: &Self, (tags, recalled): (&[Tag], &Recalled)) {
        let open = tags.iter().zip(&recalled.tags).filter(|(_, it)| !**it);
        let open: Vec<&Tag> = open.map(|(tag, _)| tag).collect();
        self.questions += open.len() as u64;
        self.rounds += usize::from(!open.is_empty());
        let held = open.into_iter().filter(|it| found.held_tags.contains(it));
        self.held_tags.extend(held.cloned());
    }

    /// As if these had been asked for, with the answers that were found; if they are asked for.
    fn pretend(&mut self, graph: &Graph, which: &[usize], (found, wanted): (&Self, &[bool])) {
        let asked: Vec<usize> = which
            .iter()
            .copied()
            .filter(|it| wanted[*it] || self.is_listed(graph, *it))
            .collect();
        self.questions += asked.len() as u64;
        self.rounds += usize::from(!asked.is_empty());
        for position in asked {
            self.nodes[position] = match found.nodes[position] {
                Standing::HeldByParent => Standing::Held,
                other => other,
            };
            if self.nodes[position] == Standing::Held {
                self.settle_below(graph, position);
            }
        }
    }

    /// Whether it is listed by a document that is there and does not prove that it is there, too.
    fn is_listed(&self, graph: &Graph, position: usize) -> bool {
        let nodes = graph.nodes().iter().zip(&self.nodes);
        nodes
            .filter(|(_, standing)| **standing == Standing::Held)
            .any(|(node, _)| node.children.contains(&position))
    }

    /// All that is below a held document is held, where its being there proves that.
    fn settle_below(&mut self, graph: &Graph, position: usize) {
        if !self.proves[position] {
            return;
        }
        for &child in &graph.nodes()[position].children {
            if !self.nodes[child].is_held() {
                self.nodes[child] = Standing::HeldByParent;
                self.settle_below(graph, child);
            }
        }
    }

    /// The children that nothing is known about of documents that are absent, prove nothing or were
    /// not asked for, each once. Where the target could not say, it is not asked for the parts either.
    fn children_to_ask(&mut self, graph: &Graph, parents: &[usize]) -> Vec<usize> {
        let mut open: Vec<usize> = Vec::new();
        for &parent in parents {
            for &child in &graph.nodes()[parent].children {
                match self.nodes[parent] {
                    Standing::Absent | Standing::NotAsked => open.push(child),
                    Standing::Held if !self.proves[parent] => open.push(child),
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

    /// What a held manifest is made of is held. Not so its foreign layers: a registry takes a
    /// manifest without them.
    fn settle_blobs(&mut self, graph: &Graph) {
        for (position, node) in graph.nodes().iter().enumerate() {
            if self.nodes[position].is_held() {
                for &blob in &node.blobs {
                    if !graph.blobs()[blob].descriptor.is_foreign() {
                        self.blobs[blob] = Standing::HeldByParent;
                    }
                }
            }
        }
    }
}
