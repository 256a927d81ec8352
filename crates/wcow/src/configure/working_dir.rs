//! Where an instruction leads that changes the working directory.
//!
//! On Windows the classic spelling: an upper-case drive, a colon, backslashes.
//! `a` → `C:\a`; `/foo` → `C:\foo`; `C:/foo`, then `bar` → `C:\foo\bar`; then `\baz` → `C:\baz`.

use super::ConfigureError;
use crate::dockerfile::TargetOs;

/// The directory that `requested` is, seen from `current`; that may be empty.
pub(crate) fn joined(
    os: TargetOs,
    current: &str,
    requested: &str,
) -> Result<String, ConfigureError> {
    if requested.is_empty() {
        return Err(ConfigureError::Empty("WORKDIR"));
    }
    match os {
        TargetOs::Windows => windows(current, requested),
        TargetOs::Linux => Ok(linux(current, requested)),
    }
}

/// A directory as a path in a layer: without drive, its names parted by slashes.
pub(crate) fn in_layer(directory: &str) -> String {
    let rest = match directory.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => directory[2..].replace('\\', "/"),
        _ => directory.to_owned(),
    };
    rest.trim_matches('/').to_owned()
}

fn windows(current: &str, requested: &str) -> Result<String, ConfigureError> {
    let refused = |reason| ConfigureError::WorkDir {
        path: requested.to_owned(),
        reason,
    };
    let separator = |it: char| matches!(it, '/' | '\\');
    if requested.starts_with(r"\\") || requested.starts_with("//") {
        return Err(refused("a container has no network shares"));
    }
    let (rest, on_drive) = match requested.as_bytes() {
        [b'c' | b'C', b':', ..] => (&requested[2..], true),
        [letter, b':', ..] if letter.is_ascii_alphabetic() => {
            return Err(refused("a container has the drive C: only"));
        }
        _ => (requested, false),
    };
    if on_drive && matches!(rest, "" | ".") {
        return Err(refused(r"a drive is no directory: write C:\"));
    }
    let base = if rest.starts_with(separator) {
        ""
    } else {
        // A base may spell its own without a drive.
        match current.as_bytes() {
            [_, b':', ..] => &current[2..],
            _ => current,
        }
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split(separator).chain(rest.split(separator)) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part if part.contains(['<', '>', ':', '"', '|', '?', '*']) => {
                return Err(refused("no name may have one of <>:\"|?* in it"));
            }
            part => parts.push(part),
        }
    }
    Ok(format!(r"C:\{}", parts.join(r"\")))
}

fn linux(current: &str, requested: &str) -> String {
    let base = if requested.starts_with('/') {
        ""
    } else {
        current
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(requested.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_join_in_the_classic_windows_spelling() {
        for (current, requested, expected) in [
            ("", "a", r"C:\a"),
            ("", r"c:\foo", r"C:\foo"),
            ("", r"\foo", r"C:\foo"),
            ("", "/foo", r"C:\foo"),
            (r"C:\foo", "bar", r"C:\foo\bar"),
            (r"C:\foo", r"\bar", r"C:\bar"),
            (r"C:\foo", "c:/bar", r"C:\bar"),
            (r"C:\foo", "c:bar", r"C:\foo\bar"),
            (r"C:\foo", r"..\bar\.\x\", r"C:\bar\x"),
            (r"C:\foo", "../../..", r"C:\"),
            (r"C:\", "bar", r"C:\bar"),
            // A base that spells its own another way.
            ("c:/old/", "bar", r"C:\old\bar"),
            (r"\app", "bar", r"C:\app\bar"),
            ("/app", "bar", r"C:\app\bar"),
            ("app", "bar", r"C:\app\bar"),
            ("a", "bar", r"C:\a\bar"),
            ("é", "bar", r"C:\é\bar"),
            ("", r"C:\", r"C:\"),
        ] {
            let it = joined(TargetOs::Windows, current, requested);
            assert_eq!(it.unwrap(), expected, "{current} {requested}");
        }
    }

    #[test]
    fn what_is_no_directory_of_a_container_is_refused() {
        for requested in [
            "",
            "C:",
            "c:.",
            r"D:\app",
            r"\\server\share",
            "//server/x",
            "a:b",
            "a*",
        ] {
            let it = joined(TargetOs::Windows, r"C:\foo", requested);
            assert!(it.is_err(), "{requested}: {it:?}");
        }
    }

    #[test]
    fn a_directory_has_a_place_in_a_layer() {
        for (directory, expected) in [
            (r"C:\", ""),
            (r"C:\a\b", "a/b"),
            ("/", ""),
            (r"/a\b/c", r"a\b/c"),
        ] {
            assert_eq!(in_layer(directory), expected);
        }
    }

    #[test]
    fn directories_of_linux_join_with_slashes() {
        for (current, requested, expected) in [
            ("", "a", "/a"),
            ("/foo", "bar", "/foo/bar"),
            ("/foo", "/bar/", "/bar"),
            ("/foo", "../..", "/"),
            ("/", r"a\b", r"/a\b"),
        ] {
            assert_eq!(
                joined(TargetOs::Linux, current, requested).unwrap(),
                expected
            );
        }
    }
}
