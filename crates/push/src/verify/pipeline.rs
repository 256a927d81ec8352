//! Hashing beside sending: one batch on the blocking pool, the next one gathering.

use std::mem;

use bytes::Bytes;
use oci::{Descriptor, Hasher};
use tokio::{runtime::Handle, task::JoinError, task::JoinHandle};

/// A blob up to this many bytes is hashed where it is read: handing it over costs more.
const INLINE_BYTES: u64 = 128 * 1024;
/// How many bytes gather at most while a batch is hashed, one piece more or less.
const WINDOW_BYTES: usize = 1024 * 1024;

/// A hasher that takes pieces without doing the work at once.
pub(super) struct Pipeline {
    work: Work,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

enum Work {
    /// Hashes in place: the blob is small, or there is no runtime to help.
    Here(Hasher),
    /// Has the hasher, and nothing is running.
    Idle(Hasher),
    /// A batch is being hashed.
    Running(JoinHandle<Hasher>),
    /// A batch failed; nothing more comes of it.
    Lost,
}

impl Pipeline {
    pub(super) fn new(blob: &Descriptor) -> Self {
        let hasher = Hasher::for_digest(&blob.digest);
        let here = blob.size <= INLINE_BYTES || Handle::try_current().is_err();
        Self {
            work: if here {
                Work::Here(hasher)
            } else {
                Work::Idle(hasher)
            },
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Takes the next piece; waits only while too much waits already.
    pub(super) async fn update(&mut self, piece: Bytes) -> Result<(), JoinError> {
        if let Work::Here(hasher) = &mut self.work {
            hasher.update(&piece);
            return Ok(());
        }
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        let must_wait = self.waiting_bytes >= WINDOW_BYTES;
        if must_wait || !matches!(&self.work, Work::Running(it) if !it.is_finished()) {
            let hasher = self.hasher().await?;
            self.start(hasher);
        }
        Ok(())
    }

    /// The hasher, once it has seen everything.
    pub(super) async fn finish(mut self) -> Result<Hasher, JoinError> {
        let hasher = self.hasher().await?;
        if self.waiting.is_empty() {
            return Ok(hasher);
        }
        self.start(hasher);
        self.hasher().await
    }

    fn start(&mut self, mut hasher: Hasher) {
        let batch = mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.work = Work::Running(tokio::task::spawn_blocking(move || {
            for piece in batch {
                hasher.update(&piece);
            }
            hasher
        }));
    }

    /// Waits for what is running.
    async fn hasher(&mut self) -> Result<Hasher, JoinError> {
        match mem::replace(&mut self.work, Work::Lost) {
            Work::Here(hasher) | Work::Idle(hasher) => Ok(hasher),
            Work::Running(running) => running.await,
            Work::Lost => Ok(Hasher::new(oci::Algorithm::Sha256)),
        }
    }
}
