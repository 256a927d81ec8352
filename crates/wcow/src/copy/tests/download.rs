//! What `ADD` fetches from a URL, and what it does not ask for.

use std::{
    fs,
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

use oci::Digest;

use super::{Bench, FILES, content};
use crate::{
    EntryKind,
    copy::{CopyError, Fetch, FetchError, archive},
};

/// Answers every URL the same way, and keeps count.
#[derive(Debug)]
struct Server {
    answer: Result<Vec<u8>, u16>,
    asked: Mutex<Vec<String>>,
}

impl Fetch for Server {
    fn fetch(&self, url: &str, limit: u64, to: &mut (dyn Write + Send)) -> Result<(), FetchError> {
        self.asked.lock().unwrap().push(url.to_owned());
        let bytes = self.answer.as_ref().map_err(|it| FetchError::Status(*it))?;
        if bytes.len() as u64 > limit {
            return Err(FetchError::TooLarge(limit));
        }
        to.write_all(bytes)
            .map_err(|it| FetchError::Other(it.into()))
    }
}

fn serving(answer: Result<&[u8], u16>) -> (Bench, Arc<Server>) {
    let server = Arc::new(Server {
        answer: answer.map(<[u8]>::to_vec),
        asked: Mutex::default(),
    });
    let mut bench = Bench::windows().with_all(FILES);
    bench.fetch = Some(Arc::<Server>::clone(&server));
    (bench, server)
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

#[test]
fn b8_a_url_is_one_file_with_the_content_that_was_promised() {
    let digest = Digest::of(b"content");
    let (bench, server) = serving(Ok(b"content"));
    let url = "https://a.example/dir/tool.zip?v=1";
    let line = format!("ADD --checksum={digest} {url} /bin/");
    assert_eq!(bench.run(&line), ["bin/tool.zip=content"]);
    let line = format!("ADD --checksum={digest} {url} /bin/tool");
    assert_eq!(bench.run(&line), ["bin/tool=content"]);
    assert_eq!(*server.asked.lock().unwrap(), [url, url]);
    let other = Digest::of(b"other");
    let error = bench.error(&format!("ADD --checksum={other} {url} /bin/"));
    let is_it = matches!(&error, CopyError::ChecksumMismatch { actual, .. } if *actual == digest);
    assert!(is_it, "{error}");
    // What was kept goes with what was made of it.
    assert!(is_empty(&bench.root.path().join("spool")));
}

#[test]
fn b8_an_answer_that_is_no_200_says_which() {
    let digest = Digest::of(b"");
    let (bench, _) = serving(Err(404));
    let error = bench.error(&format!("ADD --checksum={digest} https://a.example/x /a"));
    let is_it = matches!(&error, CopyError::HttpFetchFailed { url, status: 404 } if url == "https://a.example/x");
    assert!(is_it, "{error}");
}

#[test]
fn b8_what_nobody_vouches_for_is_not_asked_for() {
    let (bench, server) = serving(Ok(b"content"));
    assert!(matches!(
        bench.error("ADD https://a.example/x /a"),
        CopyError::NoChecksum(_)
    ));
    assert!(matches!(
        bench.error("ADD http://a.example/x /a"),
        CopyError::NotHttps(_)
    ));
    assert!(matches!(
        bench.error("ADD https://a.example/x.git /a"),
        CopyError::Git(_)
    ));
    assert!(matches!(
        bench.error("ADD git@a.example:x /a"),
        CopyError::Git(_)
    ));
    let local = format!("ADD --checksum={} a.txt /a", Digest::of(b""));
    assert!(matches!(bench.error(&local), CopyError::Checksum));
    let bad = "ADD --checksum=md5:00 https://a.example/x /a";
    assert!(matches!(bench.error(bad), CopyError::BadChecksum(_)));
    assert_eq!(server.asked.lock().unwrap().len(), 0);
    let mut bench = bench;
    bench.fetch = None;
    let off = format!("ADD --checksum={} https://a.example/x /a", Digest::of(b""));
    assert!(matches!(bench.error(&off), CopyError::NoFetch(_)));
}

#[test]
fn b8_an_archive_from_a_url_is_unpacked_if_that_is_asked_for() {
    let archive = archive::tests::tar(&[("x", "1")]);
    let digest = Digest::of(&archive);
    let (bench, _) = serving(Ok(&archive));
    let url = "https://a.example/x.tar";
    let tree = bench.tree(&format!("ADD --checksum={digest} {url} /a/"));
    let kept = tree.get(&"a/x.tar".parse().unwrap()).unwrap();
    assert!(matches!(kept.kind(), EntryKind::File(body) if content(body) == archive));
    let unpacked = bench.run(&format!("ADD --unpack --checksum={digest} {url} /a"));
    assert_eq!(unpacked, ["a/x=1"]);
}

#[test]
fn what_may_be_secret_in_a_url_is_in_no_message_and_no_origin() {
    let digest = Digest::of(b"content");
    let secret = "https://user:pa55@a.example/x?sig=5ecret#5ecret";
    let query = "https://a.example/x?sig=5ecret#5ecret";
    let other = Digest::of(b"other");
    let (bench, server) = serving(Err(404));
    let mut said = Vec::new();
    for line in [
        format!("ADD --checksum={digest} {secret} /a"),
        format!("ADD {query} /a"),
        format!("ADD {} /a", secret.replace("https", "http")),
        "ADD https://user:pa55@a.example/x.git?sig=5ecret /a".to_owned(),
        format!("COPY {secret} /a"),
        format!("COPY {} /a", secret.replace("https", "ftp")),
        format!("ADD --checksum={digest} {query} /a"),
    ] {
        said.push(format!("{0} {0:?}", bench.error(&line)));
    }
    // A user or a password is not even sent.
    assert_eq!(*server.asked.lock().unwrap(), [query]);
    let credentials = bench.error(&format!("ADD --checksum={digest} {secret} /a"));
    assert!(matches!(&credentials, CopyError::Credentials(it) if it == "https://a.example/x"));

    let (mut bench, _) = serving(Ok(b"content"));
    let (wrong, right) = (
        format!("ADD --checksum={other} {query} /a"),
        format!("ADD --checksum={digest} {query} /a"),
    );
    said.push(format!("{0} {0:?}", bench.error(&wrong)));
    let tree = bench.tree(&right);
    let origin = tree.entries().next().unwrap().meta().origin.clone();
    assert_eq!(origin.to_string(), "https://a.example/x");
    bench.fetch = None;
    said.push(format!("{0} {0:?}", bench.error(&right)));
    let archive = archive::tests::tar(&[("../x", "1")]);
    let (bench, _) = serving(Ok(&archive));
    let of = Digest::of(&archive);
    let unpacked = bench.error(&format!("ADD --unpack --checksum={of} {query} /a"));
    said.push(format!("{unpacked} {unpacked:?}"));
    for text in said {
        assert!(text.contains("a.example/x"), "{text}");
        assert!(!text.contains("pa55") && !text.contains("user:"), "{text}");
        assert!(!text.contains("5ecret"), "{text}");
    }
}
