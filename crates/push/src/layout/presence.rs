//! Whether a layout holds an image: its manifest, and all that it is made of.
//!
//! Whoever put a manifest into a registry was made to put the rest before. Nobody made whoever
//! wrote a layout: a manifest counts as held only if what it refers to is there too.

use oci::{Descriptor, Digest, Document, Presence, TagOrDigest};

use super::{Files, LayoutError};

/// How deep manifests may be nested, and how many are looked into.
const MAX_DEPTH: usize = 5;
const MAX_DOCUMENTS: usize = 4096;

/// Whether the image is there, and under which digest.
pub(super) fn of_manifest(files: &Files, at: &TagOrDigest) -> Result<Presence, LayoutError> {
    if !files.check()? {
        return Ok(Presence::Absent);
    }
    let listed = listed(files)?;
    let digest = match at {
        TagOrDigest::Digest(digest) => digest.clone(),
        TagOrDigest::Tag(tag) => {
            let mut named = listed.iter();
            match named.find(|it| it.ref_name() == Some(tag.as_str())) {
                Some(it) => it.digest.clone(),
                None => return Ok(Presence::Absent),
            }
        }
    };
    let mut looked_at = 0;
    let Some(document) = document(files, &digest)? else {
        return Ok(Presence::Absent);
    };
    // What is about another image is found by its being listed.
    let is_found =
        document.subject().is_none() || listed.iter().any(|it| it.digest == *document.digest());
    if is_found && is_whole(files, &document, 1, &mut looked_at)? {
        return Ok(Presence::Held(digest));
    }
    Ok(Presence::Absent)
}

fn listed(files: &Files) -> Result<Vec<Descriptor>, LayoutError> {
    let Some(index) = files.read_index()? else {
        return Ok(Vec::new());
    };
    let document = Document::new(index.into(), None).map_err(|error| LayoutError::Index {
        path: files.index_path(),
        error,
    })?;
    Ok(document
        .as_index()
        .map(|it| it.manifests.clone())
        .unwrap_or_default())
}

/// A manifest, if it is there and is what its name says.
fn document(files: &Files, digest: &Digest) -> Result<Option<Document>, LayoutError> {
    let found = files.read_document(digest)?;
    Ok(found.and_then(|it| Document::with_digest(it.into(), None, digest).ok()))
}

fn is_whole(
    files: &Files,
    document: &Document,
    depth: usize,
    looked_at: &mut usize,
) -> Result<bool, LayoutError> {
    *looked_at += 1;
    if depth > MAX_DEPTH || *looked_at > MAX_DOCUMENTS {
        return Ok(false);
    }
    for child in document.children() {
        if child.is_foreign() {
            continue;
        }
        if !files.holds(child)? {
            return Ok(false);
        }
        if document.as_index().is_some() && child.is_document() {
            let Some(below) = self::document(files, &child.digest)? else {
                return Ok(false);
            };
            if !is_whole(files, &below, depth + 1, looked_at)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
