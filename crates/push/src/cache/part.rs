//! A blob on its way into the store: one writes, any number read what is there already.
//!
//! ```text
//!   Free(writer) ──pen()──▶ Held ──dropped──▶ Busy(job) or Free     the blob can be gone on with
//!                            │ ──finish()──▶ kept                   it was verified, and is in the store
//!                            └──give_up()──▶ lost                   nothing of it is
//! ```
//!
//! Whoever has the pen tees: it gives each piece to the part, and on to the push. The part writes
//! on the blocking pool, a batch at a time, while the next is gathered, and has the disk begin with
//! what was written, so that little is left to be waited for in the end. What is hashed is what the
//! push reads, from the first byte on, so that each byte is hashed once: nothing of a part is kept
//! before whoever has its pen has seen that all of it is what it should be. A disk that is slower than the network holds the push up for a bounded time once, and is then done without.
//! Whoever lost its place (an upload that is begun again, another target) reads the file as far as
//! it goes and then takes the pen, or waits for the one who has it, a bounded time too.

use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use oci::Descriptor;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle, time::timeout};

use super::{Store, directory::Draft};
use crate::source::positioned_read;

/// How much is gathered before it is written, in bytes.
const BATCH: usize = 256 * 1024;
/// How much may wait while a batch is being written, in bytes.
const WINDOW: usize = 512 * 1024;
/// How long a disk, or another reader of the same blob, is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How much is written before the disk is told to begin with it, in bytes.
const STEP: u64 = 4 * 1024 * 1024;
/// How much is read back at once, in bytes.
const READ: u64 = 256 * 1024;

/// A blob on its way into the store.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) blob: Descriptor,
    /// To read by.
    reader: Arc<File>,
    slot: Mutex<Slot>,
    progress: watch::Sender<Progress>,
    store: Store,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    written: u64,
    /// Nothing more will be written, and what was is not to be read.
    lost: bool,
    /// All of it is in the store.
    kept: bool,
}

/// Where the pen is.
#[derive(Debug)]
enum Slot {
    Free(Writer),
    Busy(Job),
    Held,
    /// It was used up.
    Gone,
}

type Job = JoinHandle<io::Result<Writer>>;

/// What writes.
#[derive(Debug)]
struct Writer {
    draft: Draft,
    /// How much, in bytes.
    written: u64,
    /// With how much of that the disk was told to begin.
    begun: u64,
}

/// What one reader is to do next.
pub(super) enum Turn {
    /// Give these bytes out.
    Read(Bytes),
    /// Read on in the source, and write.
    Write(Pen),
    /// Read on in the source, and do not write.
    Alone,
    /// That was all.
    End,
}

/// The right to write, from `at` on.
#[derive(Debug)]
pub(super) struct Pen {
    part: Arc<Part>,
    writer: Option<Writer>,
    job: Option<Job>,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    /// Where the next piece goes.
    at: u64,
    /// Nothing is written any more.
    done: bool,
}

// === impl Part ===

impl Part {
    /// Begins one. Blocks.
    pub(super) fn begin(store: &Store, blob: &Descriptor) -> io::Result<Self> {
        let draft = store.directory().draft()?;
        let writer = Writer {
            draft,
            written: 0,
            begun: 0,
        };
        Ok(Self {
            blob: blob.clone(),
            reader: Arc::new(writer.draft.reader()?),
            slot: Mutex::new(Slot::Free(writer)),
            progress: watch::Sender::default(),
            store: store.clone(),
        })
    }

    /// How many bytes there are, in a file that can be read.
    pub(super) fn written(&self) -> u64 {
        self.progress.borrow().written
    }

    /// Whether nothing more comes of it: it is in the store, or never will be.
    pub(super) fn is_over(&self) -> bool {
        let now = *self.progress.borrow();
        now.kept || now.lost
    }

    /// What a reader that is at byte `at` does next.
    pub(super) async fn turn(self: &Arc<Self>, at: u64) -> Turn {
        let mut progress = self.progress.subscribe();
        loop {
            let now = *progress.borrow_and_update();
            if now.lost {
                return Turn::Alone;
            }
            if at >= self.blob.size {
                return Turn::End;
            }
            if at < now.written {
                return self.read(at, now.written).await;
            }
            if let Some(mut pen) = Pen::take(self) {
                if pen.ready().await.is_err() || at > pen.at {
                    return Turn::Alone;
                }
                if at == pen.at {
                    return Turn::Write(pen);
                }
                // More was written meanwhile: read it.
                continue;
            }
            let patience = self.store.patience();
            if !matches!(timeout(patience, progress.changed()).await, Ok(Ok(()))) {
                return Turn::Alone;
            }
        }
    }

    /// The pen, if nobody has it and all of the blob was written.
    pub(super) async fn last_pen(self: &Arc<Self>) -> Option<Pen> {
        let mut pen = Pen::take(self)?;
        pen.ready().await.ok()?;
        (pen.at == self.blob.size).then_some(pen)
    }

    async fn read(&self, at: u64, written: u64) -> Turn {
        let length = usize::try_from((written - at).min(READ)).unwrap_or_default();
        let file = Arc::clone(&self.reader);
        let reading = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; length];
            let read = positioned_read(&file, &mut buffer, at)?;
            buffer.truncate(read);
            io::Result::Ok(buffer)
        });
        match timeout(self.store.patience(), reading).await {
            Ok(Ok(Ok(buffer))) if !buffer.is_empty() => Turn::Read(buffer.into()),
            _ => Turn::Alone,
        }
    }

    /// Nothing of it will be in the store.
    fn lose(&self) {
        *self.slot() = Slot::Gone;
        self.progress.send_modify(|it| it.lost = true);
        self.store.forget_part(&self.blob.digest);
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pen ===

impl Pen {
    fn take(part: &Arc<Part>) -> Option<Self> {
        let mut slot = part.slot();
        let (writer, job) = match mem::replace(&mut *slot, Slot::Held) {
            Slot::Free(writer) => (Some(writer), None),
            Slot::Busy(job) => (None, Some(job)),
            other => {
                *slot = other;
                return None;
            }
        };
        Some(Self {
            part: Arc::clone(part),
            at: writer.as_ref().map_or(0, |it| it.written),
            writer,
            job,
            batch: Vec::new(),
            batch_bytes: 0,
            done: false,
        })
    }

    /// Waits for the batch that is being written, a bounded time.
    async fn ready(&mut self) -> io::Result<()> {
        if self.join().await? {
            self.at = self.part.written();
        }
        Ok(())
    }

    /// The writer is back, if it was away.
    async fn join(&mut self) -> io::Result<bool> {
        let Some(job) = &mut self.job else {
            return Ok(false);
        };
        let patience = self.part.store.patience();
        let ended = match timeout(patience, job).await {
            Ok(ended) => ended.unwrap_or_else(|stopped| Err(io::Error::other(stopped))),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the disk took longer than {} s to write",
                    patience.as_secs_f32()
                ),
            )),
        };
        self.job = None;
        match ended {
            Ok(writer) => {
                self.writer = Some(writer);
                Ok(true)
            }
            Err(error) => {
                let told = io::Error::new(error.kind(), error.to_string());
                self.give_up(Some(error));
                Err(told)
            }
        }
    }

    /// Takes the next piece of the blob. Never fails: what cannot be written is not.
    pub(super) async fn write(&mut self, piece: &Bytes) {
        if self.done {
            return;
        }
        self.at = self.at.saturating_add(piece.len() as u64);
        if self.at > self.part.blob.size {
            // The source gives another blob than it should, which whoever reads it finds out.
            return self.give_up(None);
        }
        self.batch.push(piece.clone());
        self.batch_bytes += piece.len();
        let busy = self.job.as_ref().is_some_and(|it| !it.is_finished());
        if self.batch_bytes < BATCH || (busy && self.batch_bytes < WINDOW) {
            return;
        }
        if self.join().await.is_ok() {
            self.start();
        }
    }

    /// Begins to write what was gathered.
    fn start(&mut self) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        let batch = mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let part = Arc::clone(&self.part);
        self.job = Some(tokio::task::spawn_blocking(move || {
            writer.write(&part, &batch)?;
            Ok(writer)
        }));
    }

    /// All of it was seen, and is what it should be: the rest is written and put in its place, while
    /// the push goes on.
    pub(super) fn finish(mut self) {
        let pending = self.part.store.pending();
        tokio::spawn(async move {
            let _pending = pending;
            if self.done || self.join().await.is_err() {
                return;
            }
            let Some(mut writer) = self.writer.take() else {
                return;
            };
            self.done = true;
            let (part, batch) = (Arc::clone(&self.part), mem::take(&mut self.batch));
            let kept = tokio::task::spawn_blocking(move || {
                writer.write(&part, &batch)?;
                writer.keep(&part)
            });
            match kept.await {
                Ok(Ok(())) => self.part.store.forget_part(&self.part.blob.digest),
                Ok(Err(error)) => self.give_up(Some(error)),
                Err(_) => self.give_up(None),
            }
        });
    }

    /// What was written is not what it should be: nothing of it will be in the store.
    pub(super) fn discard(mut self) {
        self.give_up(None);
    }

    /// Nothing of the blob will be in the store; with an error, of no other either.
    fn give_up(&mut self, error: Option<io::Error>) {
        self.done = true;
        self.batch.clear();
        self.part.lose();
        if let Some(error) = error {
            self.part.store.end_writes(error);
        }
    }
}

impl Drop for Pen {
    /// The next who takes it goes on after what was written.
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if self.job.is_none() && !self.batch.is_empty() && Handle::try_current().is_ok() {
            self.start();
        }
        *self.part.slot() = match (self.job.take(), self.writer.take()) {
            (Some(job), _) => Slot::Busy(job),
            (None, Some(writer)) => Slot::Free(writer),
            (None, None) => Slot::Gone,
        };
        // Whoever waits looks again.
        self.part.progress.send_modify(|_| {});
    }
}

// === impl Writer ===

impl Writer {
    fn write(&mut self, part: &Part, batch: &[Bytes]) -> io::Result<()> {
        let mut end = self.written;
        for piece in batch {
            part.store.before_write(end)?;
            end += piece.len() as u64;
        }
        write_all(self.draft.file(), batch)?;
        self.written = end;
        if self.written - self.begun >= STEP {
            self.draft.begin_sync(self.begun, self.written - self.begun);
            self.begun = self.written;
        }
        let written = self.written;
        part.progress.send_modify(|it| it.written = written);
        Ok(())
    }

    /// Puts it in its place, if it is all there.
    fn keep(self, part: &Part) -> io::Result<()> {
        if self.written != part.blob.size {
            part.lose();
            return Ok(());
        }
        self.draft.keep(part.store.directory(), &part.blob.digest)?;
        part.store.kept(part.blob.size);
        part.progress.send_modify(|it| it.kept = true);
        Ok(())
    }
}

/// Writes all pieces, as many as the system takes at once.
fn write_all(mut file: &File, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|it| IoSlice::new(it)).collect();
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
