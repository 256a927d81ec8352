//! What the person at the terminal might do next.

use std::io::ErrorKind;

use oci::{SourceError, TargetError, TargetErrorKind};
use push::{
    cache::StoreError,
    download::DownloadError,
    source::{OpenError, artifact::ArtifactError},
};
use registry::Obstacle;
use server::{ImageError, ServerError};
use wcow::{BaseError, BuildError};

use super::AppError;

impl AppError {
    /// What the person at the terminal might do next.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Push(error) | Self::OverLimit(error) => error
                .hint()
                .or_else(|| error.target_error().and_then(target_hint))
                .or_else(|| error.source_error().and_then(source_hint))
                .map(Into::into),
            Self::Login { error, .. } => match error.kind() {
                TargetErrorKind::Unauthorized => Some(
                    "check the user name and the password; many registries want an access token in its place".into(),
                ),
                TargetErrorKind::Refused if error.status() == Some(404) => {
                    Some("is there a registry at this address?".into())
                }
                _ => target_hint(error).map(Into::into),
            },
            Self::Open(error) => open_hint(error).map(Into::into),
            Self::Source { error, .. } => source_hint(error).map(Into::into),
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
                BaseError::Source { error, .. } => source_hint(error).map(Into::into),
                _ => None,
            },
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
            other => other.state_hint().map(Into::into),
        }
    }

    /// The same of what is wrong with the state file, or with what it is to take in.
    fn state_hint(&self) -> Option<&'static str> {
        match self {
            Self::Rejected { .. } => Some(
                "the other lines were imported; a fact is written as longshore index export does",
            ),
            Self::StateFile { .. } => {
                Some("see that it can be read and written, or name another with --state")
            }
            Self::NotAState(_) => Some(
                "nothing was changed; name another file with --state, or keep nothing with --no-state",
            ),
            Self::TooLong { .. } => Some(
                "an export of longshore index is never so long: is it the right file? Several that \
                 were put together can be imported one by one",
            ),
            Self::NothingKept => Some("choose a file that can be written with --state"),
            _ => None,
        }
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

fn target_hint(error: &TargetError) -> Option<&'static str> {
    if let Some(obstacle) = Obstacle::of(error) {
        return obstacle_hint(obstacle);
    }
    match error.kind() {
        TargetErrorKind::Unauthorized => Some(
            "log in with longshore login, give --username with --password-stdin, or set LONGSHORE_USERNAME and LONGSHORE_PASSWORD; if that is done, is the password right?",
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
        TargetErrorKind::Unsafe if registry::names_foreign_token_service(error) => Some(
            "if its token service is of another domain and you trust it, name it with --trust-token-service",
        ),
        TargetErrorKind::Unsafe => Some(
            "no registry that is set up well leads there: tell who runs it, or the proxy before it",
        ),
        TargetErrorKind::Protocol => {
            Some("is there a registry at this address, or a proxy or web page in front of it?")
        }
        TargetErrorKind::Timeout => Some("raise the limit with --idle-timeout or --commit-timeout"),
        TargetErrorKind::Storage => Some(
            "name a place with room and leave to write: a directory that is a layout, or empty, or not there yet (oci:DIRECTORY), or a file (oci-archive:FILE)",
        ),
        TargetErrorKind::RateLimited => {
            Some("try again later, with a lower --concurrency, or with a longer --max-retry-after")
        }
        _ => None,
    }
}

fn obstacle_hint(obstacle: Obstacle) -> Option<&'static str> {
    match obstacle {
        Obstacle::UnknownName => {
            Some("check the registry's name; a name without a registry is Docker Hub's")
        }
        Obstacle::NothingListens => {
            Some("check the registry's name and port, and whether it is running")
        }
        Obstacle::NoTls => {
            Some("a registry without TLS needs --plain-http, or http:// before its name")
        }
        Obstacle::Untrusted => Some(
            "give the certificate of who vouches for it with --ca FILE; --insecure-skip-tls-verify checks nothing",
        ),
        Obstacle::NotHttp => Some(
            "if the registry speaks TLS at this address, write https:// before its name; else: is there a registry at this address, or something in front of it?",
        ),
        _ => None,
    }
}

fn open_hint(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::NotFound { .. } => Some(
            "check the path; what is in a registry is written docker://registry/repository:tag",
        ),
        OpenError::Ambiguous { .. } => Some("choose one with --image NAME"),
        OpenError::NoSuchPlatform { .. } => Some("leave --platform out to push all of them"),
        OpenError::Source(error) => source_hint(error),
        _ => error.hint(),
    }
}

/// Registries answer alike for what is not there and for what an account may not see.
fn source_hint(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::NotFound { .. } => Some(
            "check its name and its tag; if only some accounts may see it, log in with longshore login",
        ),
        SourceError::Missing { .. } => Some("the image is incomplete: fetch or build it again"),
        SourceError::WrongSize { .. }
        | SourceError::Altered { .. }
        | SourceError::Document { .. } => Some("the image is damaged: fetch or build it again"),
        SourceError::Unreadable { error, .. } => {
            let error = error.downcast_ref::<TargetError>()?;
            match error.kind() {
                TargetErrorKind::Denied => {
                    Some("the account may lack the right to pull from this repository")
                }
                _ => target_hint(error),
            }
        }
        _ => None,
    }
}
