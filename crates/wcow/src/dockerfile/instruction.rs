//! Instructions, typed. The same types hold what is written and what it expands to.

use std::time::Duration;

/// One instruction, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its first line, counted from 1.
    pub line: usize,
    /// As it is written, continued lines joined, here-documents left out: for the history.
    pub original: String,
    /// What it is.
    pub instruction: Instruction,
}

/// An instruction other than `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// `ARG`.
    Arg(Vec<Argument>),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `COPY`.
    Copy(CopyInstruction),
    /// `ADD`.
    Add(AddInstruction),
    /// `WORKDIR`.
    Workdir(String),
    /// `ENTRYPOINT`.
    Entrypoint(Command),
    /// `CMD`.
    Cmd(Command),
    /// `USER`.
    User(String),
    /// `EXPOSE`: ports, each `port[-port][/protocol]`.
    Expose(Vec<String>),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `ONBUILD`: the instruction it stores, as it is written. See
    /// [`Dockerfile::parse_trigger`](super::Dockerfile::parse_trigger).
    OnBuild(String),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `RUN`, as it is written.
    Run(String),
}

/// One variable of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What it is unless the caller says otherwise; after expansion, what it is.
    pub value: Option<String>,
}

/// One assignment of an `ENV` or a `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pair {
    /// What is assigned to.
    pub name: String,
    /// What is assigned.
    pub value: String,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A text for the shell, exactly as it is written.
    Shell(String),
    /// Program and arguments, given as a JSON array.
    Exec(Vec<String>),
}

/// How a container is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Healthcheck {
    /// Not at all, whatever the base says.
    None,
    /// By a command.
    Check {
        /// The command.
        command: Command,
        /// Time between two checks.
        interval: Option<Duration>,
        /// How long one may take.
        timeout: Option<Duration>,
        /// How long failures are overlooked at first.
        start_period: Option<Duration>,
        /// Time between two checks during that.
        start_interval: Option<Duration>,
        /// How many failures in a row make a container unhealthy.
        retries: Option<u32>,
    },
}

/// A source of `COPY` or `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourcePath {
    /// A path, a pattern or, of `ADD`, a URL.
    Path(String),
    /// A file whose content stands in the Dockerfile.
    Heredoc(Heredoc),
}

/// A file whose content stands in the Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heredoc {
    /// What follows `<<`, which is the file's name if the destination is a directory.
    pub name: String,
    /// Its lines, with their ends as they are in the file.
    pub content: String,
    /// Whether variables in it are replaced: not if the name was quoted.
    pub expand: bool,
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyInstruction {
    /// What, at least one.
    pub sources: Vec<SourcePath>,
    /// Where to.
    pub destination: String,
    /// `--from`: a stage's name or number, or an image.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`, which changes nothing here: every copy stands by itself.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, as often as it is given.
    pub excludes: Vec<String>,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddInstruction {
    /// What, at least one.
    pub sources: Vec<SourcePath>,
    /// Where to.
    pub destination: String,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`, which changes nothing here.
    pub link: bool,
    /// `--exclude`, as often as it is given.
    pub excludes: Vec<String>,
    /// `--checksum`, `algorithm:hex`.
    pub checksum: Option<String>,
    /// `--unpack`: archives are unpacked; those of the context, if nothing is said.
    pub unpack: Option<bool>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
}

impl Instruction {
    /// What it is called in a Dockerfile.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Arg(_) => "ARG",
            Self::Env(_) => "ENV",
            Self::Label(_) => "LABEL",
            Self::Copy(_) => "COPY",
            Self::Add(_) => "ADD",
            Self::Workdir(_) => "WORKDIR",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Cmd(_) => "CMD",
            Self::User(_) => "USER",
            Self::Expose(_) => "EXPOSE",
            Self::Volume(_) => "VOLUME",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::OnBuild(_) => "ONBUILD",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Run(_) => "RUN",
        }
    }
}
