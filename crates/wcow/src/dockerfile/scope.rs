//! What variables hold while a build goes through a stage.
//!
//! ```text
//! before FROM:  ARG            seen by FROM alone
//! in a stage:   ARG name       takes --build-arg, else its default, else what is above
//!               ENV name=…     hides an ARG of the same name, wherever it stands
//! ```
//!
//! [Scope of arguments](https://docs.docker.com/build/building/variables/#scoping). Names
//! on Windows are the same whatever their case, and keep the spelling they had first.

use std::{collections::BTreeMap, sync::Arc};

use oci::Platform;

use super::{
    Argument, CopyInstruction, Dockerfile, DockerfileError, DockerfileErrorKind as Kind,
    ExpandError, Heredoc, Instruction, Pair, SourcePath, Step, Warning,
    error::At,
    expand::{Lexer, Variables},
    lines,
};

/// How much the variables of one stage may hold together, in bytes, inclusive.
const MAX_VARIABLE_BYTES: usize = 1 << 20;

/// What builders take without an `ARG` for it.
const UNDECLARED: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SOURCE_DATE_EPOCH",
];

/// Which system an image is for: names of variables and paths depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetOs {
    /// Windows.
    Windows,
    /// Linux, and whatever else has its rules.
    Linux,
}

impl TargetOs {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Windows => "Windows",
            Self::Linux => "Linux",
        }
    }
}

/// What the caller sets: `--build-arg name=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildArguments(BTreeMap<String, String>);

impl BuildArguments {
    /// Sets one, in place of an earlier one of the name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// What one was set to.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A warning for each that no `ARG` of the file names.
    pub(super) fn unused(&self, file: &Dockerfile) -> Vec<Warning> {
        let stages = file.stages.iter().flat_map(|it| &it.steps);
        let steps: Vec<&Step> = file.globals.iter().chain(stages).collect();
        let is_declared = |name: &str| {
            let is_one = |step: &&Step| match &step.instruction {
                Instruction::Arg(arguments) => arguments.iter().any(|it| it.name == name),
                _ => false,
            };
            steps.iter().any(is_one)
                || UNDECLARED.contains(&name.to_ascii_uppercase().as_str())
                || Predefined::NAMES.contains(&name)
                || name.starts_with("BUILDKIT_")
        };
        let unused = self.0.keys().filter(|it| !is_declared(it));
        let warning = |name: &String| Warning {
            file: file.name.clone(),
            line: 0,
            text: format!("build argument {name} is not used: no ARG declares it"),
        };
        unused.map(warning).collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for BuildArguments {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        Self(all.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// The arguments that exist without being set: `TARGETOS`, `BUILDPLATFORM` and so on.
#[derive(Clone, Debug)]
pub struct Predefined {
    /// What the image is for.
    pub target: Platform,
    /// What the build runs on.
    pub build: Platform,
    /// The stage that is built, if one was asked for.
    pub stage: Option<String>,
}

impl Predefined {
    const NAMES: &'static [&'static str] = &[
        "TARGETPLATFORM",
        "TARGETOS",
        "TARGETOSVERSION",
        "TARGETARCH",
        "TARGETVARIANT",
        "TARGETSTAGE",
        "BUILDPLATFORM",
        "BUILDOS",
        "BUILDOSVERSION",
        "BUILDARCH",
        "BUILDVARIANT",
    ];

    fn get(&self, name: &str) -> Option<String> {
        let (target, build) = (&self.target, &self.build);
        Some(match name {
            "TARGETPLATFORM" => full(target),
            "TARGETOS" => target.os.clone(),
            "TARGETOSVERSION" => target.os_version.clone().unwrap_or_default(),
            "TARGETARCH" => target.architecture.clone(),
            "TARGETVARIANT" => target.variant.clone().unwrap_or_default(),
            "TARGETSTAGE" => self.stage.clone().unwrap_or_else(|| "default".to_owned()),
            "BUILDPLATFORM" => short(build),
            "BUILDOS" => build.os.clone(),
            "BUILDOSVERSION" => build.os_version.clone().unwrap_or_default(),
            "BUILDARCH" => build.architecture.clone(),
            "BUILDVARIANT" => build.variant.clone().unwrap_or_default(),
            _ => return None,
        })
    }
}

/// `linux/arm64/v8`.
fn short(it: &Platform) -> String {
    let mut text = format!("{}/{}", it.os, it.architecture);
    if let Some(variant) = &it.variant {
        text.push('/');
        text.push_str(variant);
    }
    text
}

/// `windows(10.0.20348.2113)/amd64`, the form that `--platform` reads.
fn full(it: &Platform) -> String {
    match &it.os_version {
        Some(version) => short(it).replacen('/', &format!("({version})/"), 1),
        None => short(it),
    }
}

/// What is known before the first `FROM`.
#[derive(Debug)]
pub(super) struct Globals {
    pub(super) file: String,
    pub(super) escape: char,
    pub(super) arguments: BuildArguments,
    view: BTreeMap<String, String>,
}

impl Globals {
    /// Goes through the `ARG`s before the first `FROM`.
    pub(super) fn new(
        file: &Dockerfile,
        arguments: BuildArguments,
        predefined: &Predefined,
    ) -> Result<Self, DockerfileError> {
        let named = Predefined::NAMES.iter().filter_map(|name| {
            let given = arguments.get(name).map(str::to_owned);
            let value = given.or_else(|| predefined.get(name))?;
            Some(((*name).to_owned(), value))
        });
        let view = named.collect();
        let mut globals = Self {
            file: file.name.clone(),
            escape: file.escape,
            arguments,
            view,
        };
        for step in &file.globals {
            if let Instruction::Arg(arguments) = &step.instruction {
                for argument in arguments {
                    globals.declare(argument, step.line)?;
                }
            }
        }
        Ok(globals)
    }

    fn declare(&mut self, argument: &Argument, line: usize) -> Result<(), DockerfileError> {
        let value = match (self.arguments.get(&argument.name), &argument.value) {
            (Some(given), _) => given.to_owned(),
            (None, Some(default)) => self.expand(default, line)?,
            (None, None) => return Ok(()),
        };
        let held: usize = self.view.values().map(String::len).sum();
        if held + value.len() > MAX_VARIABLE_BYTES {
            let kind = Kind::Expand(ExpandError::TooMuch(MAX_VARIABLE_BYTES));
            return Err(At::new(line, kind).of(&self.file));
        }
        self.view.insert(argument.name.clone(), value);
        Ok(())
    }

    /// Replaces variables in what stands at a `FROM`.
    pub(super) fn expand(&self, text: &str, line: usize) -> Result<String, DockerfileError> {
        let word = Lexer::new(text, self.escape, self).word();
        word.map_err(|it| At::new(line, Kind::Expand(it)).of(&self.file))
    }
}

impl Variables for Globals {
    fn get(&self, name: &str) -> Option<&str> {
        self.view.get(name).map(String::as_str)
    }
}

/// What variables hold at one point of one stage.
#[derive(Clone, Debug)]
pub struct Scope {
    globals: Arc<Globals>,
    os: TargetOs,
    arguments: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Variables for Scope {
    fn get(&self, name: &str) -> Option<&str> {
        let all = self.environment.iter().chain(&self.arguments);
        let mut same = all.filter(|it| self.is_same(&it.0, name));
        same.next().map(|it| it.1.as_str())
    }
}

impl Scope {
    pub(super) fn new(globals: Arc<Globals>, os: TargetOs, environment: &[String]) -> Self {
        let pairs = environment.iter().filter_map(|it| {
            // `=C:=C:\` are names that begin with an equals sign.
            let at = it.char_indices().skip(1).find(|it| it.1 == '=')?.0;
            Some((it[..at].to_owned(), it[at + 1..].to_owned()))
        });
        Self {
            globals,
            os,
            arguments: Vec::new(),
            environment: pairs.collect(),
        }
    }

    /// The same with arguments that the stage below it has.
    #[must_use]
    pub(crate) fn with_arguments(mut self, arguments: Vec<(String, String)>) -> Self {
        self.arguments = arguments;
        self
    }

    /// The arguments so far, in the order in which names came up.
    pub(crate) fn arguments(&self) -> &[(String, String)] {
        &self.arguments
    }

    /// The environment so far, in the order in which names came up.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Replaces the variables of a step by what they hold before it, and then takes in what
    /// the step says of variables itself.
    ///
    /// `RUN`, `CMD`, `ENTRYPOINT`, `SHELL`, `HEALTHCHECK`, `MAINTAINER` and `ONBUILD` come
    /// back as they are. Errors name the step's line.
    pub fn expand(&mut self, step: &Step) -> Result<Instruction, DockerfileError> {
        let expanded = self.instruction(&step.instruction);
        expanded.map_err(|it| At::new(step.line, Kind::Expand(it)).of(&self.globals.file))
    }

    fn instruction(&mut self, it: &Instruction) -> Result<Instruction, ExpandError> {
        Ok(match it {
            Instruction::Arg(it) => Instruction::Arg(self.declare(it)?),
            Instruction::Env(it) => Instruction::Env(self.assign(it)?),
            Instruction::Label(it) => Instruction::Label(self.pairs(it)?),
            Instruction::Copy(it) => Instruction::Copy(self.copy(it)?),
            Instruction::Add(it) => Instruction::Add(super::AddInstruction {
                sources: self.sources(&it.sources)?,
                destination: self.word(&it.destination)?,
                chown: self.option(it.chown.as_ref())?,
                chmod: self.option(it.chmod.as_ref())?,
                excludes: self.each(&it.excludes)?,
                checksum: self.option(it.checksum.as_ref())?,
                ..it.clone()
            }),
            Instruction::Workdir(it) => Instruction::Workdir(self.word(it)?),
            Instruction::User(it) => Instruction::User(self.word(it)?),
            Instruction::StopSignal(it) => Instruction::StopSignal(self.word(it)?),
            Instruction::Expose(it) => {
                let words = it.iter().map(|it| self.lexer(it).words());
                Instruction::Expose(words.collect::<Result<Vec<_>, _>>()?.concat())
            }
            Instruction::Volume(it) => Instruction::Volume(self.each(it)?),
            other => other.clone(),
        })
    }

    fn copy(&self, it: &CopyInstruction) -> Result<CopyInstruction, ExpandError> {
        Ok(CopyInstruction {
            sources: self.sources(&it.sources)?,
            destination: self.word(&it.destination)?,
            chown: self.option(it.chown.as_ref())?,
            chmod: self.option(it.chmod.as_ref())?,
            excludes: self.each(&it.excludes)?,
            ..it.clone()
        })
    }

    fn sources(&self, all: &[SourcePath]) -> Result<Vec<SourcePath>, ExpandError> {
        let expanded = all.iter().map(|it| match it {
            SourcePath::Path(path) => self.word(path).map(SourcePath::Path),
            SourcePath::Heredoc(it) if it.expand => {
                let content = lines::heredoc_text(&it.content, self)?;
                let name = it.name.clone();
                Ok(SourcePath::Heredoc(Heredoc {
                    name,
                    content,
                    expand: true,
                }))
            }
            other @ SourcePath::Heredoc(_) => Ok(other.clone()),
        });
        expanded.collect()
    }

    fn lexer<'a>(&'a self, text: &'a str) -> Lexer<'a> {
        Lexer::new(text, self.globals.escape, self)
    }

    fn word(&self, text: &str) -> Result<String, ExpandError> {
        self.lexer(text).word()
    }

    fn option(&self, text: Option<&String>) -> Result<Option<String>, ExpandError> {
        text.map(|it| self.word(it)).transpose()
    }

    fn each(&self, all: &[String]) -> Result<Vec<String>, ExpandError> {
        all.iter().map(|it| self.word(it)).collect()
    }

    fn pairs(&self, all: &[Pair]) -> Result<Vec<Pair>, ExpandError> {
        let pairs = all.iter().map(|it| {
            let (name, value) = (self.word(&it.name)?, self.word(&it.value)?);
            Ok(Pair { name, value })
        });
        pairs.collect()
    }

    /// One after the other: a later one sees what an earlier one holds.
    fn declare(&mut self, all: &[Argument]) -> Result<Vec<Argument>, ExpandError> {
        let mut declared = Vec::with_capacity(all.len());
        for it in all {
            let name = self.word(&it.name)?;
            let globals = &self.globals;
            let value = match (globals.arguments.get(&name), &it.value) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(default)) => Some(self.word(default)?),
                (None, None) => globals.view.get(&name).cloned(),
            };
            if let Some(value) = &value {
                let os = self.os;
                put(&mut self.arguments, &name, value, |a, b| is_same(os, a, b));
                self.check()?;
            }
            declared.push(Argument { name, value });
        }
        Ok(declared)
    }

    /// All at once: each sees what was before the instruction.
    fn assign(&mut self, all: &[Pair]) -> Result<Vec<Pair>, ExpandError> {
        let pairs = self.pairs(all)?;
        for it in &pairs {
            let os = self.os;
            put(&mut self.environment, &it.name, &it.value, |a, b| {
                is_same(os, a, b)
            });
            self.check()?;
        }
        Ok(pairs)
    }

    fn check(&self) -> Result<(), ExpandError> {
        let all = self.environment.iter().chain(&self.arguments);
        let held: usize = all.map(|it| it.0.len() + it.1.len()).sum();
        if held > MAX_VARIABLE_BYTES {
            return Err(ExpandError::TooMuch(MAX_VARIABLE_BYTES));
        }
        Ok(())
    }

    fn is_same(&self, one: &str, other: &str) -> bool {
        is_same(self.os, one, other)
    }
}

fn is_same(os: TargetOs, one: &str, other: &str) -> bool {
    let upper = |it: &str| it.chars().flat_map(char::to_uppercase).collect::<String>();
    one == other
        || os == TargetOs::Windows && one.len() == other.len() && upper(one) == upper(other)
}

fn put(
    to: &mut Vec<(String, String)>,
    name: &str,
    value: &str,
    is_same: impl Fn(&str, &str) -> bool,
) {
    match to.iter_mut().find(|it| is_same(&it.0, name)) {
        Some(known) => value.clone_into(&mut known.1),
        None => to.push((name.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests;
