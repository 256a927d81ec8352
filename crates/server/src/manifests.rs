//! Manifests: PUT, GET, HEAD, DELETE; the bytes as they came.
//!
//! [distribution-spec, Pushing Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).

mod missing;
mod read;
mod receive;

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use oci::{
    Document, DocumentError, Tag, TagOrDigest,
    wire::{ErrorCode, ErrorEntry},
};

pub(crate) use read::get;

use crate::{
    Validation,
    answer::{self, Refusal, set, set_digest},
    condition,
    exchange::Exchange,
    route::Name,
    store::{self, Condition, NewManifest, Put, children},
};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The most tags moved by one request.
const MAX_TAGS: usize = 64;

/// `PUT …/manifests/<tag or digest>[?tag=…]`.
pub(crate) async fn put(
    x: &mut Exchange,
    name: Name,
    which: TagOrDigest,
) -> Result<Response, Refusal> {
    let tags = tags(x, &which)?;
    let condition = if x.faults.ignore_conditions {
        Condition::None
    } else {
        condition::for_put(&x.headers)?
    };
    let rule = x.faults.validation.unwrap_or(x.app.options.validation);
    let is_sparse = rule == Validation::AcceptAll;
    let (store, repository) = (Arc::clone(&x.app.store), name.clone());
    let keep = move |document: Document| {
        let mut new = NewManifest {
            digest: document.digest().clone(),
            media_type: document.media_type().clone(),
            bytes: document.bytes().clone(),
            tags,
            subject: document.subject().map(|it| it.digest.clone()),
            children: children::of(&document),
            is_sparse,
            condition,
        };
        drop(document);
        let done = store.put_manifest(&repository, &new)?;
        // What takes memory is not needed for the answer.
        (new.bytes, new.children) = (Bytes::new(), Vec::new());
        Ok((done, new))
    };
    let (done, new) = receive::receive(x, &name, &which, keep).await?;
    match done {
        Put::Stored => {}
        Put::ConditionFailed => return Err(condition::failed()),
        Put::Missing(missing) => {
            return Err(match x.faults.missing.take() {
                Some(style) => missing::refuse_as(&style, &missing),
                None => rule.refuse(&missing),
            });
        }
    }
    let mut response = created(&name, &which, &new);
    if x.faults.no_referrers || !x.app.options.referrers {
        response.headers_mut().remove(OCI_SUBJECT);
    }
    Ok(response)
}

/// The tags that are to point to the manifest: the URL's, or the query's.
fn tags(x: &Exchange, which: &TagOrDigest) -> Result<Vec<Tag>, Refusal> {
    if let TagOrDigest::Tag(tag) = which {
        return Ok(vec![tag.clone()]);
    }
    let mut tags: Vec<Tag> = Vec::new();
    if x.faults.ignore_tags {
        return Ok(tags);
    }
    for text in x.query.all("tag") {
        let tag: Tag = text.parse().map_err(|error: oci::ReferenceError| {
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid).message(error.to_string())
        })?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(
            Refusal::new(StatusCode::URI_TOO_LONG, ErrorCode::TagInvalid)
                .message(format!("at most {MAX_TAGS} tags are moved by one request")),
        );
    }
    Ok(tags)
}

fn refuse(error: &DocumentError) -> Refusal {
    let (status, code) = match error {
        DocumentError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid),
        DocumentError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid),
        _ => (StatusCode::BAD_REQUEST, ErrorCode::ManifestInvalid),
    };
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    Refusal::new(status, code).message(message)
}

fn created(name: &Name, which: &TagOrDigest, new: &NewManifest) -> Response {
    let mut response = answer::empty(StatusCode::CREATED);
    let location = format!("/v2/{name}/manifests/{which}");
    set(&mut response, header::LOCATION, location);
    set_digest(&mut response, &new.digest);
    if let Some(subject) = &new.subject {
        set(&mut response, OCI_SUBJECT, subject);
    }
    if matches!(which, TagOrDigest::Digest(_)) {
        for tag in &new.tags {
            if let Ok(tag) = HeaderValue::try_from(tag.as_str()) {
                response.headers_mut().append(OCI_TAG, tag);
            }
        }
    }
    response
}

/// `DELETE …/manifests/<tag or digest>`: a tag alone, or a manifest with all its tags.
pub(crate) async fn delete(
    x: &Exchange,
    name: Name,
    which: TagOrDigest,
) -> Result<Response, Refusal> {
    x.check_deletes("GET, HEAD, PUT")?;
    let (store, it) = (Arc::clone(&x.app.store), which.clone());
    let removed = store::blocking(move || match it {
        TagOrDigest::Tag(tag) => store.remove_tag(&name, &tag),
        TagOrDigest::Digest(digest) => store.remove_manifest(&name, &digest),
    });
    if !removed.await? {
        return Err(unknown(&which));
    }
    Ok(answer::empty(StatusCode::ACCEPTED))
}

fn unknown(which: &TagOrDigest) -> Refusal {
    let entry = ErrorEntry::new(ErrorCode::ManifestUnknown)
        .message("the repository holds no such manifest")
        .detail(which.to_string());
    Refusal::all(StatusCode::NOT_FOUND, vec![entry])
}
