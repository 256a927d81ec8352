//! SOCKS5 ([RFC 1928](https://www.rfc-editor.org/rfc/rfc1928)): a proxy that connects, and is told a
//! name and a port.
//!
//! The name is told and not its address, whether the URL says `socks5` or `socks5h`: as Go has it,
//! and so container tools.

use std::{fmt, io, net::IpAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::transport::location::Origin;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;

/// Who this client is to the proxy.
#[derive(Clone)]
pub(crate) enum Login {
    Nobody,
    /// Each of 255 bytes at most ([RFC 1929](https://www.rfc-editor.org/rfc/rfc1929)).
    Password {
        username: Vec<u8>,
        password: Vec<u8>,
    },
}

/// Why the proxy does not connect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocksError {
    #[error("the connection to it broke")]
    Io(#[source] io::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The same as it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "it wants a user name and a password, or others: give them in its URL, socks5://NAME:PASSWORD@HOST"
    )]
    Login,
    #[error("it does not connect to {host}: {}", reason(*.code))]
    Code { host: String, code: u8 },
    #[error("it does not speak SOCKS5: is it a proxy of that kind?")]
    NotSocks,
    #[error("{0} is too long a name for it")]
    Name(String),
}

impl Login {
    /// None if one of them is too long, or there is no name.
    pub(crate) fn new(username: Vec<u8>, password: Vec<u8>) -> Option<Self> {
        let fits = |it: &Vec<u8>| u8::try_from(it.len()).is_ok();
        let usable = !username.is_empty() && fits(&username) && fits(&password);
        usable.then_some(Self::Password { username, password })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

impl Refusal {
    /// Whether another attempt may go better: the proxy or the way from there was at fault.
    pub(crate) fn may_change(&self) -> bool {
        matches!(
            self,
            Self::Code {
                code: 1 | 3..=6,
                ..
            }
        )
    }
}

/// Has the proxy at the other end of `stream` connect to `to`.
pub(crate) async fn open<S>(stream: &mut S, to: &Origin, login: &Login) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(to)?;
    greet(stream, login).await?;
    send(stream, &request).await?;
    let [version, code, _, kind] = receive(stream).await?;
    if version != VERSION {
        return Err(Refusal::NotSocks.into());
    }
    if code != 0 {
        let host = to.authority();
        return Err(Refusal::Code { host, code }.into());
    }
    // Where it connects from: read, since what follows is the host's.
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(receive::<_, 1>(stream).await?[0]),
        _ => return Err(Refusal::NotSocks.into()),
    };
    let mut bound = vec![0; rest + 2];
    let read = stream.read_exact(&mut bound).await;
    read.map(|_| ()).map_err(SocksError::Io)
}

/// Agrees on how this client is known, and makes it known.
async fn greet<S>(stream: &mut S, login: &Login) -> Result<(), SocksError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let offered: &[u8] = match login {
        Login::Password { .. } => &[VERSION, 2, NO_LOGIN, PASSWORD],
        Login::Nobody => &[VERSION, 1, NO_LOGIN],
    };
    send(stream, offered).await?;
    match (receive(stream).await?, login) {
        ([VERSION, NO_LOGIN], _) => return Ok(()),
        ([VERSION, PASSWORD], Login::Password { username, password }) => {
            let mut said = vec![1];
            for text in [username, password] {
                said.push(u8::try_from(text.len()).map_err(|_| Refusal::Login)?);
                said.extend_from_slice(text);
            }
            send(stream, &said).await?;
        }
        ([VERSION, _], _) => return Err(Refusal::Login.into()),
        _ => return Err(Refusal::NotSocks.into()),
    }
    match receive(stream).await? {
        [_, 0] => Ok(()),
        _ => Err(Refusal::Login.into()),
    }
}

fn request(to: &Origin) -> Result<Vec<u8>, Refusal> {
    let host = to.host().trim_start_matches('[').trim_end_matches(']');
    let mut request = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| Refusal::Name(host.to_owned()))?;
            request.extend([3, length]);
            request.extend_from_slice(host.as_bytes());
        }
    }
    request.extend(to.port().to_be_bytes());
    Ok(request)
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), SocksError> {
    stream.write_all(bytes).await.map_err(SocksError::Io)?;
    stream.flush().await.map_err(SocksError::Io)
}

async fn receive<S, const LENGTH: usize>(stream: &mut S) -> Result<[u8; LENGTH], SocksError>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = [0; LENGTH];
    match stream.read_exact(&mut bytes).await {
        Ok(_) => Ok(bytes),
        Err(error) => Err(SocksError::Io(error)),
    }
}

/// What a reply says, in words.
fn reason(code: u8) -> &'static str {
    match code {
        1 => "it failed",
        2 => "its rules do not allow it",
        3 => "the network cannot be reached",
        4 => "the host cannot be reached, or is not known",
        5 => "the connection was refused",
        6 => "it takes too many hops",
        7 | 8 => "it does not know how",
        _ => "it does not say why",
    }
}
