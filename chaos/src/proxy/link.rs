//! One connection: exchange after exchange, each passed on as it is or made to suffer.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Purpose, Shared, answers};
use crate::{
    fault::{Direction, Ending, Fault, Memory, Oddity, Point, When},
    message::Message,
};

/// How long a closed connection is still read, so that what was written before arrives.
const LINGER: Duration = Duration::from_millis(100);
/// The most of an answer without end that is sent, in bytes.
const ENDLESS: usize = 32 * 1024 * 1024;

/// A client's connection, and the registry's for it once it is needed.
pub(super) struct Link {
    client: TcpStream,
    server: Option<TcpStream>,
    from_client: BytesMut,
    from_server: BytesMut,
    /// The registry takes no more bytes; it may have answered.
    deaf: bool,
    shared: Arc<Shared>,
}

/// Why a connection goes no further.
#[derive(Clone, Copy, Debug)]
enum Over {
    /// A fault ends it.
    Ended(Ending),
    /// A fault keeps it open, and silent.
    Held,
}

/// Where an answer goes.
enum Sink<'a> {
    Client,
    Kept(&'a mut Vec<u8>),
}

impl Link {
    pub(super) fn new(client: TcpStream, shared: Arc<Shared>) -> Self {
        let _ = client.set_nodelay(true);
        Self {
            client,
            server: None,
            from_client: BytesMut::new(),
            from_server: BytesMut::new(),
            deaf: false,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        let over = loop {
            if let Err(over) = self.exchange().await {
                break over;
            }
        };
        match over {
            Over::Ended(Ending::Reset) => {
                let _ = self.client.set_zero_linger();
            }
            Over::Ended(Ending::Close) => self.close().await,
            Over::Held => std::future::pending().await,
        }
    }

    /// Ends the connection so that what was written before it arrives.
    async fn close(&mut self) {
        self.server = None;
        let _ = self.client.shutdown().await;
        let rest = async {
            let mut unwanted = [0; 4096];
            while matches!(self.client.read(&mut unwanted).await, Ok(1..)) {}
        };
        let _ = tokio::time::timeout(LINGER, rest).await;
    }

    async fn exchange(&mut self) -> Result<(), Over> {
        let mut request = Message::request();
        let head = self.head_of(&mut request).await?;
        let (number, purpose, fault) = self.shared.arrived(&request);
        match fault {
            None => {
                let answer = self.relay(&mut request, head, Sink::Client).await?;
                self.shared.answered(number, &answer);
            }
            Some(fault) => self.suffer(fault, purpose, &mut request, head).await?,
        }
        if request.done() {
            Ok(())
        } else {
            // Answered and gone before all of it was there.
            Err(Over::Ended(Ending::Close))
        }
    }

    /// Waits for a request. A registry that goes meanwhile takes the client along.
    async fn head_of(&mut self, request: &mut Message) -> Result<Bytes, Over> {
        loop {
            let taken = request.take(&mut self.from_client, u64::MAX);
            if let Some(head) = taken.map_err(|_| Over::Ended(Ending::Reset))? {
                return Ok(head);
            }
            self.read().await?;
        }
    }

    /// Reads what comes next from either side.
    async fn read(&mut self) -> Result<(), Over> {
        let closed = Over::Ended(Ending::Close);
        let server = async {
            match &mut self.server {
                Some(server) => server.read_buf(&mut self.from_server).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = self.client.read_buf(&mut self.from_client) => match read {
                Ok(1..) => Ok(()),
                _ => Err(closed),
            },
            read = server => match read {
                Ok(1..) => Ok(()),
                _ => Err(closed),
            },
        }
    }

    /// Passes a request on, and its answer into the sink, both as they come.
    async fn relay(
        &mut self,
        request: &mut Message,
        head: Bytes,
        mut sink: Sink<'_>,
    ) -> Result<Message, Over> {
        let malformed = |_| Over::Ended(Ending::Reset);
        let mut answer = Message::answer(request.first_line().0 == "HEAD");
        self.up(&head).await?;
        loop {
            while let Some(piece) = answer
                .take(&mut self.from_server, u64::MAX)
                .map_err(malformed)?
            {
                match &mut sink {
                    Sink::Client => self.down(&piece).await?,
                    Sink::Kept(kept) => kept.extend_from_slice(&piece),
                }
                if answer.done() {
                    break;
                }
            }
            if answer.done() && (request.done() || self.deaf) {
                return Ok(answer);
            }
            let piece = request.take(&mut self.from_client, u64::MAX);
            if let Some(piece) = piece.map_err(malformed)? {
                self.up(&piece).await?;
                continue;
            }
            if let Err(over) = self.read().await {
                answer.closed();
                if !answer.done() {
                    return Err(over);
                }
                if let Sink::Kept(_) = sink {
                    return Ok(answer);
                }
                return Err(over);
            }
        }
    }

    /// The registry's whole answer, kept back.
    async fn collect(&mut self, request: &mut Message, head: Bytes) -> Result<Vec<u8>, Over> {
        let mut kept = Vec::new();
        self.relay(request, head, Sink::Kept(&mut kept)).await?;
        Ok(kept)
    }

    /// Bytes for the registry.
    async fn up(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let (passing, ending) = self.shared.pass(Direction::Up, bytes.len());
        if !self.deaf {
            if self.server.is_none() {
                let server = TcpStream::connect(self.shared.registry.addr()).await;
                let server = server.map_err(|_| Over::Ended(Ending::Reset))?;
                let _ = server.set_nodelay(true);
                self.server = Some(server);
            }
            if let Some(server) = &mut self.server {
                // It may have answered and gone: then its answer is what counts.
                self.deaf = server.write_all(&bytes[..passing]).await.is_err();
            }
        }
        ending.map_or(Ok(()), |ending| Err(Over::Ended(ending)))
    }

    /// Bytes for the client.
    async fn down(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let (passing, ending) = self.shared.pass(Direction::Down, bytes.len());
        let written = self.client.write_all(&bytes[..passing]).await;
        if let Some(ending) = ending {
            return Err(Over::Ended(ending));
        }
        written.map_err(|_| Over::Ended(Ending::Close))
    }

    /// Reads the rest of a request and drops it.
    async fn drain(&mut self, request: &mut Message) -> Result<(), Over> {
        while !request.done() {
            let taken = request.take(&mut self.from_client, u64::MAX);
            let taken = taken.map_err(|_| Over::Ended(Ending::Reset))?;
            if taken.is_none() {
                self.read().await?;
            }
        }
        Ok(())
    }

    /// Goes on up to a point of the exchange.
    async fn up_to(
        &mut self,
        point: Point,
        request: &mut Message,
        head: Bytes,
    ) -> Result<(), Over> {
        match point {
            Point::BeforeRequest => Ok(()),
            Point::AfterHead => self.up(&head).await,
            Point::InBody => {
                let half = request.length() / 2;
                self.up(&head).await?;
                while request.seen() < half {
                    let left = half - request.seen();
                    let taken = request.take(&mut self.from_client, left);
                    match taken.map_err(|_| Over::Ended(Ending::Reset))? {
                        Some(piece) => self.up(&piece).await?,
                        None => self.read().await?,
                    }
                }
                Ok(())
            }
            Point::BeforeAnswer => self.collect(request, head).await.map(drop),
            Point::InAnswer => {
                let answer = self.collect(request, head).await?;
                self.down(&answer[..answer.len() / 2]).await
            }
        }
    }

    async fn suffer(
        &mut self,
        fault: Fault,
        purpose: Purpose,
        request: &mut Message,
        head: Bytes,
    ) -> Result<(), Over> {
        match fault {
            Fault::Break { at, how } => {
                self.up_to(at, request, head).await?;
                Err(Over::Ended(how))
            }
            Fault::Stall(at) => {
                self.up_to(at, request, head).await?;
                Err(Over::Held)
            }
            Fault::Status { code, when, wait } => {
                if when == When::Instead {
                    self.drain(request).await?;
                }
                if when == When::Afterwards {
                    self.collect(request, head).await?;
                }
                let close = matches!(when, When::Early | When::EarlyAndGone);
                let answer = answers::refusal(&self.shared, request, purpose, code, wait, close);
                self.down(&answer).await?;
                match when {
                    When::Early => Err(Over::Ended(Ending::Close)),
                    When::EarlyAndGone => Err(Over::Ended(Ending::Reset)),
                    When::Instead | When::Afterwards => Ok(()),
                }
            }
            Fault::Header(change) => {
                let target = request.first_line().1.to_owned();
                let answer = self.collect(request, head).await?;
                let answer = answers::changed(&answer, change, self.shared.elsewhere, &target);
                self.down(&answer).await
            }
            Fault::Odd(oddity) => self.oddly(oddity, purpose, request, head).await,
            Fault::Forgets(memory) => {
                match memory {
                    Memory::Tokens => self.shared.registry.revoke_tokens(),
                    Memory::Sessions => self.shared.registry.lose_sessions().await,
                }
                self.relay(request, head, Sink::Client).await.map(drop)
            }
        }
    }

    async fn oddly(
        &mut self,
        oddity: Oddity,
        purpose: Purpose,
        request: &mut Message,
        head: Bytes,
    ) -> Result<(), Over> {
        match oddity {
            Oddity::Granted
            | Oddity::Html
            | Oddity::Garbage
            | Oddity::RedirectElsewhere
            | Oddity::RedirectLoop => {
                self.drain(request).await?;
                let answer = answers::made_up(&self.shared, oddity, purpose, request);
                self.down(&answer).await?;
                if oddity == Oddity::Garbage {
                    return Err(Over::Ended(Ending::Close));
                }
                Ok(())
            }
            Oddity::Endless | Oddity::HugeHead => {
                self.drain(request).await?;
                self.down(answers::endless(oddity)).await?;
                let more = vec![b'x'; 16 * 1024];
                for _ in 0..ENDLESS / more.len() {
                    self.down(&more).await?;
                }
                Err(Over::Ended(Ending::Close))
            }
            Oddity::RequestTwice => self.twice(request, head).await,
            Oddity::Twice
            | Oddity::AgainLater
            | Oddity::Late
            | Oddity::Slow
            | Oddity::Trickle
            | Oddity::Interim
            | Oddity::Longer => {
                let answer = self.collect(request, head).await?;
                self.tell(oddity, &answer).await
            }
        }
    }

    /// Gives the registry's answer to the client, in an odd way.
    async fn tell(&mut self, oddity: Oddity, answer: &[u8]) -> Result<(), Over> {
        match oddity {
            Oddity::Twice => self.down(&[answer, answer].concat()).await,
            Oddity::Longer => self.down(&[answer, b"and more"].concat()).await,
            Oddity::Interim => {
                let interim: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\n";
                self.down(&[interim, interim, interim, answer].concat())
                    .await
            }
            Oddity::AgainLater => {
                self.down(answer).await?;
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.down(answer).await
            }
            Oddity::Late => {
                tokio::time::sleep(self.shared.patience * 2).await;
                self.down(answer).await
            }
            Oddity::Trickle => {
                for piece in answer.chunks(7) {
                    self.down(piece).await?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok(())
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.down(answer).await
            }
        }
    }

    /// Passes a request on two times, as something in between that is too eager does.
    async fn twice(&mut self, request: &mut Message, head: Bytes) -> Result<(), Over> {
        let mut whole = BytesMut::from(&head[..]);
        while !request.done() {
            let taken = request.take(&mut self.from_client, u64::MAX);
            match taken.map_err(|_| Over::Ended(Ending::Reset))? {
                Some(piece) => whole.extend_from_slice(&piece),
                None => self.read().await?,
            }
        }
        let whole = whole.freeze();
        self.collect(request, whole.clone()).await?;
        let answer = self.collect(request, whole).await?;
        self.down(&answer).await
    }
}
