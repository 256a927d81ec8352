//! The memory `serve` takes: bounded, however many clients there are.

#[cfg(test)]
mod floods;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod many;
#[cfg(test)]
mod slow;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    thread,
    time::Duration,
};

use oci::{Algorithm, Hasher};

use crate::{resident, served::Served};

const PIECE: usize = 1 << 20;
/// What a registry may have in memory, in KiB.
const BOUND: u64 = 64 * 1024;

/// A registry whose memory is looked at.
struct Measured {
    served: Served,
    home: tempfile::TempDir,
}

impl Measured {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("store");
        // As many connections as there may be, all from one client.
        let args = ["--access-log", "off", "--max-connections-per-client", "256"];
        let args = [&args[..], &["--store", store.to_str().unwrap()]].concat();
        Self {
            served: Served::start(home.path(), &args),
            home,
        }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.served.address).unwrap()
    }

    /// The most it ever took is within the bound.
    fn is_bounded(&self) {
        let peak = self.peak();
        assert!(peak <= BOUND, "{peak} KiB");
    }

    /// The most it ever took, in KiB, as a release build would have.
    fn peak(&self) -> u64 {
        resident::peak_kib(self.served.process())
    }

    fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    fn descriptors(&self) -> usize {
        let directory = fs::read_dir(format!("/proc/{}/fd", self.served.process()));
        directory.unwrap().count()
    }
}

/// Uploads so many MiB of zeros after a number of their own, in one request.
fn upload(address: SocketAddr, number: u64, mib: usize) {
    let mut piece = vec![0; PIECE];
    piece[..8].copy_from_slice(&number.to_be_bytes());
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for at in 0..mib {
        hasher.update(&piece);
        if at == 0 {
            piece[..8].fill(0);
        }
    }
    let digest = hasher.finish();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        mib * PIECE
    );
    stream.write_all(head.as_bytes()).unwrap();
    piece[..8].copy_from_slice(&number.to_be_bytes());
    for at in 0..mib {
        stream.write_all(&piece).unwrap();
        if at == 0 {
            piece[..8].fill(0);
        }
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[test]
fn forty_uploads_of_16_mib_at_once_stay_within_64_mib() {
    let served = Measured::start();
    let address = served.served.address;
    let uploads: Vec<_> = (0..40)
        .map(|number| thread::spawn(move || upload(address, number, 16)))
        .collect();
    for it in uploads {
        it.join().unwrap();
    }
    let peak = served.peak();
    assert!(peak <= BOUND, "{peak} KiB");
}

#[test]
fn two_hundred_and_fifty_idle_connections_stay_within_64_mib() {
    let served = Measured::start();
    let before = served.descriptors();
    let mut idle = Vec::new();
    for _ in 0..250 {
        let mut stream = TcpStream::connect(served.served.address).unwrap();
        stream
            .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
        idle.push(stream);
    }
    assert_eq!(served.descriptors(), before + 250);
    let peak = served.peak();
    assert!(peak <= BOUND, "{peak} KiB");
    // And it still serves, the ones that wait and others.
    upload(served.served.address, 0, 1);
    idle[0]
        .write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    idle[0]
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    assert!(idle[0].read(&mut [0; 1024]).unwrap() > 0);
}
