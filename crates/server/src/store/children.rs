//! What a manifest refers to, and what of it is not there.

use std::{collections::HashSet, io};

use oci::{Digest, Document};

/// One descriptor of a manifest, as far as it has to be in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) digest: Digest,
    pub(crate) kind: Kind,
}

/// As what a child may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Blob,
    Manifest,
    /// In an index, under a type that says nothing.
    Either,
    /// It need not be there: a foreign layer.
    Foreign,
}

/// A manifest's children are blobs; an index's are manifests, or, if their type says
/// nothing, blobs.
pub(crate) fn of(document: &Document) -> Vec<Child> {
    let is_index = document.as_index().is_some();
    let child = |it: &oci::Descriptor| Child {
        digest: it.digest.clone(),
        kind: match (it.is_foreign(), is_index, it.is_document()) {
            (true, ..) => Kind::Foreign,
            (_, false, _) => Kind::Blob,
            (_, true, true) => Kind::Manifest,
            (_, true, false) => Kind::Either,
        },
    };
    document.children().map(child).collect()
}

/// The children that are not there, each once, in order.
pub(super) fn missing(
    children: &[Child],
    has_manifest: impl Fn(&Digest) -> io::Result<bool>,
    has_blob: impl Fn(&Digest) -> io::Result<bool>,
) -> io::Result<Vec<Digest>> {
    let mut missing: Vec<Digest> = Vec::new();
    let mut named = HashSet::new();
    let mut seen = HashSet::new();
    for Child { digest, kind } in children {
        if !seen.insert((digest, kind)) {
            continue;
        }
        let is_there = match kind {
            Kind::Foreign => true,
            Kind::Blob => has_blob(digest)?,
            Kind::Manifest => has_manifest(digest)?,
            Kind::Either => has_manifest(digest)? || has_blob(digest)?,
        };
        if !is_there && named.insert(digest) {
            missing.push(digest.clone());
        }
    }
    Ok(missing)
}
