//! Why an instruction cannot be followed.

/// Why an instruction cannot be followed. Which one, and its line, is said by whoever reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureError {
    /// Windows has no signals.
    #[error(
        "STOPSIGNAL means nothing on Windows: leave it out, or move it to a stage for Linux images"
    )]
    StopSignalOnWindows,
    /// No name or number of a signal.
    #[error("{0:?} is no signal: expected a number from 1 to 64, or a name like SIGTERM")]
    Signal(String),
    /// Not a port, or not one that can be exposed.
    #[error(
        "{0:?} is no port: expected a number from 1 to 65535 or a range of them, and /tcp, /udp or /sctp"
    )]
    Port(String),
    /// No name, or one with `=` in it.
    #[error("{0:?} cannot be the name of a variable")]
    Variable(String),
    /// Nothing where something must be.
    #[error("{0} says nothing")]
    Empty(&'static str),
    /// A working directory that no container can have.
    #[error("the directory {path:?} cannot be worked in: {reason}")]
    WorkDir {
        /// As it is written.
        path: String,
        /// Why not, and what to write instead.
        reason: &'static str,
    },
    /// The system's own programs would not be found.
    #[error(
        r"with this PATH, {path:?}, the programs in C:\Windows\system32 are not found: Windows keeps its own PATH in the registry, where ${{PATH}} does not see it. Write C:\Windows\system32;C:\Windows into it, or let --windows-path-default stand for ${{PATH}}"
    )]
    PathHidesSystem {
        /// What it would be.
        path: String,
    },
    /// The base's config has something else at a place that the instruction changes.
    #[error("{key} in the config of the base is not {expected}")]
    Base {
        /// Which key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// What is odd, and does not stand in the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureWarning {
    /// One of them is a text for a shell, the other is words, and Windows has one mark for both.
    #[error(
        "CMD and ENTRYPOINT are written in two forms, one as a text and one as a list: on Windows \
         the quotes of one of them get lost. Write both as lists"
    )]
    TwoForms,
    /// Long out of use.
    #[error("MAINTAINER is out of use: write LABEL org.opencontainers.image.authors=...")]
    Maintainer,
}
