//! Request bodies: read piece by piece, counted, broken on cue, and, when they
//! are not wanted, dropped in the background so that the client sees its answer.
//!
//! A client that is still sending when the answer comes may see a reset instead
//! of it if the connection closes at once. So what is left of an unwanted body is
//! read and dropped, within bounds, while the answer is already on its way.

use std::{
    error::Error as _,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use oci::wire::ErrorCode;
use tokio_util::sync::CancellationToken;

use crate::{Limits, answer::Refusal, faults::BodyFault, log::Record};

/// How much of an unwanted body is dropped before the connection may close, in bytes.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
/// How long it is dropped for, in all.
const LINGER_TIME: Duration = Duration::from_secs(10);
/// How long the next piece of it is waited for.
const LINGER_IDLE: Duration = Duration::from_secs(2);
/// An unwanted body of at most this length is dropped without closing the connection.
const KEEP_ALIVE_BYTES: u64 = 256 * 1024;

/// Over how much waiting a body's pace is looked at.
const PACE_WINDOW: Duration = Duration::from_mins(1);

/// The body of one request.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Never locked: it only makes a body that is `Send` a field that is `Sync`.
    body: Mutex<Body>,
    record: Arc<Record>,
    /// Cancelled when nobody waits for an answer any more.
    gone: CancellationToken,
    idle: Duration,
    pace: Pace,
    fault: Option<(u64, BodyFault)>,
    limit: u64,
    /// How long its head says it is, without bounding it.
    announced: Option<u64>,
    received: u64,
    ended: bool,
    /// More came than was announced.
    is_too_long: bool,
    /// Nothing came for too long, or too little, or what is no body; and nothing is expected to.
    silent: bool,
}

/// How fast a body comes: bytes over the time that was spent waiting for them. The time
/// that is spent on what has come, the disk's, is not the client's.
#[derive(Debug)]
struct Pace {
    floor: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Notes what came after how long. False if it was too little over the whole window.
    fn came(&mut self, after: Duration, bytes: usize) -> bool {
        self.waited += after;
        self.bytes += bytes as u64;
        if self.waited < PACE_WINDOW {
            return true;
        }
        let enough = self.bytes >= self.floor;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        enough
    }
}

impl Intake {
    pub(crate) fn new(
        body: Body,
        record: Arc<Record>,
        gone: CancellationToken,
        limits: &Limits,
        fault: Option<(u64, BodyFault)>,
    ) -> Self {
        let ended = body.is_end_stream();
        Self {
            body: Mutex::new(body),
            record,
            gone,
            idle: limits.body_idle,
            pace: Pace {
                floor: limits.body_floor,
                waited: Duration::ZERO,
                bytes: 0,
            },
            fault,
            limit: u64::MAX,
            announced: None,
            received: 0,
            ended,
            is_too_long: false,
            silent: false,
        }
    }

    /// Refuses what goes beyond so many bytes.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Takes no more than so many bytes, and refuses a body that has more.
    pub(crate) fn announced(&mut self, bytes: u64) {
        self.announced = Some(bytes);
    }

    /// The next piece; none at the end.
    ///
    /// Fails with what to answer: the client went away, it has been silent too
    /// long, or a fault strikes. Pieces handed out before are good.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        if self.ended {
            return Ok(None);
        }
        if self.is_too_long {
            return Err(too_long());
        }
        if self.fault.as_ref().is_some_and(|it| it.0 <= self.received) {
            return Err(self.strike().await);
        }
        loop {
            let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
            let asked = tokio::time::Instant::now();
            let frame = tokio::time::timeout(self.idle, body.frame()).await;
            let Ok(frame) = frame else {
                self.silent = true;
                return Err(silent("the body stopped coming"));
            };
            let bytes = match &frame {
                Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                _ => 0,
            };
            let ends = !matches!(&frame, Some(Ok(_)));
            if !self.pace.came(asked.elapsed(), bytes) && !ends {
                self.silent = true;
                return Err(silent("the body comes too slowly"));
            }
            match frame {
                None => {
                    self.ended = true;
                    return Ok(None);
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "request body broke off");
                    if is_unreadable(&error) {
                        self.silent = true;
                        return Err(unreadable());
                    }
                    self.ended = true;
                    return Err(Refusal::Abandoned);
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        let data = self.within_announced(data)?;
                        let data = self.count(data);
                        if self.received > self.limit {
                            return Err(too_large(self.limit));
                        }
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// As much of a piece as was announced.
    fn within_announced(&mut self, mut data: Bytes) -> Result<Bytes, Refusal> {
        let left = self.announced.map(|it| it - self.received);
        if let Some(left) = left.and_then(|it| usize::try_from(it).ok())
            && data.len() > left
        {
            self.is_too_long = true;
            data.truncate(left);
            if data.is_empty() {
                return Err(too_long());
            }
        }
        Ok(data)
    }

    /// Counts a piece, up to where a fault strikes.
    fn count(&mut self, mut data: Bytes) -> Bytes {
        if let Some((at, _)) = self.fault {
            let left = usize::try_from(at - self.received).unwrap_or(usize::MAX);
            data.truncate(left);
        }
        self.received += data.len() as u64;
        self.record.received(data.len());
        data
    }

    async fn strike(&mut self) -> Refusal {
        match self.fault.take().map(|it| it.1) {
            Some(BodyFault::Answer(answer)) => Refusal::Scripted(Box::new(answer)),
            Some(BodyFault::Stall) => {
                self.gone.cancelled().await;
                Refusal::Abandoned
            }
            Some(BodyFault::Reset) | None => Refusal::Reset,
        }
    }

    /// The whole body, if it is no longer than `limit` bytes.
    pub(crate) async fn collect(&mut self, limit: usize) -> Result<Bytes, Refusal> {
        self.limit(limit as u64);
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// Drops what is left of the body, in the background. Says whether the
    /// connection should close after the answer.
    pub(crate) fn drop_rest(self, headers: &HeaderMap) -> bool {
        let body = self
            .body
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if self.ended || body.is_end_stream() {
            return false;
        }
        let closes = body
            .size_hint()
            .exact()
            .is_none_or(|left| left > KEEP_ALIVE_BYTES);
        // Who waits for "100 Continue" has sent nothing, and reading would ask for it.
        let waits = headers.contains_key(header::EXPECT) && self.received == 0;
        if waits || self.silent {
            return true;
        }
        tokio::spawn(async move {
            let dropping = drop_bytes(body, LINGER_BYTES);
            let _ = tokio::time::timeout(LINGER_TIME, dropping).await;
        });
        closes
    }
}

async fn drop_bytes(mut body: Body, limit: u64) {
    let mut dropped = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(LINGER_IDLE, body.frame()).await {
        dropped += frame.data_ref().map_or(0, |data| data.len() as u64);
        if dropped > limit {
            return;
        }
    }
}

/// Whether a body ended because what came is not what HTTP/1.1 says a body in chunks is, rather
/// than because nothing more came: its client is there and waits for an answer.
fn is_unreadable(error: &axum::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{InvalidData, InvalidInput};
            return matches!(error.kind(), InvalidInput | InvalidData);
        }
        cause = error.source();
    }
    false
}

/// [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-7.1).
fn unreadable() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid)
        .message("the body's chunks are not framed as HTTP/1.1 has it; what came before was taken")
}

fn silent(message: &str) -> Refusal {
    Refusal::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::BlobUploadInvalid).message(message)
}

fn too_long() -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid)
        .message("the body is longer than Content-Range says; no more than that was kept")
}

/// How long a body is said to be.
pub(crate) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

pub(crate) fn too_large(limit: u64) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid)
        .message(format!("the body is over the limit of {limit} bytes"))
}
