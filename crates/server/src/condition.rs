//! `If-Match`, `If-None-Match` and `If-Range`; an entity tag is a digest in quotes.
//!
//! [RFC 9110, Conditional Requests](https://www.rfc-editor.org/rfc/rfc9110#section-13).
//! Content never changes under its digest, so a tag of it is strong; one that a client
//! calls weak is as good where only reading depends on it, and matches nothing elsewhere.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use oci::{Digest, wire::ErrorCode};

use crate::{answer::Refusal, store::Condition};

/// The condition a PUT comes with.
pub(crate) fn for_put(headers: &HeaderMap) -> Result<Condition, Refusal> {
    let matches = tags(headers, &header::IF_MATCH)?;
    let differs = tags(headers, &header::IF_NONE_MATCH)?;
    match (matches, differs) {
        (None, None) => Ok(Condition::None),
        (Some(EntityTags::Any), None) => Ok(Condition::Exists),
        (Some(EntityTags::These(these)), None) => Ok(Condition::Matches(these)),
        (None, Some(EntityTags::Any)) => Ok(Condition::Absent),
        (None, Some(EntityTags::These(these))) => Ok(Condition::Differs(these)),
        (Some(_), Some(_)) => Err(malformed("If-Match and If-None-Match come together")),
    }
}

/// Whether a reader has this content already. An error if it wants other content only.
pub(crate) fn is_not_modified(headers: &HeaderMap, digest: &Digest) -> Result<bool, Refusal> {
    match tags(headers, &header::IF_MATCH)? {
        Some(EntityTags::These(these)) if !these.contains(digest) => return Err(failed()),
        _ => {}
    }
    Ok(match tags(headers, &header::IF_NONE_MATCH)? {
        Some(EntityTags::Any) => true,
        Some(EntityTags::These(these)) => these.contains(digest),
        None => false,
    })
}

/// Whether a part may be given: the reader's other parts are of this content too.
pub(crate) fn allows_range(headers: &HeaderMap, digest: &Digest) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    // A date is of nothing this registry keeps.
    value.to_str().ok().and_then(|it| entity_tag(it, false)) == Some(digest.clone())
}

/// The condition does not hold.
pub(crate) fn failed() -> Refusal {
    Refusal::new(StatusCode::PRECONDITION_FAILED, ErrorCode::Denied)
        .message("what is there is not what the condition wants")
}

enum EntityTags {
    Any,
    These(Vec<Digest>),
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<EntityTags>, Refusal> {
    let weak_counts = *name == header::IF_NONE_MATCH;
    let mut found = None;
    for value in headers.get_all(name) {
        let text = value
            .to_str()
            .map_err(|_| malformed("the condition is not text"))?;
        if text.trim() == "*" {
            return Ok(Some(EntityTags::Any));
        }
        // A tag that is no digest is of something this registry does not have.
        let these = text.split(',').filter_map(|it| entity_tag(it, weak_counts));
        found.get_or_insert_with(Vec::new).extend(these);
    }
    Ok(found.map(EntityTags::These))
}

fn entity_tag(text: &str, weak_counts: bool) -> Option<Digest> {
    let text = text.trim();
    let opaque = match text.strip_prefix("W/") {
        Some(_) if !weak_counts => return None,
        Some(opaque) => opaque,
        None => text,
    };
    opaque.trim_matches('"').parse().ok()
}

fn malformed(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported).message(message)
}
