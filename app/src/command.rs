//! The subcommands, one a file: the doc comment is the help, the body is wiring.

use clap::{Parser, Subcommand};

pub(crate) mod artifact;
pub(crate) mod build;
pub(crate) mod completions;
pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod host;
pub(crate) mod index;
pub(crate) mod json;
pub(crate) mod lint_windows_layer;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod plan;
pub(crate) mod profile;
pub(crate) mod promote;
pub(crate) mod push;
pub(crate) mod run;
pub(crate) mod seed;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod store;
pub(crate) mod transfer;
pub(crate) mod translate_packages;

/// Push OCI images, moving only the bytes that must be moved
///
/// longshore puts images into registries from an OCI layout, an OCI archive or a
/// docker-save archive. It asks what is there, sends the rest, and says what it did.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = crate::exit::HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// Log what is done to standard error; -vv logs every request
    #[arg(long, short, action = clap::ArgAction::Count, global = true, display_order = 1000)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Push(push::PushArgs),
    Plan(plan::PlanArgs),
    Copy(Box<copy::CopyArgs>),
    Promote(Box<promote::PromoteArgs>),
    Artifact(artifact::ArtifactArgs),
    Build(Box<build::BuildArgs>),
    Seed(seed::SeedArgs),
    Serve(serve::ServeArgs),
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Session(session::SessionArgs),
    Store(store::StoreCommandArgs),
    Index(index::IndexArgs),
    Host(host::HostArgs),
    Profile(profile::ProfileArgs),
    LintWindowsLayer(lint_windows_layer::LintWindowsLayerArgs),
    TranslatePackages(translate_packages::TranslatePackagesArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
}
