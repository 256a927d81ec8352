//! Another host, that a registry's answers lead to. It says yes to every PUT and no to
//! everything else, keeps nothing, and tells who has shown it credentials.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::message::Message;

/// The most requests with credentials that are remembered.
const MAX_SEEN: usize = 100;

/// Another host. It stops when this is dropped.
#[derive(Debug)]
pub struct Elsewhere {
    address: SocketAddr,
    leaked: Leaked,
    accepting: JoinHandle<()>,
}

/// Requests that came with credentials.
type Leaked = Arc<Mutex<Vec<String>>>;

impl Elsewhere {
    /// Begins to listen on loopback.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let leaked = Leaked::default();
        Ok(Self {
            address: listener.local_addr()?,
            leaked: Arc::clone(&leaked),
            accepting: tokio::spawn(async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, Arc::clone(&leaked)));
                }
            }),
        })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that brought credentials: method and target.
    pub fn leaked(&self) -> Vec<String> {
        let leaked = self.leaked.lock().unwrap_or_else(PoisonError::into_inner);
        leaked.clone()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers requests until the client goes.
async fn serve(mut client: TcpStream, leaked: Leaked) {
    let mut buffer = BytesMut::new();
    let mut request = Message::request();
    loop {
        match request.take(&mut buffer, u64::MAX) {
            Ok(Some(_)) if request.done() => {
                let (method, target) = request.first_line();
                let secret = ["authorization", "cookie", "proxy-authorization"]
                    .iter()
                    .any(|it| request.header(it).is_some());
                if secret {
                    let mut leaked = leaked.lock().unwrap_or_else(PoisonError::into_inner);
                    if leaked.len() < MAX_SEEN {
                        leaked.push(format!("{method} {target}"));
                    }
                }
                let answer: &[u8] = match method {
                    "PUT" => b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
                    _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                };
                if client.write_all(answer).await.is_err() {
                    return;
                }
                request = Message::request();
            }
            Ok(Some(_)) => {}
            Ok(None) => match client.read_buf(&mut buffer).await {
                Ok(1..) => {}
                _ => return,
            },
            Err(_) => return,
        }
    }
}
