//! Sockets: named, and counted where the bytes go through.
//!
//! Every connection is a [`Wire`]: it has a number, and knows when a byte last moved
//! on it. That is what an idle limit is measured by: not by what a body has handed
//! over, which may sit in a buffer, and not by how long a request takes.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{self, Relaxed},
        },
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;

use super::limit::Slot;

/// One connection: its number, and what moved on it.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<WireState>);

#[derive(Debug)]
struct WireState {
    number: u64,
    opened: Instant,
    /// When a byte last moved, in milliseconds since it was opened.
    moved: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
    cut: AtomicBool,
    waker: AtomicWaker,
}

/// A socket, with TLS or without.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(Counted),
    Tls(Box<TlsStream<Counted>>),
}

/// A TCP connection that counts.
#[derive(Debug)]
pub(crate) struct Counted {
    tcp: TcpStream,
    wire: Wire,
    /// Writing failed: what there is to read may be the reason.
    deaf: bool,
    _slot: Slot,
}

// === impl Wire ===

impl Wire {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(Arc::new(WireState {
            number: NEXT.fetch_add(1, Relaxed),
            opened: Instant::now(),
            moved: AtomicU64::new(0),
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }))
    }

    /// Ends the connection, whatever it is waiting for: also where what was written last is
    /// never read.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    fn is_cut(&self, cx: &Context<'_>) -> io::Result<()> {
        self.0.waker.register(cx.waker());
        if self.0.cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// When a byte last moved, either way.
    pub(crate) fn moved(&self) -> Instant {
        self.0.opened + Duration::from_millis(self.0.moved.load(Relaxed))
    }

    /// Its number: no two connections of this process have the same.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    fn count(&self, counter: &AtomicU64, bytes: usize) {
        if bytes > 0 {
            counter.fetch_add(bytes as u64, Relaxed);
            let age = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.moved.store(age, Relaxed);
        }
    }
}

// === impl Counted ===

impl Counted {
    pub(crate) fn new(tcp: TcpStream, slot: Slot) -> Self {
        Self {
            tcp,
            wire: Wire::new(),
            deaf: false,
            _slot: slot,
        }
    }

    /// A peer that has said its last word closes, and writing to it fails before that word is
    /// read. So a failed write does not end the connection: it waits, and reading goes on to the
    /// answer, or to the end, which is an error of its own.
    fn written(&mut self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &wrote {
            Poll::Ready(Ok(bytes)) => self.wire.count(&self.wire.0.written, *bytes),
            Poll::Ready(Err(error)) if is_peers_end(error) => {
                self.deaf = true;
                return Poll::Pending;
            }
            _ => {}
        }
        wrote
    }
}

fn is_peers_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wire.is_cut(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.wire
            .count(&self.wire.0.read, buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.is_cut(cx)?;
        if self.deaf {
            return Poll::Pending;
        }
        let wrote = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.written(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.is_cut(cx)?;
        if self.deaf {
            return Poll::Pending;
        }
        let wrote = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.written(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

// === impl Socket ===

impl Socket {
    fn counted(&self) -> &Counted {
        match self {
            Self::Plain(counted) => counted,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.counted().wire.clone());
        match self {
            Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                connected.negotiated_h2()
            }
            _ => connected,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(counted) => Pin::new(counted).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(counted) => Pin::new(counted).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(counted) => Pin::new(counted).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(counted) => counted.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(counted) => Pin::new(counted).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(counted) => Pin::new(counted).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
