//! Faults: a registry that says no on cue, for people who test clients.

use std::path::PathBuf;

use clap::Args;
use server::{FaultsFile, Profile, ServerBuilder};

use crate::{
    error::AppError,
    faults_file::{self, FaultsError},
    interrupt,
};

/// What goes wrong on purpose
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultsArgs {
    /// Fail as this TOML file says: latency, refusals, resets, wrong answers, registries imitated;
    /// docs/serve.md has an example
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,

    /// Read the faults file, print the rules that it comes to, and serve nothing
    #[arg(long, requires = "faults")]
    check_faults: bool,
}

impl FaultsArgs {
    /// Reads the file, if there is one.
    pub(super) fn read(&self) -> Result<Option<FaultsFile>, FaultsError> {
        self.faults.as_deref().map(faults_file::read).transpose()
    }

    /// Whether the file is only to be looked at.
    pub(super) fn only_checks(&self) -> bool {
        self.check_faults
    }
}

/// Prints what a file comes to: as a file, imitations spelled out.
pub(super) fn show(file: &FaultsFile) -> Result<(), AppError> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{}", file.spelled_out())
        .and_then(|()| stdout.flush())
        .map_err(AppError::Output)
}

/// Has the server do what a file says, and says so: nobody should take it for a
/// registry that can be relied on.
pub(super) fn apply(file: &FaultsFile, builder: ServerBuilder) -> ServerBuilder {
    let faults = file.faults();
    let imitates = file.profile().map_or_else(String::new, |it: Profile| {
        format!(", imitating what is documented of {it}")
    });
    interrupt::say(&format!(
        "FAULTS ARE ON, rules: {}{imitates}; answers are wrong on purpose",
        faults.count()
    ));
    builder.faults(faults)
}
