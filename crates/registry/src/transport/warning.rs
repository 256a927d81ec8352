//! What registries warn of: shown once, as text, and never acted on.
//!
//! A warning is `299 - "text"` and nothing else, and at most 4096 bytes an answer
//! ([specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#warnings)).
//! The text is somebody else's: what would move a terminal's cursor or turn its direction is
//! escaped, and one that repeats the credentials it was sent is dropped.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, HeaderValue, header::WARNING};

use super::{location::Origin, shown::Shown};
use crate::event::{ClientEvent, ClientObserver};

/// The most that is read of an answer's warnings, in bytes.
const MAX_BYTES: usize = 4096;
/// The most that are told of one host.
const MAX_OF_HOST: usize = 16;
/// The hosts that are told of.
const MAX_HOSTS: usize = 64;

/// Tells warnings, each once.
pub(crate) struct Warnings {
    observer: Arc<dyn ClientObserver>,
    told: Mutex<HashMap<Origin, Vec<String>>>,
}

impl Warnings {
    /// Warnings for `observer`.
    pub(crate) fn new(observer: Arc<dyn ClientObserver>) -> Self {
        Self {
            observer,
            told: Mutex::default(),
        }
    }

    /// Tells what an answer warns of to a request that showed these credentials.
    pub(crate) fn heed(&self, origin: &Origin, headers: &HeaderMap, shown: Option<&HeaderValue>) {
        if !headers.contains_key(WARNING) {
            return;
        }
        let shown = Shown::of(shown);
        let mut left = MAX_BYTES;
        for value in headers.get_all(WARNING) {
            let Some(rest) = left.checked_sub(value.len()) else {
                return;
            };
            left = rest;
            for text in texts(&String::from_utf8_lossy(value.as_bytes())) {
                if !shown.is_in(&text) && self.is_new(origin, &text) {
                    self.tell(origin, &text);
                }
            }
        }
    }

    fn is_new(&self, origin: &Origin, text: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MAX_HOSTS && !told.contains_key(origin) {
            return false;
        }
        let of_host = told.entry(origin.clone()).or_default();
        let new = of_host.len() < MAX_OF_HOST && !of_host.iter().any(|it| it == text);
        if new {
            of_host.push(text.to_owned());
        }
        new
    }

    fn tell(&self, origin: &Origin, text: &str) {
        let (host, text) = (origin.to_string(), fit_to_be_shown(text));
        tracing::info!(%host, %text, "the host warns");
        self.observer.event(&ClientEvent::Warned { host, text });
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").finish_non_exhaustive()
    }
}

/// The texts of a header's value; none from what is not of that form on.
fn texts(value: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = value.trim();
    while let Some(quoted) = rest.strip_prefix("299 - \"") {
        let Some((text, after)) = unquoted(quoted) else {
            break;
        };
        texts.push(text);
        match after.trim_start().strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.trim().is_empty() => return texts,
            // A date, which the specification does not have: the warning is not one.
            None => {
                texts.pop();
                break;
            }
        }
    }
    texts
}

/// A quoted string up to its closing quote, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut plain = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((plain, &text[at + 1..])),
            '\\' => plain.push(characters.next()?.1),
            other => plain.push(other),
        }
    }
    None
}

/// The same with what acts on a terminal written out.
fn fit_to_be_shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use url::Url;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl ClientObserver for Told {
        fn event(&self, event: &ClientEvent) {
            if let ClientEvent::Warned { host, text } = event {
                self.0.lock().unwrap().push(format!("{host}: {text}"));
            }
        }
    }

    fn heeded(values: &[&[u8]], shown: Option<&str>) -> Vec<String> {
        let told = Arc::new(Told::default());
        let warnings = Warnings::new(told.clone());
        let origin = Origin::of(&Url::parse("https://r.test").unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WARNING, HeaderValue::from_bytes(value).unwrap());
        }
        let shown = shown.map(|it| HeaderValue::from_str(it).unwrap());
        for _ in 0..3 {
            warnings.heed(&origin, &headers, shown.as_ref());
        }
        std::mem::take(&mut *told.0.lock().unwrap())
    }

    #[test]
    fn r10_only_299_with_a_dash_is_a_warning() {
        let cases: [(&[u8], &[&str]); 12] = [
            (br#"299 - "soon gone""#, &["soon gone"]),
            (br#"299 - "one", 299 - "two""#, &["one", "two"]),
            (br#"299 - "a \"b\" \\ c""#, &[r#"a "b" \ c"#]),
            (br#"  299 - "padded"  "#, &["padded"]),
            (br#"199 - "other code""#, &[]),
            (br#"299 host "other agent""#, &[]),
            (br#"299 - "dated" "Sat, 25 Aug 2012 23:34:45 GMT""#, &[]),
            (br#"299 - "open"#, &[]),
            (br#"299 - "open \"#, &[]),
            (b"299 - unquoted", &[]),
            (br#"299 - "kept", 199 - "not""#, &["kept"]),
            (b"", &[]),
        ];
        for (value, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|it| format!("https://r.test: {it}"))
                .collect();
            let shown = String::from_utf8_lossy(value);
            assert_eq!(heeded(&[value], None), expected, "{shown}");
        }
    }

    #[test]
    fn r10_warnings_are_bounded_in_bytes_and_number() {
        let long = |bytes: usize| format!("299 - \"{}\"", "x".repeat(bytes - 8)).into_bytes();
        assert_eq!(heeded(&[&long(4096)], None).len(), 1);
        assert_eq!(heeded(&[&long(4097)], None).len(), 0);
        assert_eq!(heeded(&[&long(4000), &long(97)], None).len(), 1);
        let many: Vec<_> = (0..100).map(|n| format!("299 - \"{n}\"")).collect();
        let many: Vec<_> = many.iter().map(String::as_bytes).collect();
        assert_eq!(heeded(&many, None).len(), MAX_OF_HOST);
    }

    #[test]
    fn r10_what_acts_on_a_terminal_is_written_out() {
        let told = heeded(&["299 - \"a\u{202e}b\tc\u{85}\"".as_bytes()], None);
        assert_eq!(told, [r"https://r.test: a\u{202e}b\u{9}c\u{85}"]);
    }

    #[test]
    fn r10_a_warning_that_repeats_the_credentials_is_dropped() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("alice:canary"));
        let text = format!("299 - \"you sent {basic}\"");
        for (warning, shown) in [
            ("299 - \"your token is canary\"", "Bearer canary"),
            ("299 - \"your password is canary\"", basic.as_str()),
            (text.as_str(), basic.as_str()),
        ] {
            assert!(heeded(&[warning.as_bytes()], Some(shown)).is_empty());
            assert_eq!(heeded(&[warning.as_bytes()], Some("Bearer other")).len(), 1);
        }
    }
}
