//! Compression by several threads whose result does not depend on them.
//!
//! The stream is cut into blocks of 1 MiB. Each becomes a whole gzip member or zstd frame
//! of its own, and these are written one after the other in their order. Both formats say
//! that such a sequence is the sequence of its contents
//! ([RFC 1952, 2.2](https://www.rfc-editor.org/rfc/rfc1952#section-2.2),
//! [RFC 8878, 3](https://www.rfc-editor.org/rfc/rfc8878#section-3)), and every reader of
//! layers takes it: layers that can be read lazily have long been made of a member for
//! each file. So one thread or sixteen write the same bytes, and a block costs 0.4 percent
//! at most against one long stream.
//!
//! ```text
//! write ──1 MiB──▶ threads ──▶ in order ──▶ out
//! ```
//!
//! Memory is bounded: there are as many blocks under way as there are threads, and one
//! more, each with its input and its output.
//!
//! The bytes are those of one version of libdeflate (gzip, level 6) and of zstd (level 3):
//! another version may find other matches. A test pins what they are now.

use std::{
    collections::VecDeque,
    io::{self, Write},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

mod codec;

use codec::Codec;

/// How much of the stream one member or frame has, in bytes; the last one may have less.
const BLOCK: usize = 1024 * 1024;

/// The most threads, inclusive: what they hold is bounded with them.
const MAX_THREADS: usize = 8;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    format: CompressionFormat,
    threads: Option<NonZeroUsize>,
}

/// The form of a compressed layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompressionFormat {
    /// None: the tar itself.
    None,
    /// gzip, which everything can read.
    #[default]
    Gzip,
    /// zstd, smaller and faster. Windows' own tools do not all read it.
    Zstd,
}

// === impl Compression ===

impl Compression {
    /// In this form, by as many threads as there are processors, 8 at most.
    pub fn new(format: CompressionFormat) -> Self {
        Self {
            format,
            threads: None,
        }
    }

    /// The same by this many threads, 8 at most. It changes the time it takes, and no byte.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The form.
    pub fn format(self) -> CompressionFormat {
        self.format
    }

    fn threads(self) -> usize {
        let asked = self
            .threads
            .or_else(|| thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        asked.min(MAX_THREADS)
    }
}

/// Compresses what is written to it into `out`.
pub(crate) struct Compressor<W> {
    out: W,
    /// What there is of the next block.
    block: Vec<u8>,
    pool: Option<Pool>,
    any: bool,
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(compression: Compression, out: W) -> io::Result<Self> {
        let pool = match compression.format {
            CompressionFormat::None => None,
            format => Some(Pool::start(format, compression.threads())?),
        };
        Ok(Self {
            out,
            block: Vec::new(),
            pool,
            any: false,
        })
    }

    /// Writes what is left, and gives `out` back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        // Nothing at all is still a member: an empty file is no gzip.
        if !self.block.is_empty() || !self.any {
            self.hand_over()?;
        }
        while let Some(pool) = &mut self.pool
            && !pool.is_idle()
        {
            pool.take(&mut self.out)?;
        }
        Ok(self.out)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let Some(pool) = &mut self.pool else {
            return Ok(());
        };
        if pool.is_full() {
            pool.take(&mut self.out)?;
        }
        self.any = true;
        let next = pool.spare.pop().unwrap_or_default();
        pool.give(std::mem::replace(&mut self.block, next))
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pool.is_none() {
            return self.out.write(bytes);
        }
        if self.block.capacity() == 0 {
            self.block.reserve_exact(BLOCK);
        }
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK {
            self.hand_over()?;
        }
        Ok(count)
    }

    /// Ends no block early: that would be another result.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A block on its way to a thread, and the way back.
struct Job {
    block: Vec<u8>,
    done: SyncSender<Done>,
}

/// A block that was compressed, and its own memory to be used again.
struct Done {
    compressed: io::Result<Vec<u8>>,
    block: Vec<u8>,
}

/// The threads, and the blocks they have, in order. They end when this is dropped.
struct Pool {
    jobs: SyncSender<Job>,
    under_way: VecDeque<Receiver<Done>>,
    most: usize,
    spare: Vec<Vec<u8>>,
}

impl Pool {
    fn start(format: CompressionFormat, threads: usize) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(threads + 1);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let mut codec = Codec::new(format)?;
            thread::Builder::new()
                .name("compress".to_owned())
                .spawn(move || work(&queue, &mut codec))?;
        }
        Ok(Self {
            jobs,
            under_way: VecDeque::new(),
            most: threads + 1,
            spare: Vec::new(),
        })
    }

    fn is_full(&self) -> bool {
        self.under_way.len() >= self.most
    }

    fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    fn give(&mut self, block: Vec<u8>) -> io::Result<()> {
        let (done, result) = sync_channel(1);
        self.jobs.send(Job { block, done }).map_err(|_| gone())?;
        self.under_way.push_back(result);
        Ok(())
    }

    /// Waits for the oldest block and writes it.
    fn take(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(oldest) = self.under_way.pop_front() else {
            return Ok(());
        };
        let mut done = oldest.recv().map_err(|_| gone())?;
        out.write_all(&done.compressed?)?;
        done.block.clear();
        self.spare.push(done.block);
        Ok(())
    }
}

fn work(queue: &Mutex<Receiver<Job>>, codec: &mut Codec) {
    loop {
        // The lock is held while waiting: whoever has it takes the next block.
        let job = queue.lock().map(|it| it.recv());
        let Ok(Ok(Job { block, done })) = job else {
            return;
        };
        let compressed = codec.compress(&block);
        // Nobody waits for it any more if writing failed elsewhere.
        let _ = done.send(Done { compressed, block });
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}

#[cfg(test)]
mod tests;
