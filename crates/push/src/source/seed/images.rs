//! The images that a base consists of.

use oci::{Descriptor, Document, Platform, Source};

use crate::source::{OpenError, platform};

/// How many manifests and indexes of a base are read at most.
const MAX_DOCUMENTS: usize = 256;

/// The image manifests that `root` is or leads to: those for any of `platforms`, or all.
///
/// An image that is alone is taken as it is unless a platform is asked for: then its config says.
pub(super) async fn of(
    source: &dyn Source,
    root: &Document,
    platforms: &[Platform],
) -> Result<Vec<Document>, OpenError> {
    if root.as_manifest().is_some() && platforms.is_empty() {
        return Ok(vec![root.clone()]);
    }
    if root.as_manifest().is_some() {
        for it in platforms {
            platform::child_for(source, root.clone(), it).await?;
        }
        return Ok(vec![root.clone()]);
    }
    let mut walk = Walk {
        platforms,
        met: vec![false; platforms.len()],
        available: Vec::new(),
        pending: Vec::new(),
    };
    let mut images: Vec<Document> = Vec::new();
    walk.look_into(root);
    let mut read = 0;
    while let Some(descriptor) = walk.pending.pop() {
        read += 1;
        if read > MAX_DOCUMENTS {
            let reason = "it lists more than 256 images: choose some with a platform";
            return Err(oci::SourceError::invalid(root.digest(), reason).into());
        }
        let document = source.document(&descriptor).await?;
        if document.as_index().is_some() {
            walk.look_into(&document);
        } else if !images.iter().any(|it| it.digest() == document.digest()) {
            images.push(document);
        }
    }
    match walk.met.iter().position(|met| !met) {
        None => Ok(images),
        Some(at) => Err(OpenError::NoSuchPlatform {
            place: root.digest().to_string(),
            platform: Box::new(platforms[at].clone()),
            available: walk.available,
        }),
    }
}

struct Walk<'a> {
    platforms: &'a [Platform],
    /// Which of them something was found for.
    met: Vec<bool>,
    available: Vec<Platform>,
    /// What is to be read, the next last.
    pending: Vec<Descriptor>,
}

impl Walk<'_> {
    /// Notes those children of an index that are wanted. One that says it is for an unknown
    /// platform is an attestation; one that says nothing is wanted only where all are, or if it is
    /// an index.
    fn look_into(&mut self, index: &Document) {
        let mut wanted = Vec::new();
        for child in index.children().filter(|it| it.is_document()) {
            let is_wanted = match &child.platform {
                Some(it) => it.os != "unknown" && self.is_wanted(it),
                None => self.platforms.is_empty() || child.media_type.is_index(),
            };
            if is_wanted {
                wanted.push(child.clone());
            }
        }
        wanted.reverse();
        self.pending.extend(wanted);
    }

    fn is_wanted(&mut self, offered: &Platform) -> bool {
        if !self.available.contains(offered) {
            self.available.push(offered.clone());
        }
        let mut wanted = self.platforms.is_empty();
        for (asked, met) in self.platforms.iter().zip(&mut self.met) {
            if asked.matches(offered) {
                (*met, wanted) = (true, true);
            }
        }
        wanted
    }
}
