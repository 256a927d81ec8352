//! What went wrong, told three ways: an exit code, a message with its causes and
//! what to do next, and the same as JSON.

use std::{
    error::Error as _,
    fmt::Write as _,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use oci::{ReferenceError, SourceError, TargetError};
use push::{
    PushError,
    cache::StoreError,
    download::DownloadError,
    source::{OpenError, artifact::ArtifactError},
};
use serde_json::{Value, json};
use server::{ImageError, ServerError};
use wcow::{BuildError, packages::Problem};

mod cause;
mod hint;

use crate::{
    auth_files::keep::KeepError, exit::Cause, faults_file::FaultsError, routes::RouteError,
    seconds::Seconds, settings::SettingsError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    #[error("the reference {text:?} cannot be used")]
    Reference {
        text: String,
        #[source]
        error: ReferenceError,
    },
    #[error("{0}")]
    Usage(String),
    #[error("the settings cannot be used")]
    Settings(#[from] SettingsError),
    #[error("there is no way to the registry")]
    Route(#[from] RouteError),
    #[error("{registry} did not take the credentials; nothing was kept")]
    Login {
        registry: String,
        #[source]
        error: Box<TargetError>,
    },
    #[error("the credentials could not be kept")]
    Keep(#[source] KeepError),
    #[error("the credentials could not be forgotten")]
    Forget(#[source] KeepError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("could not read the source {place}")]
    Source {
        place: String,
        #[source]
        error: SourceError,
    },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Download(DownloadError),
    #[error(transparent)]
    Push(#[from] PushError),
    /// A plan that was shown is over the limit.
    #[error(transparent)]
    OverLimit(PushError),
    #[error("the registry client could not be set up")]
    Client(#[source] registry::BuildError),
    #[error(transparent)]
    Faults(#[from] FaultsError),
    #[error(transparent)]
    Serve(ServerError),
    #[error("the users of the registry cannot be read")]
    Users(#[source] server::HtpasswdError),
    #[error("the access rules of the registry cannot be read")]
    Rules(#[source] server::RulesError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("some tags were refused: {}", .tags.join(", "))]
    Partly { tags: Vec<String> },
    /// Told of one by one already.
    #[error("{} of {of} {what}: {}", .named.len(), .named.join(", "))]
    SomeFailed {
        cause: Cause,
        /// What they are, and what did not become of them.
        what: &'static str,
        named: Vec<String>,
        of: usize,
    },
    #[error("{tag} was moved: it names {actual} now, not {expected}")]
    Moved {
        tag: String,
        expected: oci::Digest,
        actual: oci::Digest,
    },
    #[error("the command took longer than its --timeout")]
    Timeout,
    #[error(
        "the command took longer than its --timeout: {host} wants no requests for another {}",
        Seconds(*.left)
    )]
    Paused { host: String, left: Duration },
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// A report has said which.
    #[error("the store held {0} blobs or manifests that were altered: they are removed")]
    Altered(usize),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("the context cannot be used")]
    Context(#[from] wcow::context::ContextError),
    #[error("could not read the Dockerfile {name}")]
    Dockerfile {
        name: String,
        #[source]
        error: std::io::Error,
    },
    #[error(transparent)]
    Packages(#[from] wcow::packages::PackagesError),
    #[error(transparent)]
    PackageMap(#[from] wcow::packages::PackageMapError),
    #[error("could not read the map of packages {name}")]
    ReadMap {
        name: String,
        #[source]
        error: std::io::Error,
    },
    #[error("could not look at the layer {name}")]
    Lint {
        name: String,
        #[source]
        error: wcow::LintError,
    },
    /// A report has said why.
    #[error("{0} is not a layer that Windows takes")]
    NotForWindows(String),
    #[error("the unfinished uploads could not be read or changed")]
    State(#[source] push::journal::StateError),
    #[error("what is known of registries could not be read or changed")]
    Profiles(#[source] push::journal::StateError),
    #[error("what is known of repositories could not be read or changed")]
    Index(#[source] push::journal::StateError),
    /// A command about what is kept there; whoever pushes goes on without.
    #[error("could not open {}", path.display())]
    StateFile {
        path: PathBuf,
        #[source]
        cause: push::state::NoDatabase,
    },
    /// A file that was named by mistake, and is as it was.
    #[error("{} is not a state file of longshore", .0.display())]
    NotAState(PathBuf),
    /// An import is longer than any export; what came before the bound is kept.
    #[error(
        "{name} has more than {bound}, so that the rest of it was not read: {facts} were imported"
    )]
    TooLong {
        name: String,
        bound: String,
        facts: String,
    },
    #[error("nothing was imported: there is no file to keep it in")]
    NothingKept,
    /// Some lines of an import are no facts; the others were kept.
    #[error("not all lines of {name} are facts: {}", .lines.join("; "))]
    Rejected { name: String, lines: Vec<String> },
    /// A file that the command line names.
    #[error("there is nothing at {}", .0.display())]
    NoFile(PathBuf),
    #[error("could not write the output")]
    Output(#[source] std::io::Error),
    #[error("could not {attempted}")]
    Io {
        attempted: String,
        #[source]
        error: std::io::Error,
    },
    /// The system does not give what any run needs.
    #[error("could not {attempted}")]
    System {
        attempted: String,
        #[source]
        error: std::io::Error,
    },
    #[error("interrupted")]
    Interrupted,
}

impl AppError {
    /// A file that the command line names could not be read.
    pub(crate) fn unread(path: &Path, error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::NotFound {
            return Self::NoFile(path.to_owned());
        }
        Self::Io {
            attempted: format!("read {}", path.display()),
            error,
        }
    }

    /// The error and its causes, one a line, and a hint.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error: {self}\n");
        for cause in self.causes() {
            let _ = writeln!(text, "  because {cause}");
        }
        if let Some(hint) = self.hint() {
            let _ = writeln!(text, "  hint: {hint}");
        }
        text
    }

    /// The same as one JSON object; none where a report or a plan has told already.
    pub(crate) fn json(&self) -> Option<Value> {
        match self {
            Self::Partly { .. }
            | Self::SomeFailed { .. }
            | Self::OverLimit(_)
            | Self::Altered(_)
            | Self::NotForWindows(_)
            | Self::Rejected { .. } => None,
            _ => Some(json!({ "error": self.as_json() })),
        }
    }

    /// What an object's `error` is.
    pub(crate) fn as_json(&self) -> Value {
        let mut json = json!({
            "cause": self.cause(),
            "exit_code": self.cause().code(),
            "message": self.to_string(),
            "because": self.causes(),
            "hint": self.hint(),
        });
        if let Self::Push(PushError::MountRequired { blobs, settled, .. }) = self {
            // As a report has them: who was asked for each, and what came of it.
            json["not_mounted"] = json!(blobs);
            json["settled"] = json!(settled);
        }
        if let Self::Packages(error) = self {
            let problem = |it: &Problem| json!({ "line": it.line, "code": it.kind.code(), "message": it.kind.to_string() });
            json["problems"] = error.problems().iter().map(problem).collect();
        }
        json
    }

    fn causes(&self) -> Vec<String> {
        // These have as many as there are lines.
        match self {
            Self::Packages(error) => {
                let problems = error.problems().iter();
                return problems.map(ToString::to_string).collect();
            }
            Self::PackageMap(error) => {
                return error.lines.iter().map(ToString::to_string).collect();
            }
            _ => {}
        }
        let mut causes: Vec<String> = Vec::new();
        let mut next = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            if causes.last() != Some(&text) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}
