//! What to say of a manifest that refers to what is not there.

use axum::http::StatusCode;
use oci::{
    Digest,
    wire::{ErrorCode, ErrorEntry},
};

use crate::{MissingStyle, Validation, answer::Refusal};

/// The most children that are named in one answer: each takes a few hundred bytes.
const MAX_NAMED: usize = 1000;

impl Validation {
    /// Which of the missing children are named.
    fn named(self, missing: &[Digest]) -> &[Digest] {
        match self {
            Self::First => &missing[..missing.len().min(1)],
            Self::None => &[],
            Self::All | Self::AcceptAll => &missing[..missing.len().min(MAX_NAMED)],
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
