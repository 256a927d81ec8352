//! Layers over each other: what a stage has copied so far, seen as one.
//!
//! The trees are those that its layers are written of, so that nothing is kept twice. They are
//! made one only for whoever copies from the stage.

use std::sync::Arc;

use super::{Entry, EntryKind, LayerTree, TreeError};
use crate::LayerPath;

/// Layers, the lowest first.
#[derive(Clone, Debug, Default)]
pub struct LayerStack {
    layers: Vec<Arc<LayerTree>>,
}

impl LayerStack {
    /// Puts a layer on top. What is a directory below and no directory in it, or the other way
    /// round, is an error.
    pub fn push(&mut self, layer: Arc<LayerTree>) -> Result<(), TreeError> {
        if layer.is_empty() {
            return Ok(());
        }
        for id in layer.store.paths.ids() {
            let is_directory = layer.store.is_directory(id);
            let is_other = |it: &&Arc<LayerTree>| {
                let there = it.id_of(&layer, id);
                there.is_some_and(|there| it.store.is_directory(there) != is_directory)
            };
            let Some(below) = self.layers.iter().rev().find(is_other) else {
                continue;
            };
            let there = below.id_of(&layer, id);
            let old = there.and_then(|it| below.store.entry(it));
            let new = layer.store.entry(id);
            if let (Some(old), Some(new)) = (old, new) {
                return Err(in_the_way(old, new));
            }
        }
        self.layers.push(layer);
        Ok(())
    }

    /// Whether there is a directory at `path`.
    pub fn has_directory(&self, path: &LayerPath) -> bool {
        self.layers.iter().any(|it| it.has_directory(path))
    }

    /// The directory at `path`, if one was asked for: as the topmost layer that has it does.
    pub(super) fn asked_directory(&self, path: &LayerPath) -> Option<Entry> {
        let found = self.layers.iter().rev().filter_map(|it| it.get(path));
        let is_asked = |it: &Entry| matches!(it.kind, EntryKind::Directory { implicit: false });
        let mut found = found.filter(is_asked);
        found.next()
    }

    /// One tree of all; `empty` if there is none. What is made for that takes as much memory as
    /// `room` says, in bytes, inclusive.
    pub(crate) fn merged(&self, empty: LayerTree, room: u64) -> Result<Arc<LayerTree>, TreeError> {
        let Some((lowest, above)) = self.layers.split_first() else {
            return Ok(Arc::new(empty));
        };
        if above.is_empty() {
            return Ok(Arc::clone(lowest));
        }
        let mut merged = LayerTree::clone(lowest).with_room(room);
        for layer in above {
            merged.take_in(layer)?;
        }
        Ok(Arc::new(merged))
    }

    /// Whether one tree of all takes memory of its own.
    pub(crate) fn is_several(&self) -> bool {
        self.layers.len() > 1
    }
}

impl From<LayerTree> for LayerStack {
    fn from(layer: LayerTree) -> Self {
        Self {
            layers: vec![Arc::new(layer)],
        }
    }
}

fn in_the_way(old: Entry, new: Entry) -> TreeError {
    if let EntryKind::Directory { implicit: true } = new.kind {
        return TreeError::BelowFile {
            origin: new.meta.origin,
            parent: old.path,
            old: old.kind.noun(),
            earlier: old.meta.origin,
        };
    }
    TreeError::Conflict {
        origin: new.meta.origin,
        new: new.kind.noun(),
        path: old.path,
        old: old.kind.noun(),
        earlier: old.meta.origin,
    }
}
