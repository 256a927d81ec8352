//! A blob's bytes out of a source, verified while they are read.
//!
//! A blob whose bytes were never found to be right is read from its beginning to its end,
//! whatever part of it is asked for, and hashed meanwhile; the last piece of what was asked
//! for is handed out only when the digest is right. So what is wrong never looks whole: the
//! answer is cut off. What was right is remembered together with the source's mark for that
//! state of the bytes ([`Source::version`](oci::Source::version)); while the mark stands,
//! parts are read alone. The whole is hashed every time.

use std::{io, sync::Arc, sync::PoisonError};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use oci::{BlobStream, Digest, Hasher, SourceError};

use super::{Bridge, Held};
use crate::store::Content;

/// A blob that is being read.
pub(super) struct Reading {
    held: Arc<Held>,
    bridge: Arc<Bridge>,
    /// Where the part asked for begins, until reading it has begun.
    asked: Option<u64>,
    stream: Option<BlobStream>,
    /// What the whole has to be, unless that is known.
    verifying: Option<Verifying>,
    /// How many bytes the stream gives before those asked for.
    before: u64,
    /// How many bytes of those asked for are still to be read.
    left: u64,
    /// What may be handed out.
    ready: Bytes,
}

struct Verifying {
    hasher: Hasher,
    /// The mark of the bytes when reading them began.
    version: Option<String>,
}

impl Reading {
    pub(super) fn new(held: Arc<Held>, bridge: Arc<Bridge>) -> io::Result<Self> {
        let left = held.descriptor.size;
        let it = Self {
            held,
            bridge,
            asked: Some(0),
            stream: None,
            verifying: None,
            before: 0,
            left,
            ready: Bytes::new(),
        };
        // Nobody reads what is empty, so that it would not be verified.
        let digest = &it.held.descriptor.digest;
        let empty = Digest::of_with(digest.algorithm(), b"");
        if left == 0 && *digest != empty {
            return Err(it.failed(&it.altered(empty)));
        }
        Ok(it)
    }

    /// Goes to the part asked for: straight there, if the bytes are known to be right.
    fn begin(&mut self, offset: u64) -> Result<(), SourceError> {
        let whole = self.left == self.held.descriptor.size;
        let known = self.known();
        if known.is_some() && !whole {
            let stream = self.open(offset)?;
            // Asked after it was opened: what takes its place from now on is not what is read.
            if self.version()? == known {
                (self.stream, self.verifying, self.before) = (Some(stream), None, 0);
                return Ok(());
            }
        }
        let version = self.version()?;
        let hasher = Hasher::new(self.held.descriptor.digest.algorithm());
        self.stream = Some(self.open(0)?);
        self.verifying = Some(Verifying { hasher, version });
        self.before = offset;
        Ok(())
    }

    /// Makes more bytes ready.
    fn advance(&mut self) -> Result<(), SourceError> {
        if let Some(offset) = self.asked.take() {
            self.begin(offset)?;
        }
        let mut piece = self.next()?.ok_or_else(|| self.cut_off())?;
        let unwanted = usize::try_from(self.before).map_or(piece.len(), |it| it.min(piece.len()));
        piece.advance(unwanted);
        self.before -= unwanted as u64;
        let wanted = usize::try_from(self.left).map_or(piece.len(), |it| it.min(piece.len()));
        piece.truncate(wanted);
        self.left -= wanted as u64;
        if self.left == 0 {
            self.verify()?;
        }
        self.ready = piece;
        Ok(())
    }

    /// The stream's next piece, hashed if need be.
    fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let piece = self
            .bridge
            .wait(async { stream.next().await.transpose() })?;
        if let (Some(verifying), Some(piece)) = (&mut self.verifying, &piece) {
            verifying.hasher.update(piece);
        }
        Ok(piece)
    }

    /// Reads to the end, and fails if the whole is not what it should be.
    fn verify(&mut self) -> Result<(), SourceError> {
        if self.verifying.is_some() {
            while self.next()?.is_some() {}
        }
        self.stream = None;
        let Some(Verifying { hasher, version }) = self.verifying.take() else {
            return Ok(());
        };
        let actual = hasher.finish();
        if actual != self.held.descriptor.digest {
            return Err(self.altered(actual));
        }
        if version.is_some() && self.version()? == version {
            let verified = self.held.verified.lock();
            *verified.unwrap_or_else(PoisonError::into_inner) = version;
        }
        Ok(())
    }

    fn known(&self) -> Option<String> {
        let verified = self.held.verified.lock();
        verified.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn open(&self, offset: u64) -> Result<BlobStream, SourceError> {
        let (source, blob) = (&self.held.source, &self.held.descriptor);
        self.bridge.wait(source.open(blob, offset))
    }

    fn version(&self) -> Result<Option<String>, SourceError> {
        let (source, blob) = (&self.held.source, &self.held.descriptor);
        self.bridge.wait(source.version(blob))
    }

    fn place(&self) -> String {
        self.held.source.place(&self.held.descriptor)
    }

    fn altered(&self, actual: Digest) -> SourceError {
        SourceError::Altered {
            expected: self.held.descriptor.digest.clone(),
            actual,
            place: self.place(),
        }
    }

    fn cut_off(&self) -> SourceError {
        SourceError::invalid(self.place(), "it ends too early")
    }

    /// What becomes of a reader whose answer has begun already: told to the log, because the
    /// client only sees its connection break.
    fn failed(&self, error: &SourceError) -> io::Error {
        let failure = self.held.failed(error);
        tracing::error!(digest = %self.held.descriptor.digest, error = %failure, "a blob cannot be served");
        failure
    }
}

impl Content for Reading {
    fn length(&self) -> u64 {
        self.held.descriptor.size
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let count = self.length().saturating_sub(offset);
        self.select(offset, count)
    }

    /// Only takes note: nothing may block here.
    fn select(&mut self, offset: u64, count: u64) -> io::Result<()> {
        if offset
            .checked_add(count)
            .is_none_or(|end| end > self.length())
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        (self.asked, self.left, self.ready) = (Some(offset), count, Bytes::new());
        Ok(())
    }

    fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        while self.ready.is_empty() {
            if self.left == 0 {
                return Ok(Bytes::new());
            }
            self.advance().map_err(|error| self.failed(&error))?;
        }
        Ok(self.ready.split_to(self.ready.len().min(limit)))
    }

    fn read_at_hand(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        if self.ready.is_empty() && self.left > 0 {
            return Ok(None);
        }
        Ok(Some(self.ready.split_to(self.ready.len().min(limit))))
    }
}
