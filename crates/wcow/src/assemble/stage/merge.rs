//! Trees that a stage fills.

use crate::{LayerTree, NameRules, dockerfile::TargetOs};

/// An empty tree for a system.
pub(super) fn empty(os: TargetOs, names: NameRules) -> LayerTree {
    match os {
        TargetOs::Windows => LayerTree::windows_with(names),
        TargetOs::Linux => LayerTree::linux(),
    }
}
