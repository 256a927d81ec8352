//! A blob's bytes, read once for several requests.
//!
//! Who verifies a blob reads it from its start, wherever it is opened; so a blob that
//! goes up in chunks is opened once, and each chunk takes the stretch that is its own.

use std::{
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use oci::{BlobStream, BlobUpload, SourceError};

/// The tape that was read last, if there is one.
#[derive(Default)]
pub(crate) struct Reel(Mutex<Option<Arc<Mutex<Tape>>>>);

struct Tape {
    stream: BlobStream,
    /// What was read of the stream and is not wanted yet.
    rest: Bytes,
    at: u64,
    size: u64,
}

/// The bytes of a tape up to an offset, exclusive.
struct Stretch {
    tape: Arc<Mutex<Tape>>,
    end: u64,
}

impl Reel {
    /// These bytes of a blob; its end is read with the last of them, so that what is wrong with
    /// the whole shows.
    pub(crate) async fn read(
        &self,
        upload: &BlobUpload<'_>,
        part: &Range<u64>,
    ) -> Result<BlobStream, SourceError> {
        let known = lock(&self.0).take();
        let known = known.filter(|tape| part.start > 0 && lock(tape).at == part.start);
        let tape = match known {
            Some(tape) => tape,
            None => Arc::new(Mutex::new(Tape {
                stream: upload.source.open(upload.blob, part.start).await?,
                rest: Bytes::new(),
                at: part.start,
                size: upload.blob.size,
            })),
        };
        *lock(&self.0) = Some(tape.clone());
        let end = part.end;
        Ok(Stretch { tape, end }.boxed())
    }
}

impl Stream for Stretch {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut tape = lock(&self.tape);
        if tape.at >= self.end && self.end < tape.size {
            return Poll::Ready(None);
        }
        if tape.rest.is_empty() {
            match ready!(tape.stream.poll_next_unpin(cx)) {
                Some(Ok(piece)) => tape.rest = piece,
                ended => return Poll::Ready(ended),
            }
        }
        let wanted = if self.end < tape.size {
            usize::try_from(self.end - tape.at).unwrap_or(usize::MAX)
        } else {
            // More than there should be is for the body to find.
            usize::MAX
        };
        let wanted = wanted.min(tape.rest.len());
        let piece = tape.rest.split_to(wanted);
        tape.at += piece.len() as u64;
        Poll::Ready(Some(Ok(piece)))
    }
}

fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
