//! `FILE[:TYPE]`: a file, and the type of what is in it.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

/// A file, and its type if one was given.
///
/// What follows the last colon is a type if it is written as one, TYPE/SUBTYPE; else the colon
/// belongs to the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedFile {
    pub(crate) path: PathBuf,
    pub(crate) media_type: Option<String>,
    /// As it was written, without the type.
    pub(crate) text: String,
}

impl NamedFile {
    pub(super) fn of(text: &str) -> Self {
        let typed = text.rsplit_once(':').filter(|(_, it)| is_type(it));
        let (path, media_type) = match typed {
            Some((path, media_type)) if !path.is_empty() => (path, Some(media_type.to_owned())),
            _ => (text, None),
        };
        Self {
            path: path.into(),
            media_type,
            text: path.to_owned(),
        }
    }
}

impl FromStr for NamedFile {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::of(text))
    }
}

/// Whether it is written as a type is: two halves of letters, digits and few other characters. A
/// path on a Windows drive (`C:\dir/file`, `C:/dir`) is not.
fn is_type(text: &str) -> bool {
    let is_name = |half: &str| {
        let mut bytes = half.bytes();
        bytes.next().is_some_and(|it| it.is_ascii_alphanumeric())
            && bytes.all(|it| it.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&it))
    };
    text.split_once('/')
        .is_some_and(|(top, sub)| is_name(top) && is_name(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_last_colon_is_a_type_if_it_is_written_as_one() {
        for (text, path, media_type) in [
            ("a.txt", "a.txt", None),
            ("a.txt:text/plain", "a.txt", Some("text/plain")),
            (
                "./x/a:1.txt:application/vnd.x+json",
                "./x/a:1.txt",
                Some("application/vnd.x+json"),
            ),
            ("a:1.txt", "a:1.txt", None),
            ("C:/dir", "C:/dir", None),
            (
                "C:\\dir\\a.txt:text/plain",
                "C:\\dir\\a.txt",
                Some("text/plain"),
            ),
            ("a.txt:", "a.txt:", None),
            (":text/plain", ":text/plain", None),
            ("a:b/c/d", "a:b/c/d", None),
        ] {
            let it = NamedFile::of(text);
            assert_eq!(it.text, path, "{text}");
            assert_eq!(it.media_type.as_deref(), media_type, "{text}");
        }
    }
}
