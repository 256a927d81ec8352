//! Bytes in memory: arriving, counted, read.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use oci::Digest;

use super::Memory;
use crate::{
    route::Name,
    store::{Committed, Content, Staged},
};

/// Bytes in pieces, counted against the store's limit while they are there.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    all: Vec<Bytes>,
    pub(super) length: u64,
    used: Arc<AtomicU64>,
}

/// Bytes of a manifest, counted the same way.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) bytes: u64,
    pub(super) used: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) store: Memory,
    pub(super) pieces: Arc<Pieces>,
}

#[derive(Debug)]
pub(super) struct Reading {
    pieces: Arc<Pieces>,
    at: usize,
    within: usize,
}

// === impl Pieces ===

impl Drop for Counted {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.used.fetch_sub(self.length, Ordering::Relaxed);
    }
}

impl Pieces {
    /// None yet, to be counted there.
    pub(super) fn counted(used: &Arc<AtomicU64>) -> Self {
        Self {
            all: Vec::new(),
            length: 0,
            used: Arc::clone(used),
        }
    }

    /// Bytes that are counted by somebody else.
    pub(super) fn of(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        let used = Arc::new(AtomicU64::new(length));
        let all = vec![bytes];
        Self { all, length, used }
    }

    /// The same bytes and more. Counts the new ones only.
    fn push(&mut self, piece: Bytes) {
        let length = piece.len() as u64;
        self.used.fetch_add(length, Ordering::Relaxed);
        self.length += length;
        self.all.push(piece);
    }
}

// === impl Arriving ===

impl Staged for Arriving {
    fn length(&self) -> u64 {
        self.pieces.length
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            // An empty piece would read as the end.
            return Ok(());
        }
        let shared = &self.store.0;
        if shared.used.load(Ordering::Relaxed) + bytes.len() as u64 > shared.limit {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let staged = Arc::get_mut(&mut self.pieces)
            .ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, "content is being read"))?;
        staged.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn read(&self) -> io::Result<Box<dyn Content>> {
        Ok(Reading::boxed(Arc::clone(&self.pieces)))
    }

    fn commit(&mut self, name: &Name, digest: &Digest) -> io::Result<Committed> {
        let mut kept = self.store.kept();
        let pieces = std::mem::take(&mut self.pieces);
        let committed = if kept.contents.contains_key(digest) {
            Committed::Known
        } else {
            kept.contents.insert(digest.clone(), pieces);
            Committed::New
        };
        self.store.0.watches.note([digest]);
        kept.hold(name, digest, self.store.0.grace.now());
        Ok(committed)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.pieces = Arc::default();
        Ok(())
    }
}

// === impl Reading ===

impl Reading {
    pub(super) fn boxed(pieces: Arc<Pieces>) -> Box<dyn Content> {
        Box::new(Self {
            pieces,
            at: 0,
            within: 0,
        })
    }
}

impl Content for Reading {
    fn length(&self) -> u64 {
        self.pieces.length
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let mut left = offset;
        for (at, piece) in self.pieces.all.iter().enumerate() {
            let length = piece.len() as u64;
            if left < length {
                self.at = at;
                self.within = usize::try_from(left).map_err(io::Error::other)?;
                return Ok(());
            }
            left -= length;
        }
        self.at = self.pieces.all.len();
        self.within = 0;
        Ok(())
    }

    fn read_at_hand(&mut self, limit: usize) -> io::Result<Option<Bytes>> {
        self.read(limit).map(Some)
    }

    fn read(&mut self, limit: usize) -> io::Result<Bytes> {
        let Some(piece) = self.pieces.all.get(self.at) else {
            return Ok(Bytes::new());
        };
        let end = piece.len().min(self.within.saturating_add(limit));
        let read = piece.slice(self.within..end);
        if end == piece.len() {
            self.at += 1;
            self.within = 0;
        } else {
            self.within = end;
        }
        Ok(read)
    }
}
