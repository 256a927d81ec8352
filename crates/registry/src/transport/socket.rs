//! Sockets: named, and watched where the bytes go out.
//!
//! Every connection is a [`Wire`]: it has a number, and knows when a byte last went out
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

use futures_util::{FutureExt, task::AtomicWaker};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;

use super::limit::Slot;

/// One connection: its number, and what went over it.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<WireState>);

#[derive(Debug)]
struct WireState {
    number: u64,
    opened: Instant,
    /// When a byte last went out, in milliseconds since it was opened.
    wrote: AtomicU64,
    cut: AtomicBool,
    shared: AtomicBool,
    waker: AtomicWaker,
}

/// A connection to a host, or to the proxy before it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    /// The other end is a proxy, that is told whole URLs.
    forwarded: bool,
}

/// With TLS or without, or within the TLS of a proxy.
#[derive(Debug)]
enum Stream {
    Plain(Counted),
    Tls(Box<TlsStream<Counted>>),
    Nested(Box<TlsStream<TlsStream<Counted>>>),
}

/// A TCP connection that notes when something goes out.
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
            wrote: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }))
    }

    /// Ends the connection, whatever it is waiting for: also where what was written last is
    /// never read.
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Whether it carries other requests at the same time: it speaks HTTP/2.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.shared.load(Relaxed)
    }

    fn is_cut(&self, cx: &Context<'_>) -> io::Result<()> {
        self.0.waker.register(cx.waker());
        if self.0.cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// When a byte last went out. What comes in is no progress of a request: a peer may drip bytes
    /// for ever that never become an answer.
    pub(crate) fn wrote(&self) -> Instant {
        self.0.opened + Duration::from_millis(self.0.wrote.load(Relaxed))
    }

    /// Its number: no two connections of this process have the same.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    fn went_out(&self, bytes: usize) {
        if bytes > 0 {
            let age = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.0.wrote.store(age, Relaxed);
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
            Poll::Ready(Ok(bytes)) => self.wire.went_out(*bytes),
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
        Pin::new(&mut self.tcp).poll_read(cx, buf)
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
    /// The same for a proxy that is told whole URLs.
    pub(crate) fn forwarded(self) -> Self {
        Self {
            forwarded: true,
            ..self
        }
    }

    fn counted(&self) -> &Counted {
        match &self.stream {
            Stream::Plain(counted) => counted,
            Stream::Tls(stream) => stream.get_ref().0,
            Stream::Nested(stream) => stream.get_ref().0.get_ref().0,
        }
    }

    /// Whether the other end has not closed it, as far as is known here.
    pub(crate) fn is_open(&self) -> bool {
        let mut byte = [0];
        let peeked = self.counted().tcp.peek(&mut byte).now_or_never();
        !matches!(peeked, Some(Ok(0) | Err(_)))
    }

    fn speaks_http2(&self) -> bool {
        let agreed = match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            Stream::Nested(stream) => stream.get_ref().1.alpn_protocol(),
        };
        agreed == Some(b"h2")
    }
}

impl From<Stream> for Socket {
    fn from(stream: Stream) -> Self {
        Self {
            stream,
            forwarded: false,
        }
    }
}

impl From<Counted> for Socket {
    fn from(plain: Counted) -> Self {
        Stream::Plain(plain).into()
    }
}

impl From<TlsStream<Counted>> for Socket {
    fn from(stream: TlsStream<Counted>) -> Self {
        Stream::Tls(Box::new(stream)).into()
    }
}

impl From<TlsStream<TlsStream<Counted>>> for Socket {
    fn from(stream: TlsStream<TlsStream<Counted>>) -> Self {
        Stream::Nested(Box::new(stream)).into()
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        let connected = Connected::new()
            .extra(self.counted().wire.clone())
            .proxy(self.forwarded);
        if self.speaks_http2() {
            self.counted().wire.0.shared.store(true, Relaxed);
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(counted) => Pin::new(counted).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Nested(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(counted) => Pin::new(counted).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Nested(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(counted) => Pin::new(counted).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Nested(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(counted) => counted.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
            Stream::Nested(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(counted) => Pin::new(counted).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Nested(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(counted) => Pin::new(counted).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Nested(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
