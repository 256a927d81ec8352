use proptest::prelude::*;

use super::*;
use crate::pax;

fn file(path: &str) -> Header<'_> {
    Header {
        path,
        kind: Kind::File,
        mode: 0o100_755,
        uid: 0,
        gid: 0,
        size: 10,
        mtime: 1_700_000_000,
        link: "",
        records: Records::default(),
    }
}

/// The records before a header, and the header.
fn read(bytes: &[u8]) -> (Vec<(String, String)>, RawHeader) {
    let block = |at: usize| bytes[at..at + BLOCK].try_into().unwrap();
    let first = RawHeader::parse(&block(0)).unwrap();
    if first.flag != b'x' {
        assert_eq!(bytes.len(), BLOCK);
        return (Vec::new(), first);
    }
    let size = usize::try_from(first.size).unwrap();
    let records = pax::parse(&bytes[BLOCK..BLOCK + size]).unwrap();
    let records = records
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let at = BLOCK + size.next_multiple_of(BLOCK);
    assert_eq!(bytes.len(), at + BLOCK);
    (records.collect(), RawHeader::parse(&block(at)).unwrap())
}

#[test]
fn what_fits_is_in_the_header_alone() {
    let (records, header) = read(&file(&"x".repeat(100)).to_bytes());
    assert_eq!(records, []);
    assert_eq!(header.name, "x".repeat(100).as_bytes());
    assert_eq!((header.size, header.mtime), (10, Some(1_700_000_000)));
    let largest = Header {
        size: (1 << 33) - 1,
        uid: (1 << 21) - 1,
        ..file("x")
    };
    assert_eq!(read(&largest.to_bytes()).0, []);
}

#[test]
fn what_does_not_fit_has_a_record() {
    let of = |header: Header<'_>| read(&header.to_bytes()).0;
    let owned = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let long = "d/".repeat(60) + "x";
    assert_eq!(of(file(&long)), [owned("path", &long)]);
    assert_eq!(of(file("ä")), [owned("path", "ä")]);
    let link = Header {
        link: &long,
        ..file("l")
    };
    assert_eq!(of(link), [owned("linkpath", &long)]);
    let large = Header {
        size: 1 << 33,
        uid: u32::MAX,
        gid: 1 << 21,
        mtime: 1 << 33,
        ..file("x")
    };
    assert_eq!(
        of(large),
        [
            owned("gid", "2097152"),
            owned("mtime", "8589934592"),
            owned("size", "8589934592"),
            owned("uid", "4294967295"),
        ]
    );
}

#[test]
fn an_old_reader_sees_something_sensible() {
    let name = |path: &str| {
        let bytes = file(path).to_bytes();
        let records = RawHeader::parse(bytes[..BLOCK].try_into().unwrap()).unwrap();
        let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
        (text(records.name), text(read(&bytes).1.name))
    };
    assert_eq!(
        name("Files/ä.txt"),
        ("Files/PaxHeaders.0/_.txt".into(), "Files/_.txt".into())
    );
    let slash_at_100 = "x".repeat(99) + "/" + &"y".repeat(20);
    let (records, header) = name(&slash_at_100);
    assert_eq!(header, "x".repeat(99), "a file is no directory");
    assert_eq!(records, "x".repeat(99));
    let directory = "x".repeat(120) + "/";
    assert_eq!(name(&directory).1, "x".repeat(99) + "/");
}

#[test]
fn other_forms_of_headers_are_read() {
    let mut gnu: [u8; BLOCK] = file("x").to_bytes().try_into().unwrap();
    gnu[257..265].copy_from_slice(b"ustar  \0");
    gnu[345..350].copy_from_slice(b"times");
    gnu[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    let sum = checksum(&gnu);
    gnu[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let header = RawHeader::parse(&gnu).unwrap();
    assert_eq!((&*header.name, header.size), (b"x".as_slice(), 1 << 33));

    let mut posix: [u8; BLOCK] = file("x").to_bytes().try_into().unwrap();
    posix[345..348].copy_from_slice(b"d/e");
    let sum = checksum(&posix);
    posix[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(RawHeader::parse(&posix).unwrap().name, b"d/e/x");
    posix[0] ^= 1;
    assert_eq!(RawHeader::parse(&posix), Err(HeaderError::Checksum));
}

proptest! {
    #[test]
    fn what_is_written_is_read(path in "\\PC{1,300}", link in "\\PC{0,300}", size: u64) {
        let header = Header { link: &link, size, ..file(&path) };
        let (records, read) = read(&header.to_bytes());
        let get = |key: &str| records.iter().find(|it| it.0 == key).map(|it| it.1.clone());
        let text = |it: &[u8]| String::from_utf8(it.to_vec()).unwrap();
        prop_assert_eq!(get("path").unwrap_or_else(|| text(&read.name)), path);
        prop_assert_eq!(get("linkpath").unwrap_or_else(|| text(&read.link)), link);
        prop_assert_eq!(get("size").map_or(read.size, |it| it.parse().unwrap()), size);
    }

    #[test]
    fn any_block_is_a_header_or_an_error(bytes: Vec<u8>) {
        let mut block = [0; BLOCK];
        for (to, from) in block.iter_mut().zip(&bytes) {
            *to = *from;
        }
        let sum = checksum(&block);
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let _ = RawHeader::parse(&block);
    }
}
