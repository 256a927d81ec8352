//! `logout`: credentials, forgotten.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::login::host;
use crate::{
    auth_files::{self, keep::Keeper},
    env::Environment,
    error::AppError,
    settings::duration,
    warning::warn,
};

/// Log out of a registry
///
/// Removes its credentials from where `longshore login` keeps them: the credential helper, or the
/// file. Nothing is sent to the registry.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogoutArgs {
    /// The registry: host[:port]
    #[arg(value_name = "HOST")]
    host: String,

    /// The file with credentials, of Docker's or podman's form, in the place of Docker's own
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Longest wait for a credential helper [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    helper_timeout: Option<Duration>,
}

pub(crate) async fn logout(args: &LogoutArgs, environment: &Environment) -> Result<(), AppError> {
    let (registry, _) = host(&args.host)?;
    let keeper = Keeper::open(args.authfile.as_deref(), environment);
    let keeper = keeper.map_err(AppError::Forget)?;
    let helpers = auth_files::helpers(environment, args.helper_timeout);
    let forgetting = keeper.forget(&helpers, &registry);
    let path = keeper.path();
    let told = if forgetting.await.map_err(AppError::Forget)? {
        format!("logged out of {registry}")
    } else {
        format!(
            "there are no credentials for {registry} in {}",
            path.display()
        )
    };
    if args.authfile.is_none() {
        warn_of(&auth_files::others(&registry, environment, path));
    }
    writeln!(std::io::stdout().lock(), "{told}").map_err(AppError::Output)
}

/// What is left would go on to be used.
fn warn_of(others: &[impl AsRef<Path>]) {
    for path in others {
        let path = path.as_ref().display();
        warn(format_args!(
            "{path} has credentials for it too; --authfile {path} removes them"
        ));
    }
}
