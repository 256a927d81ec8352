//! HTTP/2, frame by frame: what a client may send ahead, and what it need not read.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use super::{Measured, many::digest, upload};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const SETTINGS: u8 = 4;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A request's head, as literals without indexing.
pub(super) fn request(stream: u32, method: &str, path: &str, flags: u8) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
    ] {
        block.push(0);
        for text in [name, value] {
            // Seven bits of length; what is over goes on in the next byte.
            let length = u8::try_from(text.len()).unwrap();
            if length < 127 {
                block.push(length);
            } else {
                block.extend([127, length - 127]);
            }
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

/// A connection on which the server may send all it wants to.
pub(super) fn connect(served: &Measured) -> TcpStream {
    let mut stream = served.connect();
    let window = (1_u32 << 30).to_be_bytes();
    let setting = [&[0, 4][..], &window].concat();
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &setting)).unwrap();
    stream
        .write_all(&frame(WINDOW_UPDATE, 0, 0, &window))
        .unwrap();
    stream
}

pub(super) fn still_serves(served: &Measured) {
    upload(served.served.address, 9, 1);
    served.is_bounded();
}

#[test]
fn five_hundred_streams_whose_blob_is_not_read_stay_within_64_mib() {
    let served = Measured::start();
    upload(served.served.address, 1, 16);
    let path = format!("/v2/app/blobs/{}", digest(1, 16));
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(&served);
        for number in 0..100 {
            let request = request(1 + 2 * number, "GET", &path, END_STREAM);
            stream.write_all(&request).unwrap();
        }
        // What fills the window of the system, so that answers have begun.
        stream.read_exact(&mut vec![0; 64 * 1024]).unwrap();
        held.push(stream);
    }
    still_serves(&served);
}

#[test]
fn windows_that_are_filled_while_nobody_takes_it_stay_within_64_mib() {
    let served = Measured::start();
    let mut held = Vec::new();
    for _ in 0..60 {
        // A request of its own holds the session that the others wait for.
        let mut holder = served.connect();
        let opened = "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        holder.write_all(opened.as_bytes()).unwrap();
        let mut answer = [0; 2048];
        let length = holder.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let session = answer.split("location: ").nth(1).unwrap();
        let session = session.split("\r\n").next().unwrap().to_owned();
        let patch =
            format!("PATCH {session} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\nabc");
        holder.write_all(patch.as_bytes()).unwrap();
        held.push(holder);
        let mut stream = connect(&served);
        stream
            .set_write_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        for number in 0..4 {
            let request = request(1 + 2 * number, "PATCH", &session, 0);
            stream.write_all(&request).unwrap();
        }
        for number in 0..400 {
            let data = frame(DATA, 0, 1 + 2 * (number % 4), &[b'a'; 16_384]);
            if stream.write_all(&data).is_err() {
                break;
            }
        }
        held.push(stream);
    }
    still_serves(&served);
}
