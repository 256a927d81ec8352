//! Requests and answers, as far as who hands them on has to know them: HTTP/1.1 with
//! `Content-Length`, which is what the client and the registry speak here.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// The longest head of a request or an answer, in bytes.
const HEAD: u64 = 64 * 1024;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The offset of the body's first byte, if the request says so.
    pub(crate) from: Option<u64>,
    /// The body's length in bytes.
    pub(crate) length: u64,
    /// How much of the body the client has sent.
    pub(crate) sent: u64,
}

impl Request {
    pub(super) fn of(head: &str) -> Self {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let range = header(head, "content-range");
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            from: range.and_then(|it| it.split_once('-')?.0.parse().ok()),
            length: header(head, "content-length").map_or(0, |it| it.parse().unwrap()),
            sent: 0,
        }
    }

    /// The request's method and what it is about.
    pub(crate) fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }
}

/// An answer, whole.
pub(super) struct Reply(Vec<u8>);

impl Reply {
    pub(super) fn read(from: &mut BufReader<&TcpStream>, request: &str) -> io::Result<Self> {
        let head = head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = match header(&head, "content-length") {
            Some(length) if !request.starts_with("HEAD ") => length.parse().unwrap(),
            _ => 0,
        };
        let mut reply = head.into_bytes();
        let body = from.take(length).read_to_end(&mut reply)?;
        assert_eq!(body as u64, length);
        Ok(Self(reply))
    }

    pub(super) fn send(&self, mut client: &TcpStream) -> io::Result<()> {
        client.write_all(&self.0)
    }
}

/// The lines before a body; none at the end of a connection.
pub(super) fn head(from: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    let mut bounded = from.take(HEAD);
    while !head.ends_with("\r\n\r\n") {
        if bounded.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|it| it.split_once(": "));
    lines
        .find(|(it, _)| it.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
