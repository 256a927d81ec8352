//! Package managers of Linux in a Dockerfile, translated to choco for Windows.
//!
//! ```text
//! RUN apt-get update && apt-get install -y --no-install-recommends \
//!     curl git=1:2.39.2-1.1 gcc && rm -rf /var/lib/apt/lists/*
//! ────────────────────────────────────────────────────────────────
//! RUN choco install -y curl && choco install -y git --version 2.39.2
//! ```
//!
//! - A pure function from a Dockerfile to a Dockerfile ([`translate`]): nothing is run, nothing
//!   fetched, and whatever is not a package manager's stays byte for byte. It is used by whoever asks
//!   for it; a build never does.
//! - What a package is called on Windows comes from a small table that is compiled in and from a map
//!   that the user gives ([`PackageMap`]). A name that neither has is a problem, not a guess; compilers
//!   for Linux are left out.
//! - Commands are found by taking the shell's text apart. Where they stand in something that is not a
//!   plain list (a pipe, a loop, a name that is only known when the line runs), that is a problem, too.
//! - All problems are told at once, with file and line, and then there is no translation.

mod choco;
mod error;
mod known;
mod line_ends;
mod list;
mod manager;
mod map;
mod mention;
mod note;
mod pin;
mod resolve;
mod run;
mod script;
mod stage;
mod told;

use oci::Platform;

use crate::dockerfile::{
    Base, BuildArguments, Dockerfile, Instruction, Logical, PlanOptions, Predefined, TargetOs,
};

pub use error::{PackagesError, Problem, ProblemKind};
pub use map::{BadLine, MAX_MAP_BYTES, PackageMap, PackageMapError};
pub use note::{Note, NoteKind, Reason};

use line_ends::LineEnds;
use note::NoteKind as Kind;
use resolve::Resolver;
use run::{Edit, Run};
use stage::{Shell, Stage};
use told::Told;

/// How a file is translated.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TranslateOptions {
    /// What packages are called on Windows, before what is compiled in.
    pub map: PackageMap,
    /// What `--build-arg` sets, for variables of `FROM`.
    pub arguments: BuildArguments,
}

/// A translated file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Translation {
    /// The file. Without a package manager's commands in it, the bytes that it had.
    pub text: String,
    /// How many instructions have changed or are gone.
    pub changed: usize,
    /// What was done, and what to look at, in the file's order.
    pub notes: Vec<Note>,
}

/// Translates the package managers' commands of a Dockerfile. `name` is what messages call it.
///
/// Fails if it is not a Dockerfile, or if any of the lines cannot be translated, and then says all of
/// them.
pub fn translate(
    bytes: &[u8],
    name: &str,
    options: &TranslateOptions,
) -> Result<Translation, PackagesError> {
    let file = Dockerfile::parse(bytes, name)?;
    let lines = file.logical_lines(bytes)?;
    let source = String::from_utf8_lossy(bytes);
    let ends = LineEnds::of(&source);
    let mut told = Told::new(name);
    let is_concerned = |it: &Logical| {
        Run::of(&source, &ends, it, file.escape()).is_some_and(|it| it.names_managers())
    };
    if !lines.iter().any(is_concerned) {
        return Ok(Translation {
            text: source.into_owned(),
            changed: 0,
            notes: Vec::new(),
        });
    }
    let mut going = Going {
        file: &file,
        source: &source,
        ends: &ends,
        map: &options.map,
        bases: file.bases(&for_windows(options))?,
        stages: Vec::new(),
        edits: Vec::new(),
        changed: 0,
        told: &mut told,
    };
    for line in &lines {
        going.line(line);
    }
    let (edits, changed) = (going.edits, going.changed);
    if !told.problems.is_empty() {
        return Err(PackagesError::Lines {
            file: name.to_owned(),
            problems: told.problems,
        });
    }
    told.notes.sort_by_key(|it| it.line);
    Ok(Translation {
        text: edited(&source, edits),
        changed,
        notes: told.notes,
    })
}

/// The build that the file is for: on Windows, and for it.
fn for_windows(options: &TranslateOptions) -> PlanOptions {
    let windows = Platform::new("windows", "amd64");
    let predefined = Predefined {
        target: windows.clone(),
        build: windows,
        stage: None,
    };
    let mut plan = PlanOptions::new(TargetOs::Windows, predefined);
    plan.arguments = options.arguments.clone();
    plan
}

/// A text with its edits, which are in order and do not overlap.
fn edited(source: &str, edits: Vec<Edit>) -> String {
    let (mut text, mut at) = (String::with_capacity(source.len()), 0);
    for edit in edits {
        text.push_str(&source[at..edit.range.start]);
        text.push_str(&edit.text);
        at = edit.range.end;
    }
    text.push_str(&source[at..]);
    text
}

/// Where the translation is.
struct Going<'a> {
    file: &'a Dockerfile,
    source: &'a str,
    ends: &'a LineEnds,
    map: &'a PackageMap,
    bases: Vec<(Base, TargetOs)>,
    /// The stages so far; the last one is gone through.
    stages: Vec<Stage>,
    edits: Vec<Edit>,
    changed: usize,
    told: &'a mut Told,
}

impl Going<'_> {
    fn line(&mut self, line: &Logical) {
        if keyword(line).eq_ignore_ascii_case("FROM") {
            return self.begin();
        }
        if let Some(run) = Run::of(self.source, self.ends, line, self.file.escape()) {
            return self.run(&run);
        }
        let Some(stage) = self.stages.len().checked_sub(1) else {
            return;
        };
        let steps = self.file.stages().get(stage).map(|it| &it.steps);
        let step = steps.and_then(|it| it.iter().find(|it| it.line == line.number));
        if let Some(Instruction::Shell(words)) = step.map(|it| &it.instruction) {
            self.stages[stage].shell = Shell::of(words);
        }
    }

    /// A stage begins with what the one it is built on had.
    fn begin(&mut self) {
        let Some((base, os)) = self.bases.get(self.stages.len()) else {
            return;
        };
        let stage = match base {
            Base::Stage(below) => self
                .stages
                .get(*below)
                .cloned()
                .map(|it| Stage { os: *os, ..it }),
            Base::Image(image) => Some(Stage::new(Some(image.clone()), *os)),
            Base::Scratch => None,
        };
        self.stages
            .push(stage.unwrap_or_else(|| Stage::new(None, *os)));
    }

    fn run(&mut self, run: &Run<'_>) {
        let number = self.stages.len().saturating_sub(1);
        let Some(stage) = self.stages.last_mut() else {
            return;
        };
        let from = self.file.stages().get(number).map_or(0, |it| it.line);
        if stage.os != TargetOs::Windows {
            if run.names_managers() {
                self.told.once(from, Kind::NotForWindows, true);
            }
            return;
        }
        let mut resolver = Resolver {
            map: self.map,
            stage,
            told: self.told,
            line: run.line.number,
        };
        if let Some(command) = run.windows_manager() {
            resolver.stage.has_choco = true;
            resolver.refuse_nanoserver(command);
        }
        let edits = run.translated(&mut resolver);
        if edits.is_empty() {
            stage.has_choco |= run.text().to_ascii_lowercase().contains("chocolatey");
            return;
        }
        self.edits.extend(edits);
        self.changed += 1;
        tell_stage(stage, from, self.told);
    }
}

/// What there is to say of a stage in which something was translated, once.
fn tell_stage(stage: &Stage, from: usize, told: &mut Told) {
    let mut kinds = Vec::new();
    if let Some(base) = stage.doubtful_base() {
        kinds.push(Kind::Base(base.to_owned()));
    } else if let Some(base) = &stage.base
        && !stage.has_choco
        && !stage.installed.is_empty()
    {
        kinds.push(Kind::NoChoco(base.clone()));
    }
    if let Shell::Posix(shell) = &stage.shell {
        kinds.push(Kind::Shell(shell.clone()));
    }
    for kind in kinds {
        told.once(from, kind, false);
    }
}

/// The first word of a line.
fn keyword(line: &Logical) -> &str {
    let words = line.text.split_whitespace();
    words.into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
