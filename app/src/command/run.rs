//! What commands that push have in common: how they tell, connect, and go on where others stopped.

use clap::Args;
use push::state::State;

use crate::{
    command::json::JsonArgs,
    env::Environment,
    error::AppError,
    render::progress::Progress,
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

impl RunArgs {
    /// What is kept from one run to the next; a dry run only looks at it.
    pub(crate) async fn open_state(&self, environment: &Environment) -> Result<State, AppError> {
        if self.dry_run {
            self.state.look(environment).await
        } else {
            self.state.open(environment).await
        }
    }

    /// What is shown meanwhile. A dry run shows what it found, and what happens with hosts only.
    pub(crate) fn progress(&self) -> Progress {
        if self.dry_run {
            Progress::plain()
        } else {
            Progress::new(self.quiet)
        }
    }
}
