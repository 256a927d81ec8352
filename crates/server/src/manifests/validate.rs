//! Whether all that a manifest refers to is there.

use std::{collections::HashSet, io};

use axum::http::StatusCode;
use oci::{
    Descriptor, Digest, Document,
    wire::{ErrorCode, ErrorEntry},
};

use crate::{MissingStyle, Validation, answer::Refusal, route::Name, store::Store};

impl Validation {
    /// Which of the missing children are named.
    fn named(self, missing: &[Digest]) -> &[Digest] {
        match self {
            Self::First => &missing[..missing.len().min(1)],
            Self::None => &[],
            Self::All | Self::AcceptAll => missing,
        }
    }

    pub(super) fn refuse(self, missing: &[Digest]) -> Refusal {
        let named = self.named(missing);
        let entry = || {
            ErrorEntry::new(ErrorCode::ManifestBlobUnknown)
                .message("the manifest refers to content that is not in the repository")
        };
        let mut errors: Vec<_> = named
            .iter()
            .map(|digest| entry().detail(digest.to_string()))
            .collect();
        if errors.is_empty() {
            errors.push(entry());
        }
        Refusal::all(StatusCode::BAD_REQUEST, errors)
    }
}

/// The refusal of a registry that says it in its own way.
pub(super) fn refuse_as(style: &MissingStyle, missing: &[Digest]) -> Refusal {
    let named: Vec<String> = style
        .named
        .named(missing)
        .iter()
        .map(ToString::to_string)
        .collect();
    let entry = || ErrorEntry::new(ErrorCode::from(style.code.as_str()));
    let errors = if style.in_message || named.is_empty() {
        let message = format!("{}{}", style.message, named.join(", "));
        vec![entry().message(message)]
    } else {
        let detailed = named.into_iter();
        detailed
            .map(|it| entry().message(&*style.message).detail(it))
            .collect()
    };
    Refusal::all(StatusCode::BAD_REQUEST, errors)
}

/// The children that are not in the repository, each once, in order.
pub(super) fn missing(
    store: &dyn Store,
    name: &Name,
    document: &Document,
) -> io::Result<Vec<Digest>> {
    let mut missing: Vec<Digest> = Vec::new();
    let mut seen = HashSet::new();
    let is_index = document.as_index().is_some();
    for child in document.children() {
        if !child.is_foreign()
            && seen.insert(&child.digest)
            && !is_there(store, name, child, is_index)?
        {
            missing.push(child.digest.clone());
        }
    }
    Ok(missing)
}

/// A manifest's children are blobs; an index's are manifests, or, if their type says
/// nothing, blobs.
fn is_there(
    store: &dyn Store,
    name: &Name,
    child: &Descriptor,
    in_index: bool,
) -> io::Result<bool> {
    if in_index && store.has_manifest(name, &child.digest)? {
        return Ok(true);
    }
    if in_index && child.is_document() {
        return Ok(false);
    }
    Ok(store.blob(name, &child.digest)?.is_some())
}
