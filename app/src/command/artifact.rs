//! `artifact`: files in a registry that are no image.

use clap::{Args, Subcommand};

use crate::{env::Environment, error::AppError};

mod annotations;
mod named;
mod pull;
mod push;

/// Push and pull files that are no image: charts, bills of materials, models, WebAssembly modules
#[derive(Args, Clone, Debug)]
pub(crate) struct ArtifactArgs {
    #[command(subcommand)]
    command: ArtifactCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ArtifactCommand {
    Push(Box<push::ArtifactPushArgs>),
    Pull(Box<pull::ArtifactPullArgs>),
}

pub(crate) async fn artifact(
    args: &ArtifactArgs,
    environment: &Environment,
) -> Result<(), AppError> {
    match &args.command {
        ArtifactCommand::Push(args) => Box::pin(push::push(args, environment)).await,
        ArtifactCommand::Pull(args) => pull::pull(args, environment).await,
    }
}
