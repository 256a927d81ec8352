//! What a translation has to say of itself.

use serde::Serialize;

/// Something that was done, or left, and that whoever builds the file should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// What the file is called.
    pub file: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// What about it.
    pub kind: NoteKind,
}

/// What a note is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteKind {
    /// A command was replaced.
    #[error("`{from}` is `{to}` now")]
    Replaced {
        /// As it was.
        from: String,
        /// As it is.
        to: String,
    },
    /// A command was taken out: it updates or cleans up after a package manager of Linux.
    #[error("`{0}` is left out: choco has no need of it")]
    Dropped(String),
    /// A command was taken out because nothing of it is left.
    #[error("`{0}` is left out: nothing of it is for Windows")]
    Emptied(String),
    /// A package was left out.
    #[error("the package {package} is left out: {reason}")]
    Skipped {
        /// As the Dockerfile names it.
        package: String,
        /// Why.
        reason: Reason,
    },
    /// A command beside those that were translated. It is for a shell of Linux, most likely.
    #[error("`{0}` stays as it is: see that it works on Windows")]
    Kept(String),
    /// A version is a distribution's.
    #[error(
        "{id} is asked for in version {version}, the part of {pinned} that is not the \
         distribution's: see that there is such a package"
    )]
    Pinned {
        /// Its name on Windows.
        id: String,
        /// The version that is asked for now.
        version: String,
        /// As the Dockerfile has it.
        pinned: String,
    },
    /// A stage that was translated is built on something else than Windows, most likely.
    #[error(
        "the stage is built on {0}, which stays as it is: it has to be a Windows image that has \
         choco, which Microsoft's own bases do not"
    )]
    Base(String),
    /// A stage that was translated, and in which nothing installs choco.
    #[error(
        "choco is not part of {0}, most likely: install it in a line before, as \
         https://docs.chocolatey.org/en-us/choco/setup says"
    )]
    NoChoco(String),
    /// A stage that is not for Windows.
    #[error("the stage is for Linux, by its --platform, and stays as it is")]
    NotForWindows,
    /// A shell that Windows does not have.
    #[error("SHELL {0} stays as it is: see that the image has it on Windows")]
    Shell(String),
}

impl NoteKind {
    /// A word for it that stays the same, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Replaced { .. } => "replaced",
            Self::Dropped(_) => "dropped",
            Self::Emptied(_) => "emptied",
            Self::Skipped { .. } => "skipped",
            Self::Kept(_) => "kept",
            Self::Pinned { .. } => "pinned",
            Self::Base(_) => "base",
            Self::NoChoco(_) => "no-choco",
            Self::NotForWindows => "not-for-windows",
            Self::Shell(_) => "shell",
        }
    }
}

/// Why a package is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It belongs to compilers.
    #[error("it belongs to compilers for Linux")]
    Toolchain,
    /// It is a part of Windows, or means something to Linux alone.
    #[error("Windows has its own, or no use for it")]
    System,
    /// The user's map says so.
    #[error("the map says so")]
    Map,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.kind)
    }
}
