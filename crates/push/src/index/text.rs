//! The index as text, a fact a line, to be carried from one machine to another.
//!
//! ```text
//! # longshore index 1
//! - registry.test/closed denied 1700000000000
//! sha256:… registry.test/team/app present 1234 pushed 1700000000000
//! sha256:… registry.test/team/old gone 1700000000000
//! ```
//!
//! First the blob, `-` for the repository as such; then the repository, what was seen, and when,
//! in milliseconds since 1970. Lines are in the order of their bytes, so that two exports can be
//! compared and merged by any tool. Empty lines, and those that begin with `#`, say nothing.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use oci::{Digest, Registry, Repository};

use super::{Evidence, Sight, Sighting};

/// The first line of an export.
pub const HEADER: &str = "# longshore index 1";
/// What a header begins with, of whatever version.
const ANY_HEADER: &str = "# longshore index ";
/// The longest line, in bytes, inclusive.
pub const MAX_LINE: usize = 1024;
/// How far a time may lie ahead: clocks of machines differ.
const AHEAD: Duration = Duration::from_hours(1);

/// Why a line is not a fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It is longer than any fact.
    #[error("it has more than {MAX_LINE} bytes")]
    TooLong,
    /// It is not text.
    #[error("it is not UTF-8")]
    NotText,
    /// A later version wrote the file.
    #[error("the file is of version {0:?}; this longshore reads version 1")]
    Version(String),
    /// It has too few or too many words, or a word that means nothing there.
    #[error("expected {expected}, found {found:?}")]
    Word {
        /// What should be there.
        expected: &'static str,
        /// What is; empty for nothing.
        found: String,
    },
    /// What it tells has not happened yet.
    #[error("its time is more than an hour ahead of this machine's clock")]
    Ahead,
}

/// Reads a line, without its end; none if it says nothing.
pub fn parse(line: &[u8], now: SystemTime) -> Result<Option<Sighting>, LineError> {
    if line.len() > MAX_LINE {
        return Err(LineError::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| LineError::NotText)?;
    let line = line.trim();
    match line.strip_prefix(ANY_HEADER) {
        Some("1") => return Ok(None),
        Some(version) => return Err(LineError::Version(shortened(version))),
        None if line.is_empty() || line.starts_with('#') => return Ok(None),
        None => {}
    }
    let mut words = line.split_ascii_whitespace();
    let digest = match words.next().unwrap_or_default() {
        "-" => None,
        word => Some(
            word.parse::<Digest>()
                .map_err(|_| wrong("a digest or -", word))?,
        ),
    };
    let word = words.next().unwrap_or_default();
    let repository = repository(word).ok_or_else(|| wrong("registry/repository", word))?;
    let sight = sight(digest, &mut words)?;
    let at = time(words.next().unwrap_or_default(), now)?;
    if let Some(more) = words.next() {
        return Err(wrong("the end of the line", more));
    }
    Ok(Some(Sighting {
        repository,
        sight,
        at,
    }))
}

/// A repository by any of its names, as long as its registry is named, too.
fn repository(word: &str) -> Option<Repository> {
    let (registry, _) = word.split_once('/')?;
    let registry: Registry = registry.parse().ok()?;
    let repository: Repository = word.parse().ok()?;
    repository
        .registry()
        .agrees(&registry)
        .then(|| repository.normal())
}

fn sight<'a>(
    digest: Option<Digest>,
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<Sight, LineError> {
    let word = words.next().unwrap_or_default();
    match (word, digest) {
        ("denied", None) => Ok(Sight::Denied),
        (word, None) => Err(wrong("denied", word)),
        ("gone", Some(digest)) => Ok(Sight::Gone { digest }),
        ("present", Some(digest)) => {
            let size = words.next().unwrap_or_default();
            let size = size
                .parse()
                .ok()
                .filter(|it| i64::try_from(*it).is_ok())
                .ok_or_else(|| wrong("a size in bytes", size))?;
            let by = words.next().unwrap_or_default();
            let by = Evidence::named(by).ok_or_else(|| wrong("how it is known", by))?;
            Ok(Sight::Present { digest, size, by })
        }
        (word, Some(_)) => Err(wrong("present or gone", word)),
    }
}

fn time(word: &str, now: SystemTime) -> Result<SystemTime, LineError> {
    let millis = word
        .parse()
        .ok()
        .and_then(|it| UNIX_EPOCH.checked_add(Duration::from_millis(it)))
        .ok_or_else(|| wrong("a time in milliseconds since 1970", word))?;
    match millis.duration_since(now) {
        Ok(ahead) if ahead > AHEAD => Err(LineError::Ahead),
        _ => Ok(millis),
    }
}

fn wrong(expected: &'static str, found: &str) -> LineError {
    LineError::Word {
        expected,
        found: shortened(found),
    }
}

/// Enough of a word to find it by; not what stands before an `@`, which may be a password.
fn shortened(word: &str) -> String {
    match word.rsplit_once('@') {
        Some((_, rest)) => format!("…@{}", rest.chars().take(80).collect::<String>()),
        None => word.chars().take(80).collect(),
    }
}

/// Writes it as a line, without its end.
impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (repository, at) = (self.repository.normal(), since.as_millis());
        match &self.sight {
            Sight::Denied => write!(f, "- {repository} denied {at}"),
            Sight::Gone { digest } => write!(f, "{digest} {repository} gone {at}"),
            Sight::Present { digest, size, by } => {
                write!(f, "{digest} {repository} present {size} {} {at}", by.name())
            }
        }
    }
}

#[cfg(test)]
mod tests;
