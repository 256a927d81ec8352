//! Variables in a text: every form of the
//! [reference](https://docs.docker.com/reference/dockerfile/#environment-replacement),
//! quotes and escapes.
//!
//! One pass over the characters. A value that is put in is never read again, so the work
//! is bounded by the text and the values, and [`MAX_EXPANDED_BYTES`] bounds the result.

use std::{iter::Peekable, str::Chars};

use super::pattern::Pattern;

/// The longest text that expansion makes, in bytes, inclusive.
pub(super) const MAX_EXPANDED_BYTES: usize = 64 << 10;
/// The same of a here-document.
pub(super) const MAX_EXPANDED_HEREDOC_BYTES: usize = 1 << 20;
/// How deep `${a:-${b:-…}}` may be.
const MAX_DEPTH: usize = 32;

/// Why a variable cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExpandError {
    /// A quote that is not closed.
    #[error("{0} is not closed in {1:?}: add another one, or escape it")]
    Quote(char, String),
    /// `${` without `}`.
    #[error("${{ has no closing brace in {0:?}: close it, or escape the $")]
    Brace(String),
    /// `${}`, `${:-x}`, `${{x}`.
    #[error("${{…}} names no variable in {0:?}: write its name first, or escape the $")]
    Name(String),
    /// Something after the name that is none of the known forms.
    #[error(
        "{0:?} is not known behind a variable's name in {1:?}: there are \
         :- - :+ + :? ? # ## % %% / and //"
    )]
    Modifier(String, String),
    /// `${x:?message}`, `${x?message}` and nothing there.
    #[error("variable {0}: {1}")]
    Required(String, String),
    /// A pattern that is none.
    #[error("the pattern {0:?} is malformed: \\ escapes * ? \\ / and }} only")]
    Pattern(String),
    /// More text than there may be.
    #[error(
        "the text is longer than {0} bytes once its variables are replaced: shorten what they hold"
    )]
    TooLong(usize),
    /// Variables in defaults of variables in defaults …
    #[error(
        "variables stand inside each other more than {MAX_DEPTH} deep: set one of them by an ARG of its own"
    )]
    TooDeep,
    /// All variables together.
    #[error(
        "the stage's variables hold more than {0} bytes together: shorten them, or leave some out"
    )]
    TooMuch(usize),
}

/// Who knows what variables hold.
pub(super) trait Variables {
    /// What a variable holds, if it is set.
    fn get(&self, name: &str) -> Option<&str>;
}

struct Nothing;

impl Variables for Nothing {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Reads one text.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a way of reading of its own"
)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    rest: Peekable<Chars<'a>>,
    variables: &'a dyn Variables,
    escape: char,
    limit: usize,
    depth: usize,
    /// Escapes stay where they are.
    raw_escapes: bool,
    /// Quotes stay where they are.
    raw_quotes: bool,
    /// Quotes are letters.
    no_quotes: bool,
    /// A variable that is not set stays as it is written.
    keep_unset: bool,
}

/// Text, and the words it falls into.
#[derive(Default)]
struct Pieces {
    whole: String,
    words: Vec<String>,
    word: String,
    in_word: bool,
}

impl Pieces {
    /// A letter that blanks end words with.
    fn letter(&mut self, it: char) {
        self.whole.push(it);
        self.split(it);
    }

    fn split(&mut self, it: char) {
        if matches!(it, ' ' | '\t' | '\r' | '\n') {
            self.end();
        } else {
            self.word.push(it);
            self.in_word = true;
        }
    }

    fn end(&mut self) {
        if self.in_word && !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
        self.in_word = false;
    }

    /// What a variable held: it falls into words.
    fn value(&mut self, text: &str) {
        self.whole.push_str(text);
        text.chars().for_each(|it| self.split(it));
    }

    /// What was quoted or escaped: it does not.
    fn quoted(&mut self, text: &str) {
        self.whole.push_str(text);
        self.word.push_str(text);
        self.in_word = true;
    }

    fn finish(mut self) -> (String, Vec<String>) {
        self.end();
        (self.whole, self.words)
    }
}

impl<'a> Lexer<'a> {
    /// Replaces variables, removes quotes and escapes.
    pub(super) fn new(text: &'a str, escape: char, variables: &'a dyn Variables) -> Self {
        Self {
            text,
            rest: text.chars().peekable(),
            variables,
            escape,
            limit: MAX_EXPANDED_BYTES,
            depth: 0,
            raw_escapes: false,
            raw_quotes: false,
            no_quotes: false,
            keep_unset: false,
        }
    }

    /// Finds words, changes nothing.
    pub(super) fn raw(text: &'a str) -> Self {
        Self {
            raw_escapes: true,
            raw_quotes: true,
            ..Self::unset(text)
        }
    }

    /// Removes quotes and escapes.
    pub(super) fn unset(text: &'a str) -> Self {
        Self {
            keep_unset: true,
            ..Self::new(text, '\\', &Nothing)
        }
    }

    /// A here-document: `\` escapes, whatever the file's escape character is.
    pub(super) fn heredoc(text: &'a str, variables: &'a dyn Variables) -> Self {
        Self {
            no_quotes: true,
            limit: MAX_EXPANDED_HEREDOC_BYTES,
            ..Self::new(text, '\\', variables)
        }
    }

    /// All of the text as one.
    pub(super) fn word(mut self) -> Result<String, ExpandError> {
        let raw = self.raw_escapes;
        Ok(self.until(None, raw)?.0)
    }

    /// The text in words. Blanks in quotes do not end a word, those of a value do.
    pub(super) fn words(mut self) -> Result<Vec<String>, ExpandError> {
        let raw = self.raw_escapes;
        Ok(self.until(None, raw)?.1)
    }

    /// Up to `stop`, which is taken, or to the end.
    fn until(
        &mut self,
        stop: Option<char>,
        raw_escapes: bool,
    ) -> Result<(String, Vec<String>), ExpandError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpandError::TooDeep);
        }
        let before = std::mem::replace(&mut self.raw_escapes, raw_escapes);
        let mut pieces = Pieces::default();
        let found = loop {
            if pieces.whole.len() > self.limit {
                return Err(ExpandError::TooLong(self.limit));
            }
            match self.rest.peek().copied() {
                None if stop.is_none() => break pieces,
                None => return Err(ExpandError::Brace(self.text.to_owned())),
                Some(it) if Some(it) == stop => {
                    self.rest.next();
                    break pieces;
                }
                Some(it) => self.piece(it, &mut pieces)?,
            }
        };
        self.raw_escapes = before;
        self.depth -= 1;
        Ok(found.finish())
    }

    fn piece(&mut self, next: char, pieces: &mut Pieces) -> Result<(), ExpandError> {
        match next {
            '$' => {
                let value = self.dollar()?;
                pieces.value(&value);
            }
            '<' => self.angle(pieces),
            '\'' if !self.no_quotes => pieces.quoted(&self.single()?),
            '"' if !self.no_quotes => pieces.quoted(&self.double()?),
            it if it == self.escape => {
                self.rest.next();
                let mut text = String::new();
                if self.raw_escapes {
                    text.push(it);
                }
                text.extend(self.rest.next());
                pieces.quoted(&text);
            }
            it => {
                self.rest.next();
                pieces.letter(it);
            }
        }
        Ok(())
    }

    /// Blanks between `<<` and a name belong to the word.
    fn angle(&mut self, pieces: &mut Pieces) {
        let mut text = String::from("<");
        self.rest.next();
        if self.rest.next_if_eq(&'<').is_some() {
            text.push('<');
            while let Some(it) = self.rest.next_if(|it| matches!(it, ' ' | '\t' | '\r')) {
                text.push(it);
            }
        }
        pieces.quoted(&text);
    }

    fn single(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        let mut text = String::new();
        loop {
            match self.rest.next() {
                None => return Err(ExpandError::Quote('\'', self.text.to_owned())),
                Some('\'') => return Ok(self.between(text, '\'')),
                Some(it) => text.push(it),
            }
        }
    }

    fn double(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        let mut text = String::new();
        loop {
            if text.len() > self.limit {
                return Err(ExpandError::TooLong(self.limit));
            }
            match self.rest.peek().copied() {
                None => return Err(ExpandError::Quote('"', self.text.to_owned())),
                Some('"') => {
                    self.rest.next();
                    return Ok(self.between(text, '"'));
                }
                Some('$') => text.push_str(&self.dollar()?),
                Some(it) if it == self.escape => {
                    self.rest.next();
                    let escape = self.escape;
                    let next = self
                        .rest
                        .next_if(|it| matches!(it, '"' | '$') || *it == escape);
                    if self.raw_escapes || next.is_none() && self.rest.peek().is_some() {
                        text.push(it);
                    }
                    text.extend(next);
                }
                Some(it) => {
                    self.rest.next();
                    text.push(it);
                }
            }
        }
    }

    fn between(&self, text: String, quote: char) -> String {
        if self.raw_quotes {
            format!("{quote}{text}{quote}")
        } else {
            text
        }
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.rest.next();
        if self.rest.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match self.variables.get(&name) {
            Some(value) => value.to_owned(),
            None if self.keep_unset => format!("${name}"),
            None => String::new(),
        })
    }

    /// What follows `${`.
    fn braced(&mut self) -> Result<String, ExpandError> {
        let name = self.name();
        let modifier = self.rest.next();
        if name.is_empty() {
            return Err(match modifier {
                None => ExpandError::Brace(self.text.to_owned()),
                Some(_) => ExpandError::Name(self.text.to_owned()),
            });
        }
        match modifier {
            None => Err(ExpandError::Brace(self.text.to_owned())),
            Some('}') => Ok(match self.variables.get(&name) {
                Some(value) => value.to_owned(),
                None if self.keep_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => match self.rest.next() {
                Some(it @ ('-' | '+' | '?')) => self.conditional(&name, it, true),
                other => Err(self.modifier(":", other)),
            },
            Some(it @ ('-' | '+' | '?')) => self.conditional(&name, it, false),
            Some(it @ ('#' | '%')) => self.trimmed(&name, it),
            Some('/') => self.replaced(&name),
            other => Err(self.modifier("", other)),
        }
    }

    fn modifier(&self, before: &str, it: Option<char>) -> ExpandError {
        let mut text = before.to_owned();
        text.extend(it);
        ExpandError::Modifier(text, self.text.to_owned())
    }

    /// `-`, `+` and `?`, with a colon or without.
    fn conditional(&mut self, name: &str, kind: char, colon: bool) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), false)?;
        let value = self.variables.get(name);
        if value.is_none() && self.keep_unset {
            let colon = if colon { ":" } else { "" };
            return Ok(format!("${{{name}{colon}{kind}{word}}}"));
        }
        let there = value.filter(|it| !colon || !it.is_empty());
        match (kind, there) {
            ('+', None) => Ok(String::new()),
            ('+', Some(_)) | ('-', None) => Ok(word),
            (_, Some(value)) => Ok(value.to_owned()),
            (_, None) => {
                let state = if value.is_none() { "unset" } else { "empty" };
                let problem = format!("is not allowed to be {state}");
                let said = if word.is_empty() { problem } else { word };
                Err(ExpandError::Required(name.to_owned(), said))
            }
        }
    }

    /// `#`, `##`, `%` and `%%`.
    fn trimmed(&mut self, name: &str, end: char) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), true)?;
        let (pattern, longest) = match word.strip_prefix(end) {
            Some(pattern) => (pattern, true),
            None => (word.as_str(), false),
        };
        let Some(value) = self.variables.get(name) else {
            return Ok(self.unset_form(name, &format!("{end}{word}")));
        };
        let pattern = Pattern::new(pattern).ok_or_else(|| bad(pattern))?;
        let trimmed = if end == '#' {
            pattern.trim_start(value, longest)
        } else {
            pattern.trim_end(value, longest)
        };
        trimmed.ok_or_else(|| bad(&word))
    }

    /// `/` and `//`.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let all = self.rest.next_if_eq(&'/').is_some();
        let (pattern, _) = self.until(Some('/'), true)?;
        let (by, _) = self.until(Some('}'), true)?;
        let Some(value) = self.variables.get(name) else {
            return Ok(self.unset_form(name, &format!("/{pattern}/{by}")));
        };
        let found = Pattern::new(&pattern).ok_or_else(|| bad(&pattern))?;
        found.replace(value, &by, all, self.limit)
    }

    fn unset_form(&self, name: &str, rest: &str) -> String {
        if self.keep_unset {
            format!("${{{name}{rest}}}")
        } else {
            String::new()
        }
    }

    /// A name, digits or one of the shell's own parameters, which are never set.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let special = |it: &char| matches!(it, '@' | '*' | '#' | '?' | '-' | '$' | '!');
        if let Some(it) = self.rest.next_if(special) {
            name.push(it);
            return name;
        }
        let digits = self.rest.peek().is_some_and(char::is_ascii_digit);
        while let Some(it) = self.rest.next_if(|it| {
            if digits {
                it.is_ascii_digit()
            } else {
                it.is_alphanumeric() || *it == '_'
            }
        }) {
            name.push(it);
        }
        name
    }
}

fn bad(pattern: &str) -> ExpandError {
    ExpandError::Pattern(pattern.to_owned())
}

#[cfg(test)]
mod tests;
