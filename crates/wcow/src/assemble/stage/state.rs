//! What there is of a stage: at its beginning, at its end, and of each of its instructions.

use std::sync::Arc;

use oci::Platform;

use super::{key, merge::empty};
use crate::{
    Base, Configuration, LayerStack, LayerTree, NameRules, TreeError,
    assemble::{BuildError, release::os_of, spool::Spooled},
    copy::shown,
    dockerfile::{self, CopySource, Plan, PlannedStage, Step, TargetOs},
};

/// A stage that was followed.
#[derive(Clone, Debug)]
pub(in crate::assemble) struct StageState {
    /// What it is built on; none on scratch.
    pub(in crate::assemble) base: Option<Base>,
    /// What it runs on.
    pub(in crate::assemble) platform: Platform,
    pub(in crate::assemble) configuration: Configuration,
    /// Its instructions and those of the stages below it, in order.
    pub(in crate::assemble) steps: Vec<MadeStep>,
    /// All files that it has of its own.
    pub(in crate::assemble) files: LayerStack,
    /// What its `ARG`s hold at its end.
    pub(in crate::assemble) arguments: Vec<(String, String)>,
    /// How many instructions of `ONBUILD` were carried out in it and below it.
    pub(in crate::assemble) triggers: usize,
    /// Whether anything was run in it: then its files are not all known.
    pub(in crate::assemble) ran: bool,
}

/// A stage at its beginning.
pub(in crate::assemble) struct Begun {
    pub(in crate::assemble) state: StageState,
    /// What its base wants carried out first.
    pub(in crate::assemble) triggers: Vec<Act>,
    /// The stages that takes, each after those it needs.
    pub(in crate::assemble) needed: Vec<PlannedStage>,
}

/// An instruction to be carried out.
pub(in crate::assemble) struct Act {
    pub(in crate::assemble) step: Step,
    /// What tells it from all others.
    pub(in crate::assemble) number: usize,
    /// What it copies from; nothing if that is the context.
    pub(in crate::assemble) from: Option<CopySource>,
    /// As a message calls it.
    pub(in crate::assemble) said: String,
}

/// An instruction that was followed.
#[derive(Clone, Debug)]
pub(in crate::assemble) struct MadeStep {
    /// As history tells it.
    pub(in crate::assemble) by: String,
    /// Its line.
    pub(in crate::assemble) line: usize,
    /// The layer it makes.
    pub(in crate::assemble) draft: Option<Draft>,
}

/// A layer that is to be written, or was.
#[derive(Clone, Debug)]
pub(in crate::assemble) struct Draft {
    /// What makes it the same as another.
    pub(in crate::assemble) key: String,
    pub(in crate::assemble) content: Content,
}

/// What a layer has in it.
#[derive(Clone, Debug)]
pub(in crate::assemble) enum Content {
    /// To be written.
    Tree(Arc<LayerTree>),
    /// Written, because something was run on top of it or left it.
    Written(Spooled),
}

/// The stages that the image is built on, others being copied from.
pub(in crate::assemble) struct Chain(Vec<usize>);

impl Chain {
    pub(in crate::assemble) fn of(plan: &Plan) -> Self {
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

    pub(in crate::assemble) fn has(&self, stage: usize) -> bool {
        self.0.contains(&stage)
    }
}

impl Act {
    /// An instruction of the Dockerfile.
    pub(in crate::assemble) fn of(planned: &PlannedStage, step: &Step) -> Self {
        Self {
            step: step.clone(),
            number: step.line,
            from: planned.from_of(step.line).cloned(),
            said: shown(&step.original),
        }
    }
}

impl StageState {
    /// The same with one layer in the place of all, made by the last step that made one.
    pub(in crate::assemble) fn squashed(
        mut self,
        os: TargetOs,
        names: NameRules,
    ) -> Result<Self, BuildError> {
        let made: Vec<usize> = (0..self.steps.len())
            .filter(|&it| self.steps[it].draft.is_some())
            .collect();
        let [.., last] = made[..] else {
            return Ok(self);
        };
        // So that each tree goes when it was taken in.
        self.files = LayerStack::default();
        let mut tree = empty(os, names);
        let mut keys = String::new();
        for &at in &made {
            if let Some(draft) = self.steps[at].draft.take() {
                let line = self.steps[at].line;
                if let Content::Tree(of_step) = draft.content {
                    let taken = put_over(of_step, &mut tree);
                    taken.map_err(|error| BuildError::Tree {
                        file: "the layers of --squash-new".to_owned(),
                        line,
                        error: Box::new(error),
                    })?;
                }
                keys.push_str(&draft.key);
            }
        }
        self.steps[last].draft = Some(Draft {
            key: key(&keys),
            content: Content::Tree(Arc::new(tree)),
        });
        Ok(self)
    }

    /// The system it is for.
    pub(in crate::assemble) fn os(&self) -> Result<TargetOs, BuildError> {
        os_of(&self.platform)
    }

    /// What makes its files the same as another's.
    pub(in crate::assemble) fn key(&self) -> String {
        let drafts = self.steps.iter().filter_map(|it| it.draft.as_ref());
        drafts.map(|it| it.key.as_str()).collect()
    }
}

/// Puts a layer over others, and keeps nothing twice if there are none.
fn put_over(layer: Arc<LayerTree>, tree: &mut LayerTree) -> Result<(), TreeError> {
    if tree.is_empty() {
        *tree = Arc::unwrap_or_clone(layer).with_room(u64::MAX);
        return Ok(());
    }
    tree.take_in(&layer)
}
