//! Batches of a body: as much of it as is worth waking a thread, within the server's room.
//!
//! Pieces are copied into buffers that are used again. That costs less than it saves:
//! memory that is given back with every piece is memory that the system has to clear
//! for the next one, and a small piece holds on to all of the buffer it was read into.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So much is gathered before it is handed on, in bytes, as long as the bodies are few. Only a
/// batch of one piece may be longer.
const BATCH_BYTES: usize = 256 * 1024;
/// So much of all bodies together is gathered, in bytes: the more there are, the smaller is
/// each one's batch,
const GATHERED_BYTES: usize = 4 * 1024 * 1024;
/// down to this, in bytes.
const LEAST_BATCH_BYTES: usize = 32 * 1024;
/// The most batches of one body that are being worked on.
const OF_ONE_BODY: usize = 8;
/// The most batches of all bodies together that are being worked on.
const OF_ALL: usize = 32;
/// The most buffers that are kept to be used again.
const SPARE: usize = 32;
/// A body whose first piece is smaller gets a buffer that fits, not one of those.
const SMALL_BYTES: usize = 16 * 1024;

/// Bytes that are worked on, and the room they take until they are dropped.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    room: Room,
    places: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// The room that all bodies share.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many bodies are being gathered.
    bodies: AtomicUsize,
    places: Arc<Semaphore>,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// One body's bytes on their way to be batches.
#[derive(Debug)]
pub(super) struct Gathering {
    bytes: Vec<u8>,
    places: Arc<Semaphore>,
    room: Room,
}

// === impl Room ===

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Shared {
            bodies: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(OF_ALL)),
            spare: Mutex::default(),
        }))
    }
}

impl Room {
    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much is gathered of one body, with as many as there are now.
    fn batch_bytes(&self) -> usize {
        let bodies = self.0.bodies.load(Ordering::Relaxed).max(1);
        (GATHERED_BYTES / bodies).clamp(LEAST_BATCH_BYTES, BATCH_BYTES)
    }

    fn buffer(&self) -> Vec<u8> {
        let spare = self.spare().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(2 * BATCH_BYTES))
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() < BATCH_BYTES {
            return;
        }
        buffer.clear();
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push(buffer);
        }
    }
}

// === impl Gathering ===

impl Gathering {
    pub(super) fn new(room: &Room) -> Self {
        room.0.bodies.fetch_add(1, Ordering::Relaxed);
        Self {
            bytes: Vec::new(),
            places: Arc::new(Semaphore::new(OF_ONE_BODY)),
            room: room.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether what was gathered goes first, before `more` bytes are.
    pub(super) fn has_no_room_for(&self, more: usize) -> bool {
        !self.bytes.is_empty() && self.bytes.len() + more > self.room.batch_bytes()
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        if self.bytes.capacity() == 0 && piece.len() >= SMALL_BYTES {
            self.bytes = self.room.buffer();
        }
        self.bytes.extend_from_slice(piece);
    }

    /// What was gathered, once there is room for it to be worked on. Whatever has room is
    /// being worked on, so room comes free whatever clients do.
    pub(super) async fn batch(&mut self) -> Batch {
        let own = Arc::clone(&self.places).acquire_owned().await;
        let all = Arc::clone(&self.room.0.places).acquire_owned().await;
        let mut batch = self.small_batch();
        // Nobody closes the semaphores.
        batch.places = own.ok().zip(all.ok());
        batch
    }

    /// What was gathered, without a claim to room: it is little.
    pub(super) fn small_batch(&mut self) -> Batch {
        Batch {
            bytes: std::mem::take(&mut self.bytes),
            room: self.room.clone(),
            places: None,
        }
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.room.0.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Batch ===

impl Batch {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // The buffer first: who gets the place finds it.
        self.room.give_back(std::mem::take(&mut self.bytes));
        drop(self.places.take());
    }
}
