//! Dockerfiles: read whole, checked, not yet expanded.
//!
//! ```text
//! bytes ─lines─▶ logical lines ─parse─▶ Dockerfile { stages of steps }
//!                                          │ plan(target, scope) : gates, reachability
//!                                          ▼
//!                                        Plan { stages in the order they are built }
//!                                          │ Scope::expand, one step after the other
//!                                          ▼
//!                                        Instruction, expanded
//! ```
//!
//! The language is the one of the
//! [reference](https://docs.docker.com/reference/dockerfile/), and where that is silent
//! what `BuildKit` does. `RUN` is read like any other instruction: whether it stops a build
//! is a question of which stages the build reaches ([`Dockerfile::plan`]), so a file can
//! be shared with builders that do run things.
//!
//! The parser is our own. The crates that there are hand out `ENV`, `LABEL` and `ARG` as
//! one text whose escapes are gone, where expansion needs them; take one here-document at
//! most, at one place; and stop at an unknown instruction without saying which.
//!
//! Everything is bounded: [`MAX_FILE_BYTES`], [`MAX_LINE_BYTES`], [`MAX_INSTRUCTIONS`],
//! [`MAX_HEREDOC_BYTES`] and [`MAX_STAGES`] here, the results of expansion in [`Scope`].

mod error;
mod expand;
mod flags;
mod instruction;
mod lines;
mod parse;
mod pattern;
mod plan;
mod run;
mod scope;
mod words;

pub use error::{DockerfileError, DockerfileErrorKind, NotSupported};
pub use expand::ExpandError;
pub(crate) use lines::{Logical, Places};

pub use instruction::{
    AddInstruction, Argument, Command, CopyInstruction, Healthcheck, Heredoc, Instruction, Pair,
    SourcePath, Step,
};
pub use plan::{Base, CopySource, Plan, PlanOptions, PlannedStage};
pub use scope::{BuildArguments, Predefined, Scope, TargetOs};

/// The longest file that is read, in bytes, inclusive.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The longest line, in bytes, inclusive; continued lines count together.
pub const MAX_LINE_BYTES: usize = 64 << 10;
/// How many instructions a file may have, inclusive.
pub const MAX_INSTRUCTIONS: usize = 4096;
/// The longest here-document, in bytes, inclusive.
pub const MAX_HEREDOC_BYTES: usize = 256 << 10;
/// How many stages a file may have, inclusive.
pub const MAX_STAGES: usize = 256;

/// A Dockerfile that was read.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    name: String,
    escape: char,
    globals: Vec<Step>,
    stages: Vec<Stage>,
    warnings: Vec<Warning>,
}

/// What follows one `FROM`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stage {
    /// The line of its `FROM`, counted from 1.
    pub line: usize,
    /// What the stage is called after `AS`, in lower case.
    pub name: Option<String>,
    /// What it starts from, not expanded: an image, another stage or `scratch`.
    pub base: String,
    /// The value of `--platform`, not expanded.
    pub platform: Option<String>,
    /// `FROM` as it is written.
    pub original: String,
    /// What follows, in order.
    pub steps: Vec<Step>,
}

/// Something that is no error, but most likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Which file.
    pub file: String,
    /// Which line of it, counted from 1; 0 is the file as a whole.
    pub line: usize,
    /// What about it, and what to do.
    pub text: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

impl Dockerfile {
    /// Reads a whole file. `name` is what messages call it.
    ///
    /// Fails at the first line that is no instruction, or no proper one; the error says
    /// which and what to do.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, DockerfileError> {
        let source = lines::read(bytes).map_err(|it| it.of(name))?;
        parse::file(source, name).map_err(|it| it.of(name))
    }

    /// The logical lines of a file as they stand in it, one for each `FROM` and each step; its bytes
    /// are `bytes`.
    pub(crate) fn logical_lines(&self, bytes: &[u8]) -> Result<Vec<Logical>, DockerfileError> {
        let source = lines::read(bytes).map_err(|it| it.of(&self.name))?;
        Ok(source.lines)
    }

    /// Reads what `ONBUILD` stored: one instruction, `name` being what messages call it.
    pub fn parse_trigger(text: &str, name: &str) -> Result<Step, DockerfileError> {
        let source = lines::read(text.as_bytes()).map_err(|it| it.of(name))?;
        parse::trigger(source).map_err(|it| it.of(name))
    }

    /// What messages call the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The character that escapes and continues lines: `\` or `` ` ``.
    pub fn escape(&self) -> char {
        self.escape
    }

    /// The `ARG`s before the first `FROM`.
    pub fn globals(&self) -> &[Step] {
        &self.globals
    }

    /// All stages, in the file's order.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// What is most likely not meant, in the file's order.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
