//! What may be put into a tree: names, how deep and how long paths are, and what may take the place
//! of what.

use super::{
    Entry, EntryKind, LINUX_NAME_BYTES, LINUX_PATH_BYTES, MAX_DEPTH, Meta, NameRules, Origin,
    TreeError, TreeWarning,
};
use crate::{
    LayerPath,
    names::{self, NameFault},
};

/// Whether `kind` may take the place of `old`, which was asked for as `asked`.
pub(super) fn replaces(
    old: &Entry,
    asked: &LayerPath,
    path: &LayerPath,
    kind: &EntryKind,
    meta: &Meta,
) -> Result<(), TreeError> {
    let directory = matches!(kind, EntryKind::Directory { .. });
    if directory != old.is_directory() {
        return Err(TreeError::Conflict {
            origin: meta.origin.clone(),
            new: kind.noun(),
            path: old.path.clone(),
            old: old.kind.noun(),
            earlier: old.meta.origin.clone(),
        });
    }
    let once = old.meta.origin.instruction() == meta.origin.instruction();
    if !directory && once && asked != path {
        return Err(TreeError::CaseCollision {
            origin: meta.origin.clone(),
            earlier: old.meta.origin.clone(),
            path: old.path.clone(),
        });
    }
    Ok(())
}

/// How many names there are.
pub(super) fn check_depth(path: &LayerPath, origin: &Origin) -> Result<usize, TreeError> {
    let depth = path.components().count();
    if depth > MAX_DEPTH {
        return Err(TreeError::TooDeep {
            origin: origin.clone(),
            depth,
        });
    }
    Ok(depth)
}

/// The first `known` names are in the tree already: whatever is to be said of them was.
pub(super) fn check_windows(
    path: &LayerPath,
    rules: NameRules,
    origin: &Origin,
    known: usize,
) -> Result<Vec<TreeWarning>, TreeError> {
    let mut warnings = Vec::new();
    for name in path.components().skip(known) {
        let Some(fault) = names::check(name) else {
            continue;
        };
        let (origin, name) = (origin.clone(), name.to_owned());
        if fault.is_fatal() || rules == NameRules::Strict {
            return Err(TreeError::Name {
                origin,
                name,
                fault,
            });
        }
        warnings.push(TreeWarning::Name {
            origin,
            name,
            fault,
        });
    }
    // As it is opened: with the drive and its root.
    let units = r"C:\".len() + names::units(path.as_str());
    if units > names::MAX_PATH_UNITS {
        return Err(TreeError::PathTooLong {
            origin: origin.clone(),
            length: units,
            most: names::MAX_PATH_UNITS,
            unit: "UTF-16 units",
        });
    }
    if units > names::LEGACY_PATH_UNITS {
        warnings.push(TreeWarning::LongPath {
            origin: origin.clone(),
            units,
        });
    }
    Ok(warnings)
}

pub(super) fn check_linux(path: &LayerPath, origin: &Origin) -> Result<(), TreeError> {
    if let Some(name) = path.components().find(|it| it.starts_with(names::WHITEOUT)) {
        return Err(TreeError::Name {
            origin: origin.clone(),
            name: name.to_owned(),
            fault: NameFault::Whiteout,
        });
    }
    let mut longest = path.components().map(|it| (it.len(), LINUX_NAME_BYTES));
    let whole = (path.as_str().len() + 1, LINUX_PATH_BYTES);
    match longest.find(|(it, most)| it > most).unwrap_or(whole) {
        (length, most) if length > most => Err(TreeError::PathTooLong {
            origin: origin.clone(),
            length,
            most,
            unit: "bytes",
        }),
        _ => Ok(()),
    }
}
