//! `completions`: a script that completes commands and flags in a shell.

use std::io;

use clap::{Args, CommandFactory};

use crate::{command::Cli, error::AppError};

/// Print a completion script for a shell
///
/// For instance: `longshore completions bash > longshore.bash`
#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), AppError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "longshore", &mut script);
    io::Write::write_all(&mut io::stdout(), &script).map_err(AppError::Output)
}
