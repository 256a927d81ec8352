//! Everything an image is made of, found once: the manifests it leads to, at any depth, and
//! their blobs.

use std::{collections::HashSet, sync::Arc};

use oci::{Descriptor, Digest, Document, Source, SourceError};

use super::{Held, ImageError};

/// What an image is made of.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// The root and what it leads to. What cannot be read is among them.
    pub(super) manifests: Vec<Arc<Held>>,
    pub(super) blobs: Vec<Arc<Held>>,
    /// Subjects, and the manifests that are about them.
    pub(super) referrers: Vec<(Digest, Digest)>,
    /// What could not be read, or is not as it should be.
    pub(super) flaws: Vec<SourceError>,
    seen_manifests: HashSet<Digest>,
    seen_blobs: HashSet<Digest>,
}

impl Graph {
    /// What `root` leads to in `source`: at most so many manifests and so many blobs. One that
    /// stands several times, in a circle even, is looked at once.
    pub(super) async fn walk(
        source: &Arc<dyn Source>,
        root: &Descriptor,
        (max_manifests, max_blobs): (usize, usize),
    ) -> Result<Self, ImageError> {
        let mut it = Self::default();
        let mut pending = vec![root.clone()];
        it.seen_manifests.insert(root.digest.clone());
        while let Some(descriptor) = pending.pop() {
            let document = match source.document(&descriptor).await {
                Ok(document) => Some(document),
                Err(error) if descriptor.digest == root.digest => {
                    let root = root.digest.clone();
                    return Err(ImageError::Source { root, error });
                }
                Err(error) => {
                    it.flaws.push(error);
                    None
                }
            };
            let held = Held::new(source, &descriptor, document.is_none());
            it.manifests.push(held);
            if let Some(document) = document {
                it.look_into(source, &document, &mut pending).await;
            }
            if it.seen_manifests.len() > max_manifests || it.seen_blobs.len() > max_blobs {
                return Err(ImageError::TooMany);
            }
        }
        Ok(it)
    }

    /// An index's children are manifests, or, if their type says nothing, blobs; a
    /// manifest's are blobs.
    async fn look_into(
        &mut self,
        source: &Arc<dyn Source>,
        document: &Document,
        pending: &mut Vec<Descriptor>,
    ) {
        if let Some(subject) = document.subject() {
            let referrer = document.digest().clone();
            self.referrers.push((subject.digest.clone(), referrer));
        }
        let is_index = document.as_index().is_some();
        for child in document.children() {
            if is_index && child.is_document() {
                if self.seen_manifests.insert(child.digest.clone()) {
                    pending.push(child.clone());
                }
            } else if self.seen_blobs.insert(child.digest.clone()) {
                self.look_at(source, child).await;
            }
        }
    }

    async fn look_at(&mut self, source: &Arc<dyn Source>, blob: &Descriptor) {
        let flaw = source.check_blob(blob).await.err();
        let held = Held::new(source, blob, flaw.is_some());
        self.blobs.push(held);
        match flaw {
            Some(SourceError::Missing { .. }) if blob.is_foreign() => {}
            Some(flaw) => self.flaws.push(flaw),
            None => {}
        }
    }
}
