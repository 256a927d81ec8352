//! What an instruction that changes the config says, its variables expanded.

use std::time::Duration;

/// What one instruction says of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// `ENV`: names and values, in order.
    Env(Vec<(String, String)>),
    /// `LABEL`: keys and values, in order.
    Label(Vec<(String, String)>),
    /// `WORKDIR`: a directory, relative to the one before or not.
    WorkDir(String),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `CMD`.
    Cmd(CommandLine),
    /// `USER`, as written.
    User(String),
    /// `EXPOSE`: ports, `80`, `80/udp`, `8000-8010/tcp`.
    Expose(Vec<String>),
    /// `VOLUME`: directories, as written.
    Volume(Vec<String>),
    /// `SHELL`: what runs commands that are written as a text.
    Shell(Vec<String>),
    /// `STOPSIGNAL`: a number or a name.
    StopSignal(String),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `ONBUILD`: the instruction to be carried out by a child's build, as written.
    OnBuild(String),
    /// `MAINTAINER`: who is the author.
    Maintainer(String),
}

/// A command: a text for a shell, or words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// A text, as written after the instruction's name.
    Shell(String),
    /// Words, which no shell reads.
    Exec(Vec<String>),
}

/// How it is found out whether a container is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// Not at all, whatever the base says.
    None,
    /// By a command.
    Command {
        /// The command.
        command: CommandLine,
        /// When.
        timing: Timing,
    },
}

/// When a container is asked whether it is well; what is not said is the runtime's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Between two checks.
    pub interval: Option<Duration>,
    /// How long a check may take.
    pub timeout: Option<Duration>,
    /// After the start, while failures do not count.
    pub start_period: Option<Duration>,
    /// Between two checks in that time.
    pub start_interval: Option<Duration>,
    /// How many failures in a row make it unwell.
    pub retries: Option<u32>,
}
