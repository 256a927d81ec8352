//! Request bodies: nothing, a few bytes, or a blob as it is read.
//!
//! A blob's body is polled by the connection's own task, far from who started the
//! upload. What both must know is in the [`Flow`] they share: how much was handed over,
//! whether it ended, why it failed; and the word to hold or to give up.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, task::AtomicWaker};
use http_body::{Frame, SizeHint};
use oci::{BlobStream, Descriptor, SourceError};
use tokio::time::Instant;

use super::{limit::Host, rate::Pace, socket::Wire};

/// What a request carries.
pub(crate) enum RequestBody {
    /// All of it at once; may be nothing.
    Bytes(Bytes),
    /// A blob.
    Blob(Box<BlobBody>),
}

/// A blob's bytes on their way to the connection.
pub(crate) struct BlobBody {
    stream: BlobStream,
    /// The last piece, kept until it is known that nothing follows it.
    last: Option<Bytes>,
    left: u64,
    /// What was read, and waits for its time.
    paced: Bytes,
    pace: Pace,
    flow: Arc<Flow>,
    host: Arc<Host>,
}

/// What is known of a body while it is sent.
#[derive(Debug)]
pub(crate) struct Flow {
    length: u64,
    started: Instant,
    handed: AtomicU64,
    ended: AtomicBool,
    /// Whether the last poll found the source not ready, or that it is not time yet.
    starved: AtomicBool,
    /// When the last change was, in milliseconds since it started.
    changed: AtomicU64,
    word: AtomicU8,
    waker: AtomicWaker,
    failure: Mutex<Option<SourceError>>,
    /// The connection it goes over.
    wire: OnceLock<Wire>,
}

/// A body that ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the bytes to send could not be read")]
    Source,
    #[error("the body was given up")]
    GivenUp,
}

const GO: u8 = 0;
const HOLD: u8 = 1;
const STOP: u8 = 2;

// === impl Flow ===

impl Flow {
    pub(crate) fn new(length: u64) -> Self {
        Self {
            length,
            started: Instant::now(),
            handed: AtomicU64::new(0),
            ended: AtomicBool::new(length == 0),
            starved: AtomicBool::new(false),
            changed: AtomicU64::new(0),
            word: AtomicU8::new(GO),
            waker: AtomicWaker::new(),
            failure: Mutex::new(None),
            wire: OnceLock::new(),
        }
    }

    /// Says which connection it goes over.
    pub(crate) fn goes_over(&self, wire: &Wire) {
        let _ = self.wire.set(wire.clone());
    }

    /// The whole length, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes were handed to the transport.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Acquire)
    }

    /// Whether all of them were.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether it waits for its source or its pace, not for the network.
    pub(crate) fn starved(&self) -> bool {
        self.starved.load(Ordering::Acquire)
    }

    /// When something was last handed over.
    pub(crate) fn changed(&self) -> Instant {
        self.started + Duration::from_millis(self.changed.load(Ordering::Acquire))
    }

    /// Sends nothing more for now: an answer has come early and is to be read.
    pub(crate) fn hold(&self) {
        self.say(HOLD);
    }

    /// Ends the body and its connection, so that the registry never has all of it. Not where there
    /// was an answer to the whole of it: the connection is another request's then.
    pub(crate) fn stop(&self) {
        self.say(STOP);
        // Where the peer does not read, the body is not asked for more and would not notice. A
        // connection that carries others too stays: the body notices when the peer reads on, and
        // resets its stream.
        if let Some(wire) = self.wire.get().filter(|it| !it.is_shared()) {
            wire.cut();
        }
    }

    /// Why the source failed, once.
    pub(crate) fn take_failure(&self) -> Option<SourceError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn say(&self, word: u8) {
        self.word.fetch_max(word, Ordering::AcqRel);
        self.waker.wake();
    }

    fn fail(&self, error: SourceError) -> BodyError {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        BodyError::Source
    }

    fn touch(&self) {
        let age = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.changed.store(age, Ordering::Release);
    }
}

// === impl BlobBody ===

impl BlobBody {
    /// The body that sends all of `stream`, which must be `flow.length()` bytes, 1 or more, at this
    /// pace.
    pub(crate) fn new(stream: BlobStream, flow: Arc<Flow>, host: Arc<Host>, pace: Pace) -> Self {
        Self {
            stream,
            last: None,
            left: flow.length(),
            paced: Bytes::new(),
            pace,
            flow,
            host,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.flow.waker.register(cx.waker());
        match self.flow.word.load(Ordering::Acquire) {
            GO => {}
            HOLD => return Poll::Pending,
            _ => return Poll::Ready(Some(Err(BodyError::GivenUp))),
        }
        if self.flow.ended() {
            return Poll::Ready(None);
        }
        let piece = self.next_part(cx);
        if piece.is_pending() {
            self.flow.starved.store(true, Ordering::Release);
        } else if self.flow.starved.swap(false, Ordering::AcqRel) {
            // The time that the source took, or the pace, is not the network's.
            self.flow.touch();
        }
        match ready!(piece) {
            Ok(piece) => Poll::Ready(Some(Ok(self.hand_over(piece)))),
            Err(error) => Poll::Ready(Some(Err(self.flow.fail(error)))),
        }
    }

    /// As much of the next piece as goes at once.
    fn next_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, SourceError>> {
        if self.paced.is_empty() {
            self.paced = ready!(self.next_piece(cx))?;
        }
        let part = self.pace.part_of(self.paced.len());
        ready!(self.pace.poll_part(cx, part));
        Poll::Ready(Ok(self.paced.split_to(part)))
    }

    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, SourceError>> {
        loop {
            let next = ready!(self.stream.poll_next_unpin(cx));
            match (next, self.last.take()) {
                (Some(Err(error)), _) => return Poll::Ready(Err(error)),
                (None, Some(last)) => return Poll::Ready(Ok(last)),
                (None, None) => return Poll::Ready(Err(self.wrong_size(0))),
                (Some(Ok(piece)), last) if piece.is_empty() => self.last = last,
                (Some(Ok(piece)), _) => {
                    let length = piece.len() as u64;
                    if length > self.left {
                        return Poll::Ready(Err(self.wrong_size(length)));
                    }
                    self.left -= length;
                    if self.left > 0 {
                        return Poll::Ready(Ok(piece));
                    }
                    self.last = Some(piece);
                }
            }
        }
    }

    fn wrong_size(&self, more: u64) -> SourceError {
        let read = self.flow.length - self.left;
        SourceError::invalid(
            "the blob's stream",
            format!(
                "it yields {} {} bytes, expected {}",
                if more == 0 { "only" } else { "at least" },
                read + more,
                self.flow.length,
            ),
        )
    }

    fn hand_over(&self, piece: Bytes) -> Bytes {
        let bytes = piece.len() as u64;
        let handed = self.flow.handed.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.host.counters.body(bytes);
        self.flow.touch();
        if handed == self.flow.length {
            self.flow.ended.store(true, Ordering::Release);
        }
        piece
    }
}

// === impl RequestBody ===

impl RequestBody {
    pub(crate) fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob(body) => body.flow.length,
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Blob(body) => body.poll(cx).map_ok(Frame::data).map(|it| it),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Blob(body) => body.flow.ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob(body) => body.flow.length - body.flow.handed(),
        })
    }
}

impl Drop for BlobBody {
    fn drop(&mut self) {
        // Nobody will wake it again.
        self.flow.waker.take();
    }
}

/// Checks that a stream for a blob of no bytes has none, and that it ends well.
pub(crate) async fn expect_empty(
    mut stream: BlobStream,
    blob: &Descriptor,
) -> Result<(), SourceError> {
    while let Some(piece) = stream.next().await {
        let actual = piece?.len() as u64;
        if actual > 0 {
            return Err(SourceError::WrongSize {
                digest: blob.digest.clone(),
                place: "the blob's stream".to_owned(),
                expected: 0,
                actual,
            });
        }
    }
    Ok(())
}
