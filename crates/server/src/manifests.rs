//! Manifests: PUT, GET, HEAD, DELETE; the bytes as they came.
//!
//! [distribution-spec, Pushing Manifests](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).

mod missing;

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use oci::{
    Digest, Document, DocumentError, MediaType, Tag, TagOrDigest,
    wire::{ErrorCode, ErrorEntry},
};

use crate::{
    Validation,
    answer::{self, Refusal, set, set_digest},
    app::App,
    body, condition,
    exchange::Exchange,
    log::text,
    route::Name,
    store::{self, NewManifest, Put, StoredManifest, children},
};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The most tags moved by one request.
const MAX_TAGS: usize = 64;

/// A manifest up to this length comes in whenever it comes, in bytes.
const FREE_BYTES: usize = 64 * 1024;
/// A manifest up to this length is in memory until its answer has left, in bytes. A longer one
/// leaves in pieces of it.
const PIECE_BYTES: usize = 128 * 1024;

/// `PUT …/manifests/<tag or digest>[?tag=…]`.
pub(crate) async fn put(
    x: &mut Exchange,
    name: Name,
    which: TagOrDigest,
) -> Result<Response, Refusal> {
    let tags = tags(x, &which)?;
    let condition = condition::for_put(&x.headers)?;
    let document = receive(x, &which).await?;
    let rule = x.faults.validation.unwrap_or(x.app.options.validation);
    let store = Arc::clone(&x.app.store);
    let new = NewManifest {
        digest: document.digest().clone(),
        media_type: document.media_type().clone(),
        bytes: document.bytes().clone(),
        tags,
        subject: document.subject().map(|it| it.digest.clone()),
        children: children::of(&document),
        is_sparse: rule == Validation::AcceptAll,
        condition,
    };
    let (done, new) = {
        let name = name.clone();
        store::blocking(move || Ok((store.put_manifest(&name, &new)?, new))).await?
    };
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

/// The body, as the document it is.
async fn receive(x: &mut Exchange, which: &TagOrDigest) -> Result<Document, Refusal> {
    let limit = x.app.limits.manifest_bytes;
    let declared = text(&x.headers, header::CONTENT_LENGTH).and_then(|it| it.parse().ok());
    if declared.is_some_and(|declared: usize| declared > limit) {
        return Err(body::too_large(limit as u64));
    }
    // Each may take its limit of memory, so not all come in at the same time. Almost all are
    // small, and do not wait for clients that send large ones slowly.
    let turns = Arc::clone(&x.app.turns.manifests);
    let coming = x.intake.collect_in_turn(limit, FREE_BYTES, &turns);
    let (bytes, _turn) = coming.await?;
    let declared = text(&x.headers, header::CONTENT_TYPE).map(|it| MediaType::from_header(&it));
    let declared = declared.as_ref();
    match which {
        TagOrDigest::Tag(_) => Document::new(bytes, declared),
        TagOrDigest::Digest(digest) => Document::with_digest(bytes, declared, digest),
    }
    .map_err(|error| refuse(&error))
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

/// `GET` and `HEAD …/manifests/<tag or digest>`.
pub(crate) async fn get(x: &Exchange, name: Name, which: TagOrDigest) -> Result<Response, Refusal> {
    // Each may take its limit of memory while it is read and verified.
    let turns = Arc::clone(&x.app.turns.reading);
    let _turn = turns.acquire_owned().await;
    let (store, repository) = (Arc::clone(&x.app.store), name.clone());
    let wanted = which.clone();
    let found = store::blocking(move || {
        let name = repository;
        let digest = match wanted {
            TagOrDigest::Digest(digest) => Some(digest),
            TagOrDigest::Tag(tag) => store.tag(&name, &tag)?,
        };
        match digest {
            Some(digest) => {
                store.rely_on_manifest(&name, &digest);
                Ok(store.manifest(&name, &digest)?.map(|it| (digest, it)))
            }
            None => Ok(None),
        }
    });
    let (digest, manifest) = found.await?.ok_or_else(|| unknown(&which))?;
    if condition::is_not_modified(&x.headers, &digest)? {
        return Ok(answer::not_modified(&digest));
    }
    Ok(found_response(x, name, &digest, manifest))
}

fn found_response(x: &Exchange, name: Name, digest: &Digest, manifest: StoredManifest) -> Response {
    let length = manifest.bytes.len();
    let body = if x.method == Method::HEAD {
        Body::empty()
    } else if length > PIECE_BYTES {
        Body::from_stream(pieces(Arc::clone(&x.app), name, digest.clone(), length))
    } else {
        Body::from(manifest.bytes)
    };
    let mut response = Response::new(body);
    set(&mut response, header::CONTENT_TYPE, manifest.media_type);
    set(&mut response, header::CONTENT_LENGTH, length);
    set(&mut response, header::ETAG, format!("\"{digest}\""));
    set_digest(&mut response, digest);
    response
}

/// A long manifest, read and verified again for every piece of it: a client that does not read
/// its answer has a piece in memory, not the whole.
fn pieces(
    app: Arc<App>,
    name: Name,
    digest: Digest,
    length: usize,
) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(0, move |from| {
        let (store, turns) = (Arc::clone(&app.store), Arc::clone(&app.turns.reading));
        let (name, digest) = (name.clone(), digest.clone());
        async move {
            if from >= length {
                return Ok(None);
            }
            let to = length.min(from + PIECE_BYTES);
            let _turn = turns.acquire_owned().await;
            let piece = store::blocking(move || {
                let manifest = store.manifest(&name, &digest)?;
                let piece = manifest.as_ref().and_then(|it| it.bytes.get(from..to));
                let piece = piece.ok_or(io::ErrorKind::NotFound)?;
                Ok(Bytes::copy_from_slice(piece))
            });
            Ok(Some((piece.await?, to)))
        }
    })
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
