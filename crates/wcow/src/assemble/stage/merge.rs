//! Several layers in the place of one: what the files of a stage are, taken together.

use crate::{EntryKind, LayerTree, NameRules, Owner, TreeError, dockerfile::TargetOs};

/// An empty tree for a system.
pub(super) fn empty(os: TargetOs, names: NameRules) -> LayerTree {
    match os {
        TargetOs::Windows => LayerTree::windows_with(names),
        TargetOs::Linux => LayerTree::linux(),
    }
}

/// Puts everything that is in one tree into another.
pub(super) fn merge(from: &LayerTree, into: &mut LayerTree) -> Result<(), TreeError> {
    merge_as(from, into, Owner::Default)
}

/// The same; what is nobody's in particular is this owner's then.
pub(super) fn merge_as(
    from: &LayerTree,
    into: &mut LayerTree,
    owner: Owner,
) -> Result<(), TreeError> {
    for entry in from.entries() {
        let (path, mut meta) = (entry.path(), entry.meta().clone());
        if meta.owner == Owner::Default {
            meta.owner = owner;
        }
        match entry.kind() {
            // They are made again where they are needed.
            EntryKind::Directory { implicit: true } => {}
            EntryKind::Directory { implicit: false } => into.directory(path, meta)?,
            EntryKind::File(body) => into.file(path, body.clone(), meta)?,
            EntryKind::Symlink {
                target,
                to_directory,
            } => into.symlink(path, target, *to_directory, meta)?,
        }
    }
    Ok(())
}
