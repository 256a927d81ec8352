//! `--json`: one argument for all commands that print it, so that none forgets its failures.

use clap::{ArgMatches, Args};

/// Output for programs
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct JsonArgs {
    /// Print one JSON value in the place of text; what failed, too, is told as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl JsonArgs {
    /// Whether the command that was typed has `--json` and was given it: whatever command it is,
    /// standard output carries one JSON value then, success or not.
    pub(crate) fn asked_for(typed: &ArgMatches) -> bool {
        let mut leaf = typed;
        while let Some((_, below)) = leaf.subcommand() {
            leaf = below;
        }
        matches!(leaf.try_get_one("json"), Ok(Some(true)))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::command::Cli;

    fn asked_for(line: &str) -> bool {
        let typed = Cli::command().try_get_matches_from(line.split(' '));
        JsonArgs::asked_for(&typed.unwrap())
    }

    #[test]
    fn it_is_seen_wherever_a_command_has_it() {
        for line in [
            "longshore push --json a r.test/a",
            "longshore push -v a r.test/a --json",
            "longshore plan a r.test/a --json",
            "longshore session list --json",
            "longshore profile show --json",
            "longshore host show r.test --json",
        ] {
            assert!(asked_for(line), "{line}");
        }
        for line in [
            "longshore push a r.test/a",
            "longshore session list",
            "longshore serve",
            "longshore completions bash",
        ] {
            assert!(!asked_for(line), "{line}");
        }
    }
}
