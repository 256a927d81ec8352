//! What types and names of an artifact may be. Pure.

use std::path::{Component, Path};

use super::ArtifactError;

/// How long either half of a media type is at most.
const MAX_NAME: usize = 127;

/// How long a path is at most that any system takes, in bytes.
const MAX_TITLE: usize = 4096;

/// Whether `text` is a media type
/// ([RFC 6838, 4.2](https://www.rfc-editor.org/rfc/rfc6838#section-4.2)).
pub(super) fn check_type(what: &'static str, text: &str) -> Result<(), ArtifactError> {
    let halves = text.split_once('/');
    if halves.is_some_and(|(top, sub)| is_restricted(top) && is_restricted(sub)) {
        return Ok(());
    }
    Err(ArtifactError::Type {
        what,
        text: text.chars().take(2 * MAX_NAME).collect(),
    })
}

fn is_restricted(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= MAX_NAME
        && bytes.next().is_some_and(|it| it.is_ascii_alphanumeric())
        && bytes.all(|it| it.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&it))
}

/// The name of the file at `path`: the one it is `given`, or its last component.
///
/// It has to stay within the directory that somebody fetches it to.
pub(super) fn title(path: &Path, given: Option<&String>) -> Result<String, ArtifactError> {
    let fault = |title: &str, reason| ArtifactError::Title {
        path: path.to_owned(),
        title: title.to_owned(),
        reason,
    };
    let last = path.file_name();
    let own = last.map(|it| it.to_str().ok_or(it));
    let title = match (given, own) {
        (Some(given), _) => given.as_str(),
        (None, Some(Ok(own))) => own,
        (None, Some(Err(own))) => return Err(fault(&own.to_string_lossy(), "it is not UTF-8")),
        (None, None) => return Err(fault("", "the path has no last component")),
    };
    match fault_of(title) {
        Some(reason) => Err(fault(title, reason)),
        None => Ok(title.to_owned()),
    }
}

/// Why a file cannot be written under this name below a directory; nothing if it can, on any
/// system.
pub(crate) fn fault_of(title: &str) -> Option<&'static str> {
    if title.is_empty() {
        return Some("it is empty");
    }
    if title.chars().any(char::is_control) {
        return Some("it has a control character in it");
    }
    if title.len() > MAX_TITLE {
        return Some("it is longer than 4096 bytes");
    }
    if title.ends_with(['/', '\\']) {
        return Some("it is the name of a directory");
    }
    // `C:x` and `C:\x` are not below any directory on Windows, nor is `\x`.
    let drive = title.as_bytes().get(1) == Some(&b':') && title.as_bytes()[0].is_ascii_alphabetic();
    let parts = Path::new(title).components();
    let rooted = title.starts_with('/') || title.starts_with('\\') || drive;
    let mut parts = parts.peekable();
    if rooted || parts.peek().is_none() {
        return Some("it is not relative to a directory");
    }
    let leads_up = title.split(['/', '\\']).any(|part| part == "..");
    if leads_up || parts.any(|it| !matches!(it, Component::Normal(_))) {
        return Some("it has a component that is no name, as .. is");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_two_halves_of_restricted_names() {
        for right in [
            "text/plain",
            "application/vnd.a-b_c.v1+json",
            "a/b",
            "x/1!#$&^",
        ] {
            assert!(check_type("type", right).is_ok(), "{right}");
        }
        let long = format!("a/{}", "b".repeat(MAX_NAME + 1));
        for wrong in [
            "", "text", "/", "a/", "/b", "a/b/c", "a/b;c=d", "a b/c", "é/a", ".a/b", &long,
        ] {
            assert!(check_type("type", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_the_last_component_and_never_leads_out_of_a_directory() {
        for path in ["/a/b/report.json", "report.json", "../report.json"] {
            assert_eq!(
                title(Path::new(path), None).unwrap(),
                "report.json",
                "{path}"
            );
        }
        for path in ["/", "..", "a/.."] {
            assert!(title(Path::new(path), None).is_err(), "{path}");
        }
        for right in ["a", "a/b.txt", ".a", "a..b", "ab:c"] {
            assert_eq!(fault_of(right), None, "{right}");
        }
        for wrong in [
            "",
            "/a",
            "..",
            "../a",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "C:a",
            "a:b",
            "c:\\a",
            "\\a",
            "a\\..\\b",
            "a\0b",
            "a\nb",
            "a/",
            "a\\",
            &"a/b".repeat(1366),
        ] {
            assert!(fault_of(wrong).is_some(), "{wrong:?}");
        }
    }
}
