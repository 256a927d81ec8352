//! HTTP/1.1 messages, told apart by their bytes and otherwise left as they are.
//!
//! A [`Message`] takes bytes from a buffer as long as they belong to it. What it hands
//! out is what went in: nothing is parsed into values and written again, so that a
//! conversation through here is the same to the byte.

use bytes::{Buf, Bytes, BytesMut};

/// The longest head of a message, in bytes.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// One request or answer, as far as it has come.
#[derive(Debug)]
pub(crate) struct Message {
    sort: Sort,
    head: Bytes,
    body: Body,
    seen: u64,
}

/// What kind of message it is: that decides whether there is a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Request,
    Answer { to_head: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    /// The head is not complete.
    Awaited,
    /// So many bytes to come.
    Left(u64),
    Chunked(Chunk),
    UntilClose,
    Done,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size,
    Data(u64),
    /// Lines after the last chunk; they end with an empty one.
    Trailer,
}

/// A message that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Its head has no end.
    #[error("the head is longer than {MAX_HEAD} bytes")]
    Head,
    /// Its chunks have no sizes.
    #[error("a chunk has no size")]
    Chunk,
}

impl Message {
    pub(crate) fn request() -> Self {
        Self::new(Sort::Request)
    }

    /// An answer; to a HEAD it has no body, whatever its head says.
    pub(crate) fn answer(to_head: bool) -> Self {
        Self::new(Sort::Answer { to_head })
    }

    fn new(sort: Sort) -> Self {
        Self {
            sort,
            head: Bytes::new(),
            body: Body::Awaited,
            seen: 0,
        }
    }

    /// Whether all of it has come.
    pub(crate) fn done(&self) -> bool {
        self.body == Body::Done
    }

    /// Whether its head has come.
    pub(crate) fn has_head(&self) -> bool {
        self.body != Body::Awaited
    }

    /// Bytes of its body so far, the frame of chunks included.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// How long its body is, where its head says so.
    pub(crate) fn length(&self) -> u64 {
        let length = self.header("content-length");
        length.and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    /// The connection has ended: so has a body without a length.
    pub(crate) fn closed(&mut self) {
        if self.body == Body::UntilClose {
            self.body = Body::Done;
        }
    }

    /// The first line, split at its blanks: method and target, or version and status.
    pub(crate) fn first_line(&self) -> (&str, &str) {
        let line = self.head.split(|it| *it == b'\r').next().unwrap_or(&[]);
        let line = std::str::from_utf8(line).unwrap_or("");
        let mut words = line.split(' ');
        (words.next().unwrap_or(""), words.next().unwrap_or(""))
    }

    /// The status of an answer; 0 if it has none.
    pub(crate) fn status(&self) -> u16 {
        self.first_line().1.parse().unwrap_or(0)
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The next bytes of this message in `buffer`, at most `limit` of them: the whole head, or
    /// what there is of the body. None: there are none yet, or none any more.
    pub(crate) fn take(
        &mut self,
        buffer: &mut BytesMut,
        limit: u64,
    ) -> Result<Option<Bytes>, Malformed> {
        if self.body == Body::Awaited {
            return self.take_head(buffer);
        }
        let here = usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let belonging = self.belonging(&buffer[..here])?;
        if belonging == 0 {
            return Ok(None);
        }
        self.seen += belonging as u64;
        Ok(Some(buffer.copy_to_bytes(belonging)))
    }

    fn take_head(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
            return if buffer.len() > MAX_HEAD {
                Err(Malformed::Head)
            } else {
                Ok(None)
            };
        };
        let head = buffer.copy_to_bytes(end + 4);
        self.head = head.clone();
        let interim = (100..200).contains(&self.status());
        if !(interim && self.sort != Sort::Request) {
            self.body = self.body_by_head();
        }
        Ok(Some(head))
    }

    fn body_by_head(&self) -> Body {
        let chunked = self.header("transfer-encoding").is_some();
        let length = self.header("content-length").and_then(|it| it.parse().ok());
        match (self.sort, length) {
            (Sort::Answer { to_head: true }, _) => Body::Done,
            (Sort::Answer { .. }, _) if matches!(self.status(), 204 | 304) => Body::Done,
            _ if chunked => Body::Chunked(Chunk::Size),
            (_, Some(0)) | (Sort::Request, None) => Body::Done,
            (_, Some(length)) => Body::Left(length),
            (Sort::Answer { .. }, None) => Body::UntilClose,
        }
    }

    /// How many of these bytes are of the body; it is further on by them.
    fn belonging(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match self.body {
            Body::Awaited | Body::Done => Ok(0),
            Body::UntilClose => Ok(bytes.len()),
            Body::Left(left) => {
                let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - taken as u64;
                self.body = if left == 0 {
                    Body::Done
                } else {
                    Body::Left(left)
                };
                Ok(taken)
            }
            Body::Chunked(chunk) => self.belonging_chunk(chunk, bytes),
        }
    }

    fn belonging_chunk(&mut self, chunk: Chunk, bytes: &[u8]) -> Result<usize, Malformed> {
        if let Chunk::Data(left) = chunk {
            let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - taken as u64;
            let next = if left == 0 {
                Chunk::Size
            } else {
                Chunk::Data(left)
            };
            self.body = Body::Chunked(next);
            return Ok(taken);
        }
        let Some(end) = bytes.windows(2).position(|it| it == b"\r\n") else {
            return Ok(0);
        };
        let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Malformed::Chunk)?;
        self.body = match chunk {
            Chunk::Trailer if line.is_empty() => Body::Done,
            Chunk::Trailer => Body::Chunked(Chunk::Trailer),
            _ => {
                let size = line.split(';').next().unwrap_or("").trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| Malformed::Chunk)?;
                // The line's end after the data is counted with it.
                Body::Chunked(if size == 0 {
                    Chunk::Trailer
                } else {
                    Chunk::Data(size + 2)
                })
            }
        };
        Ok(end + 2)
    }
}

/// The value of a header in a head, by its name in lower case.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n").skip(1);
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A head with a header set to another value, or without it.
pub(crate) fn with_header(head: &[u8], name: &str, value: Option<&str>) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let mut changed = lines.next().unwrap_or("").to_owned();
    for line in lines {
        let key = line.split(':').next().unwrap_or("");
        if !key.eq_ignore_ascii_case(name) {
            changed = format!("{changed}\r\n{line}");
        }
    }
    if let Some(value) = value {
        changed = format!("{changed}\r\n{name}: {value}");
    }
    format!("{changed}\r\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads messages from pieces of `size` bytes; returns what was handed out, and how many.
    fn read(text: &[u8], size: usize, mut message: impl FnMut() -> Message) -> (Vec<u8>, usize) {
        let (mut buffer, mut out, mut count) = (BytesMut::new(), Vec::new(), 0);
        let mut current = message();
        for piece in text.chunks(size) {
            buffer.extend_from_slice(piece);
            while let Some(taken) = current.take(&mut buffer, u64::MAX).unwrap() {
                out.extend_from_slice(&taken);
                if current.done() {
                    count += 1;
                    current = message();
                }
            }
        }
        (out, count)
    }

    #[test]
    fn messages_are_told_apart_and_not_changed_however_they_arrive() {
        let requests = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n\
            PUT /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\nwiki\r\n0\r\nA: b\r\n\r\n\
            HEAD /d HTTP/1.1\r\n\r\n";
        let answers =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok\
            HTTP/1.1 204 No Content\r\n\r\n";
        for size in 1..requests.len() {
            let (out, count) = read(requests, size, Message::request);
            assert_eq!((&out[..], count), (&requests[..], 4), "pieces of {size}");
            let (out, count) = read(answers, size, || Message::answer(false));
            assert_eq!((&out[..], count), (&answers[..], 2), "pieces of {size}");
        }
    }

    #[test]
    fn an_answer_to_a_head_has_no_body_whatever_it_says() {
        let mut buffer = BytesMut::from(&b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nHTTP"[..]);
        let mut answer = Message::answer(true);
        assert!(answer.take(&mut buffer, u64::MAX).unwrap().is_some());
        assert!(answer.done() && answer.length() == 7);
        assert_eq!(&buffer[..], b"HTTP");
    }

    #[test]
    fn headers_are_found_and_replaced_whatever_their_case() {
        let head = b"HTTP/1.1 202 Accepted\r\nLocation: /u/1\r\nRange: 0-3\r\n\r\n";
        assert_eq!(header(head, "location"), Some("/u/1"));
        let other = with_header(head, "location", Some("/u/2"));
        assert_eq!(
            String::from_utf8(other).unwrap(),
            "HTTP/1.1 202 Accepted\r\nRange: 0-3\r\nlocation: /u/2\r\n\r\n"
        );
        let none = with_header(head, "range", None);
        assert_eq!(header(&none, "range"), None);
    }
}
