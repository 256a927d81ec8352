//! The `longshore` command: reads settings, wires libraries together, prints, and
//! ends with an exit code that says why.

mod auth_files;
mod command;
mod env;
mod error;
mod exit;
mod faults_file;
mod files;
mod host_files;
mod interrupt;
mod malformed;
mod open;
mod pauses;
mod profiles;
mod proxies;
mod recorded;
mod render;
mod routes;
mod seconds;
mod settings;
mod state;
mod store;
mod timestamp;
mod warning;

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, FromArgMatches as _};
use command::{Cli, Command, json::JsonArgs};
use env::Environment;
use error::AppError;

fn main() -> ExitCode {
    let typed = Cli::command().get_matches();
    let as_json = JsonArgs::asked_for(&typed);
    let cli = Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    let environment = Environment::read();
    // A registry that runs has nobody else to tell that it cannot read or write.
    let unasked = matches!(cli.command, Command::Serve(_)).then_some("longshore_server=error");
    start_log(cli.verbose, &environment, unasked);
    match run(cli.command, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if as_json && let Some(json) = error.json() {
                let _ = writeln!(std::io::stdout(), "{json}");
            }
            let _ = write!(std::io::stderr(), "{}", error.text());
            error.cause().into()
        }
    }
}

fn run(command: Command, environment: &Environment) -> Result<(), AppError> {
    match &command {
        Command::Completions(args) => return command::completions::completions(args),
        Command::LintWindowsLayer(args) => {
            return command::lint_windows_layer::lint_windows_layer(args);
        }
        Command::TranslatePackages(args) => {
            return command::translate_packages::translate_packages(args);
        }
        _ => {}
    }
    let runtime = runtime(&command)
        .build()
        .map_err(|error| AppError::System {
            attempted: "start the runtime".into(),
            error,
        })?;
    let result = runtime.block_on(async {
        match command {
            Command::Push(args) => command::push::push(&args, environment).await,
            Command::Plan(args) => command::plan::plan(&args, environment).await,
            Command::Copy(args) => command::copy::copy(&args, environment).await,
            Command::Promote(args) => command::promote::promote(&args, environment).await,
            Command::Seed(args) => command::seed::seed(&args, environment).await,
            Command::Build(args) => command::build::build(&args, environment).await,
            Command::Artifact(args) => command::artifact::artifact(&args, environment).await,
            Command::Serve(args) => command::serve::serve(&args).await,
            Command::Login(args) => command::login::login(&args, environment).await,
            Command::Logout(args) => command::logout::logout(&args, environment).await,
            Command::Host(args) => command::host::host(&args, environment),
            Command::Session(args) => command::session::session(&args, environment).await,
            Command::Store(args) => command::store::store(&args, environment).await,
            Command::Index(args) => command::index::index(&args, environment).await,
            Command::Profile(args) => command::profile::profile(&args, environment).await,
            Command::Demo(args) => command::demo::demo(&args, environment).await,
            Command::LintWindowsLayer(args) => {
                command::lint_windows_layer::lint_windows_layer(&args)
            }
            Command::TranslatePackages(args) => {
                command::translate_packages::translate_packages(&args)
            }
            Command::Completions(args) => command::completions::completions(&args),
        }
    });
    // A reader thread may sit in a read that nobody waits for any more.
    runtime.shutdown_background();
    result
}

/// How a command's work is spread over threads.
fn runtime(command: &Command) -> tokio::runtime::Builder {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all();
    if let Command::Serve(_) = command {
        command::serve::bound_threads(&mut runtime);
    }
    runtime
}

/// Logs to standard error what was asked for; else what `unasked` says, if anything.
fn start_log(verbose: u8, environment: &Environment, unasked: Option<&str>) {
    let chosen = match (verbose, &environment.log) {
        (0, None) => match unasked {
            Some(unasked) => unasked.to_owned(),
            None => return,
        },
        (0, Some(log)) => log.clone(),
        (1, _) => "longshore=info,longshore_registry=info,longshore_server=info".into(),
        (_, _) => "longshore=debug,longshore_registry=debug,longshore_server=debug".into(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(chosen))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // It would tell of a full or closed standard error on standard error, and panic.
        .log_internal_errors(false)
        .init();
}
