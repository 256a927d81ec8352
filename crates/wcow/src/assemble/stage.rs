//! A stage, followed instruction by instruction: a config, and what each layer is to have in it.

use std::{collections::BTreeMap, sync::Arc};

use oci::{Digest, Platform};

use super::{
    Assembler, BuildError, CopyFrom, CopyJob,
    release::{Release, os_of},
};
use crate::{
    Base, BuildEvent, Configuration, EntryKind, LayerPath, LayerTree, Meta, NameRules, Origin,
    Owner, TreeError, Wanted,
    configure::working_dir,
    dockerfile::{
        self, Dockerfile, Instruction, Plan, PlannedStage, Scope, StageRef, Step, TargetOs,
    },
};

/// A stage that was followed.
#[derive(Clone, Debug)]
pub(super) struct StageState {
    /// What it is built on; none on scratch.
    pub(super) base: Option<Base>,
    /// What it runs on.
    pub(super) platform: Platform,
    pub(super) configuration: Configuration,
    /// Its instructions and those of the stages below it, in order.
    pub(super) steps: Vec<MadeStep>,
    /// All files that it has of its own.
    files: LayerTree,
}

/// An instruction that was followed.
#[derive(Clone, Debug)]
pub(super) struct MadeStep {
    /// As history tells it.
    pub(super) by: String,
    /// Its line.
    pub(super) line: usize,
    /// The layer it makes.
    pub(super) draft: Option<Draft>,
}

/// A layer that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// What makes it the same as another.
    pub(super) key: String,
    pub(super) tree: Arc<LayerTree>,
}

/// The stages that the image is built on, others being copied from.
pub(super) struct Chain(Vec<usize>);

impl Chain {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut chain = Vec::new();
        let mut at = plan.stages().last();
        while let Some(stage) = at {
            chain.push(stage.index);
            at = match stage.base {
                dockerfile::Base::Stage(below) => plan.stages().iter().find(|it| it.index == below),
                _ => None,
            };
        }
        Self(chain)
    }

    pub(super) fn has(&self, stage: usize) -> bool {
        self.0.contains(&stage)
    }
}

impl StageState {
    /// The same with one layer in the place of all, made by the last step that made one.
    pub(super) fn squashed(mut self, os: TargetOs, names: NameRules) -> Result<Self, BuildError> {
        let made: Vec<usize> = (0..self.steps.len())
            .filter(|&it| self.steps[it].draft.is_some())
            .collect();
        let [.., last] = made[..] else {
            return Ok(self);
        };
        let mut tree = empty(os, names);
        let mut keys = String::new();
        for &at in &made {
            if let Some(draft) = self.steps[at].draft.take() {
                let line = self.steps[at].line;
                merge(&draft.tree, &mut tree).map_err(|error| BuildError::Tree {
                    file: "the layers of --squash-new".to_owned(),
                    line,
                    error: Box::new(error),
                })?;
                keys.push_str(&draft.key);
            }
        }
        self.steps[last].draft = Some(Draft {
            key: key(&keys),
            tree: Arc::new(tree),
        });
        Ok(self)
    }

    /// What makes its files the same as another's.
    fn key(&self) -> String {
        let drafts = self.steps.iter().filter_map(|it| it.draft.as_ref());
        drafts.map(|it| it.key.as_str()).collect()
    }
}

/// The way through one stage.
pub(super) struct Work<'a> {
    pub(super) assembler: &'a Assembler<'a>,
    pub(super) release: &'a Release,
    pub(super) plan: &'a Plan,
    /// The stages before it.
    pub(super) states: &'a BTreeMap<usize, StageState>,
    /// Whether the image is built on it, or files are copied from it only.
    pub(super) is_image: bool,
}

impl Work<'_> {
    /// Follows the stage.
    pub(super) async fn stage(&self, planned: &PlannedStage) -> Result<StageState, BuildError> {
        let mut state = self.beginning(planned).await?;
        let mut scope = self.scope(&state)?;
        let triggers: Vec<String> = state.configuration.triggers().map(str::to_owned).collect();
        if state.base.is_some() && !triggers.is_empty() {
            state.configuration.forget_triggers();
            for trigger in &triggers {
                let name = format!("ONBUILD of {}", planned.stage.base);
                let step = Dockerfile::parse_trigger(trigger, &name)?;
                if let Instruction::Run(_) = step.instruction {
                    return Err(BuildError::Copy {
                        file: self.file(),
                        line: planned.stage.line,
                        instruction: trigger.clone(),
                        error: "the base wants RUN to be carried out in whatever is built on it, \
                                which is not possible when assembling: build it on a base without"
                            .into(),
                    });
                }
                self.step(&mut state, &mut scope, planned, &step).await?;
            }
        }
        for step in &planned.stage.steps {
            self.step(&mut state, &mut scope, planned, step).await?;
        }
        Ok(state)
    }

    async fn beginning(&self, planned: &PlannedStage) -> Result<StageState, BuildError> {
        let platform = self.platform(planned)?;
        let os = os_of(&platform)?;
        let names = self.assembler.options.names;
        match &planned.base {
            dockerfile::Base::Stage(below) => {
                self.states.get(below).cloned().ok_or(BuildError::NoStage)
            }
            dockerfile::Base::Scratch => Ok(StageState {
                base: None,
                configuration: Configuration::scratch(
                    os,
                    &platform.architecture,
                    platform.variant.as_deref(),
                ),
                platform,
                steps: Vec::new(),
                files: empty(os, names),
            }),
            dockerfile::Base::Image(reference) => {
                let base = self.base(planned, reference, os, platform).await?;
                Ok(StageState {
                    platform: base.platform().clone(),
                    configuration: base.configuration(),
                    base: Some(base),
                    steps: Vec::new(),
                    files: empty(os, names),
                })
            }
        }
    }

    async fn base(
        &self,
        planned: &PlannedStage,
        reference: &str,
        os: TargetOs,
        platform: Platform,
    ) -> Result<Base, BuildError> {
        let file = self.assembler.dockerfile;
        let reference = if self.is_image {
            self.release.base(file, reference)
        } else {
            reference.to_owned()
        };
        let version = self.release.base_version.as_deref();
        let options = &self.assembler.options;
        let reference = match options.from_map.mapped(&reference, version) {
            Some(to) => {
                let from = reference;
                let to_tell = to.clone();
                self.assembler
                    .events
                    .tell(&BuildEvent::Mapped { from, to: to_tell });
                to
            }
            None => reference,
        };
        let wanted = Wanted {
            platform,
            os_version: options.os_version.filter(|_| self.is_image),
        };
        let base = Base::read(self.assembler.bases, &reference, os, &wanted).await;
        let base = base.map_err(|error| BuildError::Base {
            file: self.file(),
            line: planned.stage.line,
            reference: reference.clone(),
            error: Box::new(error),
        })?;
        self.assembler.events.tell(&BuildEvent::Base {
            reference,
            platform: Box::new(base.platform().clone()),
            digest: base.manifest().digest().clone(),
            bytes: base.layers().iter().map(|it| it.size).sum(),
        });
        Ok(base)
    }

    /// What a stage is for: what its `FROM` says, else what the image is for.
    fn platform(&self, planned: &PlannedStage) -> Result<Platform, BuildError> {
        let Some(text) = &planned.platform else {
            return Ok(self.release.platform.clone());
        };
        let said = parsed(text).ok_or_else(|| BuildError::Platform(text.clone()))?;
        // Of the same platform the release may know the version.
        let release = &self.release.platform;
        let is_same = said.os_version.is_none() && said.matches(release);
        Ok(if is_same { release.clone() } else { said })
    }

    /// Variables at the start of the stage.
    fn scope(&self, state: &StageState) -> Result<Scope, BuildError> {
        let configuration = &state.configuration;
        let mut environment: Vec<String> = configuration
            .env()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let is_windows = os_of(&state.platform)? == TargetOs::Windows;
        let has_path = configuration
            .env()
            .any(|(it, _)| it.eq_ignore_ascii_case("PATH"));
        if is_windows && !has_path && self.assembler.options.path_default {
            environment.push(format!("PATH={}", configuration.path_in_registry()));
        }
        Ok(self.plan.scope(&environment))
    }

    async fn step(
        &self,
        state: &mut StageState,
        scope: &mut Scope,
        planned: &PlannedStage,
        step: &Step,
    ) -> Result<(), BuildError> {
        let instruction = scope.expand(step)?;
        let draft = match &instruction {
            // They are no part of the image.
            Instruction::Arg(_) | Instruction::Run(_) => return Ok(()),
            Instruction::Copy(_) | Instruction::Add(_) => {
                Some(self.copy(state, planned, step, &instruction).await?)
            }
            Instruction::Workdir(_) => {
                self.configure(state, step, &instruction)?;
                self.directory(state, step)?
            }
            _ => {
                self.configure(state, step, &instruction)?;
                None
            }
        };
        if let Some(draft) = &draft {
            merge(&draft.tree, &mut state.files).map_err(|error| self.tree_error(step, error))?;
        }
        state.steps.push(MadeStep {
            by: step.original.clone(),
            line: step.line,
            draft,
        });
        Ok(())
    }

    fn configure(
        &self,
        state: &mut StageState,
        step: &Step,
        instruction: &Instruction,
    ) -> Result<(), BuildError> {
        let warnings = state.configuration.apply(instruction);
        let warnings = warnings.map_err(|error| BuildError::Instruction {
            file: self.file(),
            line: step.line,
            instruction: step.original.clone(),
            error,
        })?;
        for warning in warnings {
            self.warn(step, &warning);
        }
        Ok(())
    }

    /// The working directory, if it is not there already.
    fn directory(&self, state: &StageState, step: &Step) -> Result<Option<Draft>, BuildError> {
        let path = working_dir::in_layer(state.configuration.working_dir());
        let Ok(path) = path.parse::<LayerPath>() else {
            return Ok(None);
        };
        if state
            .files
            .get(&path)
            .is_some_and(crate::Entry::is_directory)
        {
            return Ok(None);
        }
        let mut tree = empty(os_of(&state.platform)?, self.assembler.options.names);
        let meta = Meta {
            mode: 0o755,
            origin: origin(step),
            ..Meta::default()
        };
        let made = tree.directory(&path, meta);
        made.map_err(|error| self.tree_error(step, error))?;
        Ok(Some(Draft {
            key: key(&format!("WORKDIR {path} {}", state.platform.os)),
            tree: Arc::new(tree),
        }))
    }

    async fn copy(
        &self,
        state: &StageState,
        planned: &PlannedStage,
        step: &Step,
        instruction: &Instruction,
    ) -> Result<Draft, BuildError> {
        let from = match planned.from_of(step.line) {
            None => None,
            Some(StageRef::Stage(from)) => Some(self.states.get(from).ok_or(BuildError::NoStage)?),
            Some(StageRef::Image(image)) => {
                return Err(self.copy_error(
                    step,
                    format!("{image} is an image, and files are not taken out of images").into(),
                ));
            }
        };
        let working_dir = state.configuration.working_dir();
        let said = format!(
            "{} {} {instruction:?} {working_dir} {} {}",
            state.platform.os,
            step.line,
            state.key(),
            from.map(StageState::key).unwrap_or_default(),
        );
        let key = key(&said);
        let known = self.assembler.known().trees.get(&key).cloned();
        if let Some(tree) = known {
            return Ok(Draft { key, tree });
        }
        let tree = self.filled(state, step, instruction, from).await?;
        let tree = Arc::new(tree);
        let trees = &mut self.assembler.known().trees;
        trees.insert(key.clone(), Arc::clone(&tree));
        Ok(Draft { key, tree })
    }

    /// What the instruction puts into a layer of its own.
    async fn filled(
        &self,
        state: &StageState,
        step: &Step,
        instruction: &Instruction,
        from: Option<&StageState>,
    ) -> Result<LayerTree, BuildError> {
        let os = os_of(&state.platform)?;
        let mut tree = empty(os, self.assembler.options.names);
        let there = state.files.clone();
        let working_dir = state.configuration.working_dir().to_owned();
        let (copier, line) = (Arc::clone(&self.assembler.copier), step.line);
        let (instruction, from) = (instruction.clone(), from.map(|it| it.files.clone()));
        let copying = tokio::task::spawn_blocking(move || {
            let from = from.as_ref().map_or(CopyFrom::Context, CopyFrom::Stage);
            let job = CopyJob {
                instruction: &instruction,
                line,
                working_dir: &working_dir,
                os,
                there: &there,
                from,
            };
            let warnings = copier.copy(&job, &mut tree)?;
            Ok((tree, warnings))
        });
        let done = copying.await.unwrap_or_else(|error| Err(error.into()));
        let (tree, warnings) = done.map_err(|error| self.copy_error(step, error))?;
        for warning in warnings {
            self.warn(step, &warning);
        }
        for warning in tree.warnings() {
            self.warn(step, warning);
        }
        if self.assembler.options.owner == Owner::Default {
            return Ok(tree);
        }
        let mut given = empty(os, self.assembler.options.names);
        let done = merge_as(&tree, &mut given, self.assembler.options.owner);
        done.map_err(|error| self.tree_error(step, error))?;
        Ok(given)
    }

    fn file(&self) -> String {
        self.assembler.dockerfile.name().to_owned()
    }

    fn warn(&self, step: &Step, text: &dyn std::fmt::Display) {
        let (file, line) = (self.assembler.dockerfile.name(), step.line);
        self.assembler.warn(format!("{file}:{line}: {text}"));
    }

    fn tree_error(&self, step: &Step, error: TreeError) -> BuildError {
        BuildError::Tree {
            file: self.file(),
            line: step.line,
            error: Box::new(error),
        }
    }

    fn copy_error(&self, step: &Step, error: super::copier::CopyFailure) -> BuildError {
        BuildError::Copy {
            file: self.file(),
            line: step.line,
            instruction: step.original.clone(),
            error,
        }
    }
}

fn origin(step: &Step) -> Origin {
    Origin::new(step.original.as_str()).by(u32::try_from(step.line).unwrap_or(u32::MAX))
}

/// An empty tree for a system.
fn empty(os: TargetOs, names: NameRules) -> LayerTree {
    match os {
        TargetOs::Windows => LayerTree::windows_with(names),
        TargetOs::Linux => LayerTree::linux(),
    }
}

/// Puts everything that is in one tree into another.
fn merge(from: &LayerTree, into: &mut LayerTree) -> Result<(), TreeError> {
    merge_as(from, into, Owner::Default)
}

/// The same; what is nobody's in particular is this owner's then.
fn merge_as(from: &LayerTree, into: &mut LayerTree, owner: Owner) -> Result<(), TreeError> {
    for entry in from.entries() {
        let (path, mut meta) = (entry.path(), entry.meta().clone());
        if meta.owner == Owner::Default {
            meta.owner = owner;
        }
        match entry.kind() {
            // They are made again where they are needed.
            EntryKind::Directory { implicit: true } => {}
            EntryKind::Directory { implicit: false } => into.directory(path, meta)?,
            EntryKind::File(body) => into.file(path, body.clone(), meta)?,
            EntryKind::Symlink {
                target,
                to_directory,
            } => into.symlink(path, target, *to_directory, meta)?,
        }
    }
    Ok(())
}

/// A key of bounded length.
fn key(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// A platform as `FROM --platform` has it: `linux/amd64`, `windows(10.0.20348)/amd64`.
fn parsed(text: &str) -> Option<Platform> {
    let Some((os, rest)) = text.split_once('(') else {
        return text.parse().ok();
    };
    let (version, rest) = rest.split_once(')')?;
    format!("{os}{rest}:{version}").parse().ok()
}
