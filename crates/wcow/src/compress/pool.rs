//! The threads that compress, and the blocks they have.
//!
//! ```text
//! give ──▶ digest, in order ──▶ whoever is free ──▶ take, in order
//! ```
//!
//! Threads are started as blocks come: a layer of one directory takes one.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use oci::{Algorithm, Digest, Hasher};

use super::{
    CompressionFormat,
    codec::{Codec, Packed},
};

/// A block on its way to a thread, and the way back.
struct Job {
    block: Vec<u8>,
    /// Memory for what it becomes.
    packed: Packed,
    done: SyncSender<io::Result<Done>>,
}

/// A block that was compressed, and its own memory to be used again.
struct Done {
    packed: Packed,
    block: Vec<u8>,
}

/// The threads, and the blocks they have, in order. They end when this is dropped.
pub(super) struct Pool {
    format: CompressionFormat,
    jobs: SyncSender<Job>,
    digesting: JoinHandle<Digest>,
    digested: Arc<Mutex<Receiver<Job>>>,
    under_way: VecDeque<Receiver<io::Result<Done>>>,
    threads: usize,
    most_threads: usize,
    spare: Vec<Vec<u8>>,
    spare_packed: Vec<Packed>,
}

impl Pool {
    /// At most so many threads, one more for the digest.
    pub(super) fn start(format: CompressionFormat, most_threads: usize) -> io::Result<Self> {
        let most = most_under_way(most_threads);
        let (jobs, queue) = sync_channel(most);
        let (digested, waiting) = sync_channel(most);
        let digesting = thread::Builder::new()
            .name("digest".to_owned())
            .spawn(move || digest(&queue, &digested))?;
        Ok(Self {
            format,
            jobs,
            digesting,
            digested: Arc::new(Mutex::new(waiting)),
            under_way: VecDeque::new(),
            threads: 0,
            most_threads,
            spare: Vec::new(),
            spare_packed: Vec::new(),
        })
    }

    /// Whether one has to be taken before one can be given.
    pub(super) fn is_full(&self) -> bool {
        self.under_way.len() >= most_under_way(self.most_threads)
    }

    /// Memory for a block.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn give(&mut self, block: Vec<u8>) -> io::Result<()> {
        let (done, result) = sync_channel(1);
        let packed = self.spare_packed.pop().unwrap_or_default();
        let job = Job {
            block,
            packed,
            done,
        };
        self.jobs.send(job).map_err(|_| gone())?;
        self.under_way.push_back(result);
        if self.threads < self.most_threads.min(self.under_way.len()) {
            let started = self.start_thread();
            // With one thread fewer it takes longer, and that is all.
            if self.threads == 0 {
                return started;
            }
        }
        Ok(())
    }

    fn start_thread(&mut self) -> io::Result<()> {
        let queue = Arc::clone(&self.digested);
        let mut codec = Codec::new(self.format)?;
        thread::Builder::new()
            .name("compress".to_owned())
            .spawn(move || work(&queue, &mut codec))?;
        self.threads += 1;
        Ok(())
    }

    /// Waits for the oldest block and writes it.
    pub(super) fn take(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(oldest) = self.under_way.pop_front() else {
            return Ok(());
        };
        let Done { packed, mut block } = oldest.recv().map_err(|_| gone())??;
        out.write_all(packed.bytes())?;
        block.clear();
        self.spare.push(block);
        self.spare_packed.push(packed);
        Ok(())
    }

    /// Writes what is under way, and gives the digest of all that was given.
    pub(super) fn finish(mut self, out: &mut impl Write) -> io::Result<Digest> {
        while !self.under_way.is_empty() {
            self.take(out)?;
        }
        drop(self.jobs);
        self.digesting.join().map_err(|_| gone())
    }
}

/// So many that nobody waits for the oldest one while there is something to do.
fn most_under_way(threads: usize) -> usize {
    2 * threads + 1
}

/// Digests what comes, and passes it on.
fn digest(from: &Receiver<Job>, to: &SyncSender<Job>) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for job in from {
        hasher.update(&job.block);
        if to.send(job).is_err() {
            break;
        }
    }
    hasher.finish()
}

fn work(queue: &Mutex<Receiver<Job>>, codec: &mut Codec) {
    loop {
        // The lock is held while waiting: whoever has it takes the next block.
        let job = queue.lock().map(|it| it.recv());
        let Ok(Ok(mut job)) = job else {
            return;
        };
        let result = codec.compress(&job.block, &mut job.packed).map(|()| Done {
            packed: job.packed,
            block: job.block,
        });
        // Nobody waits for it any more if writing failed elsewhere.
        let _ = job.done.send(result);
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}
