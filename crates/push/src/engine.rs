//! The engine: what callers hold.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use oci::{Descriptor, Digest, Document, PushTarget, Source, Tag, Validation};

use crate::{
    embed::{Embedded, Embedding},
    error::PushError,
    event::{Event, Observer},
    execute::{Lessons, Mode, Orders, Run, Shared},
    foreign::ForeignLayers,
    graph::Graph,
    index::BlobIndex,
    journal::Journal,
    mount::{LayerRepos, MountableLayers},
    options::{AskFirst, Destination, Foreign, Options},
    plan::{Asking, Findings, Mounts, Opening, Plan, Recalled, Siblings, Unseen, probe},
    report::Report,
    sightings::{Seen, Sightings},
    state::State,
};

mod beforehand;
mod forecast;
mod remember;

/// Pushes images. Cheap to clone; one a process.
///
/// What a clone learns, all of them know: which repositories hold which blobs, and which
/// blobs are on their way. Pushes that run at the same time send a blob they share once.
///
/// Dropping the future of a push stops it: no manifest is put afterwards.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What an [`Engine`] is made of.
#[derive(Debug, Default)]
pub struct EngineBuilder {
    options: Options,
    layers: Option<Arc<dyn MountableLayers>>,
    journal: Option<Arc<dyn Journal>>,
    index: Option<Arc<dyn BlobIndex>>,
    memory: Option<State>,
}

/// The ports of one push.
#[derive(Clone, Copy)]
struct Ports<'a> {
    source: &'a dyn Source,
    target: &'a dyn PushTarget,
    observer: &'a dyn Observer,
}

/// Everything known before the first byte is sent.
struct Draft {
    graph: Arc<Graph>,
    siblings: Siblings,
    lessons: Lessons,
    findings: Findings,
    tags: Vec<Tag>,
    /// Blobs that the source does not have.
    nowhere: HashSet<Digest>,
    /// What was seen in the repository before this.
    recalled: Recalled,
    /// Whether and how a push asks for less than all its manifests.
    sparing: Option<Unseen>,
    /// Whether anything was seen on its registry.
    familiar: bool,
    /// What is known of the registry and manifests that lack something.
    validation: Validation,
    /// What is known of the registry and mounts.
    mounts: Mounts,
    /// How far uploads got that were interrupted, in bytes.
    left: HashMap<Digest, u64>,
}

impl EngineBuilder {
    /// Pushes so.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Asks these layers who holds what, and tells them what it learns. They bring their own
    /// [index](crate::mount::LayerReposBuilder::index), if they have one.
    #[must_use]
    pub fn layers(mut self, layers: Arc<dyn MountableLayers>) -> Self {
        self.layers = Some(layers);
        self
    }

    /// Keeps the sessions of uploads there: a push that is interrupted is gone on with by the
    /// next, also in another process.
    #[must_use]
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Recalls from this index where blobs were seen, and keeps in it what pushes learn. Where
    /// [layers](Self::layers) are given, it is theirs that counts.
    #[must_use]
    pub fn index(mut self, index: Arc<dyn BlobIndex>) -> Self {
        self.index = Some(index);
        self
    }

    /// Remembers there what was seen where; without, in memory. What remembers nothing for the
    /// next process has every push ask first ([`AskFirst::Always`]), and what is found for a plan is
    /// not remembered unless the push it is for will know of it.
    #[must_use]
    pub fn sightings(mut self, state: &State) -> Self {
        self.memory = Some(state.clone());
        self
    }

    /// The engine.
    pub fn build(mut self) -> Engine {
        let layers = self.layers.unwrap_or_else(|| {
            let layers = LayerRepos::builder();
            Arc::new(match self.index {
                Some(index) => layers.index(index).build(),
                None => layers.build(),
            })
        });
        let (sightings, forgets_plans): (Arc<dyn Sightings>, bool) = match self.memory {
            Some(state) => {
                if state.is_forgetful() && self.options.ask_first == AskFirst::Auto {
                    self.options.ask_first = AskFirst::Always;
                }
                let lasts = state.lasts();
                (Arc::new(state), !lasts)
            }
            None => (Arc::new(Seen::default()), false),
        };
        let shared = Shared::new(self.options, layers, self.journal);
        Engine {
            shared: Arc::new(shared.remembering(sightings, forgets_plans)),
        }
    }
}

/// What a draft is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A push that finds out about blobs as it goes.
    Push,
    /// One that has to know all beforehand.
    Gated,
    /// A plan.
    Plan,
}

impl Engine {
    /// An engine with what it is given; by default it knows of no repositories and keeps nothing.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// An engine that knows of no repositories yet.
    pub fn new(options: Options) -> Self {
        Self::with_layers(options, Arc::new(LayerRepos::new()))
    }

    /// An engine that asks `layers` who holds what, and tells it what it learns.
    pub fn with_layers(options: Options, layers: Arc<dyn MountableLayers>) -> Self {
        Self::builder().options(options).layers(layers).build()
    }

    /// The same, and `journal` keeps the sessions of uploads: a push that is interrupted is
    /// gone on with by the next, also in another process.
    pub fn with_journal(
        options: Options,
        layers: Arc<dyn MountableLayers>,
        journal: Arc<dyn Journal>,
    ) -> Self {
        let builder = Self::builder().options(options).layers(layers);
        builder.journal(journal).build()
    }

    /// How it pushes.
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What it knows of who holds what.
    pub fn layers(&self) -> &Arc<dyn MountableLayers> {
        &self.shared.layers
    }

    /// An engine that knows all that this one does, with as many blobs on their way of its own.
    pub(crate) fn beside(&self) -> Self {
        Self {
            shared: Arc::new(self.shared.beside()),
        }
    }

    /// Plans a push and does none of it: the target is only asked.
    pub async fn plan(
        &self,
        source: &dyn Source,
        target: &dyn PushTarget,
        destination: &Destination,
    ) -> Result<Plan, PushError> {
        let embedded = self.embedded(source).await?;
        let ports = Ports {
            source: seen(embedded.as_ref(), source),
            target,
            observer: &(),
        };
        let draft = self.draft(ports, destination, Purpose::Plan).await?;
        let plan = self.plan_of(draft, target, destination).await;
        Ok(plan.embedding_layers(embedded.as_ref(), self.shared.options.foreign))
    }

    /// The manifest or index that a push of `source` puts in the end: its root, unless the foreign
    /// layers of that are embedded.
    pub async fn pushed_root(&self, source: &dyn Source) -> Result<Document, PushError> {
        if let Some(embedded) = self.embedded(source).await? {
            return Ok(embedded.embedding().root().clone());
        }
        source.root().await.map_err(PushError::of_root)
    }

    /// Pushes the image of `source` into the repository of `target`.
    ///
    /// What the repository holds is found out as it goes: the question for a blob is the
    /// first half of its upload. With a limit on uploaded bytes, all is asked first.
    pub async fn push(
        &self,
        source: &dyn Source,
        target: &dyn PushTarget,
        destination: &Destination,
        observer: &dyn Observer,
    ) -> Result<Report, PushError> {
        let embedded = self.embedded(source).await?;
        let source = seen(embedded.as_ref(), source);
        let ports = Ports {
            source,
            target,
            observer,
        };
        let gated = self.shared.options.max_upload_bytes.is_some();
        let purpose = if gated { Purpose::Gated } else { Purpose::Push };
        let draft = self.draft(ports, destination, purpose).await?;
        let policy = self.shared.options.foreign;
        if gated {
            let plan = self.plan_of(draft, target, destination).await;
            let plan = plan.embedding_layers(embedded.as_ref(), policy);
            return self.carry_out(plan, ports).await;
        }
        let foreign = ForeignLayers::of(policy, &draft.graph, embedding_of(embedded.as_ref()));
        self.announce(&draft.graph, target).await?;
        let steps = self.steps(&draft, &draft.findings);
        let opening = self.opening(&draft, &draft.findings);
        let run = Run::new(
            &self.shared,
            (source, target, observer),
            &draft.graph,
            (&draft.siblings, &draft.lessons),
            Mode::AsItGoes {
                familiar: draft.familiar,
            },
        );
        let orders = Orders {
            steps: &steps,
            tags: &draft.tags,
            held_tags: &draft.findings.held_tags,
            goes_on: !draft.left.is_empty(),
            beginning: self.beginning(&draft, (&steps, &draft.findings), opening),
            opening,
        };
        let report = run.finish(orders).await?;
        Ok(self.remembered(Report { foreign, ..report }))
    }

    /// Does what a plan says, with the manifests it was made from. The target must stand
    /// for the repository it was made for.
    ///
    /// Nothing is asked again. Where the registry has changed since, or does not do what
    /// was hoped for, the push falls back as any other does, and the report tells.
    pub async fn execute(
        &self,
        plan: Plan,
        source: &dyn Source,
        target: &dyn PushTarget,
        observer: &dyn Observer,
    ) -> Result<Report, PushError> {
        let embedding = plan.embedding.clone();
        let embedded = embedding.map(|it| Embedded::again(source, it));
        let ports = Ports {
            source: seen(embedded.as_ref(), source),
            target,
            observer,
        };
        if plan.repository != *target.repository() {
            return Err(PushError::OtherTarget {
                planned: plan.repository,
                repository: target.repository().clone(),
            });
        }
        started(&plan.graph, ports);
        self.carry_out(plan, ports).await
    }

    /// Reads the source's graph, and makes sure that what is asked of it can be meant.
    async fn read(&self, ports: Ports<'_>) -> Result<Graph, PushError> {
        let options = &self.shared.options;
        let graph = Graph::read(ports.source, options.referrers, ports.observer).await?;
        graph.check_required(&options.must_mount)?;
        Ok(graph)
    }

    /// Reads the source, checks it, and asks the target.
    async fn draft(
        &self,
        ports: Ports<'_>,
        destination: &Destination,
        purpose: Purpose,
    ) -> Result<Draft, PushError> {
        let options = &self.shared.options;
        let repository = ports.target.repository();
        let graph = self.read(ports).await?;
        // What stays where it is is nobody's concern: not the index's, not a sibling's.
        let wanted: Vec<&Descriptor> = graph.wanted(options.foreign).collect();
        let lessons = self.recalled(&wanted, repository, ports.observer).await;
        let known = &self.shared.layers;
        let siblings = Siblings::new(repository, ports.source, destination, known, options);
        let nowhere = self.nowhere(&graph, ports.source, &siblings).await?;
        started(&graph, ports);
        siblings.announce(ports.target, wanted.iter().map(|it| &it.digest));
        let tags = destination.unique_tags();
        let ask_blobs = purpose != Purpose::Push;
        let (recalled, proves) = self.seen(ports, &graph, &tags).await;
        let mounts = Mounts::of(ports.target).await;
        let sparing = self.sparing(ports.target, mounts, (&wanted, &siblings));
        let asked = sparing.filter(|_| !ask_blobs);
        let left = self.left(&graph, (repository, ports.observer), ask_blobs);
        let left = left.await;
        let familiar = self.shared.sightings.knows(repository.registry()).await;
        if familiar && !recalled.nodes[0] && asked == Some(Unseen::Asked) {
            self.expect_blobs(ports.target, (&wanted, &siblings));
        }
        let findings = probe(&Asking {
            target: ports.target,
            observer: ports.observer,
            graph: &graph,
            tags: &tags,
            sparing: asked.map(|unseen| (&recalled, unseen)),
            proves: &proves,
            ask_blob: &|it| ask_blobs && !options.foreign.keeps(it),
            // A plan says what is there, and so asks; so does who must not move a tag.
            unfinished: &|it| !ask_blobs && !options.no_overwrite && left.contains_key(&it.digest),
            at_once: options.concurrency.get(),
        })
        .await?;
        self.check_tags(&findings, (repository, &graph))?;
        if purpose != Purpose::Plan || !self.shared.forgets_plans {
            self.remember(
                repository,
                (&graph, &tags),
                (&recalled, &lessons),
                &findings,
            );
        }
        Ok(Draft {
            left,
            mounts,
            recalled,
            sparing,
            familiar,
            validation: ports.target.validation(&graph.root().document).await,
            graph: Arc::new(graph),
            siblings,
            lessons,
            findings,
            tags,
            nowhere,
        })
    }

    /// The source with its foreign layers as ordinary ones, if that is how they are pushed.
    async fn embedded<'a>(
        &self,
        source: &'a dyn Source,
    ) -> Result<Option<Embedded<'a>>, PushError> {
        if self.shared.options.foreign != Foreign::Embed {
            return Ok(None);
        }
        let made = Embedded::of(source, self.shared.options.referrers).await;
        made.map(Some).map_err(PushError::of_root)
    }

    /// Says to the target what is coming.
    async fn announce(&self, graph: &Graph, target: &dyn PushTarget) -> Result<(), PushError> {
        let blobs = graph.wanted(self.shared.options.foreign).cloned();
        let documents = graph.nodes().iter().map(|it| &it.document);
        let documents = documents.map(|it| it.descriptor().clone());
        let contents: Vec<Descriptor> = blobs.chain(documents).collect();
        let announced = target.expect_contents(&contents).await;
        announced.map_err(|error| PushError::ManifestPutFailed {
            digest: graph.root().document.digest().clone(),
            repository: target.repository().clone(),
            tag: None,
            error: Box::new(error),
        })
    }

    async fn carry_out(&self, plan: Plan, ports: Ports<'_>) -> Result<Report, PushError> {
        let planned = plan.totals.bytes.uploaded;
        if let Some(limit) = self.shared.options.max_upload_bytes
            && planned > limit
        {
            return Err(PushError::Gate { planned, limit });
        }
        self.announce(&plan.graph, ports.target).await?;
        let siblings = Siblings::new(
            &plan.repository,
            ports.source,
            &plan.destination,
            &self.shared.layers,
            &self.shared.options,
        );
        let lessons = Lessons::of(&self.shared);
        let foreign = plan.foreign.clone();
        let run = Run::new(
            &self.shared,
            (ports.source, ports.target, ports.observer),
            &plan.graph,
            (&siblings, &lessons),
            Mode::Planned,
        );
        let orders = Orders {
            steps: &plan.steps,
            tags: &plan.destination.tags,
            held_tags: &plan.held_tags,
            goes_on: false,
            opening: Opening::Blobs,
            beginning: None,
        };
        let report = run.finish(orders).await?;
        Ok(self.remembered(Report { foreign, ..report }))
    }
}

impl Plan {
    /// The same with what becomes of foreign layers.
    fn embedding_layers(mut self, embedded: Option<&Embedded<'_>>, policy: Foreign) -> Self {
        self.foreign = ForeignLayers::of(policy, &self.graph, embedding_of(embedded));
        self.embedding = embedded.map(|it| Arc::clone(it.embedding()));
        self
    }
}

/// The source as it is pushed.
fn seen<'a>(embedded: Option<&'a Embedded<'_>>, source: &'a dyn Source) -> &'a dyn Source {
    embedded.map_or(source, |it| it as &dyn Source)
}

fn embedding_of<'a>(embedded: Option<&'a Embedded<'_>>) -> Option<&'a Embedding> {
    embedded.map(|it| &**it.embedding())
}

fn started(graph: &Graph, ports: Ports<'_>) {
    ports.observer.event(&Event::Started {
        repository: ports.target.repository().clone(),
        digest: graph.root().document.digest().clone(),
        blobs: graph.blobs().len(),
        bytes: graph.unique_bytes(),
    });
}
