//! The access log: a line for every request that ended.
//!
//! Requests hand their line to a queue of bounded length and go on; a thread writes. Where
//! that is too slow, a full disk or a terminal that was stopped, lines are dropped and counted:
//! a log never holds up what it is about.

mod line;

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use crate::log::Entry;

/// How many lines wait to be written; a line has at most some 16 KiB.
const QUEUE_LINES: usize = 1024;

/// How a line of the access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessLogFormat {
    /// Fields with a space between them, for people:
    /// `<time> <client> <user> <method> <target> <outcome> <bytes in> <bytes out> <seconds>`.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Where the access log goes, and how it is written; a handle that is cheap to clone.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

struct Shared {
    format: AccessLogFormat,
    /// None once it is closed.
    queue: Mutex<Option<SyncSender<String>>>,
    /// Says something, or nothing more, when all lines are written.
    written: Mutex<Receiver<()>>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("AccessLog");
        text.field("format", &self.0.format).finish_non_exhaustive()
    }
}

impl AccessLog {
    /// A log in this format that goes here; a thread of its own writes it.
    ///
    /// Fails if the system gives no thread.
    pub fn new(format: AccessLogFormat, sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE_LINES);
        let (done, written) = sync_channel(1);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                write_all(&lines, sink);
                drop(done);
            })?;
        Ok(Self(Arc::new(Shared {
            format,
            queue: Mutex::new(Some(queue)),
            written: Mutex::new(written),
        })))
    }

    /// Hands a line over. False if there was no room for it.
    pub(crate) fn log(&self, entry: &Entry) -> bool {
        let line = match self.0.format {
            AccessLogFormat::Text => line::text(entry, SystemTime::now()),
            AccessLogFormat::Json => line::json(entry, SystemTime::now()),
        };
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.as_ref().map(|it| it.try_send(line)) {
            Some(Err(TrySendError::Full(_))) => false,
            // Closed, or its thread has ended with the sink: nothing is expected of it.
            _ => true,
        }
    }

    /// Takes no more lines, and waits until those it has are written, for at most this long.
    pub fn close(&self, limit: Duration) {
        let queue = self.0.queue.lock().map(|mut it| it.take());
        drop(queue);
        let written = &self.0.written;
        let written = written.lock().unwrap_or_else(PoisonError::into_inner);
        // The thread never sends: its end is what is heard.
        let _ = written.recv_timeout(limit);
    }
}

/// Writes lines until there are no more to come; a sink that fails gets the next line all the same.
fn write_all(lines: &Receiver<String>, mut sink: impl Write) {
    while let Ok(line) = lines.recv() {
        let _ = sink.write_all(line.as_bytes());
        // What has come meanwhile goes with it.
        for line in lines.try_iter().take(QUEUE_LINES) {
            let _ = sink.write_all(line.as_bytes());
        }
        let _ = sink.flush();
    }
}
