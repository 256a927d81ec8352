//! `RUN`: what is under it is written, the port runs it, and its layer is held against the rules.

use super::{
    BuildError, manifest, spool,
    spool::Spooled,
    stage::{Act, Content, Draft, StageState, Work, key},
};
use crate::{
    BuildEvent, LintOptions,
    dockerfile::{Command, Scope, TargetOs},
    run::{CommittedLayer, RunError, RunJob, RunLayer, RunOutput},
};

impl Work<'_> {
    /// Follows a `RUN`: its layer, which is written then.
    pub(super) async fn run(
        &self,
        state: &mut StageState,
        scope: &Scope,
        act: &Act,
    ) -> Result<Draft, BuildError> {
        let os = state.os()?;
        let command = self.plan.run(self.assembler.dockerfile, &act.step, os)?;
        if self.assembler.options.squash && self.is_image {
            return Err(BuildError::SquashedRun {
                file: self.file(),
                line: act.step.line,
            });
        }
        let layers = self.under(state).await?;
        let base = state.base.as_ref().map(|it| it.manifest().digest());
        let base = base.map(ToString::to_string).unwrap_or_default();
        // Other than of a copy, what comes of it depends on the base.
        let key = key(&format!(
            "RUN {} {command:?} {base} {}",
            act.number,
            state.key()
        ));
        let job = self.job(state, scope, command, layers);
        let spooled = self.ran(job, act, &key).await?;
        state.ran = true;
        Ok(Draft {
            key,
            content: Content::Written(spooled),
        })
    }

    fn job(
        &self,
        state: &StageState,
        scope: &Scope,
        command: Command,
        layers: Vec<RunLayer>,
    ) -> RunJob {
        let configuration = &state.configuration;
        RunJob {
            command,
            shell: configuration.shell(),
            env: configuration.env_over(scope.arguments()),
            working_dir: configuration.working_dir().to_owned(),
            user: configuration.user().to_owned(),
            limit: self.assembler.options.run_limit,
            platform: state.platform.clone(),
            layers,
        }
    }

    /// What the stage has so far, lowest first. What was to be written for the image is written now.
    async fn under(&self, state: &mut StageState) -> Result<Vec<RunLayer>, BuildError> {
        let mut layers = state.base.as_ref().map(of_base).unwrap_or_default();
        for step in &mut state.steps {
            let Some(draft) = &mut step.draft else {
                continue;
            };
            let (by, line) = (&step.by, step.line);
            let written = self.assembler.layer(draft.clone(), by, line).await?;
            layers.push(RunLayer::New {
                path: written.path.clone(),
                digest: written.digest.clone(),
                diff_id: written.diff_id.clone(),
                size: written.size,
            });
            draft.content = Content::Written(written);
        }
        Ok(layers)
    }

    /// Runs it within its time, and commits what it leaves.
    async fn ran(&self, job: RunJob, act: &Act, key: &str) -> Result<Spooled, BuildError> {
        let assembler = self.assembler;
        let failed = |error| BuildError::Run {
            file: self.file(),
            line: act.step.line,
            instruction: act.said.clone(),
            error,
        };
        let (os, limit) = (job.os(), job.limit);
        let mut output = RunOutput::new(assembler.events.clone(), act.step.line);
        let running = async {
            let left = assembler.runner.run(job, &mut output).await;
            self.committed(os, left.map_err(failed)?, act).await
        };
        let done = tokio::time::timeout(limit, running).await;
        output.finish();
        let spooled = done.unwrap_or_else(|_| Err(failed(RunError::TooLong(limit))))?;
        assembler.events.tell(&BuildEvent::Layer {
            instruction: act.said.clone(),
            digest: spooled.digest.clone(),
            size: spooled.size,
        });
        let layers = &mut assembler.known().layers;
        layers.insert(key.to_owned(), spooled.clone());
        Ok(spooled)
    }

    async fn committed(
        &self,
        os: TargetOs,
        left: CommittedLayer,
        act: &Act,
    ) -> Result<Spooled, BuildError> {
        let path = self.assembler.layer_path();
        let options = manifest::layer_options(&self.assembler.options);
        // Its times are those at which it was run, so nothing promises them to be early.
        let lint = LintOptions::default().with_names(self.assembler.options.names);
        let lint = (os == TargetOs::Windows).then_some(lint);
        let committing =
            tokio::task::spawn_blocking(move || spool::commit(path, left, &options, lint));
        let committed = committing.await.map_err(std::io::Error::other);
        let committed = committed.map_err(crate::LayerError::Write).flatten();
        committed.map_err(|error| BuildError::Layer {
            file: self.file(),
            line: act.step.line,
            error: Box::new(error),
        })
    }
}

/// The layers of a base: its config lists as many as its manifest.
fn of_base(base: &crate::Base) -> Vec<RunLayer> {
    let configuration = base.configuration();
    let diff_ids = configuration.diff_ids().iter();
    let diff_ids = diff_ids.filter_map(|it| it.as_str()?.parse().ok());
    let layers = base.layers().iter().zip(diff_ids);
    let layers = layers.map(|(layer, diff_id)| RunLayer::Base {
        layer: Box::new(layer.clone()),
        diff_id,
        source: base.source().clone(),
    });
    layers.collect()
}
