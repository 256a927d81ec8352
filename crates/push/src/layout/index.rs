//! What `index.json` becomes when an image is listed in it. Pure: bytes in, bytes out.

use oci::{Descriptor, Document, DocumentError, MediaType, Tag, descriptor::REF_NAME};
use serde_json::{json, value::RawValue};

use crate::verbatim::{Fields, raw};

/// The index with `document` listed under `name`, or without a name; none where it is already.
///
/// What else it says stays as it is. A name belongs to one image: the entry that had it goes. An
/// image that was listed without a name, and gets one, is not listed twice.
pub(crate) fn listing(
    index: Option<&[u8]>,
    document: &Document,
    name: Option<&Tag>,
) -> Result<Option<Vec<u8>>, DocumentError> {
    let mut fields = read(index)?;
    let entries: Vec<Box<RawValue>> = match fields.get_mut("manifests") {
        Some(manifests) => serde_json::from_str::<Option<_>>(manifests.get())
            .map_err(DocumentError::Malformed)?
            .unwrap_or_default(),
        None => Vec::new(),
    };
    let known: Vec<Option<Descriptor>> = entries
        .iter()
        .map(|it| serde_json::from_str(it.get()).ok())
        .collect();
    let is_it = |it: &Option<Descriptor>| {
        let it = it.as_ref();
        it.is_some_and(|it| it.digest == *document.digest())
    };
    let has_name = |it: &Option<Descriptor>| {
        let named = it.as_ref().and_then(Descriptor::ref_name);
        name.is_some_and(|name| named == Some(name.as_str()))
    };
    let listed = known
        .iter()
        .any(|it| is_it(it) && (name.is_none() || has_name(it)));
    let others_have_it = known.iter().any(|it| has_name(it) && !is_it(it));
    if listed && !others_have_it {
        return Ok(None);
    }
    let mut unnamed = known
        .iter()
        .position(|it| is_it(it) && it.as_ref().is_some_and(|it| it.annotations.is_empty()));
    let mut kept = Vec::with_capacity(entries.len() + 1);
    let own = raw(&entry(document, name))?;
    for (at, (text, it)) in entries.into_iter().zip(&known).enumerate() {
        if has_name(it) && !is_it(it) {
            continue;
        }
        if !listed && unnamed == Some(at) {
            kept.push(own.clone());
        } else {
            kept.push(text);
        }
    }
    if !listed && unnamed.take().is_none() {
        kept.push(own);
    }
    fields.set("manifests", raw(&kept)?);
    fields.to_bytes().map(Some)
}

/// The index as it is, which has to be one.
fn read(index: Option<&[u8]>) -> Result<Fields, DocumentError> {
    let empty = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [] });
    let Some(index) = index else {
        return Fields::read(empty.to_string().as_bytes());
    };
    let document = Document::new(index.to_vec().into(), None)?;
    if document.as_index().is_none() {
        return Err(DocumentError::Ambiguous(
            "an image's, where an index of images should be",
        ));
    }
    Fields::read(index)
}

fn entry(document: &Document, name: Option<&Tag>) -> Descriptor {
    let known = document.descriptor();
    let mut entry = Descriptor::new(known.media_type.clone(), known.digest.clone(), known.size);
    entry.platform.clone_from(&known.platform);
    if document.subject().is_some() {
        entry.artifact_type = document.artifact_type().map(str::to_owned);
    }
    if let Some(name) = name {
        entry
            .annotations
            .insert(REF_NAME.to_owned(), name.to_string());
    }
    entry
}
