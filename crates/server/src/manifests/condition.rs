//! `If-Match` and `If-None-Match` on manifests; an entity tag is a digest in quotes.
//!
//! [RFC 9110, Conditional Requests](https://www.rfc-editor.org/rfc/rfc9110#section-13).

use axum::http::{HeaderMap, StatusCode, header};
use oci::{Digest, wire::ErrorCode};

use crate::{answer::Refusal, store::Condition};

/// The condition a PUT comes with.
pub(super) fn for_put(headers: &HeaderMap) -> Result<Condition, Refusal> {
    let matches = tags(headers, header::IF_MATCH)?;
    let differs = tags(headers, header::IF_NONE_MATCH)?;
    match (matches, differs) {
        (None, None) => Ok(Condition::None),
        (Some(EntityTags::Any), None) => Ok(Condition::Exists),
        (Some(EntityTags::These(these)), None) => Ok(Condition::Matches(these)),
        (None, Some(EntityTags::Any)) => Ok(Condition::Absent),
        (None, Some(EntityTags::These(these))) => Ok(Condition::Differs(these)),
        (Some(_), Some(_)) => Err(malformed()),
    }
}

/// Whether a reader has this manifest already.
pub(super) fn is_not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    match tags(headers, header::IF_NONE_MATCH) {
        Ok(Some(EntityTags::Any)) => true,
        Ok(Some(EntityTags::These(these))) => these.contains(digest),
        Ok(None) | Err(_) => false,
    }
}

enum EntityTags {
    Any,
    These(Vec<Digest>),
}

fn tags(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<EntityTags>, Refusal> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| malformed())?.trim();
    if text == "*" {
        return Ok(Some(EntityTags::Any));
    }
    // A tag that is no digest is of something this registry does not have.
    let these = text.split(',').filter_map(|it| {
        let it = it.trim();
        it.strip_prefix("W/")
            .unwrap_or(it)
            .trim_matches('"')
            .parse()
            .ok()
    });
    Ok(Some(EntityTags::These(these.collect())))
}

fn malformed() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid)
        .message("the condition cannot be read")
}
