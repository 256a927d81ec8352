//! Where what is kept between runs is: one file, shared by all runs of a user.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use push::{
    Sessions, State,
    state::{NoDatabase, Notice},
};

use crate::{
    env::Environment,
    error::AppError,
    settings::{self, SettingsError},
    warning::{warn, with_causes},
};

/// What is kept between runs
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "State")]
pub(crate) struct StateArgs {
    /// Keep what a later run needs to go on with interrupted uploads in this file
    /// [default: longshore/state.db in the user's state directory]
    #[arg(long, value_name = "FILE", conflicts_with = "no_state")]
    state: Option<PathBuf>,

    /// Keep nothing after the end of this run
    #[arg(long)]
    no_state: bool,
}

/// What becomes of unfinished uploads.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "State")]
pub(crate) struct UnfinishedArgs {
    /// What becomes of the unfinished uploads of large blobs (8 MiB and more) when a push fails
    /// or is stopped
    #[arg(
        long,
        value_name = "POLICY",
        value_enum,
        default_value_t,
        hide_short_help = true
    )]
    unfinished: Unfinished,
}

/// What becomes of unfinished uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Unfinished {
    /// They stay open, for a later run to go on with
    #[default]
    Keep,
    /// They are given up, so that the registry may forget them
    Cancel,
}

impl UnfinishedArgs {
    /// What becomes of them, with this state: what nobody can come back to is given up.
    pub(crate) fn sessions(&self, state: &State) -> Sessions {
        match self.unfinished {
            Unfinished::Keep if state.lasts() => Sessions::Keep,
            Unfinished::Keep | Unfinished::Cancel => Sessions::Cancel,
        }
    }
}

impl StateArgs {
    /// As if `--state` had named this file, if one is named.
    pub(crate) fn at(state: Option<PathBuf>) -> Self {
        Self {
            state,
            no_state: false,
        }
    }

    /// Opens the state for a run that writes.
    pub(crate) async fn open(&self, environment: &Environment) -> Result<State, AppError> {
        match self.path(environment)? {
            Some(path) => opened(path, State::open).await,
            None => Ok(State::memory()),
        }
    }

    /// Opens the state for a run that only looks: no file is made for it, none is moved.
    pub(crate) async fn look(&self, environment: &Environment) -> Result<State, AppError> {
        match self.path(environment)? {
            Some(path) if path.exists() => opened(path, State::look).await,
            Some(_) => Ok(State::unmade()),
            None => Ok(State::memory()),
        }
    }

    /// Opens the state for a command that is about what is in it: where it cannot be read, there is
    /// nothing to go on without. Made where it is not there, if it is to be `made`.
    pub(crate) async fn inspect(
        &self,
        environment: &Environment,
        made: bool,
    ) -> Result<State, AppError> {
        let Some(path) = self.path(environment)? else {
            return Ok(State::memory());
        };
        // Where nobody may look there can be one.
        if !made && matches!(path.try_exists(), Ok(false)) {
            return Ok(State::unmade());
        }
        let how = if made { State::open } else { State::look };
        match open(path, how).await? {
            (_, Some(Notice::Memory { path, cause })) => Err(AppError::StateFile { path, cause }),
            (state, notice) => Ok(told(state, notice.as_ref())),
        }
    }

    /// The file; none if there is to be none.
    pub(crate) fn path(&self, environment: &Environment) -> Result<Option<PathBuf>, SettingsError> {
        if self.no_state {
            return Ok(None);
        }
        if let Some(path) = self.state.as_ref().or(environment.state.as_ref()) {
            return Ok(Some(path.clone()));
        }
        Ok(settings::state_file(environment)?.or_else(default_path))
    }
}

/// How a file is opened: to be written, or to be looked at.
type Open = fn(&Path) -> (State, Option<Notice>);

/// Opens a file, and says what a person should know about it.
async fn opened(path: PathBuf, how: Open) -> Result<State, AppError> {
    let (state, notice) = open(path, how).await?;
    Ok(told(state, notice.as_ref()))
}

/// Opens a file. One of something else was named by mistake.
async fn open(path: PathBuf, how: Open) -> Result<(State, Option<Notice>), AppError> {
    let place = path.clone();
    let opening = tokio::task::spawn_blocking(move || how(&path));
    match opening.await {
        Ok((
            _,
            Some(Notice::Memory {
                path,
                cause: NoDatabase::Foreign,
            }),
        )) => Err(AppError::NotAState(path)),
        Ok(opened) => Ok(opened),
        Err(error) => Err(AppError::System {
            attempted: format!("open the state file {}", place.display()),
            error: std::io::Error::other(error),
        }),
    }
}

fn told(state: State, notice: Option<&Notice>) -> State {
    if let Some(notice) = notice {
        warn(with_causes(notice));
    }
    state
}

fn default_path() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().ok()?;
    let directory = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Some(directory.join("longshore").join("state.db"))
}
