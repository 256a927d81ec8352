//! The header of a tar entry: 512 bytes, written and read.
//!
//! Written in the form of POSIX 1003.1-1988 (`ustar`), with PAX records before it for
//! what does not fit. Each byte is settled, because a layer's digest is made of them:
//! numbers are octal digits, zero-padded, with a NUL; the checksum has six and then
//! NUL and space. See [ustar Interchange Format](https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06).

use crate::pax::{Records, key};

/// The unit of a tar, in bytes.
pub(crate) const BLOCK: usize = 512;

/// The longest name and link target that a header has room for, inclusive, in bytes.
const NAME: usize = 100;

/// The directory that the records' own entries claim to be in. Any would do, and no
/// reader shows it; it is what Go's writer has always used.
const RECORDS_DIRECTORY: &str = "PaxHeaders.0";

/// What an entry is: the header's `typeflag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Symlink,
    Directory,
    /// The records of the entry that follows.
    Records,
}

/// An entry as it is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Header<'a> {
    pub(crate) path: &'a str,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: u64,
    pub(crate) link: &'a str,
    pub(crate) records: Records,
}

// === impl Kind ===

impl Kind {
    fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::Symlink => b'2',
            Self::Directory => b'5',
            Self::Records => b'x',
        }
    }
}

// === impl Header ===

impl Header<'_> {
    /// The bytes before the entry's content: its records, if it has any, and its header.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let records = self.all_records();
        let mut bytes = Vec::with_capacity(2 * BLOCK);
        if !records.is_empty() {
            let content = records.to_bytes();
            let name = short(&records_name(self.path));
            let mut header = Fields::new(&name, Kind::Records);
            header.number(124, 12, content.len() as u64);
            bytes.extend_from_slice(&header.finish());
            bytes.extend_from_slice(&content);
            bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        }
        let mut header = Fields::new(&short(self.path), self.kind);
        header.number(100, 8, self.mode.into());
        header.number(108, 8, self.uid.into());
        header.number(116, 8, self.gid.into());
        header.number(124, 12, self.size);
        header.number(136, 12, self.mtime);
        header.text(157, short(self.link).as_bytes());
        header.number(329, 8, 0);
        header.number(337, 8, 0);
        bytes.extend_from_slice(&header.finish());
        bytes
    }

    /// The records, and those for what does not fit into the header.
    fn all_records(&self) -> Records {
        let mut records = self.records.clone();
        if !fits(self.path) {
            records = records.with(key::PATH, self.path);
        }
        if !fits(self.link) {
            records = records.with(key::LINK_PATH, self.link);
        }
        for (key, value, digits) in [
            (key::SIZE, self.size, 11),
            (key::MTIME, self.mtime, 11),
            (key::UID, self.uid.into(), 7),
            (key::GID, self.gid.into(), 7),
        ] {
            if !in_octal(value, digits) {
                records = records.with(key, value);
            }
        }
        records
    }
}

fn fits(text: &str) -> bool {
    text.len() <= NAME && text.is_ascii()
}

fn in_octal(value: u64, digits: u32) -> bool {
    value >> (3 * digits) == 0
}

/// What an old reader sees of a name that does not fit: ASCII, cut, and no directory
/// where there is none.
fn short(text: &str) -> String {
    if fits(text) {
        return text.to_owned();
    }
    let ascii = text.chars().map(|it| if it.is_ascii() { it } else { '_' });
    let cut: String = ascii.take(NAME).collect();
    let end = if text.ends_with('/') { "/" } else { "" };
    let cut = cut.trim_end_matches('/');
    format!("{}{end}", &cut[..cut.len().min(NAME - end.len())])
}

fn records_name(path: &str) -> String {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((directory, name)) => format!("{directory}/{RECORDS_DIRECTORY}/{name}"),
        None => format!("{RECORDS_DIRECTORY}/{}", path.trim_end_matches('/')),
    }
}

/// A header as it is filled in.
struct Fields([u8; BLOCK]);

impl Fields {
    fn new(name: &str, kind: Kind) -> Self {
        let mut it = Self([0; BLOCK]);
        it.text(0, name.as_bytes());
        for (at, bytes) in [(100, 8), (108, 8), (116, 8), (124, 12), (136, 12)] {
            it.number(at, bytes, 0);
        }
        it.0[156] = kind.flag();
        it.text(257, b"ustar\x0000");
        it
    }

    fn text(&mut self, at: usize, text: &[u8]) {
        self.0[at..at + text.len()].copy_from_slice(text);
    }

    /// Octal digits and a NUL in `bytes` bytes. What does not fit is zero: a record has it.
    fn number(&mut self, at: usize, bytes: usize, value: u64) {
        let digits = bytes - 1;
        let fits = u32::try_from(digits).is_ok_and(|it| in_octal(value, it));
        let value = if fits { value } else { 0 };
        self.text(at, format!("{value:0digits$o}\0").as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        let sum = checksum(&self.0);
        self.text(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// The sum of a header's bytes, those of the sum itself taken for spaces.
pub(crate) fn checksum(header: &[u8; BLOCK]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|it| u32::from(*it)).sum::<u32>();
    sum(&header[..148]) + 8 * u32::from(b' ') + sum(&header[156..])
}

// === reading ===

/// A header as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawHeader {
    /// Name, prefix included; not necessarily UTF-8.
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) size: u64,
    /// None where it is no number.
    pub(crate) mtime: Option<u64>,
    /// Permission bits and owner; none where it is no number.
    pub(crate) mode: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) flag: u8,
}

/// Why 512 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// The checksum is wrong, or is no number.
    #[error("the checksum of a header is wrong")]
    Checksum,
    /// The size is no number that a tar can have.
    #[error("the size in a header is no number")]
    Size,
}

impl RawHeader {
    /// Reads what is needed of a header, in any of the forms that are about.
    pub(crate) fn parse(bytes: &[u8; BLOCK]) -> Result<Self, HeaderError> {
        let said = octal(&bytes[148..156]).ok_or(HeaderError::Checksum)?;
        if said != u64::from(checksum(bytes)) {
            return Err(HeaderError::Checksum);
        }
        let mut name = text(&bytes[..100]).to_vec();
        // Only POSIX's form has a prefix; GNU's has times there.
        if &bytes[257..263] == b"ustar\0" {
            let prefix = text(&bytes[345..500]);
            if !prefix.is_empty() {
                name = [prefix, b"/", &name].concat();
            }
        }
        Ok(Self {
            name,
            link: text(&bytes[157..257]).to_vec(),
            size: number(&bytes[124..136]).ok_or(HeaderError::Size)?,
            mtime: number(&bytes[136..148]),
            mode: number(&bytes[100..108]),
            uid: number(&bytes[108..116]),
            gid: number(&bytes[116..124]),
            flag: bytes[156],
        })
    }
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|it| *it == 0);
    &field[..end.unwrap_or(field.len())]
}

/// Octal digits, or GNU's big-endian number behind a set bit.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first() {
        Some((0x80, rest)) => {
            let significant = rest.iter().skip_while(|it| **it == 0);
            let mut value = 0u64;
            for byte in significant {
                value = value.checked_mul(256)?.checked_add(u64::from(*byte))?;
            }
            Some(value)
        }
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text(field)).ok()?;
    let digits = text.trim_matches(' ');
    if digits.is_empty() {
        return Some(0);
    }
    let plain = digits.bytes().all(|it| it.is_ascii_digit());
    plain.then(|| u64::from_str_radix(digits, 8).ok()).flatten()
}

#[cfg(test)]
mod tests;
