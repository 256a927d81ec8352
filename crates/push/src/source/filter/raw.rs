//! An index with some of its children gone or replaced, and nothing else changed.

use oci::{Descriptor, Document, DocumentError};
use serde_json::value::RawValue;

use crate::verbatim::{Fields, raw};

/// What becomes of a child of an index.
pub(super) enum Fate {
    /// It stays as it stands.
    Kept,
    /// Another index stands in its place, described as it was.
    Replaced(Box<Document>),
    /// It goes.
    Dropped,
}

/// The index that `index` becomes when each of its children meets its fate, one for each in their
/// order.
pub(super) fn rewritten(index: &Document, fates: &[Fate]) -> Result<Document, DocumentError> {
    let mut fields = Fields::read(index.bytes())?;
    if let Some(manifests) = fields.get_mut("manifests") {
        let children: Vec<&RawValue> =
            serde_json::from_str(manifests.get()).map_err(DocumentError::Malformed)?;
        let mut kept: Vec<Box<RawValue>> = Vec::with_capacity(children.len());
        for (child, fate) in children.into_iter().zip(fates) {
            match fate {
                Fate::Kept => kept.push(child.to_owned()),
                Fate::Replaced(by) => kept.push(described(child, by.descriptor())?),
                Fate::Dropped => {}
            }
        }
        *manifests = raw(&kept)?;
    }
    Document::new(fields.to_bytes()?.into(), Some(index.media_type()))
}

/// A child's descriptor with the digest and length of another.
fn described(child: &RawValue, by: &Descriptor) -> Result<Box<RawValue>, DocumentError> {
    let mut fields = Fields::read(child.get().as_bytes())?;
    fields.set("digest", raw(&by.digest)?);
    fields.set("size", raw(&by.size)?);
    raw(&fields)
}
