//! Clients that ask for much and read nothing, or send much and do not finish.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use oci::Digest;

use super::{BOUND, Measured};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A request whose answer is read to its end, which has this status; the answer.
pub(super) fn ask(served: &Measured, head: &str, body: &[u8], status: u16) -> String {
    let mut stream = TcpStream::connect(served.served.address).unwrap();
    let head = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    let head = format!("{head}content-type: {INDEX}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let start = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&start), "{}", &answer[..200]);
    answer
}

/// An index about nothing, of this many bytes; `number` makes it one of its own.
fn index(bytes: usize, number: usize, subject: Option<&Digest>) -> Vec<u8> {
    let subject = subject.map_or_else(String::new, |it| {
        format!(r#""subject":{{"mediaType":"{MANIFEST}","digest":"{it}","size":2}},"#)
    });
    let start = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],{subject}"annotations":{{"n":"{number}","x":""#
    );
    let mut index = start.into_bytes();
    index.resize(bytes - 3, b'a');
    index.extend(b"\"}}");
    index
}

/// So many clients ask for the same; each answer has begun when this comes back, and none is read.
fn ask_and_do_not_read(served: &Measured, target: &str, clients: usize) -> Vec<TcpStream> {
    let head = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..clients {
        let mut stream = TcpStream::connect(served.served.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        streams.push(stream);
    }
    for stream in &mut streams {
        let mut first = [0; 12];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
    }
    streams
}

/// Whatever waits to be read, others are answered, and all of it stays within the bound.
fn is_bounded(served: &Measured, target: &str, length: usize) {
    let answer = ask(served, &format!("GET {target}"), b"", 200);
    assert!(answer.len() > length, "{}", answer.len());
    let peak = served.peak();
    assert!(peak <= BOUND, "{peak} KiB");
}

#[test]
fn two_hundred_and_fifty_clients_that_do_not_read_a_manifest_of_4_mib_stay_within_64_mib() {
    let served = Measured::start();
    let manifest = index(4 << 20, 0, None);
    ask(&served, "PUT /v2/app/manifests/1", &manifest, 201);
    let held = ask_and_do_not_read(&served, "/v2/app/manifests/1", 250);
    is_bounded(&served, "/v2/app/manifests/1", 4 << 20);
    drop(held);
}

#[test]
fn two_hundred_clients_that_do_not_read_10_000_tags_stay_within_64_mib() {
    let served = Measured::start();
    let manifest = index(1000, 0, None);
    ask(&served, "PUT /v2/app/manifests/first", &manifest, 201);
    // A tag is a file; ten thousand requests would take their time.
    let tags = served.store().join("repositories/app/_tags");
    for number in 0..10_239 {
        let tag = format!("{}{number:05}", "t".repeat(110));
        fs::copy(tags.join("first"), tags.join(tag)).unwrap();
    }
    let held = ask_and_do_not_read(&served, "/v2/app/tags/list", 200);
    is_bounded(&served, "/v2/app/tags/list", 1_100_000);
    drop(held);
}

#[test]
fn a_hundred_clients_that_do_not_read_3_mib_of_referrers_stay_within_64_mib() {
    let served = Measured::start();
    let subject = Digest::of(b"{}");
    for number in 0..50 {
        let about = index(64 << 10, number, Some(&subject));
        let put = format!("PUT /v2/app/manifests/{}", Digest::of(&about));
        ask(&served, &put, &about, 201);
    }
    let target = format!("/v2/app/referrers/{subject}");
    let held = ask_and_do_not_read(&served, &target, 100);
    is_bounded(&served, &target, 2_900_000);
    drop(held);
}

/// They come to their ends all at once, and all of them are kept.
#[test]
fn sixty_four_manifests_of_4_mib_that_come_slowly_stay_within_64_mib() {
    let served = Measured::start();
    let mut slow = Vec::new();
    for number in 0..64 {
        let manifest = index(4 << 20, number, None);
        let mut stream = TcpStream::connect(served.served.address).unwrap();
        let head = format!(
            "PUT /v2/app/manifests/{number} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {}\r\ncontent-type: {INDEX}\r\n\r\n",
            manifest.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&manifest[..manifest.len() - 1]).unwrap();
        slow.push(stream);
    }
    for stream in &mut slow {
        stream.write_all(b"}").unwrap();
    }
    for mut stream in slow {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    let peak = served.peak();
    assert!(peak <= BOUND, "{peak} KiB");
}
