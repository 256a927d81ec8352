//! What a push consists of: every manifest and every blob once, and in which order.
//!
//! ```text
//!   root ──▶ children ──▶ …           read a level at a time, several at once
//!     ▲                               (signatures and the like come after, if asked for)
//!     └── referrers ──▶ children
//! ```
//!
//! All documents are read before the first request: an image that is broken, too deep
//! or in contradiction with itself is found while nothing has happened yet. Documents are
//! addressed by hash, so they cannot form a circle.

use std::{
    collections::{HashMap, HashSet},
    error::Error as _,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use oci::{
    Descriptor, Digest, DigestTagged, Document, Source, SourceError, Tag, TargetError,
    TargetErrorKind,
};

use crate::{
    error::{GraphFault, PushError},
    event::{Event, Observer},
    options::{Foreign, MustMount},
};

#[cfg(test)]
mod tests;

/// How many manifests may stand below one another: an index of indexes of indexes of images.
pub(crate) const MAX_DEPTH: usize = 4;
const MAX_DOCUMENTS: usize = 4096;
const MAX_DOCUMENT_BYTES: u64 = 64 * 1024 * 1024;
const MAX_BLOBS: usize = 65_536;
/// How many documents are read at once.
const READS: usize = 8;

/// Everything a push consists of.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    blobs: Vec<Blob>,
    total_bytes: u64,
}

/// A manifest or index.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) document: Document,
    /// The documents it is made of, as positions among the nodes.
    pub(crate) children: Vec<usize>,
    /// The blobs it is made of, as positions among the blobs, each once.
    pub(crate) blobs: Vec<usize>,
    /// In which round it is put: after its children and after what it is about.
    pub(crate) wave: usize,
    /// Whether it came as a referrer, not below the root.
    pub(crate) referrer: bool,
    /// The tags by which it is about another one.
    pub(crate) tags: Vec<Tag>,
    /// What it lists and is left behind.
    pub(crate) left_out: Vec<Digest>,
}

/// A config, layer or other blob.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
}

impl Graph {
    /// Reads all of `source`: the root, what it is made of, and with `referrers` what is about it.
    ///
    /// A referrer that is listed and cannot be had is told of and left behind.
    pub(crate) async fn read(
        source: &dyn Source,
        referrers: bool,
        observer: &dyn Observer,
    ) -> Result<Self, PushError> {
        let root = source.root().await.map_err(PushError::of_root)?;
        let mut reading = Reading::default();
        reading.take(source, root, false)?;
        reading.descend(source, 0).await?;
        if referrers {
            reading.follow_referrers(source, observer).await?;
        }
        reading.finish()
    }

    /// The root's position is always 0.
    pub(crate) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// Refuses what requires blobs that the image does not have: a digest with a mistake in it
    /// would let the blob be sent that was meant.
    pub(crate) fn check_required(&self, required: &MustMount) -> Result<(), PushError> {
        let MustMount::These(digests) = required else {
            return Ok(());
        };
        let own: HashSet<&Digest> = self.blobs.iter().map(|it| &it.descriptor.digest).collect();
        let strange = digests.iter().filter(|it| !own.contains(it));
        match strange.cloned().collect::<Vec<_>>() {
            none if none.is_empty() => Ok(()),
            digests => Err(PushError::NotOfTheImage { digests }),
        }
    }

    /// The blobs that are to be in the repository: all but the foreign ones that stay where they
    /// are.
    pub(crate) fn wanted(&self, foreign: Foreign) -> impl Iterator<Item = &Descriptor> {
        let blobs = self.blobs.iter().map(|it| &it.descriptor);
        blobs.filter(move |it| !foreign.keeps(it))
    }

    /// The bytes of all blobs, each as often as it is listed.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The bytes of all blobs, each once.
    pub(crate) fn unique_bytes(&self) -> u64 {
        self.blobs.iter().map(|it| it.descriptor.size).sum()
    }

    /// Whether anything is put after the root: it must then be there before its tags are.
    pub(crate) fn has_followers(&self) -> bool {
        self.nodes.iter().any(|it| it.wave > self.nodes[0].wave)
    }
}

impl Node {
    /// Whether some of what it lists is left behind: that it is there says nothing of the rest.
    pub(crate) fn is_sparse(&self) -> bool {
        !self.left_out.is_empty()
    }

    fn leaves_out(&self, child: &Digest) -> bool {
        self.left_out.contains(child)
    }
}

/// A graph while it is read.
#[derive(Default)]
struct Reading {
    nodes: Vec<Node>,
    node_of: HashMap<Digest, usize>,
    blobs: Vec<Blob>,
    blob_of: HashMap<Digest, usize>,
    document_bytes: u64,
    total_bytes: u64,
    /// What each of these is about, by its tag: positions among the nodes.
    about: Vec<(usize, usize)>,
}

impl Reading {
    /// Adds a document, and its blobs. Its children follow in [`descend`](Self::descend).
    fn take(
        &mut self,
        source: &dyn Source,
        document: Document,
        referrer: bool,
    ) -> Result<(), PushError> {
        let digest = document.digest().clone();
        let fault = |reason| PushError::Graph {
            digest: digest.clone(),
            reason,
        };
        self.document_bytes += document.descriptor().size;
        if self.document_bytes > MAX_DOCUMENT_BYTES {
            return Err(fault(GraphFault::TooManyManifestBytes(MAX_DOCUMENT_BYTES)));
        }
        if self.nodes.len() == MAX_DOCUMENTS {
            return Err(fault(GraphFault::TooManyManifests(MAX_DOCUMENTS)));
        }
        let mut blobs = Vec::new();
        let mut listed = HashSet::new();
        let mut left_out = Vec::new();
        for child in document.children() {
            if document.as_index().is_some() && source.leaves_out(child) {
                left_out.push(child.digest.clone());
                continue;
            }
            if is_node(&document, child) {
                continue;
            }
            self.total_bytes = self.total_bytes.saturating_add(child.size);
            let position = self.blob(child)?;
            if listed.insert(position) {
                blobs.push(position);
            }
        }
        self.node_of.insert(digest, self.nodes.len());
        self.nodes.push(Node {
            document,
            children: Vec::new(),
            blobs,
            wave: 0,
            referrer,
            tags: Vec::new(),
            left_out,
        });
        Ok(())
    }

    fn blob(&mut self, descriptor: &Descriptor) -> Result<usize, PushError> {
        let fault = |reason| PushError::Graph {
            digest: descriptor.digest.clone(),
            reason,
        };
        if let Some(&position) = self.blob_of.get(&descriptor.digest) {
            let known = &mut self.blobs[position].descriptor;
            if known.size != descriptor.size {
                return Err(fault(GraphFault::TwoSizes(known.size, descriptor.size)));
            }
            // Listed as foreign here and as ordinary there: it must be in the repository.
            if known.is_foreign() && !descriptor.is_foreign() {
                *known = descriptor.clone();
            }
            return Ok(position);
        }
        if self.blobs.len() == MAX_BLOBS {
            return Err(fault(GraphFault::TooManyBlobs(MAX_BLOBS)));
        }
        self.blob_of
            .insert(descriptor.digest.clone(), self.blobs.len());
        self.blobs.push(Blob {
            descriptor: descriptor.clone(),
        });
        Ok(self.blobs.len() - 1)
    }

    /// Reads all that is below the nodes from position `first` on, a level at a time.
    async fn descend(&mut self, source: &dyn Source, first: usize) -> Result<(), PushError> {
        let mut level = first..self.nodes.len();
        for _ in 1..=MAX_DEPTH {
            let referrer = self.nodes.get(level.start).is_some_and(|it| it.referrer);
            let wanted = self.wanted(self.nodes[level.clone()].iter().flat_map(|node| {
                let children = node.document.children();
                children.filter(|it| is_node(&node.document, it) && !node.leaves_out(&it.digest))
            }));
            level.start = self.nodes.len();
            self.load(source, wanted, referrer, None).await?;
            level.end = self.nodes.len();
            if level.is_empty() {
                return Ok(());
            }
        }
        let deepest = &self.nodes[level.start].document;
        Err(PushError::Graph {
            digest: deepest.digest().clone(),
            reason: GraphFault::TooDeep(MAX_DEPTH),
        })
    }

    /// Reads what is about any document read, and what is about that, and so on.
    async fn follow_referrers(
        &mut self,
        source: &dyn Source,
        observer: &dyn Observer,
    ) -> Result<(), PushError> {
        let mut asked = 0;
        while asked < self.nodes.len() {
            let subjects = self.nodes[asked..].iter();
            let subjects: Vec<Digest> = subjects.map(|it| it.document.digest().clone()).collect();
            let first = self.nodes.len();
            let listed = listed(source, &subjects, observer).await?;
            let wanted = self.wanted(listed.iter());
            self.load(source, wanted, true, Some(observer)).await?;
            let tagged = source.digest_tags(&subjects).await;
            for it in tagged.or_else(|error| left_behind(error, &subjects[0], observer))? {
                self.take_tagged(source, it, asked)?;
            }
            self.descend(source, first).await?;
            asked = first;
        }
        Ok(())
    }

    /// Adds a document that is about another one, from position `first` on, by its tag.
    fn take_tagged(
        &mut self,
        source: &dyn Source,
        it: DigestTagged,
        first: usize,
    ) -> Result<(), PushError> {
        let subjects = self.nodes[first..].iter();
        let mut subjects = subjects.map(|it| it.document.digest());
        let Some(subject) = subjects.position(|known| *known == it.subject) else {
            return Ok(());
        };
        let subject = first + subject;
        let digest = it.document.digest().clone();
        if !self.node_of.contains_key(&digest) {
            let of_subject = self.nodes[subject].document.subject();
            // Hashes cannot go round in a circle, names can.
            if of_subject.is_none_or(|it| it.digest != digest) {
                self.about.push((self.nodes.len(), subject));
            }
            self.take(source, it.document, true)?;
        }
        if let Some(&position) = self.node_of.get(&digest)
            && position != 0
        {
            self.nodes[position].tags.push(it.tag);
        }
        Ok(())
    }

    /// Those of `descriptors` that were not read yet, each once, in order.
    fn wanted<'a>(&self, descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<Descriptor> {
        let mut seen = HashSet::new();
        descriptors
            .filter(|it| !self.node_of.contains_key(&it.digest) && seen.insert(&it.digest))
            .take(MAX_DOCUMENTS + 1)
            .cloned()
            .collect()
    }

    /// Reads documents. Those that are only `listed` as referrers may be missing, or be something
    /// else: that is told, and they stay behind.
    async fn load(
        &mut self,
        source: &dyn Source,
        wanted: Vec<Descriptor>,
        referrer: bool,
        listed: Option<&dyn Observer>,
    ) -> Result<(), PushError> {
        let reads = wanted.into_iter().map(|descriptor| async move {
            match source.document(&descriptor).await {
                Ok(document) => Ok(Some(document)),
                Err(SourceError::Missing { digest, .. }) if listed.is_some() => {
                    let message = format!("{digest} is listed as a referrer and is not there");
                    warn(listed, message);
                    Ok(None)
                }
                Err(error) => Err(PushError::Source {
                    descriptor: Some(Box::new(descriptor)),
                    error: Box::new(error),
                }),
            }
        });
        let reads: Vec<_> = reads.collect();
        let mut documents = stream::iter(reads).buffered(READS);
        while let Some(document) = documents.try_next().await? {
            let Some(document) = document else {
                continue;
            };
            let subject = document.subject().map(|it| &it.digest);
            if listed.is_some() && subject.is_none_or(|it| !self.node_of.contains_key(it)) {
                let digest = document.digest();
                let message = format!("{digest} is listed as a referrer and is about nothing here");
                warn(listed, message);
                continue;
            }
            // A source may answer with another algorithm's digest for the same bytes.
            if !self.node_of.contains_key(document.digest()) {
                self.take(source, document, referrer)?;
            }
        }
        Ok(())
    }

    /// Links the nodes and orders them.
    fn finish(mut self) -> Result<Graph, PushError> {
        for position in 0..self.nodes.len() {
            let node = &self.nodes[position];
            let document = &node.document;
            let children = document
                .children()
                .filter(|it| is_node(document, it) && !node.leaves_out(&it.digest))
                .filter_map(|it| self.node_of.get(&it.digest).copied());
            let mut listed = HashSet::new();
            let children: Vec<usize> = children.filter(|&it| listed.insert(it)).collect();
            self.nodes[position].children = children;
        }
        self.order()?;
        Ok(Graph {
            nodes: self.nodes,
            blobs: self.blobs,
            total_bytes: self.total_bytes,
        })
    }

    /// Gives each node its wave: one more than the last of its children and of its subject.
    fn order(&mut self) -> Result<(), PushError> {
        let before: Vec<Vec<usize>> = self
            .nodes
            .iter()
            .enumerate()
            .map(|(position, node)| {
                let subject = node.document.subject();
                let subject = subject.and_then(|it| self.node_of.get(&it.digest).copied());
                let by_tag = self.about.iter().filter(|(it, _)| *it == position);
                let before = node.children.iter().copied().chain(subject);
                before.chain(by_tag.map(|(_, it)| *it)).collect()
            })
            .collect();
        // As many rounds as levels are allowed, for what is below the root and for what is
        // about it; a chain that is still growing then is too deep.
        for _ in 0..=2 * MAX_DEPTH {
            let mut changed = None;
            for (position, before) in before.iter().enumerate() {
                let wave = before.iter().map(|&it| self.nodes[it].wave + 1).max();
                let wave = wave.unwrap_or_default();
                if self.nodes[position].wave != wave {
                    self.nodes[position].wave = wave;
                    changed = Some(position);
                }
            }
            let Some(position) = changed else {
                return Ok(());
            };
            if self.nodes[position].wave >= 2 * MAX_DEPTH {
                break;
            }
        }
        Err(PushError::Graph {
            digest: self.nodes[0].document.digest().clone(),
            reason: GraphFault::TooDeep(MAX_DEPTH),
        })
    }
}

fn warn(observer: Option<&dyn Observer>, message: String) {
    if let Some(observer) = observer {
        observer.event(&Event::Warning { message });
    }
}

/// What a source lists about any of `subjects`; nothing of what it does not let itself be asked.
async fn listed(
    source: &dyn Source,
    subjects: &[Digest],
    observer: &dyn Observer,
) -> Result<Vec<Descriptor>, PushError> {
    let questions = subjects.iter().map(|subject| async move {
        let found = source.referrers(subject).await;
        found.or_else(|error| left_behind(error, subject, observer))
    });
    let questions: Vec<_> = questions.collect();
    let found: Vec<Vec<Descriptor>> = stream::iter(questions)
        .buffered(READS)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Nothing, with a warning, if the source is a registry that does not let what is about `subject`
/// be asked for, or that keeps something else where it should be.
fn left_behind<T>(
    error: SourceError,
    subject: &Digest,
    observer: &dyn Observer,
) -> Result<Vec<T>, PushError> {
    let kind = match &error {
        SourceError::Unreadable { error, .. } => error.downcast_ref().map(TargetError::kind),
        _ => None,
    };
    let is_forbidden = matches!(
        kind,
        Some(
            TargetErrorKind::Denied | TargetErrorKind::Unauthorized | TargetErrorKind::Unsupported
        )
    );
    if !is_forbidden {
        return Err(PushError::Source {
            descriptor: None,
            error: Box::new(error),
        });
    }
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let message = format!("what refers to {subject} is not known and stays behind: {cause}");
    observer.event(&Event::Warning { message });
    Ok(Vec::new())
}

/// Whether a child is a document of its own. What a manifest lists are blobs, whatever
/// their type says; what an index lists and is no document is a blob too.
fn is_node(parent: &Document, child: &Descriptor) -> bool {
    parent.as_index().is_some() && child.is_document()
}
