//! Files of an image, read out of its layers: what `COPY --from` of an image takes.
//!
//! ```text
//!   sources ─▶ Wanted ─┐
//!                      ▼      newest layer first
//!   layer's blob ─▶ pass over its tar ─▶ found there ─▶ ImageTree ─▶ COPY
//!    (in a file)       ▲                                   │
//!                      └─ what links lead to, if it is elsewhere
//! ```
//!
//! - **Newest layer first.** What a later layer has, or has removed, is settled by the time an older
//!   one is read: it never appears. So reading ends with the layer that settles the last of the
//!   sources, which is often the first, and what was not reached is not fetched. A directory or a
//!   pattern takes all layers, unless one says that nothing below it counts.
//! - **Only what may matter is kept.** An image has some hundred thousand names; those that no
//!   source can mean pass by.
//! - **Nothing is trusted.** A layer's bytes have the digest that the manifest says before anything is
//!   made of them, and the diff ID that the config says before anything is used. Names that leave the
//!   root, and whatever is too much, are errors. Symbolic links are followed inside the image alone.
//! - **Nothing is in memory.** The blob is in a file, so a second pass over it costs time and no
//!   request; content goes from there to another file.
//!
//! The rules for layers are those of the
//! [image specification](https://github.com/opencontainers/image-spec/blob/main/layer.md); layers for
//! Windows have the file system in `Files` and the registry in `Hives`, which is never copied.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use oci::Digest;

use crate::{FileBody, LayerTree, copy::Spool};

mod entries;
mod error;
mod item;
mod layer;
mod name;
mod tree;
mod unpacked;
mod wanted;

pub use error::{ImageFault, ImageFilesError};
pub(crate) use item::View;
use layer::Layer;
pub use tree::ImageTree;
use wanted::Wanted;

/// How many symbolic links lead on to each other, inclusive: what Linux allows.
const MAX_LINKS: usize = 40;
/// How many places links may lead to, inclusive, the sources counted.
const MAX_WANTED: usize = 4096;
/// How often hard links may lead on within one layer, inclusive.
const MAX_HARD_LINKS: usize = 16;

/// The files of one image.
pub(crate) struct ImageFiles {
    image: String,
    view: View,
    /// Lowest first.
    layers: Vec<Layer>,
    spool: Spool,
}

/// What a look into an image comes to.
pub(crate) enum Look {
    /// The blob of the layer with this number is needed first.
    Needs(usize),
    /// What the sources may mean.
    Found(ImageTree),
}

impl ImageFiles {
    /// Of an image with these layers, lowest first: digest of the blob, and diff ID. What is copied
    /// waits in a file of the directory.
    pub(crate) fn new(
        image: &str,
        view: View,
        layers: impl Iterator<Item = (Digest, Digest)>,
        directory: &Path,
    ) -> Result<Self, ImageFilesError> {
        Ok(Self {
            image: image.to_owned(),
            view,
            layers: layers
                .map(|(digest, diff_id)| Layer::new(digest, diff_id))
                .collect(),
            spool: Spool::new(directory).map_err(ImageFilesError::Spool)?,
        })
    }

    /// Gives it the blob of a layer, which has its digest.
    pub(crate) fn give(&mut self, number: usize, blob: FileBody) {
        if let Some(layer) = self.layers.get_mut(number) {
            layer.blob = Some(blob);
        }
    }

    /// Looks for what sources may mean: the names of each, patterns among them. `above` is what lies
    /// over the image's own layers. Blocks on files.
    pub(crate) fn look(
        &mut self,
        sources: &[Vec<String>],
        above: Option<&LayerTree>,
    ) -> Result<Look, ImageFilesError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for source in sources {
            wanted.push(Wanted::of(self.view.os, source).map_err(ImageFilesError::Pattern)?);
        }
        loop {
            let mut tree = ImageTree::new(self.view.os);
            if let Some(above) = above {
                tree.take_stage(above, &wanted);
            }
            for number in (0..self.layers.len()).rev() {
                if wanted.iter().all(|it| tree.settles(it)) {
                    break;
                }
                if self.layers[number].blob.is_none() {
                    return Ok(Look::Needs(number));
                }
                self.pass(number, &wanted, &BTreeSet::new())?;
                let taken = tree.take_layer(number, &self.layers[number]);
                taken.map_err(|(entry, fault)| self.fault(number, Some(entry), fault))?;
            }
            let more = tree.led_to(&wanted);
            if !more.is_empty() {
                wanted.extend(more);
                if wanted.len() > MAX_WANTED {
                    return Err(ImageFilesError::Links(self.image.clone()));
                }
                continue;
            }
            return Ok(match self.hard_links(&mut tree, &wanted)? {
                Some(number) => Look::Needs(number),
                None => Look::Found(tree),
            });
        }
    }

    fn pass(
        &mut self,
        number: usize,
        wanted: &[Wanted],
        exact: &BTreeSet<String>,
    ) -> Result<(), ImageFilesError> {
        let (view, spool) = (self.view, &mut self.spool);
        let passed = self.layers[number].pass(view, wanted, exact, spool);
        passed.map_err(|(entry, fault)| self.fault(number, entry, fault))
    }

    /// Gives hard links what they link to, which may be in a lower layer. Says which layer is needed
    /// for that, if one is.
    fn hard_links(
        &mut self,
        tree: &mut ImageTree,
        wanted: &[Wanted],
    ) -> Result<Option<usize>, ImageFilesError> {
        let mut open = tree.hard_links(wanted);
        for _ in 0..=self.layers.len() + MAX_HARD_LINKS {
            let mut left = Vec::new();
            let numbers: BTreeSet<usize> = open.iter().map(|it| it.layer).collect();
            for number in numbers.into_iter().rev() {
                if self.layers[number].blob.is_none() {
                    return Ok(Some(number));
                }
                let here = open.iter().filter(|it| it.layer == number);
                let targets = here.map(|it| it.target.clone()).collect();
                self.pass(number, &[], &targets)?;
            }
            for mut link in open {
                let layer = &self.layers[link.layer];
                match layer.found(&link.target).map(|it| &it.what) {
                    Some(item::What::File(_)) => {
                        if let Some(item) = layer.found(&link.target) {
                            tree.links_to(&link.key, item);
                        }
                    }
                    Some(item::What::HardLink(target)) => {
                        link.target.clone_from(target);
                        left.push(link);
                    }
                    None if link.layer > 0 && !layer.hides(&link.target) => {
                        link.layer -= 1;
                        left.push(link);
                    }
                    _ => return Err(self.no_target(link)),
                }
            }
            open = left;
            if open.is_empty() {
                return Ok(None);
            }
        }
        match open.pop() {
            Some(link) => Err(self.no_target(link)),
            None => Ok(None),
        }
    }

    fn no_target(&self, link: tree::HardLink) -> ImageFilesError {
        let fault = ImageFault::NoTarget(link.target);
        self.fault(link.layer, Some(link.key), fault)
    }

    fn fault(&self, number: usize, entry: Option<String>, fault: ImageFault) -> ImageFilesError {
        ImageFilesError::Layer {
            image: self.image.clone(),
            layer: self.layers[number].digest.clone(),
            entry,
            fault: Box::new(fault),
        }
    }
}

/// What there is of a name in an image; shared, because layers and trees both have it.
type Shared = Arc<item::Item>;

#[cfg(test)]
mod tests;
