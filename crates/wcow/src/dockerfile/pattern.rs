//! The shell patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*`, `?` and escapes, no
//! brackets. Matching is linear in the text: the patterns become regular expressions.

use regex::{Regex, RegexBuilder};

use super::ExpandError;

/// How large a compiled pattern may get, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

#[derive(Clone, Copy)]
enum Token {
    Any,
    One,
    Letter(char),
}

/// A shell pattern.
pub(super) struct Pattern(Vec<Token>);

impl Pattern {
    /// Reads a pattern. Nothing if an escape stands before what needs none.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            tokens.push(match letter {
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => match letters.next() {
                    Some(it @ ('*' | '?' | '\\' | '}' | '/')) => Token::Letter(it),
                    _ => return None,
                },
                it => Token::Letter(it),
            });
        }
        Some(Self(tokens))
    }

    /// The text without what matches at its start.
    pub(super) fn trim_start(&self, text: &str, longest: bool) -> Option<String> {
        let found = compiled(self.0.iter(), longest, true)?;
        let end = found.find(text).map_or(0, |it| it.end());
        Some(text[end..].to_owned())
    }

    /// The text without what matches at its end. Read backwards, the shortest end is the
    /// shortest start.
    pub(super) fn trim_end(&self, text: &str, longest: bool) -> Option<String> {
        let found = compiled(self.0.iter().rev(), longest, true)?;
        let backwards: String = text.chars().rev().collect();
        let end = found.find(&backwards).map_or(0, |it| it.end());
        Some(backwards[end..].chars().rev().collect())
    }

    /// The text with the first match, or all, replaced, unless that is longer than `limit`
    /// bytes.
    pub(super) fn replace(
        &self,
        text: &str,
        by: &str,
        all: bool,
        limit: usize,
    ) -> Result<String, ExpandError> {
        let found = compiled(self.0.iter(), true, false);
        let found = found.ok_or(ExpandError::TooLong(MAX_COMPILED_BYTES))?;
        let (mut result, mut at) = (String::new(), 0);
        for it in found.find_iter(text).take(if all { usize::MAX } else { 1 }) {
            result.push_str(&text[at..it.start()]);
            result.push_str(by);
            at = it.end();
            if result.len() > limit {
                return Err(ExpandError::TooLong(limit));
            }
        }
        result.push_str(&text[at..]);
        Ok(result)
    }
}

fn compiled<'a>(
    tokens: impl Iterator<Item = &'a Token>,
    longest: bool,
    anchored: bool,
) -> Option<Regex> {
    let mut text = String::from(if anchored { "^" } else { "" });
    for token in tokens {
        match token {
            Token::Any => text.push_str(if longest { ".*" } else { ".*?" }),
            Token::One => text.push('.'),
            Token::Letter(it) => text.push_str(&regex::escape(it.encode_utf8(&mut [0; 4]))),
        }
    }
    RegexBuilder::new(&text)
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .ok()
}
