//! From a Dockerfile to images: one for each release of Windows, or one for Linux.
//!
//! ```text
//!   Dockerfile ──plan──▶ stages ──steps──▶ config + layers to be ──spool──▶ BuiltImage ┐
//!        for each release ──▶ …            the same layer is written once              ├▶ Built: Source
//!        for each release ──▶ …                                             BuiltImage ┘   + index
//! ```
//!
//! - **Gates come first.** What a Dockerfile says that cannot be done here is an error before a base
//!   is asked for or a file is read.
//! - **A base is its manifest and its config.** Its descriptors are copied byte for byte.
//! - **A layer belongs to an instruction, not to a release**: what is the same instruction, in the
//!   same working directory, is one layer and is written once.
//! - **The same inputs make the same digest.** Times are given by the caller, and nothing else of
//!   the machine is looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use oci::{Platform, Tag};

mod built;
mod copier;
mod error;
mod index;
mod manifest;
mod release;
mod run;
mod spool;
mod stage;

pub use built::{Built, BuiltPart, FetchedLayer};
pub use copier::{Copier, CopyFailure, CopyFrom, CopyJob};
pub use error::BuildError;
pub use release::Release;

use crate::{
    BuildEvent, BuiltImage, CompressionFormat, Events, FromMap, LayerTree, NameRules, Owner,
    Timestamps,
    base::Bases,
    copy::shown,
    dockerfile::{
        BuildArguments, Dockerfile, Plan, PlanOptions, PlannedStage, Predefined, TargetOs,
    },
    os_version::Chosen,
    run::{DEFAULT_RUN_LIMIT, NoRunner, Runner},
};
use spool::Spooled;
use stage::{Chain, Images, StageState};

/// How images are assembled.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches that have nothing to do with one another"
)]
pub struct AssembleOptions {
    /// The stage to build; the last one if none is named.
    pub target: Option<String>,
    /// What `--build-arg` sets.
    pub arguments: BuildArguments,
    /// What the build runs on.
    pub build_platform: Platform,
    /// When the images are said to be made, RFC 3339.
    pub created: String,
    /// Which times entries of layers have.
    pub timestamps: Timestamps,
    /// How layers are compressed.
    pub compression: CompressionFormat,
    /// How many threads compress; as many as there are processors if it is not said.
    pub threads: Option<NonZeroUsize>,
    /// Whether everything is made OCI's, whatever the base's media types are.
    pub oci: bool,
    /// Whether all that is new is one layer.
    pub squash: bool,
    /// What is done about names that Windows cannot open.
    pub names: NameRules,
    /// Who owns what is copied, unless `--chown` says so.
    pub owner: Owner,
    /// Whether `${PATH}` is what Windows has in its registry, where a base has none.
    pub path_default: bool,
    /// The version of Windows that images say they are for, or that they say none, whatever the base
    /// says.
    pub os_version: Option<Chosen>,
    /// Other bases for those that `FROM` names.
    pub from_map: FromMap,
    /// Whether layers of images in registries may be fetched, to copy files out of them. Without, an
    /// image that is on this machine may be copied from only.
    pub fetches_layers: bool,
    /// Whether what is copied out of an image keeps the times that it has there.
    pub keeps_image_times: bool,
    /// The tags of the images.
    pub tags: Vec<Tag>,
    /// How long each `RUN` may take, where there is a runner for it.
    pub run_limit: Duration,
    /// The directory that layers are written to. It is there, and nobody else writes to it.
    pub spool: PathBuf,
}

/// What a build is made of.
pub struct Assembler<'a> {
    dockerfile: &'a Dockerfile,
    copier: Arc<dyn Copier>,
    bases: &'a dyn Bases,
    runner: Arc<dyn Runner>,
    options: AssembleOptions,
    events: Events,
    known: Mutex<Known>,
}

/// What one release leaves for the next.
#[derive(Default)]
struct Known {
    /// Whether another release may want what this one has.
    is_shared: bool,
    /// What instructions put into a layer, by what they are.
    trees: BTreeMap<String, Arc<LayerTree>>,
    /// What all those take in memory, in bytes.
    bytes: u64,
    /// Layers that are written, by the same.
    layers: BTreeMap<String, Spooled>,
    /// Warnings that were told.
    warnings: BTreeSet<String>,
    /// Images that files are copied from.
    images: Images,
}

/// The most memory that the files of a build take, inclusive, in bytes: those of all its
/// instructions together. It leaves the rest of 64 MiB to whoever compresses and pushes.
const MAX_TREE_BYTES: u64 = 24 << 20;

/// The same while files are copied out of a stage, whose layers are made one for that.
const MAX_COPY_BYTES: u64 = 36 << 20;

/// How many threads compress at most beside more bytes of trees than these: what is left for them
/// is little.
const THREADS_BESIDE: [(u64, NonZeroUsize); 2] = [
    (16 << 20, NonZeroUsize::MIN),
    (8 << 20, NonZeroUsize::MIN.saturating_add(1)),
];

impl Known {
    /// Keeps a tree for the next release, if there is one.
    fn keep(&mut self, key: &str, tree: &Arc<LayerTree>) {
        self.bytes += tree.bytes();
        if self.is_shared {
            self.trees.insert(key.to_owned(), Arc::clone(tree));
        }
    }
}

impl AssembleOptions {
    /// For layers in `spool`: everything dated 1970, gzip, the base's media types.
    pub fn new(spool: PathBuf) -> Self {
        Self {
            target: None,
            arguments: BuildArguments::default(),
            build_platform: Platform::new("linux", "amd64"),
            created: "1970-01-01T00:00:00Z".to_owned(),
            timestamps: Timestamps::default(),
            compression: CompressionFormat::default(),
            threads: None,
            oci: false,
            squash: false,
            names: NameRules::default(),
            owner: Owner::default(),
            path_default: false,
            os_version: None,
            from_map: FromMap::default(),
            fetches_layers: false,
            keeps_image_times: true,
            tags: Vec::new(),
            run_limit: DEFAULT_RUN_LIMIT,
            spool,
        }
    }
}

impl<'a> Assembler<'a> {
    /// An assembler for one Dockerfile.
    pub fn new(
        dockerfile: &'a Dockerfile,
        copier: Arc<dyn Copier>,
        bases: &'a dyn Bases,
        options: AssembleOptions,
        events: Events,
    ) -> Self {
        Self {
            dockerfile,
            copier,
            bases,
            runner: Arc::new(NoRunner),
            options,
            events,
            known: Mutex::default(),
        }
    }

    /// The same with someone who follows `RUN`. Without, it is refused.
    #[must_use]
    pub fn with_runner(mut self, runner: Arc<dyn Runner>) -> Self {
        self.runner = runner;
        self
    }

    /// Assembles an image for each release, and their index if there are several.
    ///
    /// The files of its layers stay in the spool directory; after an error none is left there. A
    /// failure is told to the events, once. Needs a tokio runtime.
    pub async fn assemble(&self, releases: &[Release]) -> Result<Built, BuildError> {
        let result = self.all(releases).await;
        if let Err(error) = &result {
            self.forget_layers();
            self.events.failed(error);
        }
        result
    }

    async fn all(&self, releases: &[Release]) -> Result<Built, BuildError> {
        self.known().is_shared = releases.len() > 1;
        let mut planned = Vec::with_capacity(releases.len());
        for release in releases {
            planned.push((release, self.plan(release)?));
        }
        let mut parts = Vec::with_capacity(releases.len());
        for (release, plan) in &planned {
            parts.push(self.one(release, plan).await?);
        }
        let parts = index::sorted(parts)?;
        let fetched = self.known().images.take_fetched();
        let built = Built::of(parts)?.with_fetched(fetched);
        if let Some(index) = built.index() {
            let digest = index.digest().clone();
            self.events.tell(&BuildEvent::Index { digest });
        }
        Ok(built)
    }

    /// What can be said no to before anything is asked or read.
    fn plan(&self, release: &Release) -> Result<Plan, BuildError> {
        let os = release.os()?;
        let predefined = Predefined {
            target: release.platform.clone(),
            build: self.options.build_platform.clone(),
            stage: self.options.target.clone(),
        };
        let mut options = PlanOptions::new(os, predefined);
        options.target.clone_from(&self.options.target);
        options.arguments = self.options.arguments.clone();
        let runs = |os: &TargetOs| self.runner.check(*os).is_ok();
        let systems = [TargetOs::Windows, TargetOs::Linux].into_iter();
        options.runs = systems.filter(runs).collect();
        if let Some(version) = &release.base_version
            && release::is_declared(self.dockerfile)
        {
            options.arguments.set(release::ARGUMENT, version);
        }
        let plan = self.dockerfile.plan(&options)?;
        release.check(self.dockerfile, &plan, &self.options.from_map)?;
        Ok(plan)
    }

    async fn one(&self, release: &Release, plan: &Plan) -> Result<BuiltPart, BuildError> {
        for warning in plan.warnings() {
            self.warn(warning.to_string());
        }
        let chain = Chain::of(plan);
        let mut states: BTreeMap<usize, StageState> = BTreeMap::new();
        let mut last = None;
        for stage in plan.stages() {
            let work = stage::Work {
                assembler: self,
                release,
                plan,
                is_image: chain.has(stage.index),
            };
            follow(work, stage, &mut states).await?;
            last = Some(stage.index);
        }
        let state = last.and_then(|it| states.remove(&it));
        let state = state.ok_or(BuildError::NoStage)?;
        // Files of stages that only were copied from take memory for nothing.
        drop(states);
        self.image(state).await
    }

    async fn image(&self, state: StageState) -> Result<BuiltPart, BuildError> {
        let os = release::os_of(&state.platform)?;
        let (base, platform) = (state.base.clone(), state.platform.clone());
        let family = manifest::Family::of(base.as_ref(), &self.options)?;
        let state = if self.options.squash {
            state.squashed(os, self.options.names)?
        } else {
            state
        };
        let mut configuration = state.configuration;
        let mut layers = Vec::new();
        for step in state.steps {
            match step.draft {
                None => configuration.step(&self.options.created, &step.by),
                Some(draft) => {
                    let written = self.layer(draft, &step.by, step.line).await?;
                    let (created, diff_id) = (&self.options.created, &written.diff_id);
                    configuration.step_with_layer(created, &step.by, diff_id);
                    layers.push(written);
                }
            }
        }
        let config = configuration.finish(&self.options.created);
        let image = manifest::Making {
            family,
            base: base.as_ref(),
            layers: &layers,
            options: &self.options,
        };
        let image: BuiltImage = image.image(config)?;
        self.events.tell(&BuildEvent::Image {
            platform: Box::new(platform.clone()),
            digest: image.digest().clone(),
        });
        Ok(BuiltPart::new(image, platform, base))
    }

    /// The layer of a draft: written, or the same as one that was.
    async fn layer(
        &self,
        draft: stage::Draft,
        by: &str,
        line: usize,
    ) -> Result<Spooled, BuildError> {
        let tree = match draft.content {
            stage::Content::Tree(tree) => tree,
            stage::Content::Written(spooled) => return Ok(spooled),
        };
        let known = self.known().layers.get(&draft.key).cloned();
        if let Some(spooled) = known {
            self.events.tell(&BuildEvent::Shared {
                instruction: shown(by),
                digest: spooled.digest.clone(),
            });
            return Ok(spooled);
        }
        let path = self.layer_path();
        let mut options = manifest::layer_options(&self.options);
        let trees = self.known().bytes;
        let few = THREADS_BESIDE.iter().find(|(bytes, _)| trees > *bytes);
        if let Some((_, threads)) = few {
            options.compression = options.compression.at_most_threads(*threads);
        }
        let writing = tokio::task::spawn_blocking(move || spool::write(path, &tree, &options));
        let written = writing.await.map_err(std::io::Error::other);
        let written = written.map_err(crate::LayerError::Write).flatten();
        let spooled = written.map_err(|error| BuildError::Layer {
            file: self.dockerfile.name().to_owned(),
            line,
            error: Box::new(error),
        })?;
        self.events.tell(&BuildEvent::Layer {
            instruction: shown(by),
            digest: spooled.digest.clone(),
            size: spooled.size,
        });
        self.known().layers.insert(draft.key, spooled.clone());
        Ok(spooled)
    }

    /// Where the next layer is written.
    fn layer_path(&self) -> PathBuf {
        let number = self.known().layers.len();
        self.options.spool.join(format!("layer-{number}"))
    }

    fn warn(&self, text: String) {
        let mut known = self.known();
        if known.warnings.insert(text.clone()) {
            drop(known);
            self.events.tell(&BuildEvent::Warning(text));
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_layers(&self) {
        for (_, layer) in std::mem::take(&mut self.known().layers) {
            let _ = std::fs::remove_file(&layer.path);
        }
    }
}

/// Follows a stage, after those that only its base wants files of.
fn follow<'w>(
    work: stage::Work<'w>,
    planned: &'w PlannedStage,
    states: &'w mut BTreeMap<usize, StageState>,
) -> BoxFuture<'w, Result<(), BuildError>> {
    async move {
        let begun = work.begin(planned, states).await?;
        for needed in &begun.needed {
            if !states.contains_key(&needed.index) {
                let work = stage::Work {
                    is_image: false,
                    ..work
                };
                follow(work, needed, states).await?;
            }
        }
        let followed = work.stage(planned, begun, states).await?;
        states.insert(planned.index, followed);
        Ok(())
    }
    .boxed()
}

#[cfg(test)]
mod tests;
