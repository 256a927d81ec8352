//! What a fault does.

use std::time::Duration;

use bytes::Bytes;

/// What happens to a request.
///
/// Where it says *before the body*, the request is not handled at all: nothing is
/// stored, the answer is sent at once, and what the client still sends is read
/// and dropped within a bound before the connection closes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Nothing: the rule only counts.
    Nothing,
    /// Before the body: this answer instead of the registry's.
    Answer(Answer),
    /// After so many bytes of the body were received (and, by an upload session,
    /// kept): this answer. A body that ends earlier is handled as usual.
    AnswerAtByte(u64, Answer),
    /// The request is handled, and whatever it does is done; then this answer
    /// instead of the registry's.
    AnswerAfter(Answer),
    /// The request waits before it is handled.
    Delay(Duration),
    /// The request is handled, its answer waits.
    DelayAnswer(Duration),
    /// Before the body: nothing more is read, no answer comes.
    Stall,
    /// After so many bytes of the body nothing more is read, no answer comes.
    StallAtByte(u64),
    /// The request is handled, no answer comes.
    StallAnswer,
    /// Before the body: the connection is reset (TCP RST).
    ResetBefore,
    /// The connection is reset after exactly so many bytes of the body were
    /// received; an upload session keeps them. A body that ends earlier is handled as usual.
    ResetAtByte(u64),
    /// The request is handled, and whatever it does is done; then the connection
    /// is reset instead of an answer.
    ResetBeforeAnswer,
    /// The connection closes after so many bytes of the answer, head included.
    /// Over TLS the bytes are those of the encrypted stream; over HTTP/2, of all streams.
    TruncateAnswer(u64),
    /// The answer's `Docker-Content-Digest` is of other content.
    WrongDigestHeader,
    /// The answer lacks this header.
    OmitHeader(String),
    /// The answer has this header, instead of any of that name.
    SetHeader(String, String),
    /// The answer's `Location` is on another host: `scheme://host:port` is put before its path.
    MoveLocation(String),
    /// The answer has a header of so many bytes more.
    HugeHeader(usize),
    /// Before the body: status 200 and a body without end.
    EndlessBody,
    /// A mount is refused as the specification has it: 202 and an open session.
    RefuseMount,
    /// A manifest is taken although children are missing.
    AcceptSparse,
    /// The upload session the request names is forgotten before it is handled.
    LoseSession,
}

/// An answer made up by a test.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// An answer with this status and nothing else; a number that is no status is a 500.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// 200 and an HTML page, as a captive portal or a wrong host gives it.
    pub fn html() -> Self {
        Self::new(200)
            .header("content-type", "text/html; charset=utf-8")
            .body("<!doctype html><html><body>Welcome</body></html>")
    }

    /// A redirect to a URL.
    pub fn redirect(status: u16, to: impl Into<String>) -> Self {
        Self::new(status).header("location", to)
    }

    /// An error body with one error, as the specification writes it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::new(status)
            .header("content-type", "application/json")
            .body(body.to_string())
    }

    /// The same with a header more. What is no header is left out.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with this body. `Content-Length` is set unless a header says otherwise.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}
