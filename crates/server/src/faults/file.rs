//! Faults files: rules as TOML, for people who test clients in another language.
//!
//! ```
//! use longshore_server::FaultsFile;
//! let file: FaultsFile = r#"
//!     version = 1
//!     imitate = "quay"
//!
//!     [[rule]]
//!     on = ["upload-patch"]
//!     nth = 2
//!     action = { reset-at-byte = 1000 }
//! "#
//! .parse()?;
//! assert_eq!(file.rules().len(), 1);
//! # Ok::<(), longshore_server::FaultsFileError>(())
//! ```

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Faults, Profile, Rule};

/// The longest file that is read, in bytes, inclusive.
const MAX_BYTES: usize = 1024 * 1024;
/// The most rules of a file.
const MAX_RULES: usize = 1000;
/// The one version there is.
const VERSION: u32 = 1;

/// What a faults file says. Prints as one that says the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FaultsFile {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    imitate: Option<Profile>,
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    rules: Vec<Rule>,
}

/// Why a faults file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultsFileError {
    /// It is longer than is read.
    #[error("it has {0} bytes, and at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// It has more rules than are kept.
    #[error("it has {0} rules, and at most {MAX_RULES} are kept")]
    TooManyRules(usize),
    /// It is of another version.
    #[error("it has version {0}, and only version {VERSION} is known")]
    Version(u32),
    /// It is not TOML, or says what no faults file says.
    #[error("line {line}, column {column}: {message}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column, in characters from 1.
        column: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
}

impl FaultsFile {
    /// Its own rules, in order; those of the registry it imitates are not among them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The registry it imitates.
    pub fn profile(&self) -> Option<Profile> {
        self.imitate
    }

    /// A file that says the same without imitating: those rules are its own.
    #[must_use]
    pub fn spelled_out(&self) -> Self {
        let imitated = self.imitate.map_or_else(Vec::new, Profile::rules);
        Self {
            version: self.version,
            imitate: None,
            rules: self.rules.iter().cloned().chain(imitated).collect(),
        }
    }

    /// The faults: its own rules first, then those of the registry it imitates, so that a
    /// rule of the file stands where the two contradict each other.
    pub fn faults(&self) -> Faults {
        let faults = Faults::new();
        for rule in &self.rules {
            faults.add(rule.clone());
        }
        if let Some(profile) = self.imitate {
            faults.imitate(profile);
        }
        faults
    }
}

impl FromStr for FaultsFile {
    type Err = FaultsFileError;

    fn from_str(text: &str) -> Result<Self, FaultsFileError> {
        if text.len() > MAX_BYTES {
            return Err(FaultsFileError::TooLong(text.len()));
        }
        let file: Self = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        if file.version != VERSION {
            return Err(FaultsFileError::Version(file.version));
        }
        if file.rules.len() > MAX_RULES {
            return Err(FaultsFileError::TooManyRules(file.rules.len()));
        }
        Ok(file)
    }
}

fn malformed(text: &str, error: &toml::de::Error) -> FaultsFileError {
    let at = error.span().map_or(0, |it| it.start);
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    FaultsFileError::Malformed {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().to_owned(),
    }
}

impl fmt::Display for FaultsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests;
