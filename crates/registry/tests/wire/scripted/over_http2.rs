//! The same answers over HTTP/2: a request is shown as HTTP/1.1 has it, an answer read from there.

use std::{fmt::Write as _, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Log, Reply, Turnstile, find};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a stream ends without an answer, or in the middle of one.
fn broken_off() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// Serves all there is on a connection, at once.
pub(super) async fn serve<S>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Log,
    script: Arc<S>,
) where
    S: Fn(&str) -> Reply + Send + Sync + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, script) = (seen.clone(), script.clone());
        async move {
            let (parts, body) = request.into_parts();
            let head = shown(&parts);
            seen.head(&head);
            let mut reply = script(&head);
            if !reply.slam && !reply.hold && !read(body, &reply, &seen).await {
                return Err(broken_off());
            }
            if !reply.after.is_zero() {
                tokio::time::sleep(reply.after).await;
            }
            if let Some(then) = reply.then.take() {
                then();
            }
            answer(&reply)
        }
    });
    // Whoever leaves ends it.
    let _ = http2::Builder::new(TokioExecutor::new())
        // A body that is not read stops itself and no other.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(64 * 1024 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn shown(parts: &http::request::Parts) -> String {
    let target = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\n", parts.method);
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    for (name, value) in authority
        .map(|it| ("host", it.as_bytes()))
        .into_iter()
        .chain(
            parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        )
    {
        let _ = write!(head, "{name}: {}\r\n", String::from_utf8_lossy(value));
    }
    head + "\r\n"
}

/// Reads a body as its answer wants it read; whether it came whole.
async fn read(mut body: Incoming, reply: &Reply, seen: &Log) -> bool {
    let mut begun = Vec::new();
    let turn = reply.in_turn.as_ref().map(Turnstile::enter);
    let (_, pause) = reply.slowly.unwrap_or((0, Duration::ZERO));
    loop {
        if let Some(turn) = &turn {
            turn.wait().await;
        }
        match body.frame().await {
            None => break,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref().filter(|_| begun.len() < 4096) {
                    begun.extend_from_slice(data);
                }
            }
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    seen.body(&begun);
    true
}

/// The answer that `reply` has the bytes of; a stream broken off where that is none.
fn answer(reply: &Reply) -> Result<Response<Body>, io::Error> {
    let end = find(&reply.bytes, b"\r\n\r\n").ok_or_else(broken_off)?;
    let head = String::from_utf8_lossy(&reply.bytes[..end]).into_owned();
    let body = Bytes::copy_from_slice(&reply.bytes[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut response = Response::builder().status(status);
    let mut announced = body.len();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name: HeaderName = name.parse().unwrap();
        // HTTP/2 has its own way to say where a body ends.
        if name == http::header::TRANSFER_ENCODING {
            continue;
        }
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).unwrap();
        if name == http::header::CONTENT_LENGTH {
            announced = value.to_str().unwrap().parse().unwrap();
        }
        response = response.header(name, value);
    }
    let pieces = stream::iter((!body.is_empty()).then(|| Ok(Frame::data(body.clone()))));
    let rest = match reply.endless {
        Some(more) => {
            stream::repeat_with(move || Ok(Frame::data(Bytes::from_static(more)))).boxed()
        }
        None if announced <= body.len() => stream::empty().boxed(),
        None if reply.slam => stream::iter([Err(broken_off())]).boxed(),
        None => stream::pending().boxed(),
    };
    let body = StreamBody::new(pieces.chain(rest)).boxed_unsync();
    Ok(response.body(body).unwrap())
}
