//! One `RUN`, in each of its forms, and what stands for it.
//!
//! | form | how it is read | what comes of it |
//! |---|---|---|
//! | `RUN a && b` | a list of commands | the list that is left |
//! | `RUN <<EOF` | its lines are the list | for `cmd` one line: it reads no more; else the document |
//! | `RUN ["a", "b"]` | one command | the same form, once for each new command |
//! | `RUN ["sh", "-c", "a && b"]` | the text is the list | `["cmd", "/S", "/C", "…"]` |
//!
//! A `RUN` in which no package manager is named is left alone, whatever else is in it. So is what is
//! not a shell's: a document for Python. Where a package manager is named in something that cannot be
//! taken apart, that is a problem, never a guess.

use std::ops::Range;

use super::{
    error::ProblemKind,
    line_ends::LineEnds,
    list::Listed,
    manager, mention,
    resolve::Resolver,
    script::{self, Redirected},
    stage::Shell,
    told::shown,
};
use crate::dockerfile::{Logical, Places};

/// A part of the file, and what takes its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// A `RUN`, or an `ONBUILD RUN`.
pub(super) struct Run<'a> {
    pub(super) source: &'a str,
    pub(super) ends: &'a LineEnds,
    pub(super) line: &'a Logical,
    /// What it is introduced by, as it is written: `RUN`, `ONBUILD RUN`.
    pub(super) keyword: &'a str,
    /// Where in the line's text its flags begin, or else its command.
    pub(super) at: usize,
    pub(super) escape: char,
}

/// What becomes of the command of a `RUN`.
enum Outcome {
    /// Nothing.
    Same,
    /// There is none any more.
    Gone,
    /// A part of the file changes; what stands before it stays.
    Changed(Edit),
    /// All of it, from the command on, is this now.
    Now(String),
}

/// Shells of Linux.
const SHELLS: &[&str] = &["sh", "bash", "ash", "dash", "zsh"];

impl<'a> Run<'a> {
    /// The `RUN` of a line, if it is one, or an `ONBUILD RUN`.
    pub(super) fn of(
        source: &'a str,
        ends: &'a LineEnds,
        line: &'a Logical,
        escape: char,
    ) -> Option<Self> {
        let text = line.text.as_str();
        let mut end = 0;
        let mut word = || {
            let rest = &text[end..];
            let start = end + (rest.len() - rest.trim_start().len());
            let rest = &text[start..];
            end = start + rest.find(char::is_whitespace).unwrap_or(rest.len());
            (&text[start..end], end)
        };
        let (mut keyword, mut at) = word();
        if keyword.eq_ignore_ascii_case("ONBUILD") {
            (keyword, at) = word();
        }
        keyword.eq_ignore_ascii_case("RUN").then(|| Self {
            source,
            ends,
            line,
            keyword: text[..at].trim_start(),
            at,
            escape,
        })
    }

    /// What it runs, without here-documents.
    pub(super) fn text(&self) -> &'a str {
        &self.line.text[self.at..]
    }

    /// What it runs, and its here-documents.
    fn texts(&self) -> impl Iterator<Item = &'a str> {
        let (source, line) = (self.source, self.line);
        let bodies = line
            .heredocs
            .iter()
            .map(move |it| &source[it.range.clone()]);
        std::iter::once(self.text()).chain(bodies)
    }

    /// Whether there may be something to translate.
    pub(super) fn names_managers(&self) -> bool {
        let mut texts = self.texts();
        texts.any(|it| mention::is_named(it) || mention::windows_manager(it).is_some())
    }

    /// `choco` or `winget`, if it runs one.
    pub(super) fn windows_manager(&self) -> Option<&'static str> {
        self.texts().find_map(mention::windows_manager)
    }

    /// What takes its place, if anything changes. Problems are told.
    pub(super) fn translated(&self, resolver: &mut Resolver<'_>) -> Vec<Edit> {
        resolver.line = self.line.number;
        let (flags, at) = self.flags();
        let text = self.line.text[at..].trim_end();
        let end = at + text.len();
        if text.is_empty() {
            return Vec::new();
        }
        let is_document = self.line.heredocs.len() == 1
            && text.starts_with("<<")
            && !text[2..]
                .trim_start_matches('-')
                .contains(char::is_whitespace);
        let outcome = if is_document {
            self.document(resolver)
        } else if let Some(words) = exec(text) {
            self.exec(&words, resolver)
        } else {
            self.shell(at..end, resolver)
        };
        let whole = self.line.range.clone();
        let (range, text) = match outcome {
            Outcome::Same => return Vec::new(),
            Outcome::Gone => {
                let text = String::new();
                return vec![Edit { range: whole, text }];
            }
            Outcome::Changed(edit) => (edit.range, edit.text),
            Outcome::Now(text) if self.goes_on(&text) => {
                let command = Some(shown(&text));
                refused(command, "the next line, which it would go on in", resolver);
                return Vec::new();
            }
            Outcome::Now(text) => {
                let start = self.line.places.of(at);
                let end = match self.line.heredocs.last() {
                    None => self.line.places.range(&(at..end)).end,
                    // Without its last line end.
                    Some(_) => self.source[..whole.end]
                        .trim_end_matches(['\r', '\n'])
                        .len(),
                };
                (start..end, text)
            }
        };
        let mut edits = self.without_caches(&flags, at);
        edits.push(Edit { range, text });
        edits
    }

    /// Whether the end of a text would have the next line of the file belong to it.
    fn goes_on(&self, text: &str) -> bool {
        text.trim_end().ends_with(self.escape)
    }

    /// The flags, and where the command begins.
    fn flags(&self) -> (Vec<Range<usize>>, usize) {
        let text = &self.line.text;
        let (mut flags, mut at) = (Vec::new(), self.at);
        loop {
            let rest = &text[at..];
            at += rest.len() - rest.trim_start().len();
            let rest = &text[at..];
            if !rest.starts_with("--") {
                return (flags, at);
            }
            let end = at + rest.find(char::is_whitespace).unwrap_or(rest.len());
            flags.push(at..end);
            at = end;
        }
    }

    /// Takes out mounts of the caches that package managers of Linux have.
    fn without_caches(&self, flags: &[Range<usize>], command: usize) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (number, flag) in flags.iter().enumerate() {
            let value = self.line.text[flag.clone()].strip_prefix("--mount=");
            let mut parts = value.unwrap_or_default().split(',');
            let is_own = parts.any(|it| match it.split_once('=') {
                Some(("target" | "dst" | "destination", path)) => {
                    manager::is_cache(&format!("{path}/"))
                }
                _ => false,
            });
            if is_own {
                let next = flags.get(number + 1).map_or(command, |it| it.start);
                let range = self.line.places.of(flag.start)..self.line.places.of(next);
                let text = String::new();
                edits.push(Edit { range, text });
            }
        }
        edits
    }

    /// A text for a shell.
    fn shell(&self, range: Range<usize>, resolver: &mut Resolver<'_>) -> Outcome {
        let text = &self.line.text[..range.end];
        let command = &text[range.start..];
        // Commands are found in the whole text, so that places in it are places in the line's.
        let padded = format!("{}{command}", " ".repeat(range.start));
        let pieces = match script::read(&padded) {
            Ok(pieces) if self.line.heredocs.is_empty() => pieces,
            Ok(pieces) => {
                let is_shell = |it: &script::Piece| {
                    let first = it.words.first().map(|it| it.text.as_str());
                    first.is_some_and(|it| SHELLS.contains(&last_part(it)))
                };
                let mut read = self.texts().skip(1).filter(|_| pieces.iter().any(is_shell));
                let named = mention::mentioned(command);
                let named = named.or_else(|| read.find_map(mention::mentioned));
                return refused(named, "a here-document", resolver);
            }
            Err(reason) => {
                let named = mention::mentioned(command);
                return refused(named, &reason.0, resolver);
            }
        };
        let listed = Listed {
            source: self.source,
            ends: self.ends,
            places: &self.line.places,
            text: &padded,
            pieces: &pieces,
        };
        let Some(decided) = listed.decide(resolver, false) else {
            return Outcome::Same;
        };
        match decided.text() {
            None => Outcome::Gone,
            Some(text) => Outcome::Now(text),
        }
    }

    /// A here-document that is the command.
    fn document(&self, resolver: &mut Resolver<'_>) -> Outcome {
        let Some(body) = self.line.heredocs.first() else {
            return Outcome::Same;
        };
        let text = &self.source[body.range.clone()];
        let named = mention::mentioned(text);
        if let Some(interpreter) = text.strip_prefix("#!") {
            let line = interpreter.lines().next().unwrap_or_default();
            let mut words = line.split_whitespace();
            if !words.any(|it| SHELLS.contains(&last_part(it))) {
                return refused(named, "a here-document for another program", resolver);
            }
        }
        let pieces = match script::read(text) {
            Ok(pieces) => pieces,
            Err(reason) => return refused(named, &reason.0, resolver),
        };
        if pieces.iter().any(|it| it.redirected == Redirected::Heredoc) {
            return refused(named, "a here-document", resolver);
        }
        let places = Places::whole(body.range.start);
        let listed = Listed {
            source: self.source,
            ends: self.ends,
            places: &places,
            text,
            pieces: &pieces,
        };
        let Some(decided) = listed.decide(resolver, false) else {
            return Outcome::Same;
        };
        if resolver.stage.shell == Shell::Cmd {
            return match decided.flat(&format!(" {}\n    ", self.escape)) {
                Ok(None) => Outcome::Gone,
                Ok(Some(text)) => Outcome::Now(text),
                Err(pieces) => {
                    let (line, command) = decided.shown(&pieces);
                    resolver.line = line;
                    refused(
                        Some(command),
                        "a here-document, of which it has several lines",
                        resolver,
                    )
                }
            };
        }
        let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else {
            return Outcome::Same;
        };
        match decided.text() {
            None => Outcome::Gone,
            Some(text) if text.lines().any(|it| it.trim() == self.last_line()) => {
                refused(named, "a here-document, which would end there", resolver)
            }
            Some(text) => Outcome::Changed(Edit {
                range: places.range(&(first.range.start..last.range.end)),
                text,
            }),
        }
    }

    /// What ends the last here-document.
    fn last_line(&self) -> &str {
        let body = self.line.heredocs.last().map_or(0, |it| it.range.end);
        self.source[body..self.line.range.end].trim()
    }

    /// A list of words.
    fn exec(&self, words: &[String], resolver: &mut Resolver<'_>) -> Outcome {
        let program = words.first().map(|it| last_part(it)).unwrap_or_default();
        let switches =
            |it: &String| it.starts_with('-') && !it.starts_with("--") && it.contains('c');
        if SHELLS.contains(&program)
            && let Some(at) = words.iter().position(switches)
            && let [text] = &words[at + 1..]
        {
            let errexit = words[1..=at].iter().any(|it| it.contains('e'));
            return self.exec_shell(text, errexit, resolver);
        }
        let words = words.iter().map(|it| script::Word {
            text: it.clone(),
            is_dynamic: false,
        });
        // One command, which stands where the list does.
        let text = self.line.text.as_str();
        let start = self.flags().1;
        let pieces = [script::Piece {
            joint: None,
            range: start..text.trim_end().len(),
            words: words.collect(),
            redirected: Redirected::No,
        }];
        let listed = Listed {
            source: self.source,
            ends: self.ends,
            places: &self.line.places,
            text,
            pieces: &pieces,
        };
        let Some(decided) = listed.decide(resolver, false) else {
            return Outcome::Same;
        };
        let commands = decided.only_new().unwrap_or_default();
        let lines: Vec<String> = commands.iter().map(|it| array(it)).collect();
        if lines.is_empty() {
            return Outcome::Gone;
        }
        Outcome::Now(lines.join(&format!("\n{} ", self.keyword)))
    }

    /// `["sh", "-c", "…"]`.
    fn exec_shell(&self, text: &str, errexit: bool, resolver: &mut Resolver<'_>) -> Outcome {
        let pieces = match script::read(text) {
            Ok(pieces) => pieces,
            Err(reason) => {
                return refused(mention::mentioned(text), &reason.0, resolver);
            }
        };
        let (places, ends) = (Places::whole(0), LineEnds::of(text));
        let listed = Listed {
            source: text,
            ends: &ends,
            places: &places,
            text,
            pieces: &pieces,
        };
        // It is for a shell of its own, whatever SHELL says.
        let shell = std::mem::replace(&mut resolver.stage.shell, Shell::Cmd);
        let (notes, problems) = (resolver.told.notes.len(), resolver.told.problems.len());
        let decided = listed.decide(resolver, errexit);
        resolver.stage.shell = shell;
        // Its lines are the array's.
        let line = self.ends.line(self.line.places.of(self.at));
        for it in &mut resolver.told.notes[notes..] {
            it.line = line;
        }
        for it in &mut resolver.told.problems[problems..] {
            it.line = line;
        }
        let Some(decided) = decided else {
            return Outcome::Same;
        };
        match decided.flat(" ") {
            Ok(None) => Outcome::Gone,
            Ok(Some(text)) => {
                let words = ["cmd", "/S", "/C", &text].map(str::to_owned);
                Outcome::Now(array(&words))
            }
            Err(pieces) => {
                let (_, command) = decided.shown(&pieces);
                resolver.line = line;
                refused(Some(command), "a text of several lines", resolver)
            }
        }
    }
}

/// Says no to a package manager that was found in something that is not taken apart.
fn refused(command: Option<String>, around: &str, resolver: &mut Resolver<'_>) -> Outcome {
    if let Some(command) = command {
        let around = around.to_owned();
        let kind = ProblemKind::NotSeparable { command, around };
        resolver.told.refuse(resolver.line, kind);
    }
    Outcome::Same
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |it| it.1)
}

/// The words of a list, if it is one.
fn exec(text: &str) -> Option<Vec<String>> {
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A list of words, as Dockerfiles have it.
fn array(words: &[String]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|it| serde_json::Value::from(it.as_str()).to_string())
        .collect();
    format!("[{}]", words.join(", "))
}
