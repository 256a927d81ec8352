//! Logical lines: parser directives, comments, continued lines and here-documents.
//!
//! A line goes on where its last character but blanks is the escape character, unless
//! another one stands before that. Comments and empty lines in between are left out.

use std::ops::Range;

use super::{
    DockerfileErrorKind as Kind, MAX_FILE_BYTES, MAX_HEREDOC_BYTES, MAX_INSTRUCTIONS,
    MAX_LINE_BYTES,
    error::At,
    expand::{self, Lexer},
};

/// A file, taken apart into lines.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) escape: char,
    pub(super) lines: Vec<Logical>,
}

/// A line with those that continue it, and what follows it as here-documents.
#[derive(Debug)]
pub(crate) struct Logical {
    /// The first line, counted from 1.
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) heredocs: Vec<Body>,
    /// Whether an empty line stands between those that are joined.
    pub(super) has_gap: bool,
    /// Where all of it stands in the file, in bytes, here-documents and the last line's end
    /// included.
    pub(crate) range: Range<usize>,
    /// Where the joined pieces of the text come from.
    pub(crate) places: Places,
}

/// A here-document.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(super) start: Start,
    pub(super) content: String,
    /// Where its lines stand in the file, in bytes, without the one that ends it.
    pub(crate) range: Range<usize>,
}

/// What `<<` announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(super) name: String,
    pub(super) chomp: bool,
    pub(super) expand: bool,
}

/// Where the pieces that a joined text is made of stand in the file: the first byte of each in
/// the text, and the same one in the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<(usize, usize)>);

impl Places {
    /// The places of a text that is a part of the file, from `at` on.
    pub(crate) fn whole(at: usize) -> Self {
        Self(vec![(0, at)])
    }

    /// Where a byte of the text stands in the file.
    pub(crate) fn of(&self, at: usize) -> usize {
        let next = self.0.partition_point(|(text, _)| *text <= at);
        let piece = next.checked_sub(1).and_then(|it| self.0.get(it));
        piece.map_or(at, |(text, file)| file + (at - text))
    }

    /// Where a part of the text that is not empty stands in the file.
    pub(crate) fn range(&self, part: &Range<usize>) -> Range<usize> {
        self.of(part.start)..self.of(part.end.saturating_sub(1)) + 1
    }
}

/// Takes a file apart.
pub(super) fn read(bytes: &[u8]) -> Result<Lines, At> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(too_large(1, "the file is", MAX_FILE_BYTES));
    }
    let text = std::str::from_utf8(bytes).map_err(|it| {
        let before = &bytes[..it.valid_up_to()];
        At::new(before.split(|it| *it == b'\n').count(), Kind::NotUtf8)
    })?;
    let whole = text.len();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = directives(text)?;
    let mut reader = Reader {
        rest: text.split_inclusive('\n').enumerate(),
        escape,
        number: 0,
        at: whole - text.len(),
        next: whole - text.len(),
    };
    let mut lines = Vec::new();
    while let Some(line) = reader.logical()? {
        if lines.len() == MAX_INSTRUCTIONS {
            return Err(too_large(
                line.number,
                "the instructions are",
                MAX_INSTRUCTIONS,
            ));
        }
        lines.push(line);
    }
    Ok(Lines { escape, lines })
}

fn too_large(line: usize, what: &'static str, limit: usize) -> At {
    At::new(line, Kind::TooLarge { what, limit })
}

/// The escape character that the first lines choose. `syntax` and `check` are known, and
/// change nothing.
fn directives(text: &str) -> Result<char, At> {
    let (mut escape, mut seen) = (None, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let Some((key, value)) = directive(line) else {
            break;
        };
        let key = key.to_ascii_lowercase();
        if !matches!(key.as_str(), "escape" | "syntax" | "check") {
            break;
        }
        if seen.contains(&key) {
            let text = format!("parser directive {key:?} is given twice: keep one");
            return Err(At::new(index + 1, Kind::Directive(text)));
        }
        if key == "escape" {
            escape = Some(match value {
                "\\" => '\\',
                "`" => '`',
                other => {
                    let text = format!("the escape character {other:?} is neither \\ nor `");
                    return Err(At::new(index + 1, Kind::Directive(text)));
                }
            });
        }
        seen.push(key);
    }
    Ok(escape.unwrap_or('\\'))
}

/// `# key = value`.
fn directive(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_name = key.starts_with(|it: char| it.is_ascii_alphabetic())
        && key.bytes().all(|it| it.is_ascii_alphanumeric());
    (is_name && !value.is_empty()).then_some((key, value))
}

struct Reader<'a> {
    rest: std::iter::Enumerate<std::str::SplitInclusive<'a, char>>,
    escape: char,
    number: usize,
    /// Where the line that was read last begins, in bytes, and the one behind it.
    at: usize,
    next: usize,
}

impl<'a> Reader<'a> {
    fn physical(&mut self) -> Option<&'a str> {
        let (index, line) = self.rest.next()?;
        self.number = index + 1;
        self.at = self.next;
        self.next += line.len();
        Some(line)
    }

    /// The next line that is more than a comment.
    fn logical(&mut self) -> Result<Option<Logical>, At> {
        while let Some(whole) = self.physical() {
            let line = whole.trim_start();
            let indent = whole.len() - line.len();
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let start = self.at;
            let mut found = Logical {
                number: self.number,
                text: String::new(),
                heredocs: Vec::new(),
                has_gap: false,
                range: start..start,
                places: Places::default(),
            };
            self.join(line, start + indent, &mut found)?;
            if found.text.trim().is_empty() {
                continue;
            }
            self.bodies(&mut found)?;
            found.range.end = self.next;
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Puts a line, which stands at a byte of the file, and those that continue it together.
    fn join(&mut self, first: &str, at: usize, found: &mut Logical) -> Result<(), At> {
        let (mut line, mut at) = (first, at);
        loop {
            let continued = continued(line, self.escape);
            found.places.0.push((found.text.len(), at));
            found.text.push_str(continued.unwrap_or(line));
            if found.text.len() > MAX_LINE_BYTES {
                return Err(too_large(found.number, "the line is", MAX_LINE_BYTES));
            }
            if continued.is_none() {
                return Ok(());
            }
            line = loop {
                let Some(next) = self.physical() else {
                    return Ok(());
                };
                let next = next.trim_end_matches(['\r', '\n']);
                if next.trim_start().is_empty() {
                    found.has_gap = true;
                } else if !next.trim_start().starts_with('#') {
                    at = self.at;
                    break next;
                }
            };
        }
    }

    /// Reads the here-documents that a line announces.
    fn bodies(&mut self, found: &mut Logical) -> Result<(), At> {
        if !takes_heredocs(&found.text) || !found.text.contains("<<") {
            return Ok(());
        }
        for start in starts(&found.text) {
            let mut content = String::new();
            let begins = self.next;
            loop {
                let Some(line) = self.physical() else {
                    return Err(At::new(found.number, Kind::UnterminatedHeredoc(start.name)));
                };
                let mut end = line.trim_end_matches(['\r', '\n']);
                let mut kept = line;
                if start.chomp {
                    end = end.trim_start_matches('\t');
                    kept = line.trim_start_matches('\t');
                }
                if end == start.name {
                    break;
                }
                content.push_str(kept);
                if content.len() > MAX_HEREDOC_BYTES {
                    return Err(too_large(
                        found.number,
                        "the here-document is",
                        MAX_HEREDOC_BYTES,
                    ));
                }
            }
            let range = begins..self.at;
            found.heredocs.push(Body {
                start,
                content,
                range,
            });
        }
        Ok(())
    }
}

/// The line without what says that it goes on, if it does.
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

/// Whether an instruction may have here-documents.
fn takes_heredocs(line: &str) -> bool {
    let is = |word: &str, names: &[&str]| names.iter().any(|it| word.eq_ignore_ascii_case(it));
    let mut words = line.split_whitespace();
    let first = words.next().unwrap_or_default();
    let takes = ["ADD", "COPY", "RUN"];
    is(first, &takes)
        || is(first, &["ONBUILD"]) && words.next().is_some_and(|second| is(second, &takes))
}

/// Whether a line announces here-documents.
pub(super) fn has_heredocs(line: &str) -> bool {
    !starts(line).is_empty()
}

/// The here-documents that a line announces. A line whose quotes do not match has none.
fn starts(line: &str) -> Vec<Start> {
    let words = Lexer::raw(line).words().unwrap_or_default();
    words.iter().filter_map(|it| start(it)).collect()
}

/// What one word announces: `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`.
pub(super) fn start(word: &str) -> Option<Start> {
    let rest = word.trim_start_matches(|it: char| it.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let quotes = |it: &str| it.matches(['\'', '"']).count();
    let mut bare = Lexer::unset(rest).words().ok()?;
    let name = bare.pop()?;
    if !bare.is_empty() || name.contains(['/', '\n']) {
        return None;
    }
    let expand = quotes(&name) == quotes(rest);
    Some(Start {
        name,
        chomp,
        expand,
    })
}

/// What an unquoted here-document says once its variables are replaced is one word, quotes
/// being letters like any other.
pub(super) fn heredoc_text(
    content: &str,
    variables: &dyn expand::Variables,
) -> Result<String, expand::ExpandError> {
    Lexer::heredoc(content, variables).word()
}
