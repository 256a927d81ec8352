//! One side of a body's work: batches in order, on at most one thread at a time.
//!
//! A thread is there only while there is work, so a body that comes slowly holds
//! none; and it goes on with what came meanwhile, so a body that comes fast pays for
//! waking a thread now and then, not once a batch.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::task::JoinHandle;

use super::{batch::Batch, died};

/// What is done with each batch.
pub(super) trait Work: Send + 'static {
    /// Takes the next batch. After an error no further one is given.
    fn take(&mut self, batch: &Batch) -> io::Result<()>;
}

/// One side.
pub(super) struct Side<W> {
    waiting: Arc<Mutex<Waiting>>,
    worker: Worker<W>,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<Arc<Batch>>,
    /// A thread looks here again before it ends.
    attended: bool,
}

enum Worker<W> {
    Resting(W),
    Working(JoinHandle<(W, io::Result<()>)>),
    /// Its thread died.
    Lost,
}

impl<W: Work> Side<W> {
    pub(super) fn new(work: W) -> Self {
        Self {
            waiting: Arc::default(),
            worker: Worker::Resting(work),
        }
    }

    /// Gives it a batch. Fails if one before it failed; then this one is not taken.
    pub(super) async fn push(&mut self, batch: Arc<Batch>) -> io::Result<()> {
        {
            let mut waiting = lock(&self.waiting);
            if waiting.attended {
                waiting.batches.push_back(batch);
                return Ok(());
            }
        }
        self.rest().await?;
        match std::mem::replace(&mut self.worker, Worker::Lost) {
            Worker::Resting(work) => {
                let waiting = Arc::clone(&self.waiting);
                lock(&waiting).batches.push_back(batch);
                lock(&waiting).attended = true;
                let attending = tokio::task::spawn_blocking(move || attend(work, &waiting));
                self.worker = Worker::Working(attending);
                Ok(())
            }
            Worker::Working(_) | Worker::Lost => Err(died()),
        }
    }

    /// Waits until everything given to it is done, or something of it failed.
    pub(super) async fn rest(&mut self) -> io::Result<()> {
        let Worker::Working(attending) = &mut self.worker else {
            return Ok(());
        };
        let joined = attending.await;
        self.worker = Worker::Lost;
        let (work, done) = joined.map_err(io::Error::other)?;
        self.worker = Worker::Resting(work);
        done
    }

    /// What does the work, if it is at rest and its thread did not die.
    pub(super) fn into_work(self) -> Option<W> {
        match self.worker {
            Worker::Resting(work) => Some(work),
            Worker::Working(_) | Worker::Lost => None,
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes batches until there are none.
fn attend<W: Work>(mut work: W, waiting: &Mutex<Waiting>) -> (W, io::Result<()>) {
    // Also when the work panics: nobody may go on waiting for room that batches hold.
    let leaving = Leaving(waiting);
    loop {
        let batch = {
            let mut waiting = lock(waiting);
            let Some(batch) = waiting.batches.pop_front() else {
                waiting.attended = false;
                std::mem::forget(leaving);
                return (work, Ok(()));
            };
            batch
        };
        if let Err(error) = work.take(&batch) {
            return (work, Err(error));
        }
    }
}

/// Leaves no batch behind.
struct Leaving<'a>(&'a Mutex<Waiting>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(self.0);
        waiting.batches.clear();
        waiting.attended = false;
    }
}

#[cfg(test)]
mod tests;
