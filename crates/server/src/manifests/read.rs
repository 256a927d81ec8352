//! Manifests on their way out: GET and HEAD.
//!
//! One is read and verified whole before its answer begins, so that a damaged one is an error
//! and not half an answer. A long one for which there is no room in memory is verified in
//! pieces and then sent in small ones, of which each answer has one in memory.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{Method, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use oci::{Digest, Hasher, MediaType, TagOrDigest};
use tokio::sync::Semaphore;

use super::unknown;
use crate::{
    allowance::{Allowance, held_with},
    answer::{self, Refusal, set, set_digest},
    condition,
    exchange::Exchange,
    route::Name,
    store::{self, Content, OpenManifest},
};

/// How much of a long manifest is read at a time, in bytes.
const PIECE_BYTES: usize = 16 * 1024;
/// One that is longer is read by the thread that parses such, in bytes, inclusive.
const LONG_BYTES: u64 = 64 * 1024;

/// A manifest that was verified.
struct Found {
    media_type: MediaType,
    length: usize,
    bytes: Verified,
}

/// Its bytes.
enum Verified {
    Whole(Bytes),
    /// To be read again.
    Long(Box<dyn Content>),
}

/// `GET` and `HEAD …/manifests/<tag or digest>`.
pub(crate) async fn get(x: &Exchange, name: Name, which: TagOrDigest) -> Result<Response, Refusal> {
    let (store, wanted) = (Arc::clone(&x.app.store), which.clone());
    let (turns, allowance) = (
        Arc::clone(&x.app.turns.reading),
        x.app.memory.allowance.clone(),
    );
    let _turn = turns.acquire_owned().await;
    let opened = store::blocking(move || {
        let digest = match wanted {
            TagOrDigest::Digest(digest) => Some(digest),
            TagOrDigest::Tag(tag) => store.tag(&name, &tag)?,
        };
        let Some(digest) = digest else {
            return Ok(None);
        };
        store.rely_on_manifest(&name, &digest);
        let opened = store.open_manifest(&name, &digest)?;
        Ok(opened.map(|opened| (digest, opened)))
    });
    let (digest, opened) = opened.await?.ok_or_else(|| unknown(&which))?;
    let is_long = opened.1.length() > LONG_BYTES;
    let wanted = digest.clone();
    let find = move || find(opened, &wanted, &allowance);
    let found = if is_long {
        x.app.memory.parser.run(find).await??
    } else {
        store::blocking(find).await?
    };
    if condition::is_not_modified(&x.headers, &digest)? {
        return Ok(answer::not_modified(&digest));
    }
    let body = match found.bytes {
        _ if x.method == Method::HEAD => Body::empty(),
        Verified::Whole(bytes) => Body::from(bytes),
        Verified::Long(content) => {
            let turns = Arc::clone(&x.app.turns.reading);
            Body::from_stream(pieces(content, found.length, turns))
        }
    };
    let mut response = Response::new(body);
    set(&mut response, header::CONTENT_TYPE, found.media_type);
    set(&mut response, header::CONTENT_LENGTH, found.length);
    set(&mut response, header::ETAG, format!("\"{digest}\""));
    set_digest(&mut response, &digest);
    Ok(response)
}

/// A manifest, read whole if there is room for it, and verified.
fn find(opened: OpenManifest, digest: &Digest, allowance: &Allowance) -> io::Result<Found> {
    let (media_type, mut content) = opened;
    let length = usize::try_from(content.length()).map_err(io::Error::other)?;
    let (bytes, is_right) = if let Some(taken) = allowance.take(length) {
        let bytes = whole(&mut *content, length)?;
        let is_right = digest.matches(&bytes);
        (Verified::Whole(taken.hold(bytes)), is_right)
    } else {
        let is_right = verify(&mut *content, digest)?;
        content.seek(0)?;
        (Verified::Long(content), is_right)
    };
    if !is_right {
        let message = format!("the stored bytes of manifest {digest} are not what was put");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Found {
        media_type,
        length,
        bytes,
    })
}

fn whole(content: &mut dyn Content, length: usize) -> io::Result<Bytes> {
    let first = content.read(length.max(1))?;
    if first.len() == length {
        return Ok(first);
    }
    let mut whole = Vec::with_capacity(length);
    whole.extend_from_slice(&first);
    while whole.len() < length {
        let piece = content.read(length - whole.len())?;
        if piece.is_empty() {
            break;
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.into())
}

/// Whether all of it has the digest.
fn verify(content: &mut dyn Content, digest: &Digest) -> io::Result<bool> {
    let mut hasher = Hasher::for_digest(digest);
    loop {
        let piece = content.read(PIECE_BYTES)?;
        if piece.is_empty() {
            return Ok(hasher.check(digest).is_ok());
        }
        hasher.update(&piece);
    }
}

/// A long manifest in pieces, each read when the one before it has left.
fn pieces(
    content: Box<dyn Content>,
    length: usize,
    turns: Arc<Semaphore>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let places = Arc::new(Semaphore::new(1));
    stream::try_unfold((content, length), move |(mut content, left)| {
        let (places, turns) = (Arc::clone(&places), Arc::clone(&turns));
        async move {
            if left == 0 {
                return Ok(None);
            }
            // Nobody closes the semaphores.
            let place = places.acquire_owned().await.ok();
            let _turn = turns.acquire_owned().await;
            let read = move || {
                let piece = content.read(left.min(PIECE_BYTES))?;
                Ok((piece, content))
            };
            let (piece, content) = store::blocking(read).await?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = left.saturating_sub(piece.len());
            Ok(Some((held_with(piece, place), (content, left))))
        }
    })
}
