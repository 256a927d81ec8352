//! Blobs: HEAD, GET with ranges, DELETE.
//!
//! [distribution-spec, Pulling blobs](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-blobs),
//! [RFC 9110, Range Requests](https://www.rfc-editor.org/rfc/rfc9110#section-14).

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use oci::{
    Digest,
    wire::{ByteRange, ErrorCode},
};
use tokio::sync::Semaphore;

use crate::{
    allowance::{Allowance, held_with},
    answer::{self, Refusal, set, set_digest},
    condition,
    exchange::Exchange,
    route::Name,
    store::{self, Content},
};

/// How much of a blob is read and sent at a time; a few pieces of each reader are in memory.
const PIECE_BYTES: usize = 128 * 1024;
/// The same where there is no room for more; each reader then has one such piece in memory.
const SMALL_PIECE_BYTES: usize = 8 * 1024;

pub(crate) async fn read(x: &Exchange, name: Name, digest: Digest) -> Result<Response, Refusal> {
    let (store, wanted) = (Arc::clone(&x.app.store), digest.clone());
    let content = store::blocking(move || store.open(&name, &wanted))
        .await?
        .ok_or_else(|| unknown(&digest))?;
    if condition::is_not_modified(&x.headers, &digest)? {
        return Ok(answer::not_modified(&digest));
    }
    let length = content.length();
    let range = range(x).filter(|_| condition::allows_range(&x.headers, &digest));
    let (offset, count) = match range {
        None => (0, length),
        Some(range) => range.resolve(length).ok_or_else(|| {
            Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::SizeInvalid)
                .message(format!("the blob has {length} bytes"))
                .header(header::CONTENT_RANGE, format!("bytes */{length}"))
        })?,
    };
    let body = if x.method == Method::HEAD || count == 0 {
        Body::empty()
    } else {
        Body::from_stream(pieces(content, offset, count, &x.app.memory.allowance))
    };
    let mut response = Response::new(body);
    describe(&mut response, &digest, count);
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = offset + count - 1;
        let range = format!("bytes {offset}-{last}/{length}");
        set(&mut response, header::CONTENT_RANGE, range);
    }
    Ok(response)
}

fn describe(response: &mut Response, digest: &Digest, count: u64) {
    let headers = response.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, octets);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(count));
    set(response, header::ETAG, format!("\"{digest}\""));
    set_digest(response, digest);
}

/// The range asked for. What cannot be read, or asks for several, is answered with the
/// whole blob; a first byte after the last is a range that there is not.
fn range(x: &Exchange) -> Option<ByteRange> {
    if x.method != Method::GET {
        return None;
    }
    let text = x.headers.get(header::RANGE)?.to_str().ok()?;
    match text.parse() {
        Ok(range) => Some(range),
        Err(_) if is_backwards(text) => Some(ByteRange::Last(0)),
        Err(_) => None,
    }
}

fn is_backwards(text: &str) -> bool {
    let numbers = text
        .trim()
        .strip_prefix("bytes=")
        .and_then(|it| it.split_once('-'))
        .and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    numbers.is_some_and(|(first, last)| first > last)
}

/// A blob on its way out.
struct Leaving {
    /// None while it is read.
    content: Option<Box<dyn Content>>,
    /// Where it is to begin, if it has not.
    offset: Option<u64>,
    left: u64,
    allowance: Allowance,
    /// For pieces that there is no room for.
    places: Arc<Semaphore>,
}

/// The bytes from `offset`. What is in memory is taken from there at once; a thread is asked
/// only for what has to come from a disk.
fn pieces(
    content: Box<dyn Content>,
    offset: u64,
    count: u64,
    allowance: &Allowance,
) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let start = Leaving {
        content: Some(content),
        offset: Some(offset),
        left: count,
        allowance: allowance.clone(),
        places: Arc::new(Semaphore::new(1)),
    };
    stream::try_unfold(start, Leaving::next)
}

impl Leaving {
    /// The next piece: a large one if there is room for it until it has left; else a small
    /// one, when the small one before it has left.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.left == 0 {
            return Ok(None);
        }
        if let (Some(offset), Some(content)) = (self.offset.take(), &mut self.content) {
            content.select(offset, self.left)?;
        }
        let most = |bytes: usize| usize::try_from(self.left).map_or(bytes, |it| it.min(bytes));
        if let Some(taken) = self.allowance.take_spare(PIECE_BYTES) {
            let piece = self.read(most(PIECE_BYTES)).await?;
            return Ok(Some((held_with(piece, taken), self)));
        }
        let limit = most(SMALL_PIECE_BYTES);
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let piece = self.read(limit).await?;
        Ok(Some((held_with(piece, place), self)))
    }

    async fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let mut content = self.content.take().ok_or(io::ErrorKind::ResourceBusy)?;
        let piece = if let Some(piece) = content.read_at_hand(limit)? {
            piece
        } else {
            let read = move || content.read(limit).map(|piece| (content, piece));
            let piece;
            (content, piece) = store::blocking(read).await?;
            piece
        };
        self.content = Some(content);
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= piece.len() as u64;
        Ok(piece)
    }
}

pub(crate) async fn delete(x: &Exchange, name: Name, digest: Digest) -> Result<Response, Refusal> {
    x.check_deletes("GET, HEAD")?;
    let (store, wanted) = (Arc::clone(&x.app.store), digest.clone());
    if !store::blocking(move || store.remove_blob(&name, &wanted)).await? {
        return Err(unknown(&digest));
    }
    Ok(answer::empty(StatusCode::ACCEPTED))
}

fn unknown(digest: &Digest) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, ErrorCode::BlobUnknown)
        .message("the repository does not hold this blob")
        .detail(digest.to_string())
}
