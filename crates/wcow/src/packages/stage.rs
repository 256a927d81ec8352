//! What is known of a stage while its lines are gone through.

use std::collections::{BTreeMap, BTreeSet};

use oci::Reference;

use crate::dockerfile::TargetOs;

/// What reads the texts of `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    /// The one of Windows, unless `SHELL` says otherwise.
    Cmd,
    /// Either PowerShell.
    Power,
    /// One that reads what shells of Linux do; its name.
    Posix(String),
}

impl Shell {
    /// The one that `SHELL` names.
    pub(super) fn of(words: &[String]) -> Self {
        let program = words.first().map(String::as_str).unwrap_or_default();
        let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        match name.strip_suffix(".exe").unwrap_or(&name) {
            "cmd" => Self::Cmd,
            "powershell" | "pwsh" => Self::Power,
            _ => Self::Posix(program.to_owned()),
        }
    }
}

/// A stage, up to the line that was read last.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// The image that it is built on, through other stages; nothing if that is `scratch`.
    pub(super) base: Option<String>,
    pub(super) os: TargetOs,
    pub(super) shell: Shell,
    /// Whether a line of its own has to do with choco.
    pub(super) has_choco: bool,
    /// Packages of choco that were installed.
    pub(super) installed: BTreeSet<String>,
    /// Names that several packages are removed by, and what they are called on Windows.
    pub(super) groups: BTreeMap<String, Vec<String>>,
}

impl Stage {
    /// A stage on an image.
    pub(super) fn new(base: Option<String>, os: TargetOs) -> Self {
        Self {
            base,
            os,
            shell: Shell::Cmd,
            has_choco: false,
            installed: BTreeSet::new(),
            groups: BTreeMap::new(),
        }
    }

    /// The base, if neither choco nor winget runs on it.
    pub(super) fn nanoserver(&self) -> Option<&str> {
        self.base.as_deref().filter(|it| is_nanoserver(it))
    }

    /// The base, if its name does not say that it is one for Windows.
    pub(super) fn doubtful_base(&self) -> Option<&str> {
        let is_windows = |it: &str| {
            let it = it.to_ascii_lowercase();
            ["windows", "nanoserver", "servercore", "ltsc20"]
                .iter()
                .any(|part| it.contains(part))
        };
        self.base.as_deref().filter(|it| !is_windows(it))
    }
}

/// Whether an image is built on nanoserver, by its name: a part of the repository's path or of the
/// tag says so, as in `mcr.microsoft.com/windows/nanoserver:ltsc2022` and
/// `golang:1.23-nanoserver-ltsc2022`. Its config would not tell: nothing in it is nanoserver's alone,
/// and nothing is fetched here.
fn is_nanoserver(reference: &str) -> bool {
    let Ok(named) = reference.parse::<Reference>() else {
        return false;
    };
    let repository = named.repository().path().to_string();
    let tag = named.tag().map(ToString::to_string).unwrap_or_default();
    let parts = repository.split('/').chain([tag.as_str()]);
    let mut words = parts.flat_map(|it| it.split(['-', '_', '.']));
    words.any(|it| it.eq_ignore_ascii_case("nanoserver"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b16_nanoserver_is_known_by_repository_and_by_tag() {
        for (reference, expected) in [
            ("mcr.microsoft.com/windows/nanoserver:ltsc2022", true),
            ("mcr.microsoft.com/windows/nanoserver", true),
            ("golang:1.23-nanoserver-ltsc2022", true),
            ("mcr.microsoft.com/powershell:nanoserver-1809", true),
            ("r.test/windows/nanoserver-dotnet:8", true),
            ("mcr.microsoft.com/windows/servercore:ltsc2022", false),
            ("nanoserver.test/windows/servercore:1", false),
            ("golang:1.23", false),
            ("not a reference", false),
        ] {
            assert_eq!(is_nanoserver(reference), expected, "{reference}");
        }
    }

    #[test]
    fn b16_a_shell_is_known_by_its_program() {
        let of = |it: &str| Shell::of(&[it.to_owned(), "-c".to_owned()]);
        assert_eq!(of(r"C:\Windows\System32\CMD.exe"), Shell::Cmd);
        assert_eq!(of("pwsh"), Shell::Power);
        assert_eq!(of("/bin/bash"), Shell::Posix("/bin/bash".to_owned()));
    }
}
