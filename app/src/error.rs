//! What went wrong, told three ways: an exit code, a message with its causes and
//! what to do next, and the same as JSON.

use std::{error::Error as _, fmt::Write as _, io::ErrorKind, time::Duration};

use oci::{ReferenceError, SourceError, TargetError, TargetErrorKind};
use push::{
    PushError,
    cache::StoreError,
    download::DownloadError,
    source::{OpenError, artifact::ArtifactError},
};
use serde_json::{Value, json};
use server::{ImageError, ServerError};
use wcow::{BaseError, BuildError, packages::Problem};

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
    #[error("nothing was imported: there is no file to keep it in")]
    NothingKept,
    /// Some lines of an import are no facts; the others were kept.
    #[error("not all lines of {name} are facts: {}", .lines.join("; "))]
    Rejected { name: String, lines: Vec<String> },
    #[error("could not write the output")]
    Output(#[source] std::io::Error),
    #[error("could not {attempted}")]
    Io {
        attempted: String,
        #[source]
        error: std::io::Error,
    },
    #[error("interrupted")]
    Interrupted,
}

impl AppError {
    /// Which exit code it ends with.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Reference { .. }
            | Self::Usage(_)
            | Self::Settings(_)
            | Self::Route(_)
            | Self::Faults(_)
            | Self::Users(_)
            | Self::Rules(_)
            | Self::Client(_)
            | Self::PackageMap(_)
            | Self::Store(StoreError::NotAStore { .. }) => Cause::Usage,
            Self::Login { error, .. } => target_cause(error),
            Self::Keep(error) | Self::Forget(error) => keep_cause(error),
            Self::Open(error) => open_cause(error),
            Self::Source { error, .. } => source_cause(error),
            Self::Artifact(error) => artifact_cause(error),
            Self::Download(error) => download_cause(error),
            Self::Image(error) => image_cause(error),
            Self::Push(error) | Self::OverLimit(error) => push_cause(error),
            Self::Timeout => Cause::Network,
            Self::Paused { .. } => Cause::RateLimited,
            Self::Partly { .. } | Self::Rejected { .. } => Cause::Partly,
            Self::SomeFailed { cause, .. } => *cause,
            Self::Moved { .. } => Cause::Gate,
            Self::Interrupted => Cause::Interrupted,
            Self::Serve(error) => serve_cause(error),
            Self::Altered(_)
            | Self::Lint { .. }
            | Self::NotForWindows(_)
            | Self::Dockerfile { .. }
            | Self::Packages(_)
            | Self::ReadMap { .. }
            | Self::Context(_) => Cause::LocalData,
            Self::Build(error) => build_cause(error),
            Self::State(_)
            | Self::Store(_)
            | Self::Profiles(_)
            | Self::Index(_)
            | Self::NothingKept
            | Self::Output(_)
            | Self::Io { .. } => Cause::Internal,
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
        if let Self::Push(PushError::MountRequired { blobs, .. }) = self {
            // As a report has them: who was asked for each, and what came of it.
            json["not_mounted"] = json!(blobs);
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

    /// What the person at the terminal might do next.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Push(error) | Self::OverLimit(error) => error
                .hint()
                .map(Into::into)
                .or_else(|| error.target_error().and_then(target_hint).map(Into::into)),
            Self::Login { error, .. } => match error.kind() {
                TargetErrorKind::Unauthorized => Some(
                    "check the user name and the password; many registries want an access token in its place".into(),
                ),
                TargetErrorKind::Refused if error.status() == Some(404) => {
                    Some("is there a registry at this address?".into())
                }
                _ => target_hint(error).map(Into::into),
            },
            Self::Open(OpenError::Ambiguous { .. }) => Some("choose one with --image NAME".into()),
            Self::Open(OpenError::NoSuchPlatform { .. }) => {
                Some("leave --platform out to push all of them".into())
            }
            Self::Open(error) => error.hint().map(Into::into),
            Self::Artifact(ArtifactError::NoType) => Some(
                "say what it is with --artifact-type application/vnd.example.report.v1, or give it a --config".into(),
            ),
            Self::Artifact(error) => error.hint().map(Into::into),
            Self::Download(DownloadError::Exists(_)) => Some(
                "choose another directory with --output, or replace what is there with --overwrite"
                    .into(),
            ),
            Self::Image(ImageError::TagTaken { .. }) => {
                Some("serve them at names of their own: NAME=PATH for each".into())
            }
            Self::Build(BuildError::Base { error, .. }) => match &**error {
                BaseError::NoPlatform { candidates, .. } if !candidates.is_empty() => {
                    Some("choose what the image is for with --platform, or another base".into())
                }
                _ => None,
            },
            Self::Rejected { .. } => Some(
                "the other lines were imported; a fact is written as longshore index export does".into(),
            ),
            Self::NothingKept => Some("choose a file that can be written with --state".into()),
            Self::Timeout => Some(
                "push again with a longer --timeout: what arrived whole is not sent twice".into(),
            ),
            Self::Paused { .. } => {
                Some("push again later: what arrived whole is not sent twice".into())
            }
            Self::Serve(error) => serve_hint(error).map(Into::into),
            Self::Store(StoreError::NotAStore { .. }) => {
                Some("name another directory with --store, or none with --no-store".into())
            }
            Self::Altered(_) => Some(
                "is the disk failing? What was removed is fetched again when it is needed".into(),
            ),
            _ => None,
        }
    }
}

fn build_cause(error: &BuildError) -> Cause {
    match error {
        BuildError::Platform(_) | BuildError::NoTagToReplace { .. } => Cause::Usage,
        BuildError::Base { error, .. } => match &**error {
            BaseError::Source { error, .. } => source_cause(error),
            BaseError::NoPlatform { .. } => Cause::SourceNotFound,
            BaseError::SeveralBuilds { .. } | BaseError::Version(_) => Cause::Usage,
            _ => Cause::LocalData,
        },
        _ => Cause::LocalData,
    }
}

fn keep_cause(error: &KeepError) -> Cause {
    match error {
        KeepError::Nowhere | KeepError::File(_) => Cause::Usage,
        KeepError::Helper(_) => Cause::Credentials,
        KeepError::Write { .. } => Cause::Internal,
    }
}

fn serve_cause(error: &ServerError) -> Cause {
    match error {
        ServerError::ClearText { .. }
        | ServerError::PublicUrl { .. }
        | ServerError::StoreInUse { .. }
        | ServerError::NotAStore { .. }
        | ServerError::Tls(_)
        | ServerError::TlsFiles(_) => Cause::Usage,
        _ => Cause::Internal,
    }
}

fn serve_hint(error: &ServerError) -> Option<&'static str> {
    match error {
        ServerError::ClearText { .. } => Some(
            "add --tls-cert and --tls-key, or --tls-self-signed; where a proxy speaks TLS before \
             the registry, --allow-insecure-credentials",
        ),
        ServerError::StoreInUse { .. } => {
            Some("end the other one, or serve another directory with --store")
        }
        ServerError::NotAStore { .. } => Some(
            "give --store a directory that is empty or not there yet, or one of an earlier run",
        ),
        ServerError::Store { error, .. } => match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Some(
                "the store is written to: give --store a directory that this user may write, or \
                 leave --store out to keep everything in memory",
            ),
            ErrorKind::NotADirectory | ErrorKind::NotFound | ErrorKind::AlreadyExists => Some(
                "a part of the path is no directory, or cannot be made: give --store another one",
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Some("make room there, or give --store a directory on another disk")
            }
            _ => None,
        },
        ServerError::Listen { error, .. } => match error.kind() {
            ErrorKind::AddrInUse => Some(
                "another program listens there: choose another address with --listen; port 0 is \
                 one that is free",
            ),
            ErrorKind::AddrNotAvailable => Some("this machine has no such address: see --listen"),
            _ => None,
        },
        _ => None,
    }
}

fn open_cause(error: &OpenError) -> Cause {
    match error {
        OpenError::NotFound { .. }
        | OpenError::NoSuchImage { .. }
        | OpenError::NoSuchPlatform { .. } => Cause::SourceNotFound,
        OpenError::Ambiguous { .. } => Cause::Usage,
        _ => Cause::LocalData,
    }
}

fn artifact_cause(error: &ArtifactError) -> Cause {
    match error {
        ArtifactError::File { error, .. } if error.kind() == ErrorKind::NotFound => {
            Cause::SourceNotFound
        }
        ArtifactError::File { .. } | ArtifactError::Manifest(_) => Cause::LocalData,
        _ => Cause::Usage,
    }
}

fn download_cause(error: &DownloadError) -> Cause {
    match error {
        DownloadError::Exists(_) | DownloadError::Index(_) => Cause::Usage,
        DownloadError::Write { .. } => Cause::Internal,
        DownloadError::Source(error) => source_cause(error),
        _ => Cause::LocalData,
    }
}

fn image_cause(error: &ImageError) -> Cause {
    match error {
        ImageError::Name { .. } | ImageError::TagTaken { .. } => Cause::Usage,
        ImageError::Source { error, .. } => source_cause(error),
        _ => Cause::LocalData,
    }
}

fn source_cause(error: &SourceError) -> Cause {
    match error {
        SourceError::NotFound { .. } => Cause::SourceNotFound,
        // A registry as source fails as a registry.
        SourceError::Unreadable { error, .. } => match error.downcast_ref::<TargetError>() {
            Some(error) if error.status() == Some(404) => Cause::SourceNotFound,
            Some(error) => target_cause(error),
            None => error
                .downcast_ref::<AppError>()
                .map_or(Cause::LocalData, AppError::cause),
        },
        _ => Cause::LocalData,
    }
}

fn push_cause(error: &PushError) -> Cause {
    if let Some(error) = error.target_error() {
        return target_cause(error);
    }
    match error {
        PushError::Gate { .. }
        | PushError::MountRequired { .. }
        | PushError::TagsTaken { .. }
        | PushError::TagUnknown { .. } => Cause::Gate,
        PushError::NotOfTheImage { .. } => Cause::Usage,
        PushError::Source { error, .. } => source_cause(error),
        _ => Cause::LocalData,
    }
}

fn target_cause(error: &TargetError) -> Cause {
    match error.kind() {
        TargetErrorKind::Unauthorized | TargetErrorKind::Denied => Cause::Credentials,
        TargetErrorKind::RateLimited => Cause::RateLimited,
        TargetErrorKind::Network | TargetErrorKind::Timeout => Cause::Network,
        TargetErrorKind::Storage => Cause::LocalData,
        TargetErrorKind::Source => error
            .as_source_error()
            .map_or(Cause::LocalData, source_cause),
        _ => Cause::Refused,
    }
}

fn target_hint(error: &TargetError) -> Option<&'static str> {
    match error.kind() {
        TargetErrorKind::Unauthorized => Some(
            "give --username with --password-stdin, set LONGSHORE_USERNAME and LONGSHORE_PASSWORD, or log in with longshore login",
        ),
        TargetErrorKind::Denied => {
            Some("the account may lack the right to push to this repository")
        }
        TargetErrorKind::Network => Some(
            "check the registry's name and port; a registry without TLS needs --plain-http, one with a private CA --ca FILE",
        ),
        TargetErrorKind::Refused
            if error.status() == Some(400) && error.answer().errors.is_empty() =>
        {
            Some("if the registry speaks TLS at this address, write https:// before its name")
        }
        TargetErrorKind::Refused if error.status() == Some(413) => Some(
            "it, or a proxy before it, takes no body so long: --chunk-size auto finds what it takes, --chunk-size SIZE sets it",
        ),
        TargetErrorKind::Unsafe => Some(
            "if its token service is of another domain and you trust it, name it with --trust-token-service",
        ),
        TargetErrorKind::Protocol => {
            Some("is there a registry at this address, or a proxy or web page in front of it?")
        }
        TargetErrorKind::Timeout => Some("raise the limit with --idle-timeout or --commit-timeout"),
        TargetErrorKind::Storage => Some(
            "name a directory that is a layout, or empty, or not there yet, with room and leave to write: oci:DIRECTORY",
        ),
        TargetErrorKind::RateLimited => {
            Some("try again later, with a lower --concurrency, or with a longer --max-retry-after")
        }
        _ => None,
    }
}
