//! Packages on Windows, and the commands that install and remove them.
//!
//! `--version` is of all packages of a command
//! (<https://github.com/chocolatey/choco/issues/1103>), so a pinned one has a command of its own.

use super::error::ProblemKind;

/// What is to be installed, each package once.
#[derive(Debug, Default)]
pub(super) struct Installs(Vec<(String, Option<String>)>);

impl Installs {
    /// Adds a package. A version that is asked for once is the one for all who ask for none.
    pub(super) fn add(&mut self, id: &str, version: Option<String>) -> Result<(), ProblemKind> {
        let known = self.0.iter_mut().find(|it| it.0.eq_ignore_ascii_case(id));
        let Some((_, there)) = known else {
            self.0.push((id.to_owned(), version));
            return Ok(());
        };
        match (&*there, version) {
            (Some(first), Some(second)) if *first != second => Err(ProblemKind::TwoVersions {
                id: id.to_owned(),
                first: first.clone(),
                second,
            }),
            (None, version) => {
                *there = version;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The names of all.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.0.as_str())
    }

    /// The commands: one for all that have no version, one for each that has.
    pub(super) fn commands(&self) -> Vec<Vec<String>> {
        let start = || ["choco", "install", "-y"].map(str::to_owned).to_vec();
        let mut commands = Vec::new();
        let any: Vec<_> = self.0.iter().filter(|it| it.1.is_none()).collect();
        if !any.is_empty() {
            let ids = any.into_iter().map(|it| it.0.clone());
            commands.push(start().into_iter().chain(ids).collect());
        }
        for (id, version) in &self.0 {
            if let Some(version) = version {
                let mut command = start();
                command.extend([id.clone(), "--version".to_owned(), version.clone()]);
                commands.push(command);
            }
        }
        commands
    }
}

/// The command that removes packages.
pub(super) fn uninstall(ids: &[String]) -> Vec<String> {
    let start = ["choco", "uninstall", "-y"].map(str::to_owned);
    start.into_iter().chain(ids.iter().cloned()).collect()
}
