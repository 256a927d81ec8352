//! What commands that push have in common: how they tell, connect, and go on where others stopped.

use clap::Args;

use crate::{
    command::json::JsonArgs,
    settings::ConnectionArgs,
    state::{StateArgs, UnfinishedArgs},
};

/// How a push runs
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Print the plan and stop: nothing is uploaded, mounted, tagged or written
    #[arg(long, visible_alias = "plan")]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) output: JsonArgs,

    /// Show nothing while it runs
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,

    #[command(flatten)]
    pub(crate) state: StateArgs,

    #[command(flatten)]
    pub(crate) unfinished: UnfinishedArgs,
}
