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
/// How long those buffers are, in bytes: a batch, and the piece that no longer fitted.
const BUFFER_BYTES: usize = BATCH_BYTES + 64 * 1024;
/// The most of them that there are. A body that comes when all are in use is gathered in
/// batches that are small: it may stand still, and its buffer with it.
const BUFFERS: usize = 32;
/// The most that are kept to be used again.
const SPARE: usize = 8;
/// A body that is not longer, or has to do without, is gathered in a buffer that fits.
const SMALL_BYTES: usize = 16 * 1024;

/// Bytes that are worked on, and the room they take until they are dropped.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    room: Room,
    places: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    buffer: Option<OwnedSemaphorePermit>,
}

/// The room that all bodies share.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many bodies are being gathered.
    bodies: AtomicUsize,
    places: Arc<Semaphore>,
    buffers: Arc<Semaphore>,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// One body's bytes on their way to be batches.
#[derive(Debug)]
pub(super) struct Gathering {
    bytes: Vec<u8>,
    /// One of the large buffers, if the bytes are in one.
    buffer: Option<OwnedSemaphorePermit>,
    places: Arc<Semaphore>,
    room: Room,
}

// === impl Room ===

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Shared {
            bodies: AtomicUsize::new(0),
            places: Arc::new(Semaphore::new(OF_ALL)),
            buffers: Arc::new(Semaphore::new(BUFFERS)),
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
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
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
            buffer: None,
            places: Arc::new(Semaphore::new(OF_ONE_BODY)),
            room: room.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether what was gathered goes first, before `more` bytes are.
    pub(super) fn has_no_room_for(&self, more: usize) -> bool {
        let limit = match self.buffer {
            Some(_) => self.room.batch_bytes(),
            None => SMALL_BYTES,
        };
        !self.bytes.is_empty() && self.bytes.len() + more > limit
    }

    /// Goes on in a large buffer, if what comes does not fit into a small one and there is one.
    pub(super) fn make_room_for(&mut self, more: usize) {
        if self.buffer.is_some() || self.bytes.len() + more <= SMALL_BYTES {
            return;
        }
        self.buffer = Arc::clone(&self.room.0.buffers).try_acquire_owned().ok();
        if self.buffer.is_some() {
            let gathered = std::mem::replace(&mut self.bytes, self.room.buffer());
            self.bytes.extend_from_slice(&gathered);
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
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
            buffer: self.buffer.take(),
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
        drop(self.buffer.take());
        drop(self.places.take());
    }
}
