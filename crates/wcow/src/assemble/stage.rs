//! A stage, followed instruction by instruction: a config, and what each layer is to have in it.

use std::{collections::BTreeMap, sync::Arc};

use oci::Digest;

use super::{
    Assembler, BuildError, CopyFrom, CopyJob, MAX_COPY_BYTES, MAX_TREE_BYTES,
    release::{Release, os_of},
};
use crate::{
    Configuration, LayerPath, LayerStack, LayerTree, Meta, Origin, Owner, TreeError,
    configure::working_dir,
    copy::{is_in_every_image, shown},
    dockerfile::{self, Dockerfile, Instruction, Plan, PlannedStage, Scope, TargetOs},
};
use image::{CopiedFrom, FromFiles};
use merge::empty;

mod base;
mod image;
mod merge;
mod state;

pub(super) use image::Images;
pub(super) use state::{Act, Begun, Chain, Content, Draft, MadeStep, StageState};

/// The number of the first instruction of `ONBUILD`: no line of a Dockerfile has it.
const FIRST_TRIGGER: usize = 1 << 31;

/// The way through one stage.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) assembler: &'a Assembler<'a>,
    pub(super) release: &'a Release,
    pub(super) plan: &'a Plan,
    /// Whether the image is built on it, or files are copied from it only.
    pub(super) is_image: bool,
}

impl Work<'_> {
    /// Begins the stage: what it is built on, and what that wants.
    pub(super) async fn begin(
        &self,
        planned: &PlannedStage,
        states: &BTreeMap<usize, StageState>,
    ) -> Result<Begun, BuildError> {
        let mut state = self.beginning(planned, states).await?;
        let stored: Vec<String> = state.configuration.triggers().map(str::to_owned).collect();
        state.configuration.forget_triggers();
        let (mut triggers, mut needed) = (Vec::new(), Vec::new());
        for trigger in &stored {
            let mut act = self.trigger(planned, trigger, state.os()?)?;
            act.number = FIRST_TRIGGER + state.triggers;
            state.triggers += 1;
            if let Instruction::Copy(copy) = &act.step.instruction
                && let Some(name) = &copy.from
            {
                let file = self.assembler.dockerfile;
                let (from, reached) = self.plan.trigger_from(file, planned, name)?;
                act.from = Some(from);
                self.read_image(planned, &state, &act).await?;
                // Each once, however many triggers there are.
                for stage in reached {
                    if !needed
                        .iter()
                        .any(|it: &PlannedStage| it.index == stage.index)
                    {
                        needed.push(stage);
                    }
                }
            }
            triggers.push(act);
        }
        for step in &planned.stage.steps {
            let act = Act::of(planned, step);
            self.read_image(planned, &state, &act).await?;
        }
        Ok(Begun {
            state,
            triggers,
            needed,
        })
    }

    /// An instruction that the base wants carried out. Whoever builds on it has its `FROM` to blame.
    fn trigger(&self, planned: &PlannedStage, text: &str, os: TargetOs) -> Result<Act, BuildError> {
        let name = format!("ONBUILD of {}", planned.stage.base);
        let mut step = Dockerfile::parse_trigger(text, &name)?;
        step.line = planned.stage.line;
        let act = Act {
            number: step.line,
            from: None,
            said: format!("ONBUILD {}", shown(&step.original)),
            step,
        };
        if let Instruction::Run(_) = act.step.instruction
            && !self.plan.runs(os)
        {
            let error = "the base wants RUN to be carried out in whatever is built on it, which is \
                         not possible when assembling: build it on a base without";
            return Err(self.copy_error(&act, error.into()));
        }
        Ok(act)
    }

    /// Follows the stage, all stages that it needs being followed.
    pub(super) async fn stage(
        &self,
        planned: &PlannedStage,
        begun: Begun,
        states: &BTreeMap<usize, StageState>,
    ) -> Result<StageState, BuildError> {
        let mut state = begun.state;
        let mut scope = self.scope(&state)?;
        for act in &begun.triggers {
            self.step(planned, &mut state, &mut scope, (act, states))
                .await?;
        }
        for step in &planned.stage.steps {
            let act = Act::of(planned, step);
            self.step(planned, &mut state, &mut scope, (&act, states))
                .await?;
        }
        state.arguments = scope.arguments().to_vec();
        Ok(state)
    }

    async fn beginning(
        &self,
        planned: &PlannedStage,
        states: &BTreeMap<usize, StageState>,
    ) -> Result<StageState, BuildError> {
        let platform = self.platform(planned)?;
        let os = os_of(&platform)?;
        match &planned.base {
            dockerfile::Base::Stage(below) => {
                let below = states.get(below).cloned();
                let mut state = below.ok_or(BuildError::NoStage)?;
                state.configuration.begin_stage();
                Ok(state)
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
                files: LayerStack::default(),
                arguments: Vec::new(),
                triggers: 0,
                ran: false,
            }),
            dockerfile::Base::Image(reference) => {
                let base = self.base(planned, reference, os, platform).await?;
                Ok(StageState {
                    platform: base.platform().clone(),
                    configuration: base.configuration(),
                    base: Some(base),
                    steps: Vec::new(),
                    files: LayerStack::default(),
                    arguments: Vec::new(),
                    triggers: 0,
                    ran: false,
                })
            }
        }
    }

    async fn step(
        &self,
        planned: &PlannedStage,
        state: &mut StageState,
        scope: &mut Scope,
        (act, states): (&Act, &BTreeMap<usize, StageState>),
    ) -> Result<(), BuildError> {
        let instruction = scope.expand(&act.step)?;
        let draft = match &instruction {
            // It is no part of the image.
            Instruction::Arg(_) => return Ok(()),
            Instruction::Run(_) => Some(self.run(state, scope, act).await?),
            Instruction::Copy(_) | Instruction::Add(_) => {
                let from = self.copied_from(planned, state, act, states)?;
                Some(self.copy(state, act, &instruction, from).await?)
            }
            Instruction::Workdir(_) => {
                self.configure(state, act, &instruction)?;
                self.directory(state, act)?
            }
            _ => {
                self.configure(state, act, &instruction)?;
                None
            }
        };
        if let Some(Draft {
            content: Content::Tree(tree),
            ..
        }) = &draft
        {
            let pushed = state.files.push(Arc::clone(tree));
            pushed.map_err(|error| self.tree_error(act, error))?;
        }
        state.steps.push(MadeStep {
            by: act.step.original.clone(),
            line: act.step.line,
            draft,
        });
        Ok(())
    }

    fn configure(
        &self,
        state: &mut StageState,
        act: &Act,
        instruction: &Instruction,
    ) -> Result<(), BuildError> {
        let warnings = state.configuration.apply(instruction);
        let warnings = warnings.map_err(|error| BuildError::Instruction {
            file: self.file(),
            line: act.step.line,
            instruction: act.said.clone(),
            error,
        })?;
        for warning in warnings {
            self.warn(act, &warning);
        }
        Ok(())
    }

    /// The working directory, if it is not there already.
    fn directory(&self, state: &StageState, act: &Act) -> Result<Option<Draft>, BuildError> {
        let path = working_dir::in_layer(state.configuration.working_dir());
        let Ok(path) = path.parse::<LayerPath>() else {
            return Ok(None);
        };
        let os = os_of(&state.platform)?;
        // One that every base has keeps the rights that it has there.
        let is_of_base = state.base.is_some() && is_in_every_image(os, &path);
        if is_of_base || state.files.has_directory(&path) {
            return Ok(None);
        }
        let mut tree = empty(os, self.assembler.options.names);
        let meta = Meta {
            mode: 0o755,
            origin: origin(act),
            ..Meta::default()
        };
        let made = tree.directory(&path, meta);
        made.map_err(|error| self.tree_error(act, error))?;
        tree.keep_directories_of(&state.files);
        let said = format!("WORKDIR {path} {} {}", state.platform.os, state.key());
        Ok(Some(Draft {
            key: key(&said),
            content: Content::Tree(Arc::new(tree)),
        }))
    }

    async fn copy(
        &self,
        state: &StageState,
        act: &Act,
        instruction: &Instruction,
        from: CopiedFrom<'_>,
    ) -> Result<Draft, BuildError> {
        let working_dir = state.configuration.working_dir();
        let said = format!(
            "{} {} {instruction:?} {working_dir} {} {}",
            state.platform.os,
            act.number,
            state.key(),
            self.key_of(&from),
        );
        let key = key(&said);
        let known = self.assembler.known().trees.get(&key).cloned();
        if let Some(tree) = known {
            let content = Content::Tree(tree);
            return Ok(Draft { key, content });
        }
        let from = self.files(state.os()?, act, instruction, from).await?;
        let tree = self.filled(state, act, instruction, from).await?;
        let tree = Arc::new(tree);
        self.assembler.known().keep(&key, &tree);
        let content = Content::Tree(tree);
        Ok(Draft { key, content })
    }

    /// What the instruction puts into a layer of its own.
    async fn filled(
        &self,
        state: &StageState,
        act: &Act,
        instruction: &Instruction,
        (from, room): (FromFiles, u64),
    ) -> Result<LayerTree, BuildError> {
        let os = os_of(&state.platform)?;
        let mut tree = empty(os, self.assembler.options.names).with_room(room);
        let there = state.files.clone();
        let working_dir = state.configuration.working_dir().to_owned();
        let (copier, number) = (Arc::clone(&self.assembler.copier), act.number);
        let instruction = instruction.clone();
        let copying = tokio::task::spawn_blocking(move || {
            let from = match &from {
                FromFiles::Context => CopyFrom::Context,
                FromFiles::Stage(files) => CopyFrom::Stage(files),
                FromFiles::Image(files) => CopyFrom::Image(files),
            };
            let job = CopyJob {
                instruction: &instruction,
                number,
                working_dir: &working_dir,
                os,
                there: &there,
                from,
            };
            let warnings = copier.copy(&job, &mut tree)?;
            Ok((tree, warnings))
        });
        let done = copying.await.unwrap_or_else(|error| Err(error.into()));
        let (mut tree, warnings) = done.map_err(|error| self.copy_error(act, error))?;
        for warning in warnings {
            self.warn(act, &warning);
        }
        for warning in tree.warnings() {
            self.warn(act, warning);
        }
        if self.assembler.options.owner != Owner::Default {
            let given = tree.give_to(self.assembler.options.owner);
            given.map_err(|error| self.tree_error(act, error))?;
        }
        tree.keep_directories_of(&state.files);
        Ok(tree)
    }

    /// How much memory there is for what is copied, in bytes.
    fn room(&self) -> u64 {
        MAX_TREE_BYTES.saturating_sub(self.assembler.known().bytes)
    }

    /// The files of a stage in one tree, and how much memory there is for those that are copied.
    fn merged(&self, os: TargetOs, files: &LayerStack) -> Result<(Arc<LayerTree>, u64), TreeError> {
        let held = self.assembler.known().bytes;
        // Nothing is compressed as long as files are copied.
        let rest = MAX_COPY_BYTES.saturating_sub(held);
        let tree = files.merged(empty(os, self.assembler.options.names), rest)?;
        let taken = if files.is_several() { tree.bytes() } else { 0 };
        Ok((tree, self.room().min(rest.saturating_sub(taken))))
    }

    pub(super) fn file(&self) -> String {
        self.assembler.dockerfile.name().to_owned()
    }

    fn warn(&self, act: &Act, text: &dyn std::fmt::Display) {
        let (file, line) = (self.assembler.dockerfile.name(), act.step.line);
        self.assembler.warn(format!("{file}:{line}: {text}"));
    }

    fn tree_error(&self, act: &Act, error: TreeError) -> BuildError {
        BuildError::Tree {
            file: self.file(),
            line: act.step.line,
            error: Box::new(error),
        }
    }

    fn copy_error(&self, act: &Act, error: super::copier::CopyFailure) -> BuildError {
        BuildError::Copy {
            file: self.file(),
            line: act.step.line,
            instruction: act.said.clone(),
            error,
        }
    }
}

fn origin(act: &Act) -> Origin {
    Origin::new(act.said.as_str()).by(u32::try_from(act.number).unwrap_or(u32::MAX))
}

/// A key of bounded length.
pub(super) fn key(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}
