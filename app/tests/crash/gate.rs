//! The wire between a client and a registry, which can be stopped at a named place.
//!
//! ```text
//!   client ──request──▶ gate ──▶ registry
//!             │ Unsent    │ Half    │ Unanswered
//!   client ◀──────────── gate ◀── answer
//!             │ Answered
//! ```
//!
//! At each place the other side has got exactly what the place says, and stays so until the
//! wire is cut: what a process that is killed there leaves behind is no matter of luck.
//! Everything the client sends is counted, the parts that go no further too.

use std::{
    fs,
    io::{self, BufReader, Read, Write as _},
    mem,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::client::Client;

mod message;

pub(crate) use message::Request;
use message::{Reply, head};

/// How often a process is looked at that may end.
const LOOK: Duration = Duration::from_millis(2);

/// Where the wire is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The client has sent the request; nothing of it reaches the registry.
    Unsent,
    /// The registry has the head and so many bytes of the body.
    Byte(u64),
    /// The registry has the head and half of the body.
    Half,
    /// The registry has done what it was asked to; the client does not know.
    Unanswered,
    /// The client's process has taken the answer in.
    Answered,
}

/// Whether the wire is to be stopped at a request.
pub(crate) type Wanted = Box<dyn FnMut(&Request) -> bool + Send>;

/// A listener, and all that came through it.
pub(crate) struct Gate {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    registry: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    log: Vec<Request>,
    wanted: Option<(At, Wanted)>,
    stopped: Option<Request>,
    /// What is held at [`At::Answered`] may go on.
    let_go: bool,
    taken_in: bool,
    sockets: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl Gate {
    /// A gate before the registry at this address, open.
    pub(crate) fn before(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            registry: registry.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let shared = Arc::clone(&accepting);
                let serving = thread::spawn(move || {
                    // A connection that breaks is what this is all about.
                    let _ = shared.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
                accepting.state().threads.push(serving);
            }
        });
        Self { address, shared }
    }

    /// Stops the wire at the first request that is wanted.
    pub(crate) fn stop_at(&self, at: At, wanted: Wanted) {
        self.shared.state().wanted = Some((at, wanted));
    }

    /// Waits until the wire is stopped, or the client has come to its end.
    pub(crate) fn stopped(&self, client: &mut Client) -> Option<Request> {
        let mut state = self.shared.state();
        loop {
            if let Some(request) = state.stopped.take() {
                return Some(request);
            }
            if client.is_over() {
                return None;
            }
            state = self.shared.changed.wait_timeout(state, LOOK).unwrap().0;
        }
    }

    /// Gives the client the answer that is held, and waits until it has taken it in.
    pub(crate) fn answer(&self) {
        let mut state = self.shared.state();
        state.let_go = true;
        self.shared.changed.notify_all();
        while !state.taken_in {
            state = self.shared.changed.wait(state).unwrap();
        }
    }

    /// Cuts all connections, and opens the gate for new ones.
    pub(crate) fn cut(&self) {
        let mut state = self.shared.state();
        (state.wanted, state.stopped) = (None, None);
        (state.let_go, state.taken_in) = (false, false);
        for socket in state.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        let threads = mem::take(&mut state.threads);
        drop(state);
        self.shared.changed.notify_all();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    /// Everything since it was last asked, in the order in which it arrived.
    pub(crate) fn take_log(&self) -> Vec<Request> {
        mem::take(&mut self.shared.state().log)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let registry = TcpStream::connect(&self.registry)?;
        let sockets = [client.try_clone()?, registry.try_clone()?];
        self.state().sockets.extend(sockets);
        let (mut asked, mut answered) = (BufReader::new(client), BufReader::new(&registry));
        loop {
            let Some(head) = head(&mut asked)? else {
                return Ok(());
            };
            let (number, at) = self.arrived(Request::of(&head));
            let length = self.state().log[number].length;
            let passed = match at {
                Some(At::Unsent) => 0,
                Some(At::Half) => length / 2,
                Some(At::Byte(byte)) => byte.min(length),
                Some(At::Unanswered | At::Answered) | None => length,
            };
            if at != Some(At::Unsent) {
                (&registry).write_all(head.as_bytes())?;
            }
            let whole = self.pass(number, &mut asked, &registry, passed)?;
            if passed < length || at == Some(At::Unsent) {
                // What the client sends beyond that counts, and is lost.
                self.pass(number, &mut asked, io::sink(), length - passed)?;
                self.stop(number);
                return wait_for_the_end(&mut asked);
            }
            let reply = Reply::read(&mut answered, &head)?;
            match at {
                Some(At::Unanswered) => {
                    self.stop(number);
                    return wait_for_the_end(&mut asked);
                }
                Some(At::Answered) => self.answer_when_told(number, client, &reply)?,
                _ => reply.send(client)?,
            }
            if !whole {
                // An answer before the end of the request: the client reads it, and ends.
                client.shutdown(Shutdown::Write)?;
                return wait_for_the_end(&mut asked);
            }
        }
    }

    /// Notes a request, and says where its wire is stopped.
    fn arrived(&self, request: Request) -> (usize, Option<At>) {
        let mut state = self.state();
        let at = match &mut state.wanted {
            Some((at, wanted)) => wanted(&request).then_some(*at),
            None => None,
        };
        if at.is_some() {
            state.wanted = None;
        }
        state.log.push(request);
        (state.log.len() - 1, at)
    }

    /// Hands so many bytes of a body on; false if whoever gets them takes no more.
    fn pass(
        &self,
        number: usize,
        from: &mut impl Read,
        mut to: impl io::Write,
        length: u64,
    ) -> io::Result<bool> {
        let mut piece = vec![0; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap());
            let read = from.read(&mut piece[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            if let Some(request) = self.state().log.get_mut(number) {
                request.sent += read as u64;
            }
            if to.write_all(&piece[..read]).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn stop(&self, number: usize) {
        let mut state = self.state();
        state.stopped = state.log.get(number).cloned();
        self.changed.notify_all();
    }

    fn answer_when_told(&self, number: usize, client: &TcpStream, reply: &Reply) -> io::Result<()> {
        self.stop(number);
        let mut state = self.state();
        while !state.let_go {
            state = self.changed.wait(state).unwrap();
        }
        drop(state);
        reply.send(client)?;
        let ports = (client.peer_addr()?.port(), client.local_addr()?.port());
        while unread(ports)? > 0 {
            thread::yield_now();
        }
        self.state().taken_in = true;
        self.changed.notify_all();
        Ok(())
    }
}

/// Reads what nobody should send; ends when the connection does.
fn wait_for_the_end(asked: &mut BufReader<&TcpStream>) -> io::Result<()> {
    io::copy(asked, &mut io::sink()).map(drop)
}

/// How many bytes the kernel has for the process at the first of these ports, unread.
fn unread((to, from): (u16, u16)) -> io::Result<u64> {
    let (to, from) = (format!(":{to:04X}"), format!(":{from:04X}"));
    let sockets = fs::read_to_string("/proc/net/tcp")?;
    let queues = sockets.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let ours = words.next()?.ends_with(&to) && words.next()?.ends_with(&from);
        ours.then(|| words.nth(1)).flatten()
    });
    let unread = queues.and_then(|it| u64::from_str_radix(it.split_once(':')?.1, 16).ok());
    Ok(unread.unwrap_or(0))
}
