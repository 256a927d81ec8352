//! Which exit code an error ends with, whosever it was first.

use std::io::ErrorKind;

use oci::{SourceError, TargetError, TargetErrorKind};
use push::{
    PushError,
    cache::StoreError,
    download::DownloadError,
    source::{OpenError, artifact::ArtifactError},
};
use server::{ImageError, ServerError};
use wcow::{BaseError, BuildError, ImageFilesError};

use super::AppError;
use crate::{auth_files::keep::KeepError, exit::Cause};

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
            | Self::NotAState(_)
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
            | Self::Context(_)
            | Self::State(_)
            | Self::Store(_)
            | Self::Profiles(_)
            | Self::Index(_)
            | Self::StateFile { .. }
            | Self::NothingKept
            | Self::TooLong { .. }
            | Self::Io { .. } => Cause::LocalData,
            Self::NoFile(_) => Cause::SourceNotFound,
            Self::Build(error) => build_cause(error),
            Self::Output(_) | Self::System { .. } => Cause::Internal,
        }
    }
}

fn build_cause(error: &BuildError) -> Cause {
    match error {
        BuildError::Platform(_) | BuildError::NoTagToReplace { .. } => Cause::Usage,
        BuildError::Copy { error, .. } => match error.downcast_ref::<ImageFilesError>() {
            Some(ImageFilesError::NotAllowed { .. } | ImageFilesError::NotInStage { .. }) => {
                Cause::Gate
            }
            Some(
                ImageFilesError::Source { error, .. } | ImageFilesError::Foreign { error, .. },
            ) => source_cause(error),
            _ => Cause::LocalData,
        },
        BuildError::Base { error, .. } | BuildError::CopiedImage { error, .. } => match &**error {
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
        KeepError::Write { .. } => Cause::LocalData,
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
        ServerError::Store { .. } => Cause::LocalData,
        _ => Cause::Internal,
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
        PushError::Source { error, .. } | PushError::LocalBlob { cause: error, .. } => {
            source_cause(error)
        }
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
