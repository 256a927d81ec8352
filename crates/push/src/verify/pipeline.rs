//! Hashing beside sending: a job on the blocking pool that takes pieces as they come.
//!
//! The job ends when there is nothing to hash and is started anew when enough has come, so a
//! stream that waits for its network holds no thread, and one whose pieces are small does not wake
//! one for each. Between pieces that follow one another it does not stop, and so hashing, not
//! handing over, sets the pace.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use oci::Hasher;
use tokio::{runtime::Handle, sync::Notify};

/// What has up to this many bytes is hashed where it is read: handing it over costs more.
const INLINE_BYTES: u64 = 128 * 1024;
/// How many bytes a job is started for: waking a thread costs about what hashing 64 KiB does.
const BATCH_BYTES: usize = 256 * 1024;
/// How many bytes may wait, what is being hashed included; one piece may always.
const WINDOW_BYTES: usize = 512 * 1024;

/// A hasher that takes pieces without doing the work at once.
pub(super) enum Pipeline {
    /// Hashes in place: the blob is small, or there is no runtime to help.
    Here(Hasher),
    /// Has a job do it.
    Beside(Arc<Belt>),
}

/// What the stream and the job share.
#[derive(Default)]
pub(super) struct Belt {
    load: Mutex<Load>,
    /// There is room again, or all is hashed, or nothing more will be.
    changed: Notify,
}

#[derive(Default)]
struct Load {
    waiting: VecDeque<Bytes>,
    /// Of those, and of the piece that is being hashed.
    waiting_bytes: usize,
    state: State,
}

#[derive(Default)]
enum State {
    /// No job is running.
    Idle(Hasher),
    /// The job has the hasher.
    Running,
    /// The job was dropped with the hasher: the runtime is going down.
    #[default]
    Lost,
}

/// The hashing came to nothing: the runtime that did it is going down.
#[derive(Debug, thiserror::Error)]
#[error("the runtime stopped before the content was verified")]
pub(super) struct Lost;

/// A job on its way. Dropped with its hasher still in it, it says so.
struct Job {
    belt: Arc<Belt>,
    hasher: Option<Hasher>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Goes on with `hasher` for `left` bytes, more or less.
    pub(super) fn new(hasher: Hasher, left: u64) -> Self {
        if left <= INLINE_BYTES || Handle::try_current().is_err() {
            return Self::Here(hasher);
        }
        let belt = Belt::default();
        belt.load().state = State::Idle(hasher);
        Self::Beside(Arc::new(belt))
    }

    /// Takes the next piece; waits only while too much waits already.
    pub(super) async fn update(&mut self, piece: Bytes) -> Result<(), Lost> {
        let belt = match self {
            Self::Here(hasher) => {
                hasher.update(&piece);
                return Ok(());
            }
            Self::Beside(belt) => belt,
        };
        let idle = {
            let mut load = belt.load();
            load.waiting_bytes += piece.len();
            load.waiting.push_back(piece);
            if load.waiting_bytes < BATCH_BYTES {
                return Ok(());
            }
            load.start()
        };
        Job::start(belt, idle);
        belt.until(Load::has_room).await
    }

    /// The hasher, once it has seen everything.
    pub(super) async fn finish(self) -> Result<Hasher, Lost> {
        let belt = match self {
            Self::Here(hasher) => return Ok(hasher),
            Self::Beside(belt) => belt,
        };
        let idle = belt.load().start_on_rest();
        Job::start(&belt, idle);
        belt.until(|load| matches!(load.state, State::Idle(_)))
            .await?;
        belt.load().start().ok_or(Lost)
    }
}

// === impl Belt ===

impl Belt {
    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the load is as wanted. Only the stream does, so there is one to wake.
    async fn until(&self, wanted: impl Fn(&Load) -> bool) -> Result<(), Lost> {
        loop {
            // What happens from here on is kept for `changed`, whether or not it waits yet.
            let changed = self.changed.notified();
            {
                let load = self.load();
                if wanted(&load) {
                    return Ok(());
                }
                if matches!(load.state, State::Lost) {
                    return Err(Lost);
                }
            }
            changed.await;
        }
    }
}

impl Load {
    /// Whether another piece may come: always one beside the one that is being hashed.
    fn has_room(&self) -> bool {
        self.waiting_bytes < WINDOW_BYTES || self.waiting.is_empty()
    }

    /// The same, if anything waits.
    fn start_on_rest(&mut self) -> Option<Hasher> {
        if self.waiting.is_empty() {
            return None;
        }
        self.start()
    }

    /// The hasher, if nobody has it; then somebody has.
    fn start(&mut self) -> Option<Hasher> {
        match mem::replace(&mut self.state, State::Running) {
            State::Idle(hasher) => Some(hasher),
            other => {
                self.state = other;
                None
            }
        }
    }
}

// === impl Job ===

impl Job {
    /// Begins one, if there is a hasher for it.
    fn start(belt: &Arc<Belt>, hasher: Option<Hasher>) {
        if let Some(hasher) = hasher {
            let job = Self {
                belt: Arc::clone(belt),
                hasher: Some(hasher),
            };
            tokio::task::spawn_blocking(move || job.run());
        }
    }

    /// Hashes until there is nothing left to.
    fn run(mut self) {
        let mut done = 0;
        loop {
            let piece = {
                let mut load = self.belt.load();
                load.waiting_bytes -= done;
                let Some(piece) = load.waiting.pop_front() else {
                    if let Some(hasher) = self.hasher.take() {
                        load.state = State::Idle(hasher);
                    }
                    break;
                };
                piece
            };
            self.belt.changed.notify_one();
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&piece);
            }
            done = piece.len();
        }
        self.belt.changed.notify_one();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Never run, because the blocking pool is shut; or not to its end.
        if self.hasher.take().is_some() {
            self.belt.load().state = State::Lost;
            self.belt.changed.notify_one();
        }
    }
}
