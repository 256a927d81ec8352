//! A tunnel through a proxy: `CONNECT`, and nothing of what goes through it.

use std::io;

use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest head of a proxy's answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Why there is no tunnel.
#[derive(Debug)]
pub(crate) enum TunnelError {
    Io(io::Error),
    Refused(StatusCode),
    /// The answer is not one to `CONNECT`.
    NotHttp,
}

/// Has the proxy at the other end of `stream` connect to `authority`.
pub(crate) async fn open<S>(
    stream: &mut S,
    authority: &str,
    authorization: Option<&HeaderValue>,
) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await.map_err(TunnelError::Io)?;
    stream.flush().await.map_err(TunnelError::Io)?;
    let status = status(&read_head(stream).await?)?;
    if status.is_success() {
        Ok(())
    } else {
        Err(TunnelError::Refused(status))
    }
}

/// The head of the answer. Nobody speaks in the tunnel before the client does, so after the head of
/// a good answer there is nothing; after that of a refusal there may be a body, that nobody reads.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, TunnelError> {
    let mut head = Vec::with_capacity(512);
    loop {
        let read = stream.read_buf(&mut head).await.map_err(TunnelError::Io)?;
        if read == 0 {
            return Err(TunnelError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(end) = end_of(&head) {
            let speaks = end < head.len() && status(&head)?.is_success();
            return if speaks {
                Err(TunnelError::NotHttp)
            } else {
                Ok(head)
            };
        }
        if head.len() > MAX_HEAD {
            return Err(TunnelError::NotHttp);
        }
    }
}

fn end_of(head: &[u8]) -> Option<usize> {
    let end = head.windows(4).position(|it| it == b"\r\n\r\n");
    end.map(|at| at + 4)
}

fn status(head: &[u8]) -> Result<StatusCode, TunnelError> {
    let rest = head.strip_prefix(b"HTTP/1.1 ");
    let rest = rest.or_else(|| head.strip_prefix(b"HTTP/1.0 "));
    let code = rest
        .and_then(|it| it.get(..3))
        .ok_or(TunnelError::NotHttp)?;
    StatusCode::from_bytes(code).map_err(|_| TunnelError::NotHttp)
}
