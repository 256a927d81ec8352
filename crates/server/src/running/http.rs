//! HTTP on one connection: within which bounds it is spoken, and when that ends.

use std::{error::Error, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Stopping;
use crate::{
    Limits, activity::Still, allowance::Taken, app::App, metrics::Cause, service,
    socket::Connection,
};

/// How long a connection that was still for too long gets to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// The most that is read from a connection at once: the longest target and head, and some.
const READ_BYTES: usize = 96 * 1024;
/// How many streams of a connection a client may have reset before the registry came to look at
/// them; one more ends the connection
/// ([CVE-2023-44487](https://nvd.nist.gov/vuln/detail/CVE-2023-44487)).
const RESET_STREAMS: usize = 20;
/// How many streams of a connection the registry resets because a client breaks the protocol on
/// them; one more ends the connection
/// ([CVE-2025-8671](https://nvd.nist.gov/vuln/detail/CVE-2025-8671)).
const FAULTY_STREAMS: usize = 64;

/// Speaks HTTP/1.1 or HTTP/2, whichever the client begins with, until the connection ends,
/// is broken, has been still for too long, or the server stops.
pub(super) async fn speak(
    app: Arc<App>,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: &Connection,
    stopping: &Stopping,
    window: Window,
) {
    let router: Router = Router::new()
        .fallback(service::serve)
        .layer(axum::Extension(connection.clone()))
        .with_state(Arc::clone(&app));
    let http = protocol(&app.limits, &window);
    let service = TowerToHyperService::new(router);
    let mut serving = Box::pin(http.serve_connection(TokioIo::new(socket), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = connection.broken() => return,
        still = connection.still(&app.limits, &app.crowd) => {
            match still {
                Still::Idle => {}
                Still::Head => app.metrics.refused(Cause::HeadTooSlow),
                Still::Unread => return app.metrics.refused(Cause::AnswerUnread),
            }
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GOODBYE, serving).await;
            return;
        }
        () = stopping.gently.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = serving => ended,
                () = connection.broken() => return,
                _ = connection.still(&app.limits, &app.crowd) => return,
                () = stopping.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
        if let Some(cause) = unspeakable(&*error) {
            app.metrics.refused(cause);
        }
    }
}

/// How much a client may send ahead on HTTP/2: with little, the round trip bounds an upload's
/// speed; and what a registry lets be sent it has to have room for.
#[derive(Debug)]
pub(super) struct Window {
    /// Of a stream, and of all streams of a connection together.
    bytes: u32,
    /// Of one frame: the part that comes is in memory until all of it has.
    frame_bytes: u32,
    /// Of a request's head.
    head_bytes: u32,
    _taken: Option<Taken>,
}

impl Window {
    /// Windows that there may be, in bytes, and what each has to leave to others.
    const WIDE: [(u32, usize); 3] = [
        (4 * 1024 * 1024, 7 * 1024 * 1024),
        (1024 * 1024, 6 * 1024 * 1024),
        (256 * 1024, 5 * 1024 * 1024),
    ];
    /// Frames where there is a wide window, in bytes.
    const WIDE_FRAME: u32 = 128 * 1024;

    /// The least that the protocol knows
    /// ([RFC 9113](https://www.rfc-editor.org/rfc/rfc9113#section-6.9.2)).
    pub(super) fn narrow() -> Self {
        Self {
            bytes: 65_535,
            frame_bytes: 16_384,
            head_bytes: 32 * 1024,
            _taken: None,
        }
    }

    /// One as wide as there is room for, if HTTP/2 is spoken at all.
    pub(super) fn for_http2(is_http2: bool, app: &App) -> Self {
        let wide = Self::WIDE.iter().filter(|_| is_http2);
        let taken = wide.filter_map(|&(bytes, left)| {
            let all = usize::try_from(bytes + Self::WIDE_FRAME).ok()?;
            Some((bytes, app.memory.allowance.take_leaving(all, left)?))
        });
        taken
            .into_iter()
            .next()
            .map_or_else(Self::narrow, |(bytes, taken)| Self {
                bytes,
                frame_bytes: Self::WIDE_FRAME,
                head_bytes: 128 * 1024,
                _taken: Some(taken),
            })
    }
}

/// How HTTP is spoken, and within which bounds.
fn protocol(limits: &Limits, window: &Window) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // How long a head may take is looked at below HTTP, for both versions alike.
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(READ_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(window.bytes)
        .initial_connection_window_size(window.bytes)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(Some(RESET_STREAMS))
        .max_local_error_reset_streams(Some(FAULTY_STREAMS))
        .max_frame_size(window.frame_bytes)
        .max_header_list_size(window.head_bytes);
    http
}

/// Why what a client said was not a request, if that is what ended its connection.
fn unspeakable(error: &(dyn Error + Send + Sync + 'static)) -> Option<Cause> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if error.is_parse_too_large() {
        return Some(Cause::HeadTooLarge);
    }
    error.is_parse().then_some(Cause::NotHttp)
}
