//! A user name and a password for the destination's registry, and where they come from.

use secrecy::{SecretString, zeroize::Zeroizing};

use super::{ConnectionArgs, error::SettingsError};
use crate::env::Environment;

/// The longest line read, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// A user name and password given for the destination's registry.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: SecretString,
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

/// A password: the first line of standard input.
pub(crate) fn password_from_stdin() -> Result<SecretString, SettingsError> {
    let line = Zeroizing::new(first_line()?);
    Ok(SecretString::from(line.as_str()))
}

/// The first line of standard input, at most 64 KiB, without its line ending.
pub(crate) fn first_line() -> Result<String, SettingsError> {
    use std::io::{BufRead, Read};
    // Grown, it would leave copies of itself in memory.
    let mut line = String::with_capacity(MAX_LINE);
    std::io::stdin()
        .lock()
        .take(MAX_LINE as u64)
        .read_line(&mut line)
        .map_err(|error| SettingsError::Read {
            path: "standard input".into(),
            error,
        })?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}
