//! Patterns for names, as Go's [`filepath.Match`](https://pkg.go.dev/path/filepath#Match)
//! has them: `*`, `?`, `[a-z]`, `[^a-z]` and `\`.
//!
//! They become regular expressions, whose matching is linear and whose size is bounded.

use regex::{Regex, RegexBuilder};

/// How large one compiled pattern may get, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// The longest pattern, in bytes, inclusive.
const MAX_PATTERN_BYTES: usize = 4096;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern: close each [ with ], with something in between, and put \\ before what it is to escape"
)]
pub struct PatternError(pub(crate) String);

/// A pattern for one name.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Regex);

/// Part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Token {
    /// `*`
    Any,
    /// `**`, and the slash behind it if there is one.
    AnyDirectories {
        /// Whether there is.
        slash: bool,
    },
    /// `?`
    One,
    /// `[…]`, as a regular expression has it.
    Class(String),
    /// Itself.
    Letter {
        it: char,
        /// Whether a `\` stood before it.
        escaped: bool,
    },
}

/// Whether a text has wildcards in it. `escapes` says whether `\` is one.
pub(crate) fn has_wildcards(text: &str, escapes: bool) -> bool {
    text.contains(['*', '?', '[']) || escapes && text.contains('\\')
}

impl Glob {
    /// Reads a pattern for one name; there is no slash in it.
    pub(crate) fn new(text: &str) -> Result<Self, PatternError> {
        let mut regex = String::from("^");
        for token in tokens(text)? {
            match token {
                Token::Any | Token::AnyDirectories { .. } => regex.push_str("[^/]*"),
                Token::One => regex.push_str("[^/]"),
                Token::Class(it) => regex.push_str(&it),
                Token::Letter { it, .. } => push_letter(&mut regex, it),
            }
        }
        regex.push('$');
        compiled(&regex, text).map(Self)
    }

    /// Whether a name is one of those.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

pub(super) fn push_letter(regex: &mut String, it: char) {
    regex.push_str(&regex::escape(it.encode_utf8(&mut [0; 4])));
}

pub(super) fn compiled(regex: &str, pattern: &str) -> Result<Regex, PatternError> {
    let built = RegexBuilder::new(regex)
        .dot_matches_new_line(true)
        .size_limit(MAX_COMPILED_BYTES)
        .build();
    built.map_err(|_| PatternError(pattern.to_owned()))
}

/// Takes a pattern apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, PatternError> {
    let error = || PatternError(text.chars().take(256).collect());
    if text.len() > MAX_PATTERN_BYTES {
        return Err(error());
    }
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        tokens.push(match letter {
            '*' if letters.next_if_eq(&'*').is_some() => Token::AnyDirectories {
                slash: letters.next_if_eq(&'/').is_some(),
            },
            '*' => Token::Any,
            '?' => Token::One,
            '[' => Token::Class(class(&mut letters).ok_or_else(error)?),
            '\\' => Token::Letter {
                it: letters.next().ok_or_else(error)?,
                escaped: true,
            },
            it => Token::Letter { it, escaped: false },
        });
    }
    Ok(tokens)
}

/// What follows `[`, written so that nothing in it means something else.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut class = String::from("[");
    if letters.next_if_eq(&'^').is_some() {
        class.push('^');
    }
    let (mut count, mut some) = (0, false);
    loop {
        if count > 0 && letters.next_if_eq(&']').is_some() {
            break;
        }
        let low = class_letter(letters)?;
        let high = match letters.next_if_eq(&'-') {
            Some(_) => class_letter(letters)?,
            None => low,
        };
        // Turned round, a range has nothing in it.
        if low <= high {
            some = true;
            for (it, between) in [(low, "-"), (high, "")] {
                class.push_str(&format_escape(it));
                class.push_str(between);
            }
        }
        count += 1;
    }
    class.push(']');
    if some {
        return Some(class);
    }
    // No letter at all, or any.
    Some(
        if class.starts_with("[^") {
            "."
        } else {
            r"[^\x{0}-\x{10FFFF}]"
        }
        .to_owned(),
    )
}

fn format_escape(it: char) -> String {
    format!("\\x{{{:x}}}", u32::from(it))
}

fn class_letter(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match letters.next()? {
        '-' | ']' => None,
        '\\' => letters.next(),
        it => Some(it),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn b5_names_match_as_in_go() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("*x", "xxx", true),
            ("a.c", "abc", false),
            ("[z-a]", "m", false),
            ("[a&&b]", "&", true),
        ] {
            let found = Glob::new(pattern).unwrap().matches(name);
            assert_eq!(found, expected, "{pattern} {name}");
        }
        for bad in [
            "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\",
        ] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic(pattern in "[]a-c*?^\\\\é/\\[-]{0,24}", name in "[a-c]{0,8}") {
            if let Ok(glob) = Glob::new(&pattern) {
                let _ = glob.matches(&name);
            }
        }
    }
}
