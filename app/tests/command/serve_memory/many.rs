//! As many connections as there may be, each with as much as it can hold on to.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use oci::{Algorithm, Hasher};

use super::{
    Measured, PIECE,
    slow::{INDEX, ask},
    upload,
};

const CLIENTS: usize = 250;

/// The digest of so many MiB of zeros after a number of their own, as [`upload`] sends them.
pub(super) fn digest(number: u64, mib: usize) -> String {
    let mut piece = vec![0; PIECE];
    piece[..8].copy_from_slice(&number.to_be_bytes());
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for _ in 0..mib {
        hasher.update(&piece);
        piece[..8].fill(0);
    }
    hasher.finish().to_string()
}

/// The head of a request; with many KiB of headers, if asked for.
fn head(request: &str, long: bool) -> String {
    let mut head = format!("{request} HTTP/1.1\r\nhost: x\r\n");
    for number in 0..if long { 58 } else { 0 } {
        write!(head, "x-{number}: {}\r\n", "a".repeat(1000)).unwrap();
    }
    head
}

/// So many connections, each given this to say; they stay open.
fn say(served: &Measured, words: impl Fn(usize) -> Vec<u8>) -> Vec<TcpStream> {
    let say = |number| {
        let mut stream = served.connect();
        // One that is refused need not get to its end.
        let _ = stream.write_all(&words(number));
        stream
    };
    (0..CLIENTS).map(say).collect()
}

/// Others are answered all the while.
fn still_serves(served: &Measured) {
    upload(served.served.address, 7, 1);
    served.is_bounded();
}

#[test]
fn clients_that_do_not_read_a_blob_stay_within_64_mib() {
    let served = Measured::start();
    upload(served.served.address, 1, 16);
    let request = head(&format!("GET /v2/app/blobs/{}", digest(1, 16)), false);
    let request = request + "connection: close\r\n\r\n";
    let mut held = say(&served, |_| request.clone().into_bytes());
    for stream in &mut held {
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    still_serves(&served);
    // Whoever reads after all has all of it.
    let mut whole = Vec::new();
    let mut last = held.pop().unwrap();
    last.read_to_end(&mut whole).unwrap();
    assert!(whole.len() > 16 * PIECE, "{}", whole.len());
    served.is_bounded();
}

#[test]
fn uploads_that_stand_still_after_2_mib_stay_within_64_mib() {
    let served = Measured::start();
    let held = say(&served, |number| {
        let digest = format!("sha256:{number:064}");
        let request = head(
            &format!("POST /v2/app/blobs/uploads/?digest={digest}"),
            false,
        );
        let mut words = format!("{request}content-length: 9999999\r\n\r\n").into_bytes();
        words.resize(words.len() + 2 * PIECE, b'a');
        words
    });
    still_serves(&served);
    drop(held);
}

#[test]
fn uploads_with_long_heads_that_stand_still_stay_within_64_mib() {
    let served = Measured::start();
    let held = say(&served, |number| {
        let digest = format!("sha256:{number:064}");
        let request = head(
            &format!("POST /v2/app/blobs/uploads/?digest={digest}"),
            true,
        );
        let mut words = format!("{request}content-length: 9999999\r\n\r\n").into_bytes();
        words.resize(words.len() + 100_000, b'a');
        words
    });
    still_serves(&served);
    drop(held);
}

#[test]
fn long_heads_that_do_not_end_stay_within_64_mib() {
    let served = Measured::start();
    let held = say(&served, |_| head("GET /v2/", true).into_bytes());
    still_serves(&served);
    // One that is long and ends is answered beside them.
    let request = head("GET /v2/", true) + "connection: close\r\n\r\n";
    let mut stream = served.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(held);
    served.is_bounded();
}

#[test]
fn connections_that_are_kept_after_an_upload_stay_within_64_mib() {
    let served = Measured::start();
    let mut held = Vec::new();
    let (body, digest) = (vec![0; PIECE], digest(0, 1));
    for _ in 0..CLIENTS {
        let mut stream = served.connect();
        let request = head(
            &format!("POST /v2/app/blobs/uploads/?digest={digest}"),
            false,
        );
        let request = format!("{request}content-length: {PIECE}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 201 "));
        held.push(stream);
    }
    still_serves(&served);
}

#[test]
fn two_thousand_manifests_over_32_connections_stay_within_64_mib() {
    let served = Measured::start();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut stream = served.connect();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 2000 {
                        return;
                    }
                    let body = format!(
                        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"n":"{number}"}}}}"#
                    );
                    let request = head(&format!("PUT /v2/app/manifests/t{number}"), false);
                    let length = body.len();
                    let request = format!(
                        "{request}content-type: {INDEX}\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                    stream.write_all(request.as_bytes()).unwrap();
                    let mut answer = [0; 1024];
                    let length = stream.read(&mut answer).unwrap();
                    assert!(answer[..length].starts_with(b"HTTP/1.1 201 "));
                }
            });
        }
    });
    let tags = ask(&served, "GET /v2/app/tags/list", b"", 200);
    assert_eq!(tags.matches("\"t").count(), 1 + 2000, "{tags}");
    served.is_bounded();
}
