//! A text for a shell, taken apart as far as is needed to see where commands begin and end.
//!
//! Lists of commands are read: `a && b; c | d`, with quotes, redirections, comments and groups in
//! parentheses. Whatever else a shell knows (`if`, loops, functions, jobs) is not, and says so: what
//! stands in it is nothing that could be replaced safely. The grammar is that of
//! [POSIX](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html), section 2.10.

use std::ops::Range;

/// How a command follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// `&&`.
    And,
    /// `||`.
    Or,
    /// `|`.
    Pipe,
    /// `;`.
    Then,
    /// The end of a line.
    Line,
}

/// A word, its quotes and escapes gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Whether the shell puts something in it: a variable, what a command prints, braces.
    pub(super) is_dynamic: bool,
}

/// Where a command's input and output go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Redirected {
    /// Where the shell's go.
    #[default]
    No,
    /// To `/dev/null`, or together.
    Away,
    /// Into a file, or from one.
    File,
    /// From a here-document.
    Heredoc,
}

/// One command, or several in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// What stands before it, and where; nothing before the first.
    pub(super) joint: Option<(Joint, Range<usize>)>,
    /// Where it stands in the text, without blanks around it. Never empty.
    pub(super) range: Range<usize>,
    /// Its words; none of a group.
    pub(super) words: Vec<Word>,
    pub(super) redirected: Redirected,
}

/// What is not read, for whoever asks why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// Words that begin something larger than a command, or belong to it.
const KEYWORDS: &[&str] = &[
    "if", "then", "elif", "else", "fi", "for", "while", "until", "select", "do", "done", "case",
    "esac", "function", "{", "}", "!", "[[", "time", "coproc",
];

/// What redirects, the longer ones first.
const OPERATORS: &[&str] = &[
    "&>>", "&>", "<<<", "<<-", "<<", "<>", "<&", "<", ">>", ">|", ">&", ">",
];

/// Takes a text apart.
pub(super) fn read(text: &str) -> Result<Vec<Piece>, Unreadable> {
    let mut reader = Reader { text, at: 0 };
    let mut pieces = Vec::new();
    let mut joint: Option<(Joint, Range<usize>)> = None;
    loop {
        let command = reader.command()?;
        let is_empty = command.is_none();
        if let Some(mut piece) = command {
            piece.joint = joint.take().filter(|_| !pieces.is_empty());
            pieces.push(piece);
        }
        let Some(next) = reader.joint()? else {
            break;
        };
        match (&joint, next.0) {
            _ if !is_empty => joint = Some(next),
            // Lines may be empty, and a list may go on in the next one.
            (_, Joint::Line) => {}
            _ => return Err(Unreadable("an operator without a command".to_owned())),
        }
    }
    match joint {
        None | Some((Joint::Then | Joint::Line, _)) => Ok(pieces),
        Some(_) => Err(Unreadable("an operator without a command".to_owned())),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Goes over blanks, continued lines and comments; not over the end of a line.
    fn skip(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\u{b}' | '\u{c}') => self.at += 1,
                Some('\\') if self.rest().starts_with("\\\n") => self.at += 2,
                Some('\\') if self.rest().starts_with("\\\r\n") => self.at += 3,
                Some('#') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                _ => return,
            }
        }
    }

    /// The operator that follows, if any.
    fn joint(&mut self) -> Result<Option<(Joint, Range<usize>)>, Unreadable> {
        self.skip();
        let start = self.at;
        let known = [
            ("&&", Joint::And),
            ("||", Joint::Or),
            ("|&", Joint::Pipe),
            ("|", Joint::Pipe),
            ("\n", Joint::Line),
        ];
        for (text, joint) in known {
            if self.eat(text) {
                return Ok(Some((joint, start..self.at)));
            }
        }
        match self.peek() {
            None => Ok(None),
            Some(';') if !self.rest().starts_with(";;") => {
                self.at += 1;
                Ok(Some((Joint::Then, start..self.at)))
            }
            Some('&') => Err(Unreadable("a command in the background".to_owned())),
            Some(other) => Err(Unreadable(format!("`{other}`"))),
        }
    }

    fn command(&mut self) -> Result<Option<Piece>, Unreadable> {
        self.skip();
        let start = self.at;
        let (mut words, mut redirected, mut is_group) = (Vec::new(), Redirected::No, false);
        let mut end = start;
        loop {
            self.skip();
            let first = words.is_empty() && redirected == Redirected::No;
            match self.peek() {
                None | Some('\n' | ';' | '|') => break,
                Some('&') if !self.rest().starts_with("&>") => break,
                Some('(') if first && !is_group => {
                    self.group()?;
                    is_group = true;
                }
                Some('(' | ')') => return Err(Unreadable("a function or a group".to_owned())),
                _ => match self.redirection()? {
                    Some(found) => redirected = redirected.max(found),
                    None if is_group => return Err(Unreadable("words behind a group".to_owned())),
                    None => words.push(self.word()?),
                },
            }
            end = self.at;
            if let [word] = words.as_slice()
                && first
                && KEYWORDS.contains(&self.text[start..end].trim())
            {
                return Err(Unreadable(format!("`{}`", word.text)));
            }
        }
        Ok((end > start).then_some(Piece {
            joint: None,
            range: start..end,
            words,
            redirected,
        }))
    }

    /// `2>/dev/null`, `&>file`, `<<EOF`; nothing if what follows is a word.
    fn redirection(&mut self) -> Result<Option<Redirected>, Unreadable> {
        let digits = self.rest().find(|it: char| !it.is_ascii_digit());
        let behind = &self.rest()[digits.unwrap_or(self.rest().len())..];
        if !behind.starts_with(['<', '>']) && !self.rest().starts_with("&>") {
            return Ok(None);
        }
        self.at = self.text.len() - behind.len();
        let operator = OPERATORS.iter().find(|it| self.rest().starts_with(**it));
        let operator = operator.copied().unwrap_or(">");
        self.at += operator.len();
        self.skip();
        if self.rest().starts_with('(') {
            return Err(Unreadable("a command in the place of a file".to_owned()));
        }
        let target = self.word()?;
        let is_number = target
            .text
            .bytes()
            .all(|it| it.is_ascii_digit() || it == b'-');
        Ok(Some(match operator {
            "<<" | "<<-" => Redirected::Heredoc,
            ">&" | "<&" if is_number => Redirected::Away,
            _ if target.text == "/dev/null" => Redirected::Away,
            _ => Redirected::File,
        }))
    }

    fn word(&mut self) -> Result<Word, Unreadable> {
        let mut word = Word::default();
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' | '\u{b}' | '\u{c}' | '&' | '|' | ';' | '<' | '>' => break,
                '(' | ')' => return Err(Unreadable("a function or a group".to_owned())),
                '\\' => {
                    self.at += 1;
                    match self.take() {
                        None | Some('\n') => {}
                        Some(it) => word.text.push(it),
                    }
                }
                '\'' => {
                    self.at += 1;
                    let end = self.rest().find('\'').ok_or_else(open_quote)?;
                    word.text.push_str(&self.rest()[..end]);
                    self.at += end + 1;
                }
                '"' => self.quoted(&mut word)?,
                '$' | '`' => self.dynamic(&mut word)?,
                it => {
                    word.is_dynamic |= matches!(it, '{' | '}');
                    word.text.push(it);
                    self.at += it.len_utf8();
                }
            }
        }
        Ok(word)
    }

    /// What stands in double quotes.
    fn quoted(&mut self, word: &mut Word) -> Result<(), Unreadable> {
        self.at += 1;
        loop {
            match self.peek().ok_or_else(open_quote)? {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    self.at += 1;
                    match self.take() {
                        Some(it @ ('$' | '`' | '"' | '\\')) => word.text.push(it),
                        None | Some('\n') => {}
                        Some(it) => word.text.extend(['\\', it]),
                    }
                }
                '$' | '`' => self.dynamic(word)?,
                it => {
                    word.text.push(it);
                    self.at += it.len_utf8();
                }
            }
        }
    }

    /// A variable or what a command prints, as it is written.
    fn dynamic(&mut self, word: &mut Word) -> Result<(), Unreadable> {
        let start = self.at;
        word.is_dynamic = true;
        if self.eat("$(") {
            self.at -= 1;
            self.group()?;
        } else if self.eat("${") {
            let end = self.rest().find('}').ok_or_else(open_quote)?;
            self.at += end + 1;
        } else if self.eat("`") {
            let end = self.rest().find('`').ok_or_else(open_quote)?;
            self.at += end + 1;
        } else {
            self.at += 1;
        }
        word.text.push_str(&self.text[start..self.at]);
        Ok(())
    }

    /// From a parenthesis to the one that closes it.
    fn group(&mut self) -> Result<(), Unreadable> {
        let mut depth = 0_usize;
        loop {
            match self.take().ok_or_else(open_quote)? {
                '(' => depth += 1,
                ')' if depth == 1 => return Ok(()),
                ')' => depth -= 1,
                '\\' => {
                    self.take();
                }
                '\'' => self.at += self.rest().find('\'').ok_or_else(open_quote)? + 1,
                '"' => loop {
                    match self.take().ok_or_else(open_quote)? {
                        '"' => break,
                        '\\' => {
                            self.take();
                        }
                        _ => {}
                    }
                },
                _ => {}
            }
        }
    }
}

fn open_quote() -> Unreadable {
    Unreadable("a quote or a parenthesis that is not closed".to_owned())
}

#[cfg(test)]
mod tests;
