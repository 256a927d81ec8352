//! Paths inside a layer: from the root of the file system, without steps.

use std::{fmt, sync::Arc};

/// The longest path, inclusive, in bytes. Longer than anything either kind of tree takes.
const MAX_BYTES: usize = 98_304;

/// Where something is in a layer: the names on the way from the root of the file
/// system (`C:\` or `/`), parted by `/`.
///
/// No component is empty, `.` or `..`, and none has a NUL, so a path never leaves the
/// root. What else a name may be depends on the system, and is checked by the
/// [`LayerTree`](crate::LayerTree).
///
/// ```
/// use longshore_wcow::LayerPath;
/// let path: LayerPath = "app/bin/hello.exe".parse()?;
/// assert_eq!(path.name(), Some("hello.exe"));
/// assert_eq!(path.parent().unwrap().join("other.exe")?.to_string(), "app/bin/other.exe");
/// assert!("app/../evil".parse::<LayerPath>().is_err());
/// # Ok::<(), longshore_wcow::LayerPathError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerPath(Arc<str>);

/// Why a text is not a path in a layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerPathError {
    /// A component is empty: the path is absolute, ends in `/` or has `//`.
    #[error("path {0:?} has an empty component: write names parted by single slashes")]
    Empty(String),
    /// A component is `.` or `..`.
    #[error("path {0:?} has a step that is no name (\".\" or \"..\")")]
    Dots(String),
    /// There is a NUL.
    #[error("path {0:?} has a NUL")]
    Nul(String),
    /// Longer than any system takes.
    #[error("a path of {0} bytes is too long: at most {MAX_BYTES}")]
    TooLong(usize),
}

// === impl LayerPath ===

impl LayerPath {
    /// The root itself.
    pub fn root() -> Self {
        Self("".into())
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path whose names were checked when they came.
    pub(crate) fn of_names(path: String) -> Self {
        Self(path.into())
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names on the way, none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|it| !it.is_empty())
    }

    /// The last name; none for the root.
    pub fn name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// What it is in; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.rfind('/').unwrap_or(0);
        self.0.get(..end).map(|it| Self(it.into()))
    }

    /// What is at `relative`, one name or several parted by `/`, below this.
    pub fn join(&self, relative: &str) -> Result<Self, LayerPathError> {
        if self.is_root() {
            return relative.parse();
        }
        check(relative)?;
        let bytes = self.0.len() + 1 + relative.len();
        if bytes > MAX_BYTES {
            return Err(LayerPathError::TooLong(bytes));
        }
        Ok(Self(format!("{}/{relative}", self.0).into()))
    }
}

fn check(text: &str) -> Result<(), LayerPathError> {
    if text.len() > MAX_BYTES {
        return Err(LayerPathError::TooLong(text.len()));
    }
    for component in text.split('/') {
        match component {
            "" => return Err(LayerPathError::Empty(text.to_owned())),
            "." | ".." => return Err(LayerPathError::Dots(text.to_owned())),
            it if it.contains('\0') => return Err(LayerPathError::Nul(text.to_owned())),
            _ => {}
        }
    }
    Ok(())
}

impl std::str::FromStr for LayerPath {
    type Err = LayerPathError;

    fn from_str(text: &str) -> Result<Self, LayerPathError> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<LayerPath, LayerPathError> {
        text.parse()
    }

    #[test]
    fn a_path_is_names_and_nothing_else() {
        for text in ["a", "a/b", "Program Files/x.txt", "...", ".a", "a\\b"] {
            assert_eq!(path(text).unwrap().as_str(), text);
        }
        let owned = |it: &str| it.to_owned();
        for text in ["", "/a", "a/", "a//b"] {
            assert_eq!(path(text), Err(LayerPathError::Empty(owned(text))));
        }
        for text in [".", "..", "a/..", "../a", "a/./b"] {
            assert_eq!(path(text), Err(LayerPathError::Dots(owned(text))));
        }
        assert_eq!(path("a\0b"), Err(LayerPathError::Nul(owned("a\0b"))));
        assert_eq!(
            path(&"x".repeat(98_305)),
            Err(LayerPathError::TooLong(98_305))
        );
        let most = path(&"x".repeat(98_304)).unwrap();
        assert_eq!(most.join("y"), Err(LayerPathError::TooLong(98_306)));
    }

    #[test]
    fn the_way_up_ends_at_the_root() {
        let it = path("a/b/c").unwrap();
        assert_eq!(it.components().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(it.name(), Some("c"));
        let up = it.parent().unwrap();
        assert_eq!(up.as_str(), "a/b");
        let root = up.parent().unwrap().parent().unwrap();
        assert_eq!(root, LayerPath::root());
        assert!(root.is_root() && root.parent().is_none() && root.name().is_none());
        assert_eq!(root.join("a/b").unwrap(), up);
        assert_eq!(up.join("c").unwrap(), it);
        assert!(up.join("..").is_err() && up.join("").is_err() && root.join("/a").is_err());
    }
}
