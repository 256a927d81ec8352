//! Users and rules that are read again: when their files change, and on SIGHUP.
//!
//! Both files are read before either counts, and what cannot be used leaves everything as it was:
//! nobody is locked out, and nobody let in, by a file that is half written.

use std::{fs, path::Path, time::Duration, time::SystemTime};

use server::RunningServer;

use super::access::AccessArgs;
use crate::{
    error::AppError,
    interrupt::{Hangups, say},
    warning::{warn, with_causes},
};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the files again as long as it is waited for.
#[derive(Debug)]
pub(super) struct Reload {
    access: AccessArgs,
    hangups: Hangups,
    seen: Vec<Option<Stamp>>,
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// A file that is renamed to its place is another one.
    number: u64,
}

impl Reload {
    /// None if no file was given: then SIGHUP is what it is anywhere.
    pub(super) fn of(access: &AccessArgs) -> Result<Option<Self>, AppError> {
        let seen: Vec<_> = access.files().map(Stamp::of).collect();
        if seen.is_empty() {
            return Ok(None);
        }
        let hangups = Hangups::new().map_err(|error| AppError::System {
            attempted: "wait for signals".into(),
            error,
        })?;
        Ok(Some(Self {
            access: access.clone(),
            hangups,
            seen,
        }))
    }

    /// Never comes back.
    pub(super) async fn watch(&mut self, running: &RunningServer) -> std::convert::Infallible {
        loop {
            let is_asked = tokio::select! {
                () = self.hangups.next() => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            let now: Vec<_> = self.access.files().map(Stamp::of).collect();
            if is_asked || now != self.seen {
                // Before the files are read: what changes meanwhile is read once more.
                self.seen = now;
                self.read(running);
            }
        }
    }

    fn read(&self, running: &RunningServer) {
        let applied = self.access.read().and_then(|(users, rules)| {
            if let Some(users) = users {
                running.replace_users(users).map_err(AppError::Serve)?;
            }
            if let Some(rules) = rules {
                running.replace_rules(rules);
            }
            Ok(())
        });
        match applied {
            Ok(()) => say("users and access rules were read again"),
            Err(error) => warn(format_args!(
                "users and access rules stay as they were: {}",
                with_causes(&error)
            )),
        }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            number,
        })
    }
}
