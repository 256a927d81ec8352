//! The operating system an image is for, as far as the assembler treats them differently.

use std::fmt;

use oci::Platform;

/// An operating system that images are assembled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Os {
    /// Windows: layers with `Files/` and `Hives/`, names without case, a version of the system.
    Windows,
    /// Linux: ordinary layers.
    Linux,
}

impl Os {
    /// The operating system of a platform; none for one that is neither.
    pub fn of(platform: &Platform) -> Option<Self> {
        match platform.os.as_str() {
            "windows" => Some(Self::Windows),
            "linux" => Some(Self::Linux),
            _ => None,
        }
    }

    /// What runs a command that is written as a text, unless `SHELL` says otherwise
    /// ([reference](https://docs.docker.com/reference/dockerfile/#shell)).
    pub(crate) fn shell(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Windows => &["cmd", "/S", "/C"],
            Self::Linux => &["/bin/sh", "-c"],
        };
        words.iter().map(|&it| it.to_owned()).collect()
    }

    /// Whether two names of variables are one.
    pub(crate) fn same_variable(self, one: &str, other: &str) -> bool {
        match self {
            Self::Windows => one.to_lowercase() == other.to_lowercase(),
            Self::Linux => one == other,
        }
    }
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
        })
    }
}
