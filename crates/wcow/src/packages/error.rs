//! Why lines cannot be translated.

use crate::dockerfile::DockerfileError;

/// Why there is no translation of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackagesError {
    /// The file is not one.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// Lines of it cannot be translated: all of them, in order, one at least.
    #[error("the package lines of {file} cannot be translated")]
    Lines {
        /// What the file is called.
        file: String,
        /// What is wrong, line by line.
        problems: Vec<Problem>,
    },
}

impl PackagesError {
    /// The lines that cannot be translated.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Lines { problems, .. } => problems,
            Self::Dockerfile(_) => &[],
        }
    }
}

/// A line that cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {kind}")]
#[non_exhaustive]
pub struct Problem {
    /// What the file is called.
    pub file: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: ProblemKind,
}

/// Why a line cannot be translated, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A package whose name on Windows is not known.
    #[error(
        "no choco package is known for {package}: name one in the map (--map), \
         {package:?} = \"ID\", or leave it out with {package:?} = false"
    )]
    ChocoResolutionFailed {
        /// As the Dockerfile names it.
        package: String,
    },
    /// `choco` or `winget` where neither can run:
    /// <https://github.com/chocolatey/choco/issues/1371>.
    #[error(
        "{command} does not run on {base}: nanoserver has neither PowerShell nor the .NET \
         Framework. Install on mcr.microsoft.com/windows/servercore and COPY --from that stage, or \
         build on servercore"
    )]
    ChocoOnNanoserver {
        /// `choco` or `winget`.
        command: &'static str,
        /// The base.
        base: String,
    },
    /// A package whose name or version is only known when the line runs.
    #[error("`{word}` is not known before the line runs: write the packages out")]
    Variable {
        /// As it is written.
        word: String,
    },
    /// A version that choco has no word for: it takes exact ones of numbers and dots.
    #[error(
        "choco installs exact versions, numbers and dots, and {package} is asked for as {pinned}: \
         write such a version, or name one in the map (--map), \
         {package:?} = {{ id = \"ID\", version = \"1.2.3\" }}"
    )]
    VersionNotExact {
        /// The package.
        package: String,
        /// The version as it is written.
        pinned: String,
    },
    /// One package in two versions.
    #[error("{id} is asked for in two versions, {first} and {second}: choose one")]
    TwoVersions {
        /// Its name on Windows.
        id: String,
        /// One.
        first: String,
        /// The other one.
        second: String,
    },
    /// Something that a package manager of Linux does and choco does not.
    #[error(
        "`{command}` has no counterpart on Windows: take it out, or put it into a stage that is \
         not for Windows (--platform=linux/amd64)"
    )]
    NoCounterpart {
        /// The command.
        command: String,
    },
    /// An option that changes what is installed in ways that are not known here.
    #[error("`{command}` has an option that is not known here, {option}: take it out")]
    UnknownOption {
        /// The command.
        command: String,
        /// The option.
        option: String,
    },
    /// A package manager's command that stands within something larger.
    #[error(
        "`{command}` cannot be taken out of what stands around it, {around}: \
         put it into a RUN of its own"
    )]
    NotSeparable {
        /// The command.
        command: String,
        /// What stands around it.
        around: String,
    },
}

impl ProblemKind {
    /// A word for it that stays the same, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ChocoResolutionFailed { .. } => "choco-resolution-failed",
            Self::ChocoOnNanoserver { .. } => "choco-on-nanoserver",
            Self::Variable { .. } => "variable",
            Self::VersionNotExact { .. } => "version-not-exact",
            Self::TwoVersions { .. } => "two-versions",
            Self::NoCounterpart { .. } => "no-counterpart",
            Self::UnknownOption { .. } => "unknown-option",
            Self::NotSeparable { .. } => "not-separable",
        }
    }
}
