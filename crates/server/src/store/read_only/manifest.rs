//! A manifest's bytes out of a source, which gives documents whole.
//!
//! Who reads it from front to back has it in memory. Who goes back to its beginning means to
//! take his time: from then on it is read again for every piece, so that nothing of it is in
//! memory in between.

use std::{io, sync::Arc};

use bytes::Bytes;
use oci::{MediaType, SourceError};

use super::{Bridge, Held};
use crate::store::Content;

/// A manifest that is being read.
pub(super) struct Rereading {
    held: Arc<Held>,
    bridge: Arc<Bridge>,
    /// All of it, until somebody goes back.
    whole: Option<Bytes>,
    length: usize,
    at: usize,
}

impl Rereading {
    pub(super) fn open(
        held: Arc<Held>,
        bridge: Arc<Bridge>,
    ) -> Result<(MediaType, Self), SourceError> {
        let document = bridge.wait(held.source.document(&held.descriptor))?;
        let bytes = document.bytes().clone();
        let opened = Self {
            length: bytes.len(),
            whole: Some(bytes),
            at: 0,
            held,
            bridge,
        };
        Ok((document.media_type().clone(), opened))
    }
}

impl Content for Rereading {
    fn length(&self) -> u64 {
        self.length as u64
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.at = usize::try_from(offset).map_err(io::Error::other)?;
        self.whole = None;
        Ok(())
    }

    fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let end = self.length.min(self.at.saturating_add(limit));
        let piece = if let Some(whole) = &self.whole {
            whole.slice(self.at.min(end)..end)
        } else {
            let read = self.held.source.document(&self.held.descriptor);
            let document = self.bridge.wait(read);
            let document = document.map_err(|error| self.held.failed(&error))?;
            let piece = document.bytes().get(self.at..end);
            Bytes::copy_from_slice(piece.ok_or(io::ErrorKind::UnexpectedEof)?)
        };
        self.at = end;
        Ok(piece)
    }

    /// It always has to be asked of the source.
    fn read_at_hand(&mut self, _limit: usize) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}
