//! `.dockerignore`: what of a directory is not part of the context.
//!
//! The rules are those of [moby/patternmatcher](https://github.com/moby/patternmatcher): each
//! pattern begins at the context's root, the last one that matches wins, `!` takes back,
//! `**` is any number of directories, and what is in a directory that matches, matches.

use regex::Regex;

use super::glob::{PatternError, Token, compiled, push_letter, tokens};

/// The longest file, in bytes, inclusive.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// How many patterns there may be, inclusive.
const MAX_PATTERNS: usize = 2000;

/// What is not part of a context, or not copied.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// Why a `.dockerignore` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// No pattern.
    #[error("line {line}: {error}")]
    Pattern {
        /// Which line, counted from 1.
        line: usize,
        /// What about it.
        error: PatternError,
    },
    /// `!` and nothing behind it.
    #[error("line {0}: ! takes back nothing: write a pattern behind it")]
    Exclamation(usize),
    /// More than there may be.
    #[error("more than {MAX_PATTERNS} patterns, or {MAX_BYTES} bytes: leave out whole directories")]
    TooLarge,
    /// Not text.
    #[error("not UTF-8: save the file in that encoding")]
    NotUtf8,
}

#[derive(Clone, Debug)]
struct Pattern {
    takes_back: bool,
    regex: Regex,
}

impl Ignore {
    /// Reads a `.dockerignore`.
    pub fn parse(bytes: &[u8]) -> Result<Self, IgnoreError> {
        if bytes.len() > MAX_BYTES {
            return Err(IgnoreError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| IgnoreError::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.starts_with('#'));
        Self::lines(lines.map(|(index, line)| (index + 1, line)))
    }

    /// Patterns, each by itself.
    pub fn patterns<T: AsRef<str>>(all: &[T]) -> Result<Self, IgnoreError> {
        Self::lines(
            all.iter()
                .enumerate()
                .map(|(index, it)| (index + 1, it.as_ref())),
        )
    }

    fn lines<'a>(all: impl Iterator<Item = (usize, &'a str)>) -> Result<Self, IgnoreError> {
        let mut patterns = Vec::new();
        for (line, text) in all {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            if patterns.len() == MAX_PATTERNS {
                return Err(IgnoreError::TooLarge);
            }
            let (takes_back, text) = match text.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, text),
            };
            if text.is_empty() {
                return Err(IgnoreError::Exclamation(line));
            }
            let regex = regex(&cleaned(text));
            let regex = regex.map_err(|error| IgnoreError::Pattern { line, error })?;
            patterns.push(Pattern { takes_back, regex });
        }
        Ok(Self { patterns })
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether something below a directory that matches may be taken back.
    pub fn takes_back(&self) -> bool {
        self.patterns.iter().any(|it| it.takes_back)
    }

    /// Whether a path, its names parted by `/`, is left out. The root, which is empty, never
    /// is: `*` means what is in it. Takes time in proportion to the patterns and the path's length.
    pub fn matches(&self, path: &str) -> bool {
        if path.is_empty() {
            return false;
        }
        let mut matched = false;
        for pattern in &self.patterns {
            if pattern.takes_back == matched && pattern.regex.is_match(path) {
                matched = !pattern.takes_back;
            }
        }
        matched
    }
}

/// A pattern without `.`, `..`, doubled, leading and trailing slashes, as Go's
/// [`filepath.Clean`](https://pkg.go.dev/path/filepath#Clean) leaves it.
fn cleaned(text: &str) -> String {
    let rooted = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|it| *it != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (parts.is_empty(), rooted) {
        (true, true) => "/".to_owned(),
        (true, false) => ".".to_owned(),
        (false, _) => parts.join("/"),
    }
}

fn regex(pattern: &str) -> Result<Regex, PatternError> {
    let tokens = tokens(pattern)?;
    let mut regex = String::from("^");
    let last = tokens.len().saturating_sub(1);
    // `**file` is the one place where `**` does not stop at a slash.
    let is_plain = |it: &Token| matches!(it, Token::Letter { escaped: false, .. });
    let is_suffix = tokens.len() > 1 && tokens.iter().skip(1).all(is_plain);
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::AnyDirectories { .. } if index == last => regex.push_str(".*"),
            Token::AnyDirectories { slash: false } if index == 0 && is_suffix => {
                regex.push_str(".*");
            }
            Token::AnyDirectories { .. } => regex.push_str("(.*/)?"),
            Token::Any => regex.push_str("[^/]*"),
            Token::One => regex.push_str("[^/]"),
            Token::Class(it) => regex.push_str(it),
            Token::Letter { it, .. } => push_letter(&mut regex, *it),
        }
    }
    // What is in a directory that matches, matches: in one look, however deep it is.
    regex.push_str("(?:/.*)?$");
    compiled(&regex, pattern)
}

#[cfg(test)]
mod tests;
