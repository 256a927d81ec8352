//! `login`: credentials, shown to a registry and then kept.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
};

use clap::Args;
use oci::{Registry, reference::Scheme};
use registry::Login as Checked;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    auth_files::{
        self,
        keep::{Keeper, Kept},
    },
    env::Environment,
    error::AppError,
    interrupt,
    open::{self, Company, course::to_registry},
    render::progress::Progress,
    settings::{ConnectionArgs, Login, Settings, SettingsError, first_line, password_from_stdin},
    state::StateArgs,
    warning::warn,
};

/// Log in to a registry
///
/// Asks for a user name and a password, shows them to the registry, and keeps them if it takes
/// them: with the credential helper that Docker's configuration names, or in that file. Other tools
/// that read it are logged in too. A password is never given as an argument: it is typed, read from
/// standard input (--password-stdin) or from the
/// environment (`LONGSHORE_PASSWORD`).
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoginArgs {
    /// The registry: host[:port]
    #[arg(value_name = "HOST")]
    host: String,

    #[command(flatten)]
    connection: ConnectionArgs,

    #[command(flatten)]
    state: StateArgs,
}

/// How it is used.
const EXAMPLES: &str = "\
Examples:
  longshore login registry.example.com
  longshore login registry.example.com -u ann --password-stdin < token";

pub(crate) async fn login(args: &LoginArgs, environment: &Environment) -> Result<(), AppError> {
    let (registry, scheme) = host(&args.host)?;
    let connection = &args.connection;
    let keeper = Keeper::open(connection.authfile.as_deref(), environment);
    let keeper = keeper.map_err(AppError::Keep)?;
    let given = credentials(connection, environment)?;
    let settings = Settings::decide(&connection.for_login(given.clone()), environment, &registry)?;
    let way = to_registry(&registry, scheme, environment)?;
    open::warn(&settings.warnings);
    let observer = Arc::new(Progress::plain());
    let state = args.state.open(environment).await?;
    let client = open::client_of(&settings, &way, Company { state, observer })?;
    let deadline = interrupt::deadline(settings.timeout);
    let checking = async {
        let checked = client.log_in(&registry).await;
        checked.map_err(|error| AppError::Login {
            registry: registry.to_string(),
            error: Box::new(error),
        })
    };
    let checked = interrupt::until_interrupted(deadline, checking).await;
    let checked = open::unless_paused(checked, &client)?;
    let helpers = auth_files::helpers(environment, connection.helper_timeout);
    let keeping = keeper.keep(&helpers, &registry, &given.username, &given.password);
    let kept = keeping.await.map_err(AppError::Keep)?;
    tell(&registry, &given.username, checked, &kept)
}

/// A registry as it is typed, perhaps with its scheme.
pub(super) fn host(text: &str) -> Result<(Registry, Option<Scheme>), AppError> {
    let (scheme, name) = match text.split_once("://") {
        Some(("https", name)) => (Some(Scheme::Https), name),
        Some(("http", name)) => (Some(Scheme::Http), name),
        _ => (None, text),
    };
    let name = name.trim_end_matches('/');
    let registry = name.parse().map_err(|error| AppError::Reference {
        text: text.to_owned(),
        error,
    })?;
    Ok((registry, scheme))
}

/// From flags and the environment, and what is missing from the terminal.
fn credentials(args: &ConnectionArgs, environment: &Environment) -> Result<Login, AppError> {
    let username = args.username.clone().or(environment.username.clone());
    let password = if args.password_stdin {
        Some(password_from_stdin()?)
    } else {
        environment.password.clone()
    };
    let username = match username {
        Some(username) => username,
        None => typed_username()?,
    };
    let password = match password {
        Some(password) => password,
        None => typed_password(&username)?,
    };
    if username.is_empty() || password.expose_secret().is_empty() {
        let missing = if username.is_empty() {
            "user name"
        } else {
            "password"
        };
        return Err(AppError::Usage(format!("the {missing} is empty")));
    }
    if username.contains(':') {
        let text = "a user name has no colon in it: it ends there for the registry";
        return Err(AppError::Usage(text.into()));
    }
    Ok(Login { username, password })
}

fn typed_username() -> Result<String, AppError> {
    if !std::io::stdin().is_terminal() {
        return Err(SettingsError::NobodyToAsk.into());
    }
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "User name: ").and_then(|()| stderr.flush());
    Ok(first_line()?.trim().to_owned())
}

fn typed_password(username: &str) -> Result<SecretString, AppError> {
    if !std::io::stdin().is_terminal() {
        return Err(SettingsError::NoPassword.into());
    }
    let typed = rpassword::prompt_password(format!("Password for {username}: "));
    typed.map(SecretString::from).map_err(|error| AppError::Io {
        attempted: "read the password from the terminal".into(),
        error,
    })
}

fn tell(
    registry: &Registry,
    username: &str,
    checked: Checked,
    kept: &Kept,
) -> Result<(), AppError> {
    if checked == Checked::NotAsked {
        warn(format_args!(
            "{registry} lets everybody in: whether the password is right is not known"
        ));
    }
    let place = match kept {
        Kept::Helper(name) => format!("docker-credential-{name}"),
        Kept::File(path) => {
            warn(format_args!(
                "the password is not encrypted in {}; a credential helper keeps it safer",
                path.display()
            ));
            path.display().to_string()
        }
    };
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "logged in to {registry} as {username}; kept in {place}"
    )
    .map_err(AppError::Output)
}
