//! The socket under a connection, and the handle that can break it.
//!
//! Faults need what HTTP libraries hide: a reset instead of an orderly close, and a
//! close in the middle of an answer. Both are done here, below TLS and HTTP.
//!
//! HTTP's buffer for what comes grows with what it is given at once, and stays. So a
//! connection is read in small pieces until much comes, and in large ones only where there
//! is room for a large buffer.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Limits,
    activity::{Activity, Still},
    allowance::{Allowance, Taken},
};

/// So much is read at a time of a connection that has no large buffer, in bytes.
const NARROW_BYTES: usize = 8 * 1024;
/// What a large buffer takes, in bytes: two of what is read at once.
const WIDE_BYTES: usize = 256 * 1024;
/// Of a request so much comes before a large buffer pays, in bytes.
const NARROW_REQUEST_BYTES: usize = 64 * 1024;

/// One connection, as the requests on it see it; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    number: u64,
    client: Option<SocketAddr>,
    activity: Activity,
    /// Requests that may be under way at once.
    turns: Arc<Semaphore>,
    /// Requests that the client may have under way over all of its connections, if it is known.
    of_client: Option<Arc<Semaphore>>,
    /// Set when the connection is to be dropped at once.
    broken: CancellationToken,
    resets: AtomicBool,
    /// How many bytes more may be written.
    budget: AtomicU64,
    /// Where room for a large buffer is taken from.
    allowance: Allowance,
}

/// A request's place among those that are under way, until its answer has left.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<OwnedSemaphorePermit>,
}

/// A request that is under way, as long as this lives.
#[derive(Debug)]
pub(crate) struct UnderWay {
    connection: Connection,
    _turn: Option<OwnedSemaphorePermit>,
}

/// An answer's body that is leaving, as long as this lives.
#[derive(Debug)]
pub(crate) struct Leaving {
    connection: Connection,
    number: u64,
}

/// A TCP stream that its [`Connection`] can break.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    connection: Connection,
    /// Bytes that came since the last request began or ended.
    coming: usize,
    /// Room for a large buffer; kept as long as the connection, as the buffer is.
    wide: Option<Taken>,
}

// === impl Connection ===

impl Connection {
    /// One on which `turns` requests may be under way at once; of a client with the places that its
    /// requests share, if it is known.
    pub(crate) fn new(
        number: u64,
        client: Option<(SocketAddr, Arc<Semaphore>)>,
        turns: u32,
        allowance: &Allowance,
    ) -> Self {
        let (client, of_client) = client.unzip();
        let turns = usize::try_from(turns).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            number,
            client,
            activity: Activity::new(),
            turns: Arc::new(Semaphore::new(turns.clamp(1, Semaphore::MAX_PERMITS))),
            of_client,
            broken: CancellationToken::new(),
            resets: AtomicBool::new(false),
            budget: AtomicU64::new(u64::MAX),
            allowance: allowance.clone(),
        }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    /// Where the client is.
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        self.0.client
    }

    /// A request begins. It waits while others take up all there may be: those whose streams
    /// the client has reset too, so that resetting many at once gains nothing.
    pub(crate) async fn begin(&self, multiplexed: bool) -> UnderWay {
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.ok();
        self.0.activity.begins(multiplexed);
        UnderWay {
            connection: self.clone(),
            _turn: turn,
        }
    }

    /// A place for a request among all that there are, if there is one.
    pub(crate) fn place(&self, all: &Arc<Semaphore>) -> Option<Place> {
        let of_client = match &self.0.of_client {
            Some(places) => Some(Arc::clone(places).try_acquire_owned().ok()?),
            None => None,
        };
        Some(Place {
            _of_all: Arc::clone(all).try_acquire_owned().ok()?,
            _of_client: of_client,
        })
    }

    /// An answer's body begins to leave.
    pub(crate) fn leaving(&self) -> Leaving {
        Leaving {
            connection: self.clone(),
            number: self.0.activity.answers(),
        }
    }

    /// Comes back when the connection has been still for too long.
    pub(crate) async fn still(&self, limits: &Limits, crowd: &Notify) -> Still {
        self.0.activity.still(limits, crowd).await
    }

    /// Has the connection dropped with a TCP reset.
    pub(crate) fn reset(&self) {
        self.0.resets.store(true, Ordering::Release);
        self.0.broken.cancel();
    }

    /// Lets so many bytes more be written, and then has the connection closed or reset.
    pub(crate) fn cut_after(&self, bytes: u64, resets: bool) {
        self.0.resets.store(resets, Ordering::Release);
        self.0.budget.store(bytes, Ordering::Release);
    }

    /// Comes back when the connection is to be dropped.
    pub(crate) async fn broken(&self) {
        self.0.broken.cancelled().await;
    }
}

// === impl Socket ===

impl Socket {
    pub(crate) fn new(stream: TcpStream, connection: Connection) -> Self {
        Self {
            stream,
            connection,
            coming: 0,
            wide: None,
        }
    }

    /// How much may be read at once.
    fn at_once(&mut self) -> usize {
        if self.wide.is_none() && self.coming > NARROW_REQUEST_BYTES {
            self.wide = self.connection.0.allowance.take_spare(WIDE_BYTES);
        }
        self.wide.as_ref().map_or(NARROW_BYTES, |_| usize::MAX)
    }

    /// How much of `wanted` may be written; 0 if the connection ends here.
    fn allowance(&self, wanted: usize) -> usize {
        let budget = self.connection.0.budget.load(Ordering::Acquire);
        usize::try_from(budget).map_or(wanted, |budget| budget.min(wanted))
    }

    /// Notes whether anything left.
    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.connection.0.activity.wrote(),
            Poll::Pending => self.connection.0.activity.blocks(),
        }
    }

    fn spend(&self, written: usize) {
        let budget = &self.connection.0.budget;
        if budget.load(Ordering::Acquire) != u64::MAX {
            budget.fetch_sub(written as u64, Ordering::AcqRel);
        }
    }

    fn cut(&self) -> io::Error {
        self.connection.0.broken.cancel();
        io::ErrorKind::BrokenPipe.into()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.connection.0.activity.ends();
    }
}

impl Leaving {
    /// Says that the next piece was asked for, and whether there is one.
    pub(crate) fn waits_for_client(&self, waits: bool) {
        self.connection.0.activity.hands_on(self.number, waits);
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.connection.0.activity.answered(self.number);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.connection.0.resets.load(Ordering::Acquire)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "connection closes without a reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = self.at_once();
        let before = buffer.filled().len();
        let read = if buffer.remaining() <= limit {
            Pin::new(&mut self.stream).poll_read(cx, buffer)
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(limit));
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut part);
            let length = part.filled().len();
            buffer.advance(length);
            read
        };
        let length = buffer.filled().len() - before;
        if length > 0 {
            self.coming = self.connection.0.activity.read(length);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowed = self.allowance(bytes.len());
        if allowed == 0 && !bytes.is_empty() {
            return Poll::Ready(Err(self.cut()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, &bytes[..allowed]);
        self.note(&written);
        if let Poll::Ready(Ok(written)) = written {
            self.spend(written);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.connection.0.budget.load(Ordering::Acquire) == u64::MAX {
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
            self.note(&written);
            return written;
        }
        let first = slices.iter().find(|it| !it.is_empty());
        self.poll_write(cx, first.map_or(&[][..], |it| it))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
