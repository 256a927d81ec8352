//! `serve` as a process of its own, on a free port; it ends with the test.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use crate::longshore::{Run, longshore};

/// What every start has to say.
pub(crate) const SERVE: [&str; 4] = ["serve", "--print-address", "--listen", "127.0.0.1:0"];

/// A registry that runs.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Lines of its standard error.
    said: BufReader<ChildStderr>,
}

impl Served {
    pub(crate) fn start(home: &Path, args: &[&str]) -> Self {
        Self::of(longshore(home).args(SERVE).args(args))
    }

    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut address = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut address).unwrap();
        let Ok(address) = address.trim().parse() else {
            let mut why = String::new();
            said.read_to_string(&mut why).unwrap();
            panic!("no address, but {why}");
        };
        Self {
            child,
            address,
            said,
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop.
    #[cfg(unix)]
    pub(crate) fn signal(&self) {
        self.signal_by("-TERM");
    }

    /// Sends it this signal, as `kill` calls it.
    #[cfg(unix)]
    pub(crate) fn signal_by(&self, signal: &str) {
        let process = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &process]).status();
        assert!(kill.unwrap().success());
    }

    /// Waits until its standard error has a line with this; the line.
    pub(crate) fn says(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "no {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Run {
        let mut stderr = String::new();
        self.said.read_to_string(&mut stderr).unwrap();
        Run {
            code: self.child.wait().unwrap().code(),
            stdout: String::new(),
            stderr,
        }
    }

    /// Kills it; what it said.
    pub(crate) fn killed(mut self) -> String {
        self.child.kill().unwrap();
        self.ended().stderr
    }

    /// Begins a request; a body may follow.
    pub(crate) fn ask(&self, method: &str, target: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let host = self.address;
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    /// The head and body of an answer.
    pub(crate) fn answer(&self, method: &str, target: &str, headers: &str) -> String {
        let headers = format!("{headers}connection: close\r\n");
        read(&mut self.ask(method, target, &headers))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that comes until the connection ends.
pub(crate) fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}
