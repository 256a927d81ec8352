use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use oci::Digest;

use super::*;
use crate::{LayerPath, header::RawHeader, pax};

const EPOCH: u64 = 1_700_000_000;

fn at(path: &str) -> LayerPath {
    path.parse().unwrap()
}

fn meta(seconds: u64) -> Meta {
    Meta {
        mtime: Some(UNIX_EPOCH + Duration::from_secs(seconds)),
        mode: 0o640,
        origin: Origin::new("src"),
        ..Meta::default()
    }
}

fn tar(tree: &LayerTree, timestamps: Timestamps) -> Vec<u8> {
    let mut out = Vec::new();
    write(tree, timestamps, &mut out).unwrap();
    out
}

/// An entry as a reader has it: name, records, mode, mtime, uid.
struct Read {
    header: RawHeader,
    fields: [u64; 3],
    records: Vec<(String, String)>,
    body: Vec<u8>,
}

fn read(tar: &[u8]) -> Vec<Read> {
    let (mut entries, mut records, mut at) = (Vec::new(), Vec::new(), 0);
    while tar[at..at + BLOCK] != [0; BLOCK] {
        let block: &[u8; BLOCK] = tar[at..at + BLOCK].try_into().unwrap();
        let header = RawHeader::parse(block).unwrap();
        let octal = |from: usize, to: usize| {
            let text = std::str::from_utf8(&block[from..to - 1]).unwrap();
            u64::from_str_radix(text, 8).unwrap()
        };
        let size = usize::try_from(header.size).unwrap();
        let body = tar[at + BLOCK..at + BLOCK + size].to_vec();
        at += BLOCK + size.next_multiple_of(BLOCK);
        if header.flag == b'x' {
            let parsed = pax::parse(&body).unwrap();
            records = parsed
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
        } else {
            entries.push(Read {
                fields: [octal(100, 108), octal(136, 148), octal(108, 116)],
                header,
                records: std::mem::take(&mut records),
                body,
            });
        }
    }
    assert_eq!(tar[at..], [0; 2 * BLOCK], "the end, and nothing after it");
    entries
}

fn names(tar: &[u8]) -> Vec<String> {
    let names = read(tar).into_iter().map(|it| it.header.name);
    names.map(|it| String::from_utf8(it).unwrap()).collect()
}

fn golden(links: bool) -> LayerTree {
    let mut tree = LayerTree::windows();
    tree.directory(&at("app"), meta(1)).unwrap();
    let body = b"MZ hello\r\n".as_slice().into();
    tree.file(&at("app/hello.exe"), body, meta(2)).unwrap();
    if links {
        tree.symlink(&at("app/latest"), "hello.exe", false, meta(3))
            .unwrap();
        tree.symlink(&at("current"), r"C:\app", true, meta(4))
            .unwrap();
    }
    tree
}

#[test]
fn b13_the_golden_layers_are_written_byte_for_byte() {
    let first = tar(&golden(false), Timestamps::Fixed(EPOCH));
    assert!(first == include_bytes!("../../tests/vectors/golden1.tar"));
    assert_eq!(
        Digest::of(&first).encoded(),
        "50d78301a78b18935705476e15e04beee8bdb823716390b46f122f6cd722e0e0"
    );
    let second = tar(&golden(true), Timestamps::Fixed(EPOCH));
    assert!(second == include_bytes!("../../tests/vectors/golden2.tar"));
    assert_eq!(
        Digest::of(&second).encoded(),
        "b10165ca274acaba10effee06648d1dceac9ddba49d8fca51b1a5fadd032d69f"
    );
}

#[test]
fn b13_files_and_hives_are_there_once_and_parents_first() {
    let mut tree = LayerTree::windows();
    assert_eq!(
        names(&tar(&tree, Timestamps::default())),
        ["Files", "Hives"]
    );
    for path in ["Program Files/x/y.dll", "Zoo/a", "Files/b", "a-b/c", "a/d"] {
        tree.file(&at(path), b"x".as_slice().into(), meta(1))
            .unwrap();
    }
    assert_eq!(
        names(&tar(&tree, Timestamps::default())),
        [
            "Files",
            "Files/Files",
            "Files/Files/b",
            "Files/Program Files",
            "Files/Program Files/x",
            "Files/Program Files/x/y.dll",
            "Files/Zoo",
            "Files/Zoo/a",
            "Files/a",
            "Files/a-b",
            "Files/a-b/c",
            "Files/a/d",
            "Hives",
        ]
    );
}

/// What an account owns, what was asked for and what was not: each its descriptor.
#[test]
fn b13_every_entry_has_the_records_that_windows_keeps() {
    let mut tree = LayerTree::windows();
    let owned = Meta {
        owner: Owner::ContainerUser,
        ..meta(1)
    };
    tree.directory(&at("data"), owned.clone()).unwrap();
    tree.file(&at("data/f"), b"x".as_slice().into(), owned)
        .unwrap();
    tree.file(
        &at("Windows/System32/f.dll"),
        b"x".as_slice().into(),
        meta(1),
    )
    .unwrap();
    let written = tar(&tree, Timestamps::Fixed(7));
    let user = Owner::ContainerUser;
    let strict = SecurityDescriptor::implicit_directory;
    let expected = [
        ("Files", "16", None),
        ("Files/Windows", "16", Some(strict())),
        ("Files/Windows/System32", "16", Some(strict())),
        (
            "Files/Windows/System32/f.dll",
            "32",
            Some(SecurityDescriptor::file(Owner::Default)),
        ),
        (
            "Files/data",
            "16",
            Some(SecurityDescriptor::directory(user)),
        ),
        ("Files/data/f", "32", Some(SecurityDescriptor::file(user))),
        ("Hives", "16", None),
    ];
    let entries = read(&written);
    assert_eq!(entries.len(), expected.len());
    for (entry, (name, attributes, security)) in entries.iter().zip(expected) {
        assert_eq!(entry.header.name, name.as_bytes());
        let security = security.map(|it| ("MSWINDOWS.rawsd".to_owned(), it.to_base64()));
        let records: Vec<_> = [
            ("LIBARCHIVE.creationtime", "7"),
            ("MSWINDOWS.fileattr", attributes),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into_iter()
        .chain(security)
        .chain([("atime", "7"), ("ctime", "7")].map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
        assert_eq!(entry.records, records, "{name}");
    }
}

#[test]
fn e10_all_four_times_are_the_same_and_follow_the_option() {
    let mut tree = LayerTree::windows();
    tree.file(&at("old"), b"x".as_slice().into(), meta(100))
        .unwrap();
    tree.file(&at("new"), b"x".as_slice().into(), meta(300))
        .unwrap();
    let before = UNIX_EPOCH - Duration::from_secs(9);
    let ancient = Meta {
        mtime: Some(before),
        ..meta(0)
    };
    tree.file(&at("ancient"), b"x".as_slice().into(), ancient)
        .unwrap();
    let times = |timestamps| {
        let entries = read(&tar(&tree, timestamps));
        let times = entries.iter().map(|it| {
            let mtime = it.fields[1];
            for key in ["LIBARCHIVE.creationtime", "atime", "ctime"] {
                let record = it.records.iter().find(|it| it.0 == key).unwrap();
                assert_eq!(record.1, mtime.to_string());
            }
            mtime
        });
        times.collect::<Vec<_>>()
    };
    // Files, ancient, new, old, Hives.
    assert_eq!(times(Timestamps::default()), [0; 5]);
    assert_eq!(times(Timestamps::Fixed(200)), [200; 5]);
    assert_eq!(times(Timestamps::Clamp(200)), [200, 0, 200, 100, 200]);
    assert_eq!(times(Timestamps::Source), [0, 0, 300, 100, 0]);
}

#[test]
fn e10_mode_bits_of_the_source_do_not_show_in_a_windows_layer() {
    let of = |mode, timestamps| {
        let mut tree = LayerTree::windows();
        let meta = Meta { mode, ..meta(1) };
        tree.file(&at("a/b"), b"x".as_slice().into(), meta).unwrap();
        tar(&tree, timestamps)
    };
    assert!(of(0o600, Timestamps::default()) == of(0o777, Timestamps::default()));
    assert!(of(0o600, Timestamps::Source) != of(0o600, Timestamps::default()));
}

#[test]
fn b13_long_and_foreign_names_have_records_in_their_place() {
    let mut tree = LayerTree::windows();
    let deep = "directory/".repeat(12) + &"n".repeat(255);
    let foreign = "Straße/東京/😀.txt";
    for path in [&*deep, foreign] {
        tree.file(&at(path), b"x".as_slice().into(), meta(1))
            .unwrap();
    }
    tree.symlink(&at("link"), &deep, false, meta(1)).unwrap();
    let written = tar(&tree, Timestamps::default());
    let record = |key: &str, value: &str| {
        let value = value.to_owned();
        read(&written).iter().any(|it| {
            let keys: Vec<_> = it.records.iter().map(|it| it.0.clone()).collect();
            assert!(keys.is_sorted(), "{keys:?}");
            it.records.contains(&(key.to_owned(), value.clone()))
        })
    };
    assert!(record("path", &format!("Files/{deep}")));
    assert!(record("path", &format!("Files/{foreign}")));
    assert!(record("path", "Files/Straße"));
    assert!(record("linkpath", &deep), "and no Files/ before it");
}

#[test]
fn a_linux_layer_is_an_ordinary_one() {
    let mut tree = LayerTree::linux();
    let owned = Meta {
        mode: 0o100_4755,
        owner: Owner::Ids { uid: 1000, gid: 7 },
        ..meta(EPOCH)
    };
    tree.file(&at("usr/bin/x"), b"elf".as_slice().into(), owned)
        .unwrap();
    tree.symlink(&at("bin"), "usr/bin", true, meta(1)).unwrap();
    tree.directory(
        &at("usr/bin"),
        Meta {
            mode: 0o2775,
            ..meta(1)
        },
    )
    .unwrap();
    let written = tar(&tree, Timestamps::Source);
    let entries = read(&written);
    let seen: Vec<_> = entries
        .iter()
        .map(|it| {
            assert_eq!(it.records, []);
            let name = String::from_utf8(it.header.name.clone()).unwrap();
            (name, it.header.flag, it.fields)
        })
        .collect();
    let entry = |name: &str, flag, fields| (name.to_owned(), flag, fields);
    assert_eq!(
        seen,
        [
            entry("bin", b'2', [0o777, 1, 0]),
            entry("usr/bin/", b'5', [0o2775, 1, 0]),
            entry("usr/bin/x", b'0', [0o4755, EPOCH, 1000]),
        ]
    );
    assert_eq!(entries[0].header.link, b"usr/bin");
    assert_eq!(entries[2].body, b"elf");
}

#[test]
fn a_linux_layer_leaves_the_bases_directories_as_they_are() {
    let mut tree = LayerTree::linux();
    let file = || b"x".as_slice().into();
    tree.file(&at("tmp/cache/x"), file(), meta(1)).unwrap();
    tree.directory(&at("tmp/cache"), meta(1)).unwrap();
    tree.file(&at("root/.x"), file(), meta(1)).unwrap();
    let written = tar(&tree, Timestamps::Source);
    assert_eq!(names(&written), ["root/.x", "tmp/cache/", "tmp/cache/x"]);
}

// === files that are read ===

/// A file that says one length and has other bytes, given out a few at a time.
struct Told {
    said: u64,
    bytes: Bytes,
    unchanged: bool,
    opened: Arc<AtomicUsize>,
}

impl OpenFile for Told {
    fn len(&self) -> u64 {
        self.said
    }

    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Slow(self.bytes.clone(), true)))
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(self.unchanged)
    }
}

/// Every other call is interrupted, and each gives 700 bytes.
struct Slow(Bytes, bool);

impl io::Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if !self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let piece = self.0.split_to(self.0.len().min(700).min(buffer.len()));
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

fn told(said: u64, bytes: usize, unchanged: bool) -> (Result<Vec<u8>, LayerError>, usize) {
    let opened = Arc::new(AtomicUsize::new(0));
    let file = Told {
        said,
        bytes: vec![b'x'; bytes].into(),
        unchanged,
        opened: Arc::clone(&opened),
    };
    let mut tree = LayerTree::windows();
    tree.file(&at("f"), FileBody::opens(file), meta(1)).unwrap();
    assert_eq!(opened.load(Ordering::SeqCst), 0, "not before it is written");
    let mut out = Vec::new();
    let written = write(&tree, Timestamps::default(), &mut out).map(|_| out);
    (written, opened.load(Ordering::SeqCst))
}

#[test]
fn a_file_is_read_once_whatever_its_pieces() {
    for length in [0, 1, 511, 512, 513, 300_000] {
        let (written, opened) = told(length, usize::try_from(length).unwrap(), true);
        let entries = read(&written.unwrap());
        assert_eq!(entries[1].body.len() as u64, length);
        assert!(entries[1].body.iter().all(|it| *it == b'x'));
        assert_eq!(opened, 1);
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error_that_names_it() {
    let text = |it: (Result<Vec<u8>, LayerError>, usize)| it.0.unwrap_err().to_string();
    assert_eq!(
        text(told(1000, 900, true)),
        "src: shrank from 1000 to 900 bytes while it was copied: build again when nothing writes to it"
    );
    assert_eq!(
        text(told(1000, 1001, true)),
        "src: grew beyond its 1000 bytes while it was copied: build again when nothing writes to it"
    );
    assert_eq!(
        text(told(1000, 1000, false)),
        "src: was changed while it was copied: build again when nothing writes to it"
    );
    assert!(text(told(0, 1, true)).contains("grew"));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    struct Gone;
    impl OpenFile for Gone {
        fn len(&self) -> u64 {
            1
        }
        fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }
    let mut tree = LayerTree::windows();
    tree.file(&at("f"), FileBody::opens(Gone), meta(1)).unwrap();
    let error = write(&tree, Timestamps::default(), &mut Vec::new()).unwrap_err();
    assert!(matches!(error, LayerError::Open { .. }));
    assert_eq!(error.to_string(), "src: could not be opened");
}

#[test]
fn a_place_that_takes_no_more_is_an_error_of_its_own() {
    let mut small = [0; 1000];
    let error = write(&golden(false), Timestamps::default(), &mut &mut small[..]);
    assert!(matches!(error, Err(LayerError::Write(_))));
}
