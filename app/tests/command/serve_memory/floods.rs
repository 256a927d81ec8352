//! Floods of HTTP/2 frames that cost their client little: from many connections at once, until
//! the server ends them or reads no more.

use std::{io::Write as _, net::TcpStream, thread, time::Duration};

use super::{
    Measured,
    http2::{END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, connect, frame, request, still_serves},
};

const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const CONNECTIONS: usize = 32;
/// More than what all buffers and windows of a connection hold together.
const FLOOD_BYTES: usize = 64 << 20;
/// A server that reads nothing for so long has stopped to.
const STALLED: Duration = Duration::from_millis(500);

/// Writes the pieces of `flood` on each of many connections, until nothing more is taken.
fn flood(flood: fn(u32) -> Vec<u8>) {
    let served = Measured::start();
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(&served)).collect();
    thread::scope(|scope| {
        for mut stream in &connections {
            scope.spawn(move || {
                stream.set_write_timeout(Some(STALLED)).unwrap();
                let mut written = 0;
                for number in 0.. {
                    let piece = flood(number);
                    if stream.write_all(&piece).is_err() {
                        return;
                    }
                    written += piece.len();
                    assert!(written < FLOOD_BYTES, "the flood goes on");
                }
            });
        }
    });
    still_serves(&served);
}

#[test]
fn floods_of_streams_that_are_reset_stay_within_64_mib() {
    flood(|number| {
        let stream = 1 + 2 * number;
        let head = request(stream, "GET", "/v2/app/tags/list", END_STREAM);
        [head, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
}

#[test]
fn floods_of_streams_that_the_server_resets_stay_within_64_mib() {
    flood(|number| {
        let stream = 1 + 2 * number;
        let head = request(stream, "POST", "/v2/app/blobs/uploads/", 0);
        let most = 0x7fff_ffff_u32.to_be_bytes();
        [head, frame(WINDOW_UPDATE, 0, stream, &most)].concat()
    });
}

#[test]
fn floods_of_heads_without_end_stay_within_64_mib() {
    flood(|number| {
        if number == 0 {
            return frame(HEADERS, 0, 1, &[0x82, 0x86, 0x84]);
        }
        // A literal without indexing: a name of one byte, and a value of 100.
        let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
        frame(CONTINUATION, 0, 1, &field.repeat(100))
    });
}

#[test]
fn floods_of_pings_whose_answers_are_not_read_stay_within_64_mib() {
    flood(|_| frame(PING, 0, 0, &[7; 8]).repeat(1000));
}

#[test]
fn floods_of_settings_whose_answers_are_not_read_stay_within_64_mib() {
    flood(|_| frame(SETTINGS, 0, 0, &[]).repeat(1000));
}

/// Windows of nothing: each stream has an answer that cannot leave.
#[test]
fn floods_of_streams_without_a_window_stay_within_64_mib() {
    flood(|number| {
        let none = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        // Together no more than one client may have, so that others of the same are served.
        let all = 0..if number == 0 { 15 } else { 0 };
        let asks = all.map(|it| request(1 + 2 * it, "GET", "/v2/", END_STREAM));
        [none.repeat(1000), asks.collect::<Vec<_>>().concat()].concat()
    });
}
