//! Uploads: POST, PATCH, PUT, status, cancel and mount.
//!
//! [distribution-spec, Pushing blobs](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs).
//! Where the specification leaves room, this registry is kind: any earlier
//! `Location` of a session works, a body that breaks off leaves its prefix behind,
//! and committing what is already there is a success.

use std::sync::Arc;

use axum::{
    http::{HeaderName, Method, StatusCode, header},
    response::Response,
};
use oci::{
    Algorithm, Digest,
    wire::{ChunkRange, ErrorCode, UploadedRange},
};

use crate::{
    answer::{self, Refusal, set, set_digest},
    body,
    exchange::Exchange,
    metrics::How,
    route::{self, Name},
    sessions::{self, Progress, Session},
    store::{self, Ticket},
};

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const AFTER_SHORT_CHUNK: &str = "a chunk before this one was under OCI-Chunk-Min-Length";
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// Cloudflare's own
/// ([source](https://github.com/cloudflare/serverless-registry)); a fault asks for it.
const CHUNK_MAX_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-max-length");

/// `POST …/blobs/uploads/`, in each of its three meanings.
pub(crate) async fn post(x: &mut Exchange, name: Name) -> Result<Response, Refusal> {
    let mut wanted = Algorithm::Sha256;
    if let Some(digest) = x.query.get("mount") {
        let digest = route::digest(digest)?;
        wanted = digest.algorithm();
        if mount(x, &name, &digest).await? {
            x.app.metrics.blob(How::Mounted);
            return Ok(committed(x, &name, &digest));
        }
        if let Some(answer) = x.faults.failed_mount.take() {
            return Err(Refusal::Scripted(Box::new(answer)));
        }
    }
    // A mount that comes with the blob, too, for the case that there is nothing to mount.
    if x.app.options.uploads.single_post
        && !x.faults.refuse_single_post
        && let Some(digest) = x.query.get("digest")
    {
        let digest = route::digest(digest)?;
        return single(x, name, digest).await;
    }
    let algorithm = match x.query.get("digest-algorithm") {
        Some(name) => algorithm(name)?,
        None => wanted,
    };
    let session = open(x, name, algorithm).await?;
    let mut response = answer::empty(StatusCode::ACCEPTED);
    describe(x, &session, &mut response);
    if let Some(length) = chunk_min(x) {
        set(&mut response, CHUNK_MIN_LENGTH, length);
    }
    if let Some(length) = x.faults.chunk_max {
        set(&mut response, CHUNK_MAX_LENGTH, length);
    }
    Ok(response)
}

fn chunk_min(x: &Exchange) -> Option<u64> {
    x.faults
        .chunk_min
        .or(x.app.options.uploads.chunk_min_length)
}

fn algorithm(name: &str) -> Result<Algorithm, Refusal> {
    name.parse().map_err(|error: oci::DigestError| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid).message(error.to_string())
    })
}

async fn open(x: &Exchange, name: Name, algorithm: Algorithm) -> Result<Arc<Session>, Refusal> {
    let ticket = Ticket {
        name,
        owner: x.principal.user.clone(),
        algorithm,
    };
    x.app.sessions.open(&x.app.store, ticket).await
}

/// Whether the blob is in the repository now. A source that the client may not
/// read is not looked at, so that nobody can tell it from one that is not there.
async fn mount(x: &Exchange, name: &Name, digest: &Digest) -> Result<bool, Refusal> {
    let options = &x.app.options.uploads;
    if x.faults.refuse_mount || !options.mounts {
        return Ok(false);
    }
    let from = match x.query.get("from") {
        Some(from) => match Name::parse(from) {
            Some(from) if x.principal.may_pull(&from) => Some(from),
            _ => return Ok(false),
        },
        None if options.anonymous_mounts => None,
        None => return Ok(false),
    };
    let (store, principal) = (Arc::clone(&x.app.store), x.principal.clone());
    let (name, digest) = (name.clone(), digest.clone());
    let mounted = store::blocking(move || {
        let from = match from {
            Some(from) => Some(from),
            None => store.holder(&digest, &|it| principal.may_pull(it))?,
        };
        match from {
            Some(from) => store.mount(&from, &name, &digest),
            None => Ok(false),
        }
    });
    Ok(mounted.await?)
}

/// The blob in one request: no session that anybody could go on with.
async fn single(x: &mut Exchange, name: Name, digest: Digest) -> Result<Response, Refusal> {
    check_length(x)?;
    let session = open(x, name.clone(), digest.algorithm()).await?;
    let stored = async {
        let mut progress = session.claim(&x.app.limits).await?;
        progress.receive(&mut x.intake, &x.record, &session).await?;
        progress.commit(&session, &digest).await
    };
    let stored = stored.await;
    x.app.sessions.close(&session).await;
    x.app.metrics.blob(stored?.into());
    Ok(committed(x, &name, &digest))
}

/// `PATCH <session>`: a chunk, or a stream of any length.
pub(crate) async fn patch(x: &mut Exchange, name: &Name, id: &str) -> Result<Response, Refusal> {
    let session = find(x, name, id).await?;
    check_length(x)?;
    if let Some(most) = x.faults.chunk_max {
        limit_body(x, most)?;
    }
    let mut progress = session.claim(&x.app.limits).await?;
    check_chunk(x, &session, &progress)?;
    let before = session.length();
    receive(x, &session, &mut progress).await?;
    if let Some(minimum) = chunk_min(x) {
        progress.note_chunk(session.length() - before, minimum);
    }
    let mut response = answer::empty(StatusCode::ACCEPTED);
    describe(x, &session, &mut response);
    Ok(response)
}

/// `PUT <session>?digest=`: the last chunk, or the whole blob, or nothing more.
pub(crate) async fn put(x: &mut Exchange, name: &Name, id: &str) -> Result<Response, Refusal> {
    let digest = x.query.get("digest").ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid)
            .message("the query has no digest")
    })?;
    let digest = route::digest(digest)?;
    let session = match find(x, name, id).await {
        Ok(session) => session,
        Err(refusal) => return again(x, name, &digest, refusal).await,
    };
    check_length(x)?;
    let mut progress = session.claim(&x.app.limits).await?;
    // While this one waited, another request committed or cancelled it.
    if progress.has_ended() {
        return again(x, name, &digest, sessions::gone()).await;
    }
    check_chunk(x, &session, &progress)?;
    receive(x, &session, &mut progress).await?;
    let came_of_it = progress.commit(&session, &digest).await?;
    x.app.metrics.blob(came_of_it.into());
    drop(progress);
    x.app.sessions.close(&session).await;
    Ok(committed(x, name, &digest))
}

/// A commit of a session that is not there. Perhaps it is one whose answer was lost: if what it
/// was to bring about is so, it succeeds again.
async fn again(
    x: &Exchange,
    name: &Name,
    digest: &Digest,
    refusal: Refusal,
) -> Result<Response, Refusal> {
    if !x.faults.forget_committed && holds(x, name, digest).await? {
        return Ok(committed(x, name, digest));
    }
    Err(refusal)
}

/// Takes the body into the session. Where it breaks off, what came is kept, unless a fault
/// would have it otherwise.
async fn receive(
    x: &mut Exchange,
    session: &Arc<Session>,
    progress: &mut Progress,
) -> Result<(), Refusal> {
    let received = progress.receive(&mut x.intake, &x.record, session).await;
    session.touch();
    if received.is_err() && x.faults.lose_broken {
        x.app.sessions.close(session).await;
    }
    received
}

/// `GET <session>`: how far it is.
pub(crate) async fn status(x: &mut Exchange, name: &Name, id: &str) -> Result<Response, Refusal> {
    let session = find(x, name, id).await?;
    session.settled().await;
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    describe(x, &session, &mut response);
    Ok(response)
}

/// `DELETE <session>`.
pub(crate) async fn cancel(x: &mut Exchange, name: &Name, id: &str) -> Result<Response, Refusal> {
    let session = find(x, name, id).await?;
    x.app.sessions.close(&session).await;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// The session, if it is this repository's and this client's.
async fn find(x: &Exchange, name: &Name, id: &str) -> Result<Arc<Session>, Refusal> {
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadUnknown)
            .message("there is no such upload session")
    };
    let session = x.app.sessions.find(id).await.ok_or_else(unknown)?;
    if x.faults.lose_session {
        x.app.sessions.close(&session).await;
        return Err(unknown());
    }
    if session.ticket().name != *name || session.ticket().owner != x.principal.user {
        return Err(unknown());
    }
    let newest = || x.query.get("_state").and_then(|it| it.parse().ok()) == Some(session.length());
    if x.faults.require_state && !newest() {
        return Err(
            Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUploadInvalid)
                .message("the session is not in the state that the location says"),
        );
    }
    Ok(session)
}

async fn holds(x: &Exchange, name: &Name, digest: &Digest) -> Result<bool, Refusal> {
    let (store, name, digest) = (Arc::clone(&x.app.store), name.clone(), digest.clone());
    Ok(store::blocking(move || store.blob(&name, &digest))
        .await?
        .is_some())
}

/// Refuses a body that is too long before it is read.
fn check_length(x: &mut Exchange) -> Result<(), Refusal> {
    let Some(limit) = x.app.options.uploads.max_body_length else {
        return Ok(());
    };
    limit_body(x, limit)
}

fn limit_body(x: &mut Exchange, limit: u64) -> Result<(), Refusal> {
    if body::declared_length(&x.headers).is_some_and(|declared| declared > limit) {
        return Err(body::too_large(limit));
    }
    x.intake.limit(limit);
    Ok(())
}

/// Refuses a chunk that is not the next one, before it is read.
fn check_chunk(x: &mut Exchange, session: &Session, progress: &Progress) -> Result<(), Refusal> {
    if x.faults.ignore_content_range {
        return Ok(());
    }
    let malformed = |message: &str| {
        Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid).message(message)
    };
    let declared = body::declared_length(&x.headers);
    let Some(range) = x.headers.get(header::CONTENT_RANGE) else {
        let adds = x.method == Method::PATCH || declared.is_some_and(|it| it > 0);
        if progress.had_short_chunk() && adds {
            return Err(malformed(AFTER_SHORT_CHUNK));
        }
        return Ok(());
    };
    let range: ChunkRange = range
        .to_str()
        .ok()
        .and_then(|it| it.parse().ok())
        .ok_or_else(|| malformed("Content-Range is not <first>-<last>"))?;
    if range.first != session.length() {
        return Err(Refusal::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            ErrorCode::BlobUploadInvalid,
        )
        .message(format!("the next byte is {}", session.length()))
        .header(header::LOCATION, location(x, session))
        .header(header::RANGE, UploadedRange::of(session.length())));
    }
    if declared.is_some_and(|declared| declared != range.length()) {
        return Err(malformed(
            "Content-Range and Content-Length contradict each other",
        ));
    }
    if progress.had_short_chunk() {
        return Err(malformed(AFTER_SHORT_CHUNK));
    }
    // A body in chunks shows its length by its end only.
    x.intake.announced(range.length());
    Ok(())
}

/// Says where a session is and how far.
fn describe(x: &Exchange, session: &Session, response: &mut Response) {
    set(response, header::LOCATION, location(x, session));
    set(response, header::RANGE, UploadedRange::of(session.length()));
    set(response, UPLOAD_UUID, session.id());
}

/// What a path is put after in a `Location`.
fn base(x: &Exchange) -> String {
    if x.app.options.uploads.absolute_location {
        x.origin()
    } else {
        String::new()
    }
}

fn location(x: &Exchange, session: &Session) -> String {
    let (base, name, id) = (base(x), &session.ticket().name, session.id());
    let state = if x.app.options.uploads.state_parameter || x.faults.require_state {
        format!("?_state={}", session.length())
    } else {
        String::new()
    };
    format!("{base}/v2/{name}/blobs/uploads/{id}{state}")
}

/// 201: the repository holds the blob.
fn committed(x: &Exchange, name: &Name, digest: &Digest) -> Response {
    let mut response = answer::empty(StatusCode::CREATED);
    let location = format!("{}/v2/{name}/blobs/{digest}", base(x));
    set(&mut response, header::LOCATION, location);
    set_digest(&mut response, digest);
    response
}
