//! Why a Dockerfile is not one, or not one that can be built here.

use super::ExpandError;

/// Why a Dockerfile cannot be used, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {kind}")]
#[non_exhaustive]
pub struct DockerfileError {
    /// What the file is called.
    pub file: String,
    /// Which line, counted from 1; the first one of those that are continued.
    pub line: usize,
    /// What is wrong there.
    pub kind: DockerfileErrorKind,
}

/// What is wrong in a Dockerfile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DockerfileErrorKind {
    /// More than there may be.
    #[error("{what} too long or too many: at most {limit}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How much there may be, inclusive.
        limit: usize,
    },
    /// Not text.
    #[error("not UTF-8: save the file in that encoding")]
    NotUtf8,
    /// Nothing in it.
    #[error("the file has no instructions: it needs FROM at least")]
    Empty,
    /// A parser directive that cannot be.
    #[error("{0}")]
    Directive(String),
    /// No instruction of that name.
    #[error("unknown instruction {found:?}{}", nearest.map(|it| format!(": did you mean {it}?")).unwrap_or_default())]
    UnknownInstruction {
        /// What stands there.
        found: String,
        /// The one that looks most like it.
        nearest: Option<&'static str>,
    },
    /// No flag of that name.
    #[error("{instruction} has no flag {flag}{}", nearest.map(|it| format!(": did you mean --{it}?")).unwrap_or_default())]
    UnknownFlag {
        /// Whose it would be.
        instruction: &'static str,
        /// What stands there, with its dashes.
        flag: String,
        /// The one that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A flag is used otherwise than it can be.
    #[error("{instruction} --{flag} {problem}")]
    BadFlag {
        /// Whose it is.
        instruction: &'static str,
        /// Its name, without dashes.
        flag: String,
        /// What about it, and what to do.
        problem: String,
    },
    /// A here-document that does not end.
    #[error("here-document <<{0} does not end: write {0} alone on a line below it")]
    UnterminatedHeredoc(String),
    /// An instruction is used otherwise than it can be.
    #[error("{instruction} {problem}")]
    Malformed {
        /// Which one.
        instruction: &'static str,
        /// What about it, and what to do.
        problem: String,
    },
    /// An instruction before the first `FROM`.
    #[error("{0} stands before the first FROM: only ARG may")]
    BeforeFrom(&'static str),
    /// No stage at all.
    #[error("the file has no build stage: it needs FROM")]
    NoStage,
    /// Two stages of the same name.
    #[error("stage {name:?} has the name of the one in line {first}: choose another")]
    DuplicateStage {
        /// The name.
        name: String,
        /// Where the other one is.
        first: usize,
    },
    /// A stage that is asked for is not there.
    #[error("there is no stage {name:?}: {}", known_stages(known))]
    UnknownStage {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A stage that uses itself, or one below it.
    #[error("stage {0:?} is not above this line: a stage can only use those before it")]
    LaterStage(String),
    /// Something this builder does not do.
    #[error("{0}")]
    NotSupported(NotSupported),
    /// `FROM scratch` under an image for Windows.
    #[error(
        "FROM scratch makes no Windows image that starts: use a base such as \
         mcr.microsoft.com/windows/nanoserver, or for HostProcess containers \
         mcr.microsoft.com/oss/kubernetes/windows-host-process-containers-base-image with \
         --os-version none"
    )]
    ScratchBase,
    /// `FROM` without a name once variables are replaced.
    #[error(
        "FROM {0:?} names no image once its variables are replaced: give the ARG a default before FROM, or pass --build-arg"
    )]
    BlankBase(String),
    /// `COPY --from` of nothing.
    #[error(
        "COPY --from={0} names nothing that has files: name a stage, its number, or an image; leave it out for the context"
    )]
    FromNothing(String),
    /// A variable that cannot be replaced.
    #[error("{0}")]
    Expand(ExpandError),
}

/// What this builder does not do, although it is proper.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSupported {
    /// `RUN` in a stage that the build reaches. Holds the image's system: `Windows`, `Linux`.
    #[error("{}", no_run(.0))]
    Run(&'static str),
    /// A part of `RUN` that no runner follows: a flag, a here-document.
    #[error(
        "RUN with {0} is not possible: leave it out, or put the commands into a file and COPY that"
    )]
    RunWith(String),
    /// A git repository as a source.
    #[error(
        "ADD of the git repository {0} is not possible: check it out into the context and COPY it"
    )]
    Git(String),
}

/// Nothing is run for Linux on Linux either: only of Windows does it say where it could be.
fn no_run(system: &str) -> String {
    if system == "Windows" {
        return "RUN is not possible when assembling a Windows image without Windows. Pre-build the \
                file and COPY it, or build this stage on a Windows host"
            .to_owned();
    }
    "RUN is not possible, since nothing is run to assemble an image. Pre-build the file and COPY it, \
     or build this stage with a builder that runs commands"
        .to_owned()
}

fn known_stages(known: &[String]) -> String {
    if known.is_empty() {
        return "no stage of the file has a name; stages are counted from 0".to_owned();
    }
    format!("the file has {}", known.join(", "))
}

/// An error that does not know its file yet.
#[derive(Debug)]
pub(super) struct At {
    pub(super) line: usize,
    pub(super) kind: DockerfileErrorKind,
}

impl At {
    pub(super) fn new(line: usize, kind: DockerfileErrorKind) -> Self {
        Self { line, kind }
    }

    pub(super) fn of(self, file: &str) -> DockerfileError {
        DockerfileError {
            file: file.to_owned(),
            line: self.line,
            kind: self.kind,
        }
    }
}
