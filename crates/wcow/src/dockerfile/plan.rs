//! Which stages a build goes through, and whether it can: the gates before any I/O.
//!
//! From the target backwards: what a stage starts from, and what it copies from. Stages that
//! are not reached are not looked at, so a `RUN` there does no harm.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    BuildArguments, Command, Dockerfile, DockerfileError, DockerfileErrorKind as Kind, Instruction,
    NotSupported, Predefined, Scope, Stage, Step, TargetOs, Warning, error::At, run,
    scope::Globals,
};

/// What a build is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanOptions {
    /// The stage to build, by name or number; the last one if nothing is said.
    pub target: Option<String>,
    /// What the image is for.
    pub os: TargetOs,
    /// What `--build-arg` sets.
    pub arguments: BuildArguments,
    /// What is set without that.
    pub predefined: Predefined,
    /// The systems whose stages `RUN` can be followed in.
    pub runs: Vec<TargetOs>,
}

impl PlanOptions {
    /// The last stage, nothing set, nothing run.
    pub fn new(os: TargetOs, predefined: Predefined) -> Self {
        Self {
            target: None,
            os,
            arguments: BuildArguments::default(),
            predefined,
            runs: Vec::new(),
        }
    }

    /// Whether this `RUN` can be followed in a stage of that system.
    fn check_run(&self, text: &str, os: TargetOs, escape: char) -> Result<(), Kind> {
        if !self.runs.contains(&os) {
            return Err(Kind::NotSupported(NotSupported::Run(os.name())));
        }
        run::command(text, escape).map(drop)
    }
}

/// The stages that a build goes through, in an order in which it can; the last one is what
/// it builds.
#[derive(Clone, Debug)]
pub struct Plan {
    stages: Vec<PlannedStage>,
    warnings: Vec<Warning>,
    globals: Arc<Globals>,
    options: PlanOptions,
}

/// One stage of a [`Plan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedStage {
    /// Its number in the file, from 0.
    pub index: usize,
    /// The stage as it is written.
    pub stage: Stage,
    /// What it starts from.
    pub base: Base,
    /// `--platform`, expanded.
    pub platform: Option<String>,
    /// What `COPY --from` of each step means, by the step's line.
    pub from: Vec<(usize, CopySource)>,
}

/// What `COPY --from` takes files of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopySource {
    /// Another stage, by its number in the file.
    Stage(usize),
    /// An image, as it is written: variables are not replaced there.
    Image(String),
}

/// What a stage starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base {
    /// Nothing.
    Scratch,
    /// What another stage left, by its number in the file.
    Stage(usize),
    /// An image, as it is written once variables are replaced.
    Image(String),
}

impl Plan {
    /// The stages, each after those it needs. There is one at least.
    pub fn stages(&self) -> &[PlannedStage] {
        &self.stages
    }

    /// What is most likely not meant: the file's own warnings, and build arguments that
    /// nothing declares.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What variables hold at the start of a stage. `environment` is the one of its base:
    /// `name=value`, each.
    pub fn scope(&self, environment: &[String]) -> Scope {
        self.scope_on(self.options.os, environment)
    }

    /// The same for a stage of another system than the image is for.
    pub fn scope_on(&self, os: TargetOs, environment: &[String]) -> Scope {
        Scope::new(Arc::clone(&self.globals), os, environment)
    }

    /// Whether `RUN` can be followed in stages of this system.
    pub(crate) fn runs(&self, os: TargetOs) -> bool {
        self.options.runs.contains(&os)
    }

    /// What a `RUN` of a stage runs, or why it cannot be followed there.
    pub(crate) fn run(
        &self,
        file: &Dockerfile,
        step: &Step,
        os: TargetOs,
    ) -> Result<Command, DockerfileError> {
        let Instruction::Run(text) = &step.instruction else {
            return Ok(Command::Exec(Vec::new()));
        };
        let checked = self.options.check_run(text, os, file.escape);
        let command = checked.and_then(|()| run::command(text, file.escape));
        command.map_err(|it| file.fail(step.line, it))
    }

    /// What `COPY --from=name` means that a base wants carried out in `stage`, and the stages that
    /// takes, each after those it needs; none for an image. Bases are read after the plan is made, so
    /// these may be stages that it does not have.
    pub(crate) fn trigger_from(
        &self,
        file: &Dockerfile,
        stage: &PlannedStage,
        name: &str,
    ) -> Result<(CopySource, Vec<PlannedStage>), DockerfileError> {
        let from = file.from(stage.index, name);
        let from = from.map_err(|it| file.fail(stage.stage.line, it))?;
        let stages = match &from {
            CopySource::Stage(index) => file.reached(*index, &self.globals, &self.options)?,
            CopySource::Image(_) => Vec::new(),
        };
        Ok((from, stages))
    }
}

impl PlannedStage {
    /// What the `COPY` of a line copies from; nothing if that is the context.
    pub fn from_of(&self, line: usize) -> Option<&CopySource> {
        let found = self.from.iter().find(|it| it.0 == line);
        found.map(|it| &it.1)
    }

    /// The system of the stage, where the image is for `image`.
    fn os(&self, image: TargetOs) -> TargetOs {
        os_of(self.platform.as_deref(), image)
    }
}

/// The system that `--platform` names, as in `windows(10.0.20348)/amd64`; else the image's.
fn os_of(platform: Option<&str>, image: TargetOs) -> TargetOs {
    let Some(platform) = platform.filter(|it| !it.is_empty()) else {
        return image;
    };
    let end = platform.find(['/', '(']).unwrap_or(platform.len());
    if platform[..end].eq_ignore_ascii_case("windows") {
        TargetOs::Windows
    } else {
        TargetOs::Linux
    }
}

impl Dockerfile {
    /// Chooses the stages that building the target takes, and says no to what cannot be
    /// built here: a target that is not there, `RUN` in a stage that is reached,
    /// `FROM scratch` under an image for Windows, `COPY --from` of what can be no image.
    /// Reads and writes nothing.
    pub fn plan(&self, options: &PlanOptions) -> Result<Plan, DockerfileError> {
        let globals = Globals::new(self, options.arguments.clone(), &options.predefined)?;
        let target = self.target(options.target.as_deref())?;
        let stages = self.reached(target, &globals, options)?;
        self.refuse_scratch(&stages, options.os)?;
        let mut warnings = self.warnings.clone();
        warnings.extend(options.arguments.unused(self));
        Ok(Plan {
            stages,
            warnings,
            globals: Arc::new(globals),
            options: options.clone(),
        })
    }

    /// A stage, and those before it that it needs.
    fn reached(
        &self,
        target: usize,
        globals: &Globals,
        options: &PlanOptions,
    ) -> Result<Vec<PlannedStage>, DockerfileError> {
        let mut stages = Vec::new();
        let mut wanted = BTreeSet::from([target]);
        // Stages only ever need earlier ones, so going down meets each once.
        while let Some(index) = wanted.pop_last() {
            let stage = self.planned(index, globals, options)?;
            if let Base::Stage(below) = stage.base {
                wanted.insert(below);
            }
            wanted.extend(stage.from.iter().filter_map(|it| match it.1 {
                CopySource::Stage(index) => Some(index),
                CopySource::Image(_) => None,
            }));
            stages.push(stage);
        }
        stages.reverse();
        Ok(stages)
    }

    fn fail(&self, line: usize, kind: Kind) -> DockerfileError {
        At::new(line, kind).of(&self.name)
    }

    /// The number of the stage to build.
    fn target(&self, asked: Option<&str>) -> Result<usize, DockerfileError> {
        let Some(asked) = asked else {
            let last = self.stages.len().checked_sub(1);
            return last.ok_or_else(|| self.fail(1, Kind::NoStage));
        };
        let found = self.named(asked).or_else(|| self.numbered(asked));
        found.ok_or_else(|| self.fail(1, self.unknown(asked)))
    }

    fn named(&self, name: &str) -> Option<usize> {
        let name = name.to_lowercase();
        let is_it = |it: &Stage| it.name.as_deref() == Some(name.as_str());
        self.stages.iter().position(is_it)
    }

    fn numbered(&self, text: &str) -> Option<usize> {
        let number = text.parse().ok();
        number.filter(|it| *it < self.stages.len())
    }

    fn unknown(&self, name: &str) -> Kind {
        Kind::UnknownStage {
            name: name.to_owned(),
            known: self
                .stages
                .iter()
                .filter_map(|it| it.name.clone())
                .collect(),
        }
    }

    fn planned(
        &self,
        index: usize,
        globals: &Globals,
        options: &PlanOptions,
    ) -> Result<PlannedStage, DockerfileError> {
        let stage = &self.stages[index];
        let (base, platform) = self.base(index, globals)?;
        let mut from = Vec::new();
        for step in &stage.steps {
            let found = match &step.instruction {
                Instruction::Run(text) => {
                    let os = os_of(platform.as_deref(), options.os);
                    options.check_run(text, os, self.escape).map(|()| None)
                }
                Instruction::Copy(copy) => match &copy.from {
                    Some(name) => self.from(index, name).map(Some),
                    None => Ok(None),
                },
                _ => Ok(None),
            };
            let found = found.map_err(|it| self.fail(step.line, it))?;
            from.extend(found.map(|it| (step.line, it)));
        }
        Ok(PlannedStage {
            index,
            stage: stage.clone(),
            base,
            platform: platform.filter(|it| !it.is_empty()),
            from,
        })
    }

    /// What a stage starts from, and its `--platform`.
    fn base(
        &self,
        index: usize,
        globals: &Globals,
    ) -> Result<(Base, Option<String>), DockerfileError> {
        let stage = &self.stages[index];
        let base = globals.expand(&stage.base, stage.line)?;
        let base = match self.named(&base) {
            _ if base.trim().is_empty() => {
                let kind = Kind::BlankBase(stage.base.clone());
                return Err(self.fail(stage.line, kind));
            }
            Some(below) if below < index => Base::Stage(below),
            _ if base.eq_ignore_ascii_case("scratch") => Base::Scratch,
            _ => Base::Image(base),
        };
        let platform = stage.platform.as_ref();
        let platform = platform.map(|it| globals.expand(it, stage.line));
        Ok((base, platform.transpose()?))
    }

    /// What each stage starts from and which system it is for, `RUN` or not, in the file's order.
    pub(crate) fn bases(
        &self,
        options: &PlanOptions,
    ) -> Result<Vec<(Base, TargetOs)>, DockerfileError> {
        let globals = Globals::new(self, options.arguments.clone(), &options.predefined)?;
        let base_of = |index| {
            let (base, platform) = self.base(index, &globals)?;
            Ok((base, os_of(platform.as_deref(), options.os)))
        };
        (0..self.stages.len()).map(base_of).collect()
    }

    /// What `COPY --from=name` in a stage means: a stage by its name, else by its number, else an
    /// image.
    fn from(&self, index: usize, name: &str) -> Result<CopySource, Kind> {
        if let Some(found) = self.named(name) {
            if found >= index {
                return Err(Kind::LaterStage(name.to_owned()));
            }
            return Ok(CopySource::Stage(found));
        }
        if name.bytes().all(|it| it.is_ascii_digit()) {
            return match self.numbered(name) {
                Some(found) if found < index => Ok(CopySource::Stage(found)),
                Some(_) => Err(Kind::LaterStage(name.to_owned())),
                None => Err(self.unknown(name)),
            };
        }
        if name.trim().is_empty() || name.eq_ignore_ascii_case("scratch") {
            return Err(Kind::FromNothing(name.to_owned()));
        }
        Ok(CopySource::Image(name.to_owned()))
    }

    fn refuse_scratch(&self, stages: &[PlannedStage], os: TargetOs) -> Result<(), DockerfileError> {
        let mut at = stages.last();
        while let Some(stage) = at {
            at = match stage.base {
                Base::Stage(below) => stages.iter().find(|it| it.index == below),
                Base::Scratch if stage.os(os) == TargetOs::Windows => {
                    return Err(self.fail(stage.stage.line, Kind::ScratchBase));
                }
                Base::Scratch | Base::Image(_) => None,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
