//! The names in one directory, in the order of their bytes.

use cap_std::fs::Dir;

use super::{ContextError, at, failed, joined};

/// How many entries one directory may have, inclusive.
pub(super) const MAX_CHILDREN: usize = 200_000;

/// Names, all in one text, and whether each is a symbolic link.
pub(super) struct Listed {
    text: String,
    names: Vec<(u32, u16, bool)>,
}

/// Reads a directory.
pub(super) fn listed(context: &Dir, directory: &str) -> Result<Listed, ContextError> {
    let read = context.read_dir(at(directory));
    let entries = read.map_err(|it| failed(directory, "list", it))?;
    let mut listed = Listed {
        text: String::new(),
        names: Vec::new(),
    };
    for entry in entries {
        let entry = entry.map_err(|it| failed(directory, "list", it))?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| ContextError::NotUtf8 {
            directory: directory.to_owned(),
            name: name.to_string_lossy().into_owned(),
        })?;
        let kind = entry.file_type();
        let kind = kind.map_err(|it| failed(&joined(directory, &name), "look at", it))?;
        // A name has at most a few hundred bytes, whatever the system.
        let (Ok(start), Ok(length)) = (listed.text.len().try_into(), name.len().try_into()) else {
            return Err(ContextError::TooMany(directory.to_owned()));
        };
        if listed.names.len() == MAX_CHILDREN {
            return Err(ContextError::TooMany(directory.to_owned()));
        }
        listed.text.push_str(&name);
        listed.names.push((start, length, kind.is_symlink()));
    }
    let Listed { text, names } = &mut listed;
    names.sort_unstable_by(|a, b| named(text, *a).cmp(named(text, *b)));
    Ok(listed)
}

fn named(text: &str, (start, length, _): (u32, u16, bool)) -> &str {
    let start = start as usize;
    text.get(start..start + usize::from(length))
        .unwrap_or_default()
}

impl Listed {
    /// Each name, and whether it is a symbolic link.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (String, bool)> {
        let Self { text, names } = self;
        names
            .into_iter()
            .map(move |it| (named(&text, it).to_owned(), it.2))
    }
}
