//! The real server, as a process that is killed.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A server that runs.
pub(crate) struct Served {
    process: Child,
    pub(crate) address: String,
}

fn longshore() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    command.env_clear().stdin(Stdio::null());
    command
}

impl Served {
    /// Starts a server; with `collects` it collects garbage all the time, with hardly any grace.
    pub(crate) fn start(store: &Path, collects: bool) -> Self {
        let (grace, interval) = if collects {
            ("300ms", "10ms")
        } else {
            ("24h", "0")
        };
        let mut process = longshore()
            .args(["serve", "--store", store.to_str().unwrap()])
            .args(["--listen", "127.0.0.1:0", "--print-address"])
            .args(["--access-log", "off"])
            .args(["--gc-grace", grace, "--gc-interval", interval])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        assert!(!address.is_empty(), "the server did not start");
        Self {
            process,
            address: address.trim().to_owned(),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Served {
    /// A test that fails leaves no server behind.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Collects garbage while nothing is served.
pub(crate) fn collect(store: &Path) {
    let collected = longshore()
        .args(["serve", "--gc", "--gc-grace", "300ms"])
        .args(["--store", store.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(collected.status.success(), "{collected:?}");
}
