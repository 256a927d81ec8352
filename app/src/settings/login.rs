//! A user name and a password for the destination's registry, and where they come from.

use super::{ConnectionArgs, error::SettingsError};
use crate::env::{Environment, Password};

/// A user name and password given for the destination's registry.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: Password,
}

/// The one that was given; half of one is an error.
pub(super) fn login(
    args: &ConnectionArgs,
    environment: &Environment,
) -> Result<Option<Login>, SettingsError> {
    if let Some(typed) = &args.typed {
        return Ok(Some(typed.clone()));
    }
    let username = args.username.clone().or(environment.username.clone());
    let password = if args.password_stdin {
        Some(password_from_stdin()?)
    } else {
        environment.password.clone()
    };
    match (username, password) {
        (Some(username), Some(password)) => Ok(Some(Login { username, password })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(SettingsError::NoPassword),
        (None, Some(_)) => Err(SettingsError::NoUsername),
    }
}

/// The first line of standard input, at most 64 KiB, without its line ending.
pub(crate) fn password_from_stdin() -> Result<Password, SettingsError> {
    use std::io::{BufRead, Read};
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(64 * 1024)
        .read_line(&mut line)
        .map_err(|error| SettingsError::Read {
            path: "standard input".into(),
            error,
        })?;
    Ok(Password(line.trim_end_matches(['\r', '\n']).to_owned()))
}
