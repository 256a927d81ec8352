//! What `ADD` says of places elsewhere, and the port for whoever downloads.

use std::{error::Error, fmt, io::Write};

/// Downloads. There is no client in this crate: whoever builds brings one.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// Writes what an `https` URL has to `to`, and stops with an error at more than `limit`
    /// bytes. May block. Redirects lead to `https` only. An error does not hold the URL, whose
    /// query may be a secret.
    fn fetch(&self, url: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<(), FetchError>;
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The server answered something else than 200.
    #[error("the server answered {0}")]
    Status(u16),
    /// There is more than was wanted.
    #[error("it is longer than {0} bytes")]
    TooLarge(u64),
    /// Anything else.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
}

fn scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_one = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.');
    (!scheme.is_empty() && scheme.bytes().all(is_one)).then(|| (scheme.to_ascii_lowercase(), rest))
}

/// A URL without what may be secret: user, password, query and fragment. Anything else as it
/// is.
pub(super) fn redacted(source: &str) -> String {
    let Some((_, rest)) = scheme(source) else {
        return source.to_owned();
    };
    let before = &source[..source.len() - rest.len()];
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = authority(rest);
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{before}{host}{}", &rest[authority.len()..])
}

/// An instruction as it may be shown: its URLs without what may be secret.
pub(crate) fn shown(mut text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    while let Some(at) = text.find("://") {
        let is_scheme = |it: char| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.');
        let start = text[..at].trim_end_matches(is_scheme).len();
        let ends = |it: char| it.is_whitespace() || matches!(it, '"' | '\'');
        let end = text[at..].find(ends).map_or(text.len(), |it| at + it);
        all.push_str(&text[..start]);
        all.push_str(&redacted(&text[start..end]));
        text = &text[end..];
    }
    all + text
}

/// Whether a source is a URL with a user or a password in it.
pub(super) fn has_credentials(source: &str) -> bool {
    scheme(source).is_some_and(|it| authority(it.1).contains('@'))
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether a source is elsewhere.
pub(super) fn is_remote(source: &str) -> bool {
    is_git(source) || scheme(source).is_some_and(|it| matches!(it.0.as_str(), "http" | "https"))
}

/// Whether a source is a URL that is read without TLS.
pub(super) fn is_plain(source: &str) -> bool {
    scheme(source).is_some_and(|it| it.0 == "http")
}

/// Whether a source is a git repository.
pub(super) fn is_git(source: &str) -> bool {
    if source.starts_with("git@") {
        return true;
    }
    scheme(source).is_some_and(|(scheme, rest)| match scheme.as_str() {
        "git" | "ssh" | "git+ssh" => true,
        "http" | "https" => path(rest).strip_suffix(".git").is_some(),
        _ => false,
    })
}

/// The path of what follows `://`, without its query.
fn path(rest: &str) -> &str {
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    rest[..end].split_once('/').map_or("", |it| it.1)
}

/// What a file is called that comes from a URL.
pub(super) fn name(url: &str) -> String {
    let path = scheme(url).map_or("", |it| path(it.1));
    let last = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    match decoded(last) {
        Some(name) if !matches!(name.as_str(), "" | "." | "..") && !name.contains('/') => name,
        _ => "__unnamed__".to_owned(),
    }
}

/// `%20` and the like replaced.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b8_a_url_names_the_file_that_comes_from_it() {
        for (url, expected) in [
            ("https://a.example/b/c.zip", "c.zip"),
            ("https://a.example/b/c.zip?x=/y#z", "c.zip"),
            ("https://a.example/b%20c", "b c"),
            ("https://a.example/b/", "b"),
            ("https://a.example/", "__unnamed__"),
            ("https://a.example", "__unnamed__"),
            ("https://a.example/a/%2e%2e", "__unnamed__"),
            ("https://a.example/a%2fb", "__unnamed__"),
            ("https://a.example/%zz", "__unnamed__"),
        ] {
            assert_eq!(name(url), expected, "{url}");
        }
    }

    #[test]
    fn an_instruction_is_shown_without_the_secrets_of_its_urls() {
        for (text, expected) in [
            ("COPY a b", "COPY a b"),
            ("ADD https://h/a?t=s /b", "ADD https://h/a /b"),
            ("ADD https://u:p@h/a?t=s#f\t/b", "ADD https://h/a\t/b"),
            (
                r#"ADD ["https://u:p@h/a?t", "/b?c"]"#,
                r#"ADD ["https://h/a", "/b?c"]"#,
            ),
            (
                "ADD https://u@h/a https://v@h/b?x /",
                "ADD https://h/a https://h/b /",
            ),
            ("ENV A=https://u:p@h", "ENV A=https://h"),
            ("ADD :// x://", "ADD :// x://"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn what_may_be_secret_is_cut_out_of_a_url() {
        for (url, expected, has) in [
            ("https://a.example/b", "https://a.example/b", false),
            ("https://u:p@a.example:1/b", "https://a.example:1/b", true),
            ("https://u@a@b.example", "https://b.example", true),
            ("HTTPS://h/a@b?c#d", "HTTPS://h/a@b", false),
            ("https://h?u@x", "https://h", false),
            ("ssh://git@h/b", "ssh://h/b", true),
            ("a@b/c?d", "a@b/c?d", false),
        ] {
            assert_eq!(redacted(url), expected, "{url}");
            assert_eq!(has_credentials(url), has, "{url}");
        }
    }

    #[test]
    fn git_repositories_are_known_by_their_form() {
        for git in [
            "git@github.com:a/b.git",
            "git://a/b",
            "ssh://git@a/b",
            "https://github.com/a/b.git",
            "https://github.com/a/b.git#v1:dir",
        ] {
            assert!(is_git(git), "{git}");
        }
        for other in [
            "https://a/b.gitx",
            "b.git",
            "https://a/b?c=d.git",
            "C:/a",
            "git",
        ] {
            assert!(!is_git(other), "{other}");
        }
        assert!(is_remote("HTTPS://a/b") && is_plain("http://a/b") && !is_remote("ftp.txt"));
    }
}
