//! A client that blocks, and fails when the server dies.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::mpsc::Sender,
};

/// One connection, made when it is needed.
pub(crate) struct Http {
    address: String,
    connection: Option<BufReader<TcpStream>>,
    /// How many requests were answered.
    pub(crate) answers: u64,
    /// Is told of each.
    told: Option<Sender<()>>,
}

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            connection: None,
            answers: 0,
            told: None,
        }
    }

    /// Tells of every answer from now on.
    pub(crate) fn tell(&mut self, of_each: Sender<()>) {
        self.told = Some(of_each);
    }

    pub(crate) fn get(&mut self, target: &str) -> io::Result<Reply> {
        self.send("GET", target, "", b"")
    }

    /// Sends a request; `head` is further headers, each ended by CRLF.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        head: &str,
        body: &[u8],
    ) -> io::Result<Reply> {
        let sent = self.try_send(method, target, head, body);
        if sent
            .as_ref()
            .is_ok_and(|it| it.headers.get("connection").is_none_or(|it| it != "close"))
        {
            return sent;
        }
        self.connection = None;
        sent
    }

    fn try_send(
        &mut self,
        method: &str,
        target: &str,
        head: &str,
        body: &[u8],
    ) -> io::Result<Reply> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(BufReader::new(TcpStream::connect(&self.address)?)),
        };
        let length = body.len();
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n{head}\r\n",
            self.address
        )
        .into_bytes();
        request.extend_from_slice(body);
        connection.get_mut().write_all(&request)?;
        let reply = Reply::read(connection, method == "HEAD")?;
        self.answers += 1;
        if let Some(told) = &self.told {
            // Nobody counts any more once there were enough.
            let _ = told.send(());
        }
        Ok(reply)
    }
}

impl Reply {
    fn read(from: &mut BufReader<TcpStream>, is_head: bool) -> io::Result<Self> {
        let line = line(from)?;
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(line.clone()))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self::line(from)?;
            match line.split_once(": ") {
                Some((name, value)) => headers.insert(name.to_owned(), value.to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length").and_then(|it| it.parse().ok());
        let mut body = vec![0; if is_head { 0 } else { length.unwrap_or(0) }];
        from.read_exact(&mut body)?;
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    pub(crate) fn location(&self) -> &str {
        &self.headers["location"]
    }
}

fn line(from: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 || !line.ends_with('\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}
