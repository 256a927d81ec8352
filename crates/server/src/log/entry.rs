//! One request and its answer.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, Method, Request, StatusCode, Version, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::text;
use crate::endpoint::Endpoint;

/// How a request said who it came from. The secret itself is not kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authorization {
    /// Not at all.
    None,
    /// User name and password.
    Basic,
    /// A token.
    Bearer,
    /// Some other scheme.
    Other,
}

/// The headers of a request that tests ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedHeaders {
    /// `Authorization`, its kind only.
    pub authorization: Authorization,
    /// `Content-Length` in bytes.
    pub content_length: Option<u64>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Range`.
    pub content_range: Option<String>,
    /// `Range`.
    pub range: Option<String>,
    /// `Accept`; several are joined by `, `.
    pub accept: Option<String>,
    /// `Host`; of HTTP/2, `:authority`.
    pub host: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is under way.
    Open,
    /// It was answered with this status.
    Answered(u16),
    /// A fault broke the connection before an answer.
    Reset,
    /// The client went away before an answer.
    Gone,
}

/// One request, and its answer as far as there is one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its place in the order of arrival, from 0; goes on after [`clear`](super::RequestLog::clear).
    pub number: u64,
    /// The connection it came over, from 0, in the order they were accepted.
    pub connection: u64,
    /// What it asked for.
    pub endpoint: Endpoint,
    /// The client's address and port, if the connection has one.
    pub client: Option<SocketAddr>,
    /// The user it came from, once that was found out.
    pub user: Option<String>,
    /// The version of HTTP it came over.
    pub version: Version,
    /// Its method.
    pub method: Method,
    /// Its path as sent.
    pub path: String,
    /// Its query as sent, without the `?`.
    pub query: Option<String>,
    /// Some of its headers.
    pub headers: LoggedHeaders,
    /// Bytes of its body that were received and used. What a refused request sends on is dropped and
    /// not counted.
    pub body_length: u64,
    /// Of these, the bytes an upload session received.
    pub blob_bytes: u64,
    /// Bytes of the answer's body that were handed on to the connection.
    pub answer_length: u64,
    /// The answer's body ended before its length: the client went away, or reading it failed.
    pub cut: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// The actions that [`Faults`](crate::Faults) did to it, by their names in a faults
    /// file, in the order of their rules.
    pub faults: Vec<String>,
    /// When its head had arrived.
    pub started: Instant,
    /// When its answer was ready to leave; with a streamed body, the last piece of it.
    pub ended: Option<Instant>,
}

/// Who is told of every request that has ended.
pub(crate) trait Observer: fmt::Debug + Send + Sync {
    /// The entry is complete; the last of its answer is about to leave.
    fn ended(&self, entry: &Entry);
}

/// An entry that is still being written.
#[derive(Debug)]
pub(crate) struct Record {
    entry: Mutex<Entry>,
    observer: Option<Arc<dyn Observer>>,
    body_length: AtomicU64,
    blob_bytes: AtomicU64,
    all_body_bytes: Arc<AtomicU64>,
    all_blob_bytes: Arc<AtomicU64>,
}

/// A body that ends an entry.
struct Followed {
    body: Body,
    /// Bytes to come, if that is known.
    left: Option<u64>,
    /// All of it was handed on.
    whole: bool,
    record: Arc<Record>,
}

// === impl Entry ===

impl Entry {
    pub(super) fn begin<B>(
        number: u64,
        request: &Request<B>,
        endpoint: Endpoint,
        connection: u64,
    ) -> Self {
        let mut headers = LoggedHeaders::of(request.headers());
        // What a target names outweighs the header:
        // https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2
        if let Some(authority) = request.uri().authority() {
            let host = authority.as_str();
            let host = host.rsplit_once('@').map_or(host, |it| it.1);
            headers.host = Some(host.to_owned());
        }
        Self {
            number,
            connection,
            endpoint,
            client: None,
            user: None,
            version: request.version(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            headers,
            body_length: 0,
            blob_bytes: 0,
            answer_length: 0,
            cut: false,
            outcome: Outcome::Open,
            faults: Vec::new(),
            started: Instant::now(),
            ended: None,
        }
    }

    /// The status it was answered with, if it was.
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered(status) => Some(status),
            _ => None,
        }
    }
}

impl LoggedHeaders {
    fn of(headers: &HeaderMap) -> Self {
        let accept: Vec<&str> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|it| it.to_str().ok())
            .collect();
        Self {
            authorization: Authorization::of(headers),
            content_length: text(headers, header::CONTENT_LENGTH).and_then(|it| it.parse().ok()),
            content_type: text(headers, header::CONTENT_TYPE),
            content_range: text(headers, header::CONTENT_RANGE),
            range: text(headers, header::RANGE),
            accept: (!accept.is_empty()).then(|| accept.join(", ")),
            host: text(headers, header::HOST),
            user_agent: text(headers, header::USER_AGENT),
        }
    }
}

impl Authorization {
    fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Self::None;
        };
        let scheme = value.as_bytes().split(|&b| b == b' ').next();
        match scheme.unwrap_or_default().to_ascii_lowercase().as_slice() {
            b"basic" => Self::Basic,
            b"bearer" => Self::Bearer,
            _ => Self::Other,
        }
    }
}

/// Request line and headers as text, Basic credentials opened.
pub(super) fn raw<B>(request: &Request<B>) -> String {
    let mut raw = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        let _ = writeln!(raw, "{name}: {value}");
        if let Some((scheme, encoded)) = value.split_once(' ')
            && scheme.eq_ignore_ascii_case("basic")
            && let Ok(opened) = STANDARD.decode(encoded.trim())
        {
            let _ = writeln!(raw, "{}", String::from_utf8_lossy(&opened));
        }
    }
    raw
}

// === impl Record ===

impl Record {
    pub(super) fn new(
        entry: Entry,
        observer: Option<Arc<dyn Observer>>,
        all_body_bytes: Arc<AtomicU64>,
        all_blob_bytes: Arc<AtomicU64>,
    ) -> Self {
        Self {
            entry: Mutex::new(entry),
            observer,
            body_length: AtomicU64::new(0),
            blob_bytes: AtomicU64::new(0),
            all_body_bytes,
            all_blob_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self) -> Entry {
        let mut entry = self.lock().clone();
        entry.body_length = self.body_length.load(Ordering::Relaxed);
        entry.blob_bytes = self.blob_bytes.load(Ordering::Relaxed);
        entry
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.lock().endpoint
    }

    /// Sets down where it came from.
    pub(crate) fn came_from(&self, client: Option<SocketAddr>) {
        self.lock().client = client;
    }

    /// Sets down who it came from.
    pub(crate) fn identified(&self, user: Option<&str>) {
        self.lock().user = user.map(str::to_owned);
    }

    /// The host the client named.
    pub(crate) fn host(&self) -> Option<String> {
        self.lock().headers.host.clone()
    }

    /// Sets down which faults are done to it.
    pub(crate) fn faults(&self, names: &[String]) {
        if !names.is_empty() {
            tracing::info!(faults = ?names, "faults are done to a request");
            names.clone_into(&mut self.lock().faults);
        }
    }

    /// Counts bytes of the body that arrived.
    pub(crate) fn received(&self, bytes: usize) {
        self.body_length.fetch_add(bytes as u64, Ordering::Relaxed);
        self.all_body_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that went to an upload session.
    pub(crate) fn uploaded(&self, bytes: usize) {
        self.blob_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.all_blob_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Sets down the status; the entry ends with [`Record::end`].
    pub(crate) fn answered(&self, status: StatusCode) {
        self.lock().outcome = Outcome::Answered(status.as_u16());
    }

    /// Ends the entry when the last of an answer's body is handed on.
    pub(crate) fn follow(self: &Arc<Self>, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let is_head = self.lock().method == Method::HEAD;
        let exact = body.size_hint().exact();
        if is_head || body.is_end_stream() || exact.is_some() {
            self.lock().answer_length = exact.filter(|_| !is_head).unwrap_or(0);
            self.end();
            return Response::from_parts(parts, body);
        }
        let length = text(&parts.headers, header::CONTENT_LENGTH);
        let followed = Followed {
            body,
            left: length.and_then(|it| it.parse().ok()),
            whole: false,
            record: Arc::clone(self),
        };
        Response::from_parts(parts, Body::new(followed))
    }

    /// Ends the entry without an answer.
    pub(crate) fn unanswered(&self, outcome: Outcome) {
        self.lock().outcome = outcome;
        self.end();
    }

    /// Ends the entry: all of the answer is ready to leave. The first call counts.
    pub(crate) fn end(&self) {
        {
            let mut entry = self.lock();
            if entry.ended.is_some() {
                return;
            }
            // Later than its start also where the clock is coarse: chains are read off these.
            let earliest = entry.started + Duration::from_nanos(1);
            entry.ended = Some(Instant::now().max(earliest));
        }
        if let Some(observer) = &self.observer {
            observer.ended(&self.entry());
        }
    }

    /// Counts bytes of the answer that were handed on.
    fn sent(&self, bytes: usize) {
        self.lock().answer_length += bytes as u64;
    }
}

// === impl Followed ===

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.record.sent(bytes);
            self.left = self.left.map(|it| it.saturating_sub(bytes as u64));
        }
        if self.left == Some(0) || frame.is_none() {
            self.whole = true;
        }
        if self.whole || !matches!(frame, Some(Ok(_))) {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Followed {
    fn end(&self) {
        if !self.whole {
            self.record.lock().cut = true;
        }
        self.record.end();
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.end();
    }
}
